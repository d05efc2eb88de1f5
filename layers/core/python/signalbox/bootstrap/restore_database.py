"""Composes restore_database: a connection of the schema's owner and the dumps in the backups bucket."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import boto3
from pydantic import ConfigDict, Field, SecretStr

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.dump_store import S3DumpStore
from signalbox.adapters.postgres.restore import RestoreProgress, restore
from signalbox.bootstrap.database import database_settings
from signalbox.bootstrap.settings import BackupSettings
from signalbox.contracts import DUMPS_FOLDER
from signalbox.frozen import FrozenModel


class RestoreDatabase(FrozenModel):
    """The function's input: the dump to restore and the login of the schema's owner. The password is never logged or stored."""

    model_config = ConfigDict(hide_input_in_errors=True)  # an error quotes what it was given: the password too

    dump: str = Field(pattern=r"^\d{8}T\d{6}Z$")
    username: str
    password: SecretStr
    replace: bool = False
    rebuild: bool = False


class Restore(Protocol):
    """Restores a dump until it is done or cancelled."""

    def __call__(self, command: RestoreDatabase, now: datetime, may_go_on: Callable[[], bool]) -> RestoreProgress: ...


def compose(settings: BackupSettings | None = None) -> Restore:
    """Return the function that restores a dump, or resumes a restore."""
    found = settings or BackupSettings.read()
    s3 = boto3.client("s3", config=QUICK)

    def run(command: RestoreDatabase, now: datetime, may_go_on: Callable[[], bool]) -> RestoreProgress:
        return restore(
            database_settings(found, application="restore_database", user=command.username),
            command.password.get_secret_value(),
            S3DumpStore(s3, found.backups_bucket, f"{DUMPS_FOLDER}/{command.dump}"),
            now=now,
            replace_all=command.replace,
            rebuild_accounts=command.rebuild,
            may_go_on=may_go_on,
        )

    return run
