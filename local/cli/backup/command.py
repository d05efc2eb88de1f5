"""Dumps a ledger and restores one: of the local cloud, of a deployed stage through its own functions, or of any other database.

The ledger of a deployed stage can be reached only from inside its network. There dump_database and restore_database do the work;
this command invokes them, the second as often as needed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.cli.accounts.command import session_of
from local.cli.arguments import out_folder
from local.cli.backup.folder import FolderDumpStore
from local.cli.ledger import settings_and_password
from local.cli.stage import announce, aws_session, stage_of
from local.cli.stage_outputs import stage_outputs
from local.cloud.postgres import LocalPostgres
from local.cloud.private import private_files
from local.cloud.up import only_one
from local.errors import DataError
from local.settings import STAGE, Settings
from signalbox.adapters.aws.dump_store import S3DumpStore
from signalbox.adapters.postgres.connection import DatabaseSettings, connect
from signalbox.adapters.postgres.dump import dump
from signalbox.adapters.postgres.restore import RestoreProgress, restore
from signalbox.backup.errors import BackupError
from signalbox.backup.manifest import DumpManifest, dump_name
from signalbox.backup.store import DumpStore
from signalbox.contracts import DUMPS_FOLDER, Function, StackOutput, function_name
from signalbox.ledger_errors import LedgerUnavailableError
from signalbox.wire import in_one_line, parse_object

_PATIENT: Final = Config(connect_timeout=5, read_timeout=920, retries={"total_max_attempts": 1})  # a retry would run beside it


@dataclass(frozen=True, slots=True)
class DumpDone:
    """A dump that was made."""

    dump: str
    schema: int
    rows: int


@dataclass(frozen=True, slots=True)
class Backups:
    """Dumps and restores the named ledger. now: the time of dumps, and of the halts that a restore sets."""

    settings: Settings
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def dump(self, out: Path | None, stage: str | None, database: str | None) -> DumpDone:
        """Dump a ledger. After BackupError, LedgerError or WorkbenchError there is no dump."""
        at = self.now().replace(microsecond=0)
        if deployed := self._deployed(stage, database):
            if out is not None:
                raise DataError(f"a dump of stage {deployed} goes to its backups bucket: leave out --out, and copy it from there")
            answer = self._asked(deployed, Function.DUMP_DATABASE, {"job": "dump_database", "scheduled_at": at.isoformat()})
            return DumpDone(answer["dump"], answer["schema"], answer["rows"])
        if database is None:
            self._require_local_ledger()
        folder = out or self.settings.state / "backups" / dump_name(at)
        if folder.exists() and any(folder.iterdir()):
            raise DataError(f"{folder}: expected a new or empty folder for the dump, got one with files")
        with private_files():
            out_folder(folder)
        with self._reached(database) as (found, password):
            made = dump(found, lambda: password, FolderDumpStore(folder), at, progress=_print_line)
        return _done(str(folder), made)

    def restore(
        self, source: str, stage: str | None, database: str | None, *, replace_all: bool, rebuild_accounts: bool
    ) -> RestoreProgress:
        """Restore a dump completely. After BackupError, LedgerError or WorkbenchError repeat the call to resume it."""
        if deployed := self._deployed(stage, database):
            return self._restore_deployed(deployed, source, replace_all=replace_all, rebuild_accounts=rebuild_accounts)
        store = self._store(source)
        with self._reached(database) as (found, password):
            return restore(
                found,
                password,
                store,
                now=self.now(),
                replace_all=replace_all,
                rebuild_accounts=rebuild_accounts,
                progress=_print_line,
            )

    def _require_local_ledger(self) -> None:
        if not LocalPostgres(self.settings, self.settings.state / "up" / "postgres", durable=True).exists:
            raise DataError(
                f"no ledger of a local cloud in {self.settings.state}: start `signalbox up` first, or give --stage or --database"
            )

    def _deployed(self, stage: str | None, database: str | None) -> str | None:
        if database is not None:
            if stage is not None:
                raise DataError("expected --stage or --database, got both")
            return None
        if stage is None and self.settings.stage is None:
            return None  # the local cloud, running or not
        named = stage_of(stage, self.settings)
        return None if named == STAGE else named

    def _restore_deployed(self, stage: str, source: str, *, replace_all: bool, rebuild_accounts: bool) -> RestoreProgress:
        session, url = session_of(stage, self.settings)
        outputs = stage_outputs(session, stage, endpoint=url)
        bucket, name = _of_s3(source)
        if bucket != outputs.get(StackOutput.BACKUPS_BUCKET):
            raise DataError(
                f"{source}: expected s3://{outputs.get(StackOutput.BACKUPS_BUCKET)}/{DUMPS_FOLDER}/INSTANT, because the"
                " stage's function may read dumps only there; copy the dump there first with `aws s3 cp --recursive`"
            )
        announce(stage, session)
        try:
            secrets = session.client("secretsmanager", endpoint_url=url)
            master = parse_object(secrets.get_secret_value(SecretId=outputs[StackOutput.MASTER_SECRET_ARN])["SecretString"])
        except (ClientError, BotoCoreError, KeyError) as error:
            raise DataError(f"the credentials of the ledger's owner in stage {stage} cannot be read: {error}") from None
        command = {"dump": name, "username": master["username"], "password": master["password"]}
        command |= {"replace": replace_all, "rebuild": rebuild_accounts}
        moved = None
        while True:
            answer = self._asked(stage, Function.RESTORE_DATABASE, command)
            found = RestoreProgress(**answer | {key: tuple(answer[key]) for key in ("differences", "halted")})
            moved = found.moved_to or moved
            command["replace"] = False  # it was begun: what is there now is of this dump
            _print_line(f"{found.restored} of {found.parts} parts are restored")
            if found.is_done or found.restored == found.parts:
                return replace(found, moved_to=moved)

    def _asked(self, stage: str, function: Function, command: dict[str, Any]) -> dict[str, Any]:
        session, url = session_of(stage, self.settings)
        client = session.client("lambda", endpoint_url=url, config=_PATIENT)
        name = function_name(stage, function)
        try:
            answer = client.invoke(FunctionName=name, Payload=json.dumps(command).encode())
            payload: dict[str, Any] = parse_object(answer["Payload"].read())
        except (ClientError, BotoCoreError) as error:
            raise BackupError(f"{name} did not answer: {error}; repeat the command; it continues where it stopped") from error
        if "FunctionError" in answer:
            raise BackupError(f"{name} failed: {payload.get('errorMessage', 'it gave no reason; see its log')}")
        return payload

    def _store(self, source: str) -> DumpStore:
        if not source.startswith("s3://"):
            folder = Path(source)
            if not folder.is_dir():
                raise DataError(f"{source}: no such folder; a dump is a folder with manifest.json and parts")
            return FolderDumpStore(folder)
        bucket, _, prefix = source.removeprefix("s3://").partition("/")
        return S3DumpStore(aws_session(self.settings).client("s3"), bucket, prefix)

    @contextmanager
    def _reached(self, database: str | None) -> Iterator[tuple[DatabaseSettings, str]]:
        """Give the login of a ledger: a named one, or that of the local cloud, whose server is started if it does not run."""
        if database is not None:
            yield settings_and_password(database)
            return
        folder = self.settings.state / "up"
        server = LocalPostgres(self.settings, folder / "postgres", durable=True)
        try:
            connect(server.settings, "").close()
        except LedgerUnavailableError:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with only_one(folder / "lock"):
                try:
                    server.start()
                    yield server.settings, ""
                finally:
                    server.stop()
        else:
            yield server.settings, ""


def _of_s3(source: str) -> tuple[str, str]:
    bucket, _, path = source.removeprefix("s3://").rstrip("/").partition("/")
    folder, _, name = path.partition("/")
    if not source.startswith("s3://") or folder != DUMPS_FOLDER or not name or "/" in name:
        raise DataError(f"{source}: expected s3://BUCKET/{DUMPS_FOLDER}/INSTANT, as `signalbox backup --stage` prints it")
    return bucket, name


def _done(place: str, manifest: DumpManifest) -> DumpDone:
    return DumpDone(place, manifest.schema_version, manifest.rows)


def _print_line(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def print_dump(done: DumpDone, *, as_json: bool) -> None:
    """Print where a dump is, and how to restore it."""
    if as_json:
        print(json.dumps(asdict(done)))
        return
    print(f"{done.dump}: {done.rows} rows, schema {done.schema}")
    print(f"restore it with: signalbox restore --from {done.dump}")


def print_restore(done: RestoreProgress, *, as_json: bool) -> None:
    """Print what was restored, and what needs a person's attention."""
    if as_json:
        print(json.dumps(asdict(done)))
        return
    print(f"{done.rows} rows in {done.restored} of {done.parts} parts are restored")
    if done.moved_to:
        print(f"what was there before is in the schema {done.moved_to}; remove it with DROP SCHEMA {done.moved_to} CASCADE")
    for difference in done.differences:
        print(f"  differs: {in_one_line(difference)}")
    if done.differences:
        print("the ledger stays closed to the functions: repeat the command with --rebuild to rebuild them from their events")
        return
    print(f"{done.accounts} accounts were rebuilt from their events and match their tables")
    for account in map(in_one_line, done.halted):
        print(f"{account} is live and halted: compare it with its venue, then `signalbox accounts resume {account}`")
