"""A traded cycle followed through the deployed functions: every station logged it under one id, and the page's query finds it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from local.cloud.trace import RECORDING, Trace, record_trace, trace_recorded, trace_running
from local.settings import load_settings
from signalbox.contracts import Function, function_name
from signalbox.events import correlation_id_of
from signalbox.trading.state import Trade
from tests.e2e.conftest import START, Market

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
PAGE = Path(__file__).parents[2] / "docs" / "tracing.md"


def traded(market: Market) -> Trade:
    """Run cycles until a signal opened a trade; return it."""
    for _ in range(48):
        market.cloud.watch.until_traded(market.cycle(), seconds=60)
        (found,) = market.cloud.accounts.record(START, market.now)
        opened = [trade for trade in found.trades if trade.opened_at is not None]
        if opened:
            market.quiet()
            return opened[-1]
    raise AssertionError("expected a trade in 48 cycles, got none")


def running(market: Market, folder: Path, at: datetime | None) -> Trace:
    """The cycle as `signalbox trace` finds it in a running cloud: by its ports and the socket of its database."""
    (folder / "up").symlink_to(market.cloud._folder.resolve())
    (folder / "up" / "ports.json").write_text(json.dumps({"emulator": market.cloud.emulator.port}))
    return trace_running(market.cloud.logs, replace(load_settings(), state=folder), at)


def test_a_traded_cycle_is_followed_from_the_schedule_to_the_alert(market: Market, tmp_path: Path) -> None:
    trade = traded(market)
    recording = tmp_path / "logs" / RECORDING
    record_trace(market.cloud.logs, market.cloud.decisions, [trade.decided_at], recording)
    found = trace_recorded(recording, None)
    assert found.correlation_id == correlation_id_of(trade.decided_at)

    steps = {(line.function, line.message) for line in found.lines}
    for function, message in (
        (Function.COLLECT_CANDLES, "cycle_collected"),
        (Function.GENERATE_SIGNALS, "signal_decided"),
        (Function.GENERATE_SIGNALS, "cycle_recorded"),
        (Function.MANAGE_ORDERS, "message_handled"),
        (Function.SEND_ALERTS, "alert_queued"),
        (Function.SEND_ALERTS, "alert_handled"),
    ):
        assert (function_name("local", function), message) in steps
    kinds = {line.facts["event_type"] for line in found.lines if line.message == "account_event"}
    assert "TradeOpened" in kinds
    alerts = {line.facts["event_id"] for line in found.lines if line.message == "alert_handled"}
    assert f"TradeOpened:{trade.entry}" in alerts

    tables = {row.table for row in found.rows}
    assert {"cycle_parts", "cycles", "signals", "orders", "order_events", "fills", "trades", "outbox"} <= tables
    assert all(row.facts["published"] for row in found.rows if row.table == "outbox")

    now = running(market, tmp_path, trade.decided_at)
    assert (now.correlation_id, now.rows) == (found.correlation_id, found.rows)
    assert {(line.at, line.message) for line in found.lines} <= {(line.at, line.message) for line in now.lines}


def test_the_documented_query_names_fields_that_functions_write(market: Market, tmp_path: Path) -> None:
    traded(market)
    record_trace(market.cloud.logs, market.cloud.decisions, [], tmp_path / RECORDING)
    lines = [json.loads(text)["line"] for text in (tmp_path / RECORDING).read_text().splitlines()]
    written = {key for line in lines for key in line}
    (query,) = re.findall(r"^fields (.*)\n\| filter (\w+) =", PAGE.read_text(), re.MULTILINE)
    fields = {name.strip() for name in query[0].split(",")} | {query[1]}
    assert fields - written == {"@timestamp"}
