"""The trades of a run on its candles, and as rows: for the chart of a page, its picture and the table of all trades."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from signalbox.events import SignalGenerated
from signalbox.market.candles import Symbol
from signalbox.reports.data_table import CHOICE, TIME, Column
from signalbox.reports.price_chart import ChartSignal, ChartTrade, PriceChart, merged_candles, outcome_of
from training.backtest.bar_grid import BarGrid
from training.backtest.engine import BacktestRun
from training.backtest.performance import Excursion, open_positions
from training.backtest.record import TradeRow

COLUMNS: Final = (
    Column("opened (UTC)", TIME),
    Column("symbol", CHOICE),
    Column("side", CHOICE),
    Column("tier", CHOICE),
    Column("closed by", CHOICE),
    Column("held, minutes", 0),
    Column("quantity", 6),
    Column("entry", 2),
    Column("exit", 2),
    Column("stop", 2),
    Column("fees", 2),
    Column("profit after fees", 2, is_signed=True),
    Column("R", 2, is_signed=True),
    Column("MAE, R", 2),
    Column("MFE, R", 2),
    Column("closed (UTC)", TIME),
)


def price_chart_of(
    grid: BarGrid, signals: Sequence[SignalGenerated], found: BacktestRun, start: datetime, excursions: Sequence[Excursion]
) -> PriceChart:
    """Return the chart of a run, from its start to where it ended. Trades are in the order of the record, those open last.

    excursions: of the trades of the record, in their order.
    """
    tiers = tiers_of(signals)
    trades = [
        ChartTrade(
            trade.symbol,
            trade.side.value,
            tiers.get((trade.symbol, trade.decided_at), "-"),
            trade.quantity,
            trade.opened_at,
            trade.entry_price,
            trade.stop_loss,
            trade.take_profit,
            trade.closed_at,
            trade.exit_price,
            trade.leg.value,
            trade.realised,
            one.r if math.isfinite(one.r) else None,
        )
        for trade, one in zip(found.record.trades, excursions, strict=True)
    ]
    end = found.ended_at
    return PriceChart(
        start,
        end,
        found.state.account.currency,
        merged_candles(grid.bars, start, end),
        tuple(_signal(grid, one) for one in signals if one.issued and start <= one.decided_at <= end),
        (*trades, *_open_trades(found, tiers)),
    )


def trade_rows(
    signals: Sequence[SignalGenerated], trades: Sequence[TradeRow], excursions: Sequence[Excursion]
) -> list[list[object]]:
    """Return a row of COLUMNS for each trade, in the same order. excursions: one a trade."""
    tiers = tiers_of(signals)
    return [_row(trade, one, tiers) for trade, one in zip(trades, excursions, strict=True)]


def tiers_of(signals: Sequence[SignalGenerated]) -> Mapping[tuple[str, datetime], str]:
    """Return the tier of the signal of each symbol and decision."""
    return {(one.symbol, one.decided_at): str(one.tier) for one in signals}


def _row(trade: TradeRow, one: Excursion, tiers: Mapping[tuple[str, datetime], str]) -> list[object]:
    return [
        trade.opened_at,
        trade.symbol,
        trade.side.value,
        tiers.get((trade.symbol, trade.decided_at), "-"),
        trade.leg.value,
        (trade.closed_at - trade.opened_at) / timedelta(minutes=1),
        trade.quantity,
        trade.entry_price,
        trade.exit_price,
        trade.stop_loss,
        trade.fees,
        trade.realised,
        *(value if math.isfinite(value) else None for value in (one.r, one.adverse, one.favourable)),
        trade.closed_at,
    ]


def _open_trades(found: BacktestRun, tiers: Mapping[tuple[str, datetime], str]) -> list[ChartTrade]:
    return [
        ChartTrade(
            trade.symbol,
            trade.side.value,
            tiers.get((trade.symbol, trade.decided_at), "-"),
            order.filled,
            opened_at,
            price,
            trade.stop_loss,
            trade.take_profit,
        )
        for trade, opened_at, order, price in open_positions(found)
    ]


def _signal(grid: BarGrid, one: SignalGenerated) -> ChartSignal:
    row, at = grid.row[Symbol(one.symbol)], grid.minute(one.decided_at)
    price, last = float(grid.close[row, at - 1]), at + one.horizon_minutes
    later = float(grid.close[row, last - 1]) if last <= grid.minutes else math.nan
    outcome = outcome_of(str(one.direction), price, None if np.isnan(later) else later)
    return ChartSignal(one.symbol, one.decided_at, str(one.direction), str(one.tier), price, outcome)
