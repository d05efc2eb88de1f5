"""The summary, the page and the chart of made-up replays."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cloud.function_logs import metric_values, parse_line
from local.replay.chart import chart_of, draw_chart
from local.replay.phone import bubbles
from local.replay.report import render_page, write_report
from local.replay.summary import CycleTiming, ReplayRecord, gaps_of, summarise
from local.stand_ins.telegram import Message
from local.stand_ins.telegram_outgoing import Sent
from signalbox.adapters.telegram.bot_api import entities
from signalbox.chat.styled import Style, joined, plain_text
from signalbox.contracts import Metric
from signalbox.market.candles import MINUTE_MS, Bars, Symbol, to_ms
from signalbox.signals.ports import SymbolRefusal
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
END = START + timedelta(hours=1)
BTC, ETH = Symbol("BTC-USD"), Symbol("ETH-USD")


def bars(symbol: Symbol, minutes: Sequence[int]) -> Bars:
    times = np.array([to_ms(START) + m * MINUTE_MS for m in minutes], dtype=np.int64)
    prices = np.array([100.0 + m for m in minutes])
    return Bars(symbol, times, prices, prices, prices, prices, prices)


def signal(symbol: str, minute: int, direction: str = "BUY", tier: str = "HIGH", stage: str = "shadow") -> Signal:
    return Signal(
        symbol=Symbol(symbol),
        decided_at=START + timedelta(minutes=minute),
        deployment="<b>bundle</b>",
        stage=DeploymentStage(stage),
        direction=Direction(direction),
        tier=Tier(tier),
        probability_up=0.39 if direction == "SELL" else 0.61,
        price=Decimal("101.5"),
        late=False,
        schema_name="v31",
        schema_hash="ab",
        features=(),
    )


def record(**changes: object) -> ReplayRecord:
    base = ReplayRecord(
        source="a <test> market",
        symbols=(BTC, ETH),
        start=START,
        end=END,
        timings=tuple(CycleTiming(START + timedelta(minutes=5 * n), ms) for n, ms in enumerate((9000.0, 80.0, 90.0, 100.0), 1)),
        signals=(signal("BTC-USD", 5), signal("ETH-USD", 5, "HOLD", "LOW"), signal("BTC-USD", 10, "SELL", "MEDIUM")),
        refusals=(SymbolRefusal(ETH, START + timedelta(minutes=10), "STALE_DATA", "no <bar>"),),
        bars={BTC: bars(BTC, range(60)), ETH: bars(ETH, [*range(10), *range(15, 55)])},
        alerts_sent=2,
        duplicates_injected=1,
        duplicates_ignored=1,
        warnings=("<script>alert(1)</script>",),
        wall_seconds=12.345,
        stages_seconds={"replay": 1.0},
        exit="ok",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_summary_counts_what_the_ledger_holds() -> None:
    summary = summarise(record())
    assert summary["signals"]["total"] == 3
    assert summary["signals"]["by_direction"] == {"BUY": 1, "SELL": 1, "HOLD": 1}
    assert summary["signals"]["by_tier"] == {"HIGH": 1, "MEDIUM": 1, "LOW": 1}
    assert summary["shadow_signals"] == 3
    assert (summary["p50_ms"], summary["p99_ms"]) == (95.0, 8733.0)  # of every cycle
    assert (summary["warm_p99_ms"], summary["first_cycle_ms"]) == (99.8, 9000.0)
    assert summary["stale_cycles"] == 1
    assert summary["model"] == {"bundle": "<b>bundle</b>", "schema": "v31", "schema_hash": "ab", "stage": "shadow"}
    assert json.loads(json.dumps(summary)) == summary


def test_gaps_inside_and_at_the_edges_are_told_with_their_ends() -> None:
    assert summarise(record())["gaps"] == [
        {"symbol": "ETH-USD", "from": "2026-01-05T12:10:00Z", "to": "2026-01-05T12:15:00Z"},
        {"symbol": "ETH-USD", "from": "2026-01-05T12:55:00Z", "to": "2026-01-05T13:00:00Z"},
    ]
    (whole,) = gaps_of(bars(BTC, []), START, END)
    assert whole.minutes == 60


def test_chart_has_no_candle_in_a_gap_and_knows_which_signals_were_right() -> None:
    chart = chart_of(record(bars={BTC: bars(BTC, range(68)), ETH: bars(ETH, [0, 1, 5, 6])}))
    assert [(one.symbol, len(one.open_ms), one.minutes) for one in chart.candles] == [("BTC-USD", 60, 1), ("ETH-USD", 4, 1)]
    assert [(one.direction, one.outcome) for one in chart.signals] == [("BUY", "right"), ("SELL", "not known yet")]


def test_an_interrupted_replay_is_shown_to_where_it_got_and_no_further() -> None:
    until = START + timedelta(minutes=20)
    chart = chart_of(record(exit="interrupted", decided_until=until))
    assert (chart.start, chart.end) == (START, until)
    assert all(int(one.open_ms[-1]) < to_ms(until) for one in chart.candles)


def test_report_is_one_page_that_loads_nothing_and_marks_shadow(tmp_path: Path) -> None:
    write_report(record(), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "shadow: not for trading" in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "url(" not in page
    assert re.findall(r"<script[^>]*>", page) == ['<script type="application/json">', "<script>"]  # its data, and our own script
    assert "alert(1)" not in page.replace("&lt;script&gt;alert(1)", "")
    digest = base64.b64encode(hashlib.sha256(page.rsplit("<script>", 1)[1].split("</script>")[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.unescape(page)  # the browser runs this text and no other
    assert "&lt;b&gt;bundle" in page
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "summary.json").read_text())["exit"] == "ok"


def test_active_model_is_not_badged_as_shadow() -> None:
    active = record(signals=(signal("BTC-USD", 5, stage="active"),))
    assert "not for trading" not in render_page(active, summarise(active))


@pytest.mark.parametrize("exit_", ["interrupted", "failed"])
def test_replay_that_ended_before_it_began_still_has_a_report(tmp_path: Path, exit_: str) -> None:
    empty = record(timings=(), signals=(), refusals=(), bars={}, exit=exit_, error="stuck", decided_until=START)
    summary = write_report(empty, tmp_path)
    assert summary["exit"] == exit_
    assert summary["p50_ms"] is None
    assert summary["gaps"] == []
    assert draw_chart(empty).startswith(b"\x89PNG")


def test_metrics_are_read_from_embedded_metric_lines_only() -> None:
    line = parse_line('{"_aws": {}, "DuplicatesIgnored": [1.0, 1.0]}')
    assert line is not None
    assert metric_values(line, Metric.DUPLICATES_IGNORED) == 2.0
    assert metric_values({"DuplicatesIgnored": [1.0]}, Metric.DUPLICATES_IGNORED) == 0.0
    assert parse_line("START RequestId: 1") is None
    assert parse_line("{broken") is None


def message(number: int, text: str, **sent: Any) -> Message:
    return Message(number, "1", text, None, START, Sent(text, **sent))


def test_messages_are_shown_as_on_a_phone_escaped_styled_and_with_what_they_reply_to() -> None:
    bold = {"type": "bold", "offset": 3, "length": 7}
    said = (
        message(1, "🟢 BUY <b>", entities=(bold,), photo=b"\x89PNG"),
        message(2, "✅ right", reply_to=1),
    )
    page = render_page(record(messages=said), summarise(record()))
    assert "🟢 <b>BUY &lt;b&gt;</b>" in page
    assert 'src="data:image/png;base64,iVBORw=="' in page
    assert '<p class="quoted">🟢 BUY &lt;b&gt;</p>' in page
    assert "Messages on the phone" not in render_page(record(), summarise(record()))


@given(st.lists(st.tuples(st.text(st.sampled_from("a🟢<é\n"), min_size=1), st.sampled_from([None, *Style])), max_size=8))
def test_a_bubble_has_every_character_once_in_its_style(pieces: list[tuple[str, Style | None]]) -> None:
    text = joined((plain_text(piece, style) for piece, style in pieces), "")
    (bubble,) = bubbles([message(1, text.text, entities=tuple(entities(text)))])
    assert "".join(piece for piece, _ in bubble.pieces) == text.text
    assert [piece for piece, tag in bubble.pieces if tag] == [text.text[one.start : one.end] for one in text.spans]


def test_only_the_newest_photos_are_in_the_page() -> None:
    shown = bubbles([message(n, f"m{n}", photo=b"x") for n in range(1, 30)])
    assert len(shown) == 12
    assert [bool(one.photo) for one in shown] == [False] * 8 + [True] * 4
