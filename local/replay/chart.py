"""The prices, signals and trades of a replay: for the chart of the page and for `chart.png`. It ends where the replay got to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import numpy as np

from local.cloud.accounts import AccountRecord
from local.replay.summary import ReplayRecord
from signalbox.market.candles import MINUTE_MS, Bars, Symbol, to_ms
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.order import Order
from signalbox.reports.price_chart import ChartSignal, ChartTrade, PriceChart, merged_candles, outcome_of
from signalbox.trading.state import Trade

HORIZON: Final = timedelta(minutes=60)  # of the label dir60, after which a signal was right or wrong


def chart_of(record: ReplayRecord) -> PriceChart:
    """Return the chart of a replay with the trades of all accounts, in the order of `traded`."""
    end = max(record.covered_until, record.start)
    bars = {symbol: record.bars.get(symbol) or _no_bars(symbol) for symbol in record.symbols}
    signals = tuple(
        ChartSignal(
            one.symbol,
            one.decided_at,
            one.direction.value,
            one.tier.value,
            float(one.price),
            outcome_of(one.direction.value, float(one.price), _close_at(bars.get(one.symbol), to_ms(one.decided_at + HORIZON))),
        )
        for one in record.issued
    )
    currency = record.accounts[0].account.currency if record.accounts else ""
    trades = tuple(found for account, trade in traded(record) if (found := chart_trade(account.orders, trade)) is not None)
    return PriceChart(record.start, end, currency, merged_candles(tuple(bars.values()), record.start, end), signals, trades)


def draw_chart(record: ReplayRecord) -> bytes:
    """Return the chart as PNG."""
    from training.write.price_picture import draw_prices  # noqa: PLC0415 - matplotlib is loaded when there is something to draw

    shadow = any(s.stage == "shadow" for s in record.signals)
    badge = " · SHADOW MODEL: not for trading" if shadow else ""
    period = f"{record.start:%Y-%m-%d %H:%M} to {record.covered_until:%Y-%m-%d %H:%M} UTC"
    return draw_prices(chart_of(record), f"Signalbox replay, {period}{badge}\n{record.source}")


def traded(record: ReplayRecord) -> list[tuple[AccountRecord, Trade]]:
    """Return the trades that have an entry price, account by account, in time order."""
    return [
        (account, trade)
        for account in record.accounts
        for trade in account.trades
        if trade.opened_at is not None
        and (entry := account.orders.get(trade.entry)) is not None
        and entry.average_price is not None
    ]


def chart_trade(orders: Mapping[ClientOrderId, Order], trade: Trade) -> ChartTrade | None:
    """Return a trade as the chart shows it, None for one that was never filled. orders: the trade's own."""
    entry = orders.get(trade.entry)
    leaving = None if trade.exit is None else orders.get(trade.exit)
    if trade.opened_at is None or entry is None or entry.average_price is None:
        return None
    is_closed = trade.closed_at is not None and leaving is not None and leaving.average_price is not None
    return ChartTrade(
        trade.symbol,
        trade.side.value,
        "",
        entry.filled,
        trade.opened_at,
        entry.average_price,
        trade.stop_loss,
        trade.take_profit,
        trade.closed_at if is_closed else None,
        leaving.average_price if is_closed and leaving is not None else None,
        trade.exit_leg.value if trade.exit_leg is not None else "",
        trade.realised if is_closed else None,
    )


def _close_at(bars: Bars | None, close_ms: int) -> float | None:
    """Return the close of the bar that closed at an instant, or None."""
    if bars is None or not len(bars):
        return None
    at = int(bars.open_time_ms.searchsorted(close_ms - MINUTE_MS))
    return float(bars.close[at]) if at < len(bars) and int(bars.open_time_ms[at]) == close_ms - MINUTE_MS else None


def _no_bars(symbol: Symbol) -> Bars:
    none = np.empty(0, np.float64)
    return Bars(symbol, np.empty(0, np.int64), none, none, none, none, none)
