"""`signalbox report`: reports of one account and period into a folder, from the ledger of `signalbox up` or any other.

Execution quality is measured at once and not written anywhere: the command only reads.
"""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo
from rich.console import Console

from local.cloud.postgres import PORT, LocalPostgres
from local.errors import DataError
from local.settings import Settings
from signalbox.adapters.postgres.connection import ConnectionSource, DatabaseSettings, LedgerError, LedgerUnavailableError
from signalbox.adapters.postgres.report_source import PostgresReports
from signalbox.contracts import DATABASE_NAME, READER_DATABASE_USER
from signalbox.reports.build import build
from signalbox.reports.period import parse_period, zone_of
from signalbox.reports.publishing import files_of, measured_orders
from signalbox.reports.report import Report, ReportKind
from signalbox.reports.source import AccountPeriod
from signalbox.trading.account import TradingAccount
from signalbox.trading.errors import AccountError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALL: Final = "all"
READ_TIMEOUT_MS: Final = 60_000  # a year of an account is more than a cycle asks for


def run_report(
    account: str,
    period: str,
    kind: str,
    out: Path,
    *,
    zone: str | None,
    database: str | None,
    json_output: bool,
    settings: Settings,
    now: datetime,
) -> int:
    """Write the files and return the exit code. Raises DataError, AccountError and ReportError with what to do."""
    kinds = _kinds(kind)
    with _reports(database, settings) as reports:
        configured = _account(reports.accounts(), account)
        wanted = parse_period(period, zone or zone_of(configured))
        data = reports.period(account, wanted, now)
        if ReportKind.QUALITY in kinds:
            data = replace(data, quality=_measured(reports, data))
    made = [build(kind, data) for kind in kinds]
    files = [_write(report, out) for report in made]
    if json_output:
        sys.stdout.write(json.dumps(_as_json(data, made, files), indent=2) + "\n")
    _show(Console(stderr=json_output), made, files)
    return 0


def _kinds(text: str) -> tuple[ReportKind, ...]:
    if text == ALL:
        return tuple(ReportKind)
    try:
        return (ReportKind(text),)
    except ValueError as error:
        names = ", ".join([*(kind.value for kind in ReportKind), ALL])
        raise DataError(f"--kind {text!r}: expected one of {names}") from error


def _account(accounts: Sequence[TradingAccount], name: str) -> TradingAccount:
    for configured in accounts:
        if configured.account == name:
            return configured
    known = ", ".join(configured.account for configured in accounts)
    raise AccountError(f"account {name!r} does not exist; " + (f"the ledger has {known}" if known else "the ledger has none yet"))


def _measured(reports: PostgresReports, data: AccountPeriod) -> tuple[Any, ...]:
    return tuple(measured_orders(data.account, data.start, data.until, reports)[0])


@contextmanager
def _reports(database: str | None, settings: Settings) -> Iterator[PostgresReports]:
    try:
        with connection_source(database, settings) as source:
            yield PostgresReports(source)
    except LedgerUnavailableError as error:
        raise DataError(f"no ledger answers ({error}); start `signalbox up`, or give --database") from error
    except LedgerError as error:
        if isinstance(error.__cause__, psycopg.errors.UndefinedTable):
            raise DataError(
                "the database has no accounts: its schema is older than this version; deploy or start it anew"
            ) from error
        raise


def connection_source(database: str | None, settings: Settings) -> ConnectionSource:
    """Return the (lazy) connection: a libpq connection string, else the ledger of `signalbox up`.

    A password on the command line is refused, for others on the machine can read it there.
    """
    if database is None:
        host = str(LocalPostgres(settings, settings.state / "up" / "postgres", durable=True).socket_folder)
        return _source(DatabaseSettings(host, PORT, DATABASE_NAME, READER_DATABASE_USER, "disable"), "")
    try:
        given: dict[str, Any] = conninfo_to_dict(database)
        given_settings = DatabaseSettings(
            host=str(given["host"]),
            port=int(given.get("port") or PORT),
            name=str(given.get("dbname") or DATABASE_NAME),
            user=str(given.get("user") or READER_DATABASE_USER),
            sslmode=str(given.get("sslmode") or "prefer"),
            sslrootcert=given.get("sslrootcert"),
        )
    except (psycopg.ProgrammingError, KeyError, ValueError):  # whose text would show what was given
        raise DataError("--database: expected a connection string such as 'host=... dbname=signalbox user=...'") from None
    if "password" in given:
        raise DataError("--database: expected no password in it; set PGPASSWORD or write it to ~/.pgpass")
    return _source(given_settings, _password_of_libpq())


def _source(found: DatabaseSettings, password: str) -> ConnectionSource:
    named = replace(found, application_name="signalbox report", statement_timeout_ms=READ_TIMEOUT_MS)
    return ConnectionSource(named, lambda: password)


def _password_of_libpq() -> str:
    """Return what libpq takes from PGPASSWORD; nothing lets it look into ~/.pgpass."""
    found = (option.val for option in Conninfo.get_defaults() if option.keyword == b"password")
    return (next(found, None) or b"").decode()


def _write(report: Report, out: Path) -> list[dict[str, Any]]:
    folder = out / f"account={report.account}" / f"period={report.period.name}"
    written = []
    for ending, content in files_of(report).items():
        path = folder / f"kind={report.kind.value}.{ending}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}; choose another --out") from error
        written.append({"path": str(path), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    return written


def _as_json(data: AccountPeriod, made: list[Report], files: list[list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "account": data.account.account,
        "mode": data.account.mode.value,
        "currency": data.account.currency,
        "period": data.period.name,
        "zone": data.period.zone,
        "start": data.start.isoformat(),
        "until": data.until.isoformat(),
        "running": data.is_running,
        "reports": [
            {
                "kind": report.kind.value,
                "empty": report.is_empty,
                "rows": len(report.table.rows),
                "figures": {name: str(value) for name, value in report.figures.items()},
                "files": written,
            }
            for report, written in zip(made, files, strict=True)
        ],
    }


def _show(console: Console, made: list[Report], files: list[list[dict[str, Any]]]) -> None:
    for report, written in zip(made, files, strict=True):
        console.print(f"{report.title}: {report.headline}", highlight=False, markup=False)
        if report.is_empty:
            console.print("  nothing happened in this period", highlight=False)
        else:
            figures = ", ".join(f"{name} {value}" for name, value in report.figures.items())
            console.print(f"  {figures}", highlight=False, markup=False)
        for one in written:
            console.print(f"  {one['path']}", highlight=False, markup=False, soft_wrap=True)
