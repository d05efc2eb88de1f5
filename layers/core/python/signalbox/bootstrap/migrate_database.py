"""Composes migrate_database: a connection of the schema's owner and the migrations in the same package."""

from __future__ import annotations

from collections.abc import Callable

from signalbox.adapters.postgres.migrate import migrate
from signalbox.bootstrap.database import database_settings
from signalbox.bootstrap.settings import MigrateDatabaseSettings


def compose(settings: MigrateDatabaseSettings | None = None) -> Callable[[str, str], list[str]]:
    """Return a function that migrates the database as a given user and lists the applied migrations."""
    found = settings or MigrateDatabaseSettings.read()

    def run(user: str, password: str) -> list[str]:
        return migrate(database_settings(found, application="migrate_database", user=user), password)

    return run
