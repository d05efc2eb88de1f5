"""Composes dump_database: a read-only connection to the ledger, and the backups bucket."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import boto3
from botocore.session import get_session

from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.database_token import token_password
from signalbox.adapters.aws.dump_store import S3DumpStore
from signalbox.adapters.postgres.dump import dump
from signalbox.backup.manifest import DumpManifest, dump_name
from signalbox.bootstrap.database import database_settings
from signalbox.bootstrap.settings import BackupSettings
from signalbox.contracts import DUMPS_FOLDER


def compose(settings: BackupSettings | None = None) -> Callable[[datetime], tuple[str, DumpManifest]]:
    """Return the function that dumps the ledger into a folder named after an instant, and returns its place."""
    found = settings or BackupSettings.read()
    database = database_settings(found, application="dump_database")
    token = token_password(get_session(), host=found.host, port=found.port, user=found.user)
    s3 = boto3.client("s3", config=QUICK)

    def run(at: datetime) -> tuple[str, DumpManifest]:
        store = S3DumpStore(s3, found.backups_bucket, f"{DUMPS_FOLDER}/{dump_name(at)}")
        return store.name, dump(database, token, store, at)

    return run
