"""`signalbox report`: writes reports of one account and period to a folder, from the ledger of `signalbox up` or another one.

Execution quality is measured on the fly and stored nowhere, because the command only reads.
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

from rich.console import Console

from local.browser import browser, browser_path
from local.cli.ledger import connection_source
from local.cli.report.index import write_index
from local.errors import DataError
from local.settings import Settings
from signalbox.adapters.postgres.connection import LedgerUnavailableError
from signalbox.adapters.postgres.report_source import PostgresReports
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
READ_TIMEOUT_MS: Final = 60_000  # a year of an account takes longer than the ledger's usual limit


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
    pdf: bool = False,
) -> int:
    """Write the files and return the exit code. Raises DataError, AccountError and ReportError, which say what to do."""
    kinds = _kinds(kind)
    if pdf:
        browser_path()  # before anything is read
    with _reports(database, settings) as reports:
        configured = _account(reports.accounts(), account)
        wanted = parse_period(period, zone_of(configured) if zone is None else zone)
        data = reports.period(account, wanted, now)
        if ReportKind.QUALITY in kinds:
            data = replace(data, quality=_measured(reports, data))
    made = [build(kind, data) for kind in kinds]
    files = [_write(report, out) for report in made]
    if pdf:
        _print_pages(files)
    index = write_index(out, account)
    if json_output:
        sys.stdout.write(json.dumps(_as_json(data, made, files), indent=2) + "\n")
    console = Console(stderr=json_output)
    _show(console, made, files)
    console.print(f"all reports of {account}: {index}", highlight=False, markup=False, soft_wrap=True)
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
    raise AccountError(
        f"account {name!r} does not exist; " + (f"the ledger has {known}" if known else "the ledger has no accounts yet")
    )


def _measured(reports: PostgresReports, data: AccountPeriod) -> tuple[Any, ...]:
    return tuple(measured_orders(data.account, data.start, data.until, reports)[0])


@contextmanager
def _reports(database: str | None, settings: Settings) -> Iterator[PostgresReports]:
    try:
        with connection_source(database, settings, name="signalbox report", timeout_ms=READ_TIMEOUT_MS) as source:
            yield PostgresReports(source)
    except LedgerUnavailableError as error:
        raise DataError(f"no ledger answers ({error}); start `signalbox up`, or give --database") from error


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


def _print_pages(files: list[list[dict[str, Any]]]) -> None:
    """Print each page to a PDF beside it. Raises BrowserError."""
    with browser() as chromium:
        for written in files:
            page = next(Path(one["path"]) for one in written if one["path"].endswith(".html"))
            chromium.open(page)
            content = chromium.pdf()
            path = page.with_suffix(".pdf")
            path.write_bytes(content)
            written.append({"path": str(path), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})


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
