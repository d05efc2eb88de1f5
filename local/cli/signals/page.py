"""The page and the picture of one signal: candles around it, the signals of its symbol, and the trades that followed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from local.replay.chart import HORIZON, chart_trade
from local.settings import VENUE
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.market.candles import ONE_MINUTE, Symbol
from signalbox.reports.page import Table, render
from signalbox.reports.price_chart import (
    OPEN,
    RIGHT,
    WRONG,
    ChartSignal,
    ChartTrade,
    PriceChart,
    merged_candles,
    outcome_of,
    page_script,
)
from signalbox.signals.signal import Direction, Signal
from training.write.price_picture import draw_prices
from training.write.report_page import TEMPLATES

TEMPLATE: Final = Path(__file__).with_name("templates") / "signal.html.jinja"
BEFORE: Final = timedelta(hours=3)
_HOUR: Final = timedelta(hours=1)
AFTER: Final = HORIZON + timedelta(hours=2)
_ORDERS_WITHIN: Final = timedelta(days=1)  # of a decision: a trade of it has long ended


def write_signal(source: ConnectionSource, signal: Signal, out: Path) -> list[str]:
    """Write signal.html and chart.png of an issued or held back signal, and return their paths."""
    hour = LedgerReader(source).bars(signal.market or VENUE, signal.symbol, signal.decided_at - _HOUR, signal.decided_at)
    empty = int(((hour.volume == 0) & (hour.high == hour.low)).sum())
    return write_pages(signal, chart_around(source, signal), out, empty)


def write_pages(signal: Signal, chart: PriceChart, out: Path, empty: int | None = None) -> list[str]:
    """Write the page and the picture of a signal and the chart around it, and return their paths.

    empty: minutes without a trade in the hour before the decision; None if unknown.
    """
    title = f"{signal.direction.value} {signal.tier.value} {signal.symbol}, {signal.decided_at:%Y-%m-%d %H:%M} UTC"
    own = next((one for one in chart.signals if one.at == signal.decided_at and one.symbol == signal.symbol), None)
    outcome = OPEN if own is None else own.outcome
    page, picture = out / "signal.html", out / "chart.png"
    content = render(
        TEMPLATE,
        TEMPLATES,
        title=f"Signalbox: {title}",
        tone={RIGHT: "ok", WRONG: "bad"}.get(outcome, "shadow"),
        verdict=f"{title}: {outcome}, judged {HORIZON.seconds // 60} minutes later and before costs.",
        heading=title,
        period=f"Deployment {signal.deployment}, stage {signal.stage.value}.",
        prices=chart.markup(),
        trades=_trades(chart),
        facts=_facts(signal, outcome, empty),
        script=page_script(),
    )
    page.write_text(content, encoding="utf-8")
    picture.write_bytes(draw_prices(chart, title))
    return [str(page), str(picture)]


def chart_around(source: ConnectionSource, signal: Signal) -> PriceChart:
    """Return the chart of the signal's symbol, from before the decision to as far after as there are bars."""
    reader = LedgerReader(source)
    start, end = signal.decided_at - BEFORE, signal.decided_at + AFTER
    market = signal.market or VENUE  # prices of another venue would show a jump that nobody traded
    bars = reader.bars(market, signal.symbol, start, end)
    signals = [one for one in reader.signals(start, end) if one.symbol == signal.symbol and (one.issued or one == signal)]
    minutes_of: defaultdict[str, set[tuple[Symbol, datetime]]] = defaultdict(set)
    for one in signals:
        minutes_of[one.market or VENUE].add((one.symbol, one.decided_at + HORIZON - ONE_MINUTE))
    closes = {venue: reader.closes(venue, minutes) for venue, minutes in minutes_of.items()}
    shown = tuple(_shown(one, closes[one.market or VENUE]) for one in signals if one.direction is not Direction.HOLD)
    trading, trades = TradingReader(source), list[ChartTrade]()
    for account in trading.accounts():
        orders = {
            one.client_order_id: one
            for one in trading.orders(account.account, signal.decided_at - ONE_MINUTE, signal.decided_at + _ORDERS_WITHIN)
        }
        followed = trading.trades(account.account, signal.decided_at - timedelta(microseconds=1), signal.decided_at)
        found = (chart_trade(orders, trade) for trade in followed if trade.symbol == signal.symbol)
        trades += [one for one in found if one is not None]
    return PriceChart(start, end, "", merged_candles((bars,), start, end), shown, tuple(trades))


def _shown(one: Signal, closes: Mapping[tuple[Symbol, datetime], Decimal]) -> ChartSignal:
    later = closes.get((one.symbol, one.decided_at + HORIZON - ONE_MINUTE))
    outcome = outcome_of(one.direction.value, float(one.price), None if later is None else float(later))
    return ChartSignal(one.symbol, one.decided_at, one.direction.value, one.tier.value, float(one.price), outcome)


def _trades(chart: PriceChart) -> Table:
    rows = [
        [
            one.side,
            f"{one.quantity:f}",
            f"{one.opened_at:%H:%M:%S}",
            f"{one.entry:,.2f}",
            f"{one.stop:,.2f}",
            "-" if one.target is None else f"{one.target:,.2f}",
            "open" if one.closed_at is None else f"{one.closed_at:%H:%M:%S}",
            "-" if one.exit is None else f"{one.exit:,.2f}",
            one.leg or "-",
            "-" if one.profit is None else f"{one.profit:+,.2f}",
        ]
        for one in chart.trades
    ]
    head = ["side", "quantity", "opened (UTC)", "entry", "stop", "target", "closed (UTC)", "exit", "why", "profit after fees"]
    return Table(head, rows, (1, 3, 4, 5, 7, 9))


def _facts(signal: Signal, outcome: str, empty: int | None) -> Table:
    facts = {
        "decided at": f"{signal.decided_at:%Y-%m-%d %H:%M} UTC",
        "probability that the price rises": f"{signal.probability_up:.1%}",
        "price": f"{signal.price:,}",
        "decided on": f"{signal.market}, a fallback venue" if signal.market else f"{VENUE}, the stage's own venue",
        "bars were complete": "in time" if signal.known_at is None else f"late, at {signal.known_at:%H:%M:%S} UTC",
        "decided": "after a newer cycle" if signal.late else "in its turn",
        "minutes without a trade in the hour before": "unknown" if empty is None else str(empty),
        "issued": "yes" if signal.issued else f"no: {signal.held_back}",
        "outcome": outcome,
        "feature schema": signal.schema_name,
    }
    return Table(["", ""], facts.items())
