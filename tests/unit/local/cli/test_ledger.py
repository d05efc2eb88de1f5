"""Which ledger a command reads, and whose password it uses: one rule for every command that takes --database."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from local.cli.features.verification import run_verify
from local.cli.ledger import connection_source
from local.cli.report.command import run_report
from local.errors import DataError
from local.settings import load_settings


def test_without_a_connection_string_it_is_the_ledger_of_up_and_never_tcp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings({"SIGNALBOX_STATE": str(tmp_path)})
    monkeypatch.setenv("PGPASSWORD", "z")
    with connection_source(None, settings, name="a test") as source:
        assert source._settings.host.startswith("/")
        assert source._password() == ""
    with connection_source("host=db.example port=5433 dbname=x user=y sslrootcert=ca.pem", settings, name="a test") as source:
        found = source._settings
        assert (found.host, found.port, found.name, found.user, source._password()) == ("db.example", 5433, "x", "y", "z")
        assert (found.sslrootcert, found.application_name) == ("ca.pem", "a test")
    with pytest.raises(DataError, match="expected a connection string"):
        connection_source("dbname=x", settings, name="a test")


def test_every_command_refuses_a_password_on_its_command_line_and_does_not_repeat_it(tmp_path: Path) -> None:
    text = "host=x password=hunter2"
    settings = load_settings({"SIGNALBOX_STATE": str(tmp_path)})
    (tmp_path / "BTC-USDT-1m.parquet").touch()  # candles, so that only the password is wrong
    with pytest.raises(DataError, match="set PGPASSWORD or write it to") as report:
        run_report(
            "a", "2026-01", "pnl", tmp_path, zone=None, database=text, json_output=False, settings=settings, now=datetime.now(UTC)
        )
    with pytest.raises(DataError, match="set PGPASSWORD or write it to") as verify:
        run_verify(date(2026, 1, 5), str(tmp_path), text, venue="coinbase", json_output=False, settings=settings)
    assert "hunter2" not in f"{report.value} {verify.value}"
