"""`signalbox report` against a real ledger: files, JSON, and what it says when something is not there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local.cli.ledger import connection_source
from local.cli.report.command import run_report
from local.errors import DataError
from local.settings import load_settings
from signalbox.adapters.postgres.report_source import PostgresReports
from signalbox.ledger_errors import LedgerError
from signalbox.reports.errors import PeriodError
from signalbox.trading.errors import AccountError
from tests.fakes.postgres_server import PostgresServer
from tests.integration.test_report_source import reports  # noqa: F401 - the fixture
from tests.integration.trading_samples import ACCOUNT

pytestmark = pytest.mark.integration

NOW = datetime(2024, 3, 5, tzinfo=UTC)


@pytest.fixture
def database(postgres: PostgresServer, database: str, reports: PostgresReports) -> str:  # noqa: F811 - the fixture
    return f"host={postgres.socket_folder} dbname={database} user=signalbox_reader sslmode=disable"


def run(database: str, out: Path, *, account: str = ACCOUNT.account, period: str = "2024-03", kind: str = "all") -> int:
    return run_report(
        account, period, kind, out, zone=None, database=database, json_output=True, settings=load_settings({}), now=NOW
    )


def test_every_report_is_a_csv_and_a_page(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(database, tmp_path) == 0
    folder = tmp_path / f"account={ACCOUNT.account}" / "period=2024-03"
    assert len(list(folder.iterdir())) == 10
    reported = json.loads(capsys.readouterr().out)
    assert (reported["account"], reported["zone"], reported["running"]) == (ACCOUNT.account, "UTC", True)
    quality = next(r for r in reported["reports"] if r["kind"] == "quality")
    assert quality["figures"]["orders measured / without figures"] == "2 / 0"  # measured at once, nobody ran the job
    pnl = next(r for r in reported["reports"] if r["kind"] == "pnl")
    assert pnl["figures"]["net"] == "4.80"
    assert (folder / "kind=pnl.html").read_text().startswith("<!doctype html>")


def test_a_period_without_anything_is_said_and_is_no_error(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(database, tmp_path, period="2024-03-04", kind="blotter") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["reports"][0]["empty"] is True
    assert "nothing happened in this period" in captured.err


def test_what_is_wrong_is_one_clear_line(database: str, tmp_path: Path) -> None:
    with pytest.raises(AccountError, match=f"'nobody' does not exist; the ledger has ftmo-2step-100k, {ACCOUNT.account}"):
        run(database, tmp_path, account="nobody")
    with pytest.raises(PeriodError, match="was opened on"):
        run(database, tmp_path, period="2023")
    with pytest.raises(PeriodError, match="has not begun"):
        run(database, tmp_path, period="2025")
    with pytest.raises(DataError, match="expected one of pnl, blotter, tax, compliance, quality, all"):
        run(database, tmp_path, kind="profit")
    with pytest.raises(DataError, match="no ledger answers"):
        run(f"host={tmp_path} dbname=signalbox", tmp_path)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match="choose another --out"):
        run(database, blocked)


def test_a_ledger_without_accounts_is_told_apart(postgres: PostgresServer, empty_database: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="got another database or an older schema"):
        run(f"host={postgres.socket_folder} dbname={empty_database} user=signalbox_admin", tmp_path)


@pytest.mark.parametrize("text", ["host=x password=hunter2", "postgresql://me:hunter2@x/signalbox"])
def test_a_password_on_the_command_line_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(DataError, match="set PGPASSWORD or write it to") as caught:
        connection_source(text, load_settings({}), name="a test")
    assert "hunter2" not in str(caught.value)


def test_the_password_is_libpqs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "from-the-environment")
    source = connection_source("host=x", load_settings({}), name="a test")
    assert source._password() == "from-the-environment"
