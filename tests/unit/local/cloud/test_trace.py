"""`signalbox trace` over a recording: what belongs to a cycle, and what does not."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from local.cli.command import app
from local.cloud.trace import RECORDING, TraceError, trace_recorded, trace_text
from tests.builders import NOON

CYCLE = NOON.isoformat()
ORDER = "ab" * 16


def line(message: str, second: int, **facts: Any) -> dict[str, Any]:
    stamp = f"2026-11-27 20:00:{second:02},000+0000"
    return {"function": "signalbox-local-f", "line": {"timestamp": stamp, "level": "INFO", "message": message, **facts}}


def row(table: str, key: str, at: datetime = NOON, **facts: Any) -> dict[str, Any]:
    return {"table": table, "key": key, "at": at.isoformat(), "facts": facts, "decision": at.isoformat()}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    entries = [
        line("order_rejected", 4, client_order_id=ORDER),
        line("cycle_collected", 1, correlation_id=CYCLE, parts=1),
        line("cycle_collected", 2, correlation_id=(NOON + timedelta(minutes=5)).isoformat()),
        line("event_routed", 3, event_id=f"ExecutionReported:{ORDER}:0011"),
        line("event_routed", 5, event_id=f"ExecutionReported:{'cd' * 16}:0011"),
        line("outbox_relayed", 6),
        row("orders", ORDER, state="FILLED"),
        row("cycles", "coinbase", NOON + timedelta(minutes=5), decided=True),
    ]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / RECORDING).write_text("\n".join(json.dumps(entry) for entry in entries))
    return tmp_path


def test_a_cycle_is_its_own_lines_and_those_of_its_orders_in_order(run: Path) -> None:
    found = trace_recorded(run / "logs" / RECORDING, NOON)
    assert [(one.message, one.at[17:19]) for one in found.lines] == [
        ("cycle_collected", "01"),
        ("event_routed", "03"),
        ("order_rejected", "04"),
    ]
    assert [(one.table, one.key, one.facts) for one in found.rows] == [("orders", ORDER, {"state": "FILLED"})]
    assert f"orders  {ORDER}  state=FILLED" in trace_text(found)


@pytest.mark.parametrize("words", ["no\n  20:00:09  signalbox-local-f  order_filled", "no\u202efilled", "no\u2028  20:00:09"])
def test_words_of_a_venue_draw_no_step_that_never_was(tmp_path: Path, words: str) -> None:
    entries = [line("order_rejected", 4, correlation_id=CYCLE, detail=words), row("orders", ORDER, detail=words)]
    recording = tmp_path / RECORDING
    recording.write_text("\n".join(json.dumps(entry) for entry in entries))
    text = trace_text(trace_recorded(recording, NOON))
    assert len(text.splitlines()) == 5  # its name, two headings, a line and a row
    assert "\u202e" not in text


def test_without_an_instant_the_newest_cycle_is_shown(run: Path) -> None:
    result = CliRunner().invoke(app, ["trace", "--recorded", str(run), "--json"])
    found = json.loads(result.stdout)
    assert (found["correlation_id"], [one["table"] for one in found["ledger"]]) == ("2024-03-01T12:05:00+00:00", ["cycles"])
    assert [one["facts"] for one in found["logs"]] == [{}]


def test_an_instant_that_left_nothing_is_an_error_and_so_is_no_recording(run: Path, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no log line and no row"):
        trace_recorded(run / "logs" / RECORDING, NOON + timedelta(minutes=1))
    with pytest.raises(TraceError, match="--out DIR"):
        trace_recorded(tmp_path / "none" / RECORDING, NOON)
