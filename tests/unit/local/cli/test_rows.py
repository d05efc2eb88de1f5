"""Rows of the ledger in a terminal of 120 columns."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from local.cli.rows import print_rows


def test_an_instant_stays_on_one_line_in_a_table_of_many_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    at = datetime(2026, 11, 28, 14, 50, tzinfo=UTC)
    row = {"decided_at": at, **{f"column_{i}_of_many": "value" for i in range(9)}, "price": Decimal("58453.14")}
    print_rows("signals", [row], {}, as_json=False)
    shown = capsys.readouterr().out
    assert "2026-11-28 14:50:00" in shown
    assert max(map(len, shown.splitlines())) <= 120
