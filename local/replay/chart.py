"""`chart.png`: one panel per symbol with its price, issued signals, fills and trades. Missing data is a gap in the line."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from local.cloud.accounts import AccountRecord
from local.replay.summary import ReplayRecord, gaps_of
from signalbox.market.candles import MINUTE_MS, Bars, Symbol
from signalbox.orders.order import Order
from signalbox.trading.state import Trade

INK: Final = "#1f2933"
LINE: Final = "#3d6a99"
BUY: Final = "#127a4b"
SELL: Final = "#b3261e"
GAP: Final = "#f2d9a6"
SIZES: Final = {"HIGH": 90.0, "MEDIUM": 42.0}  # points squared


def draw_chart(record: ReplayRecord) -> bytes:
    """Return the chart as PNG."""
    count = max(len(record.symbols), 1)
    figure = Figure(figsize=(13, 1.2 + 3.1 * count), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    shadow = any(s.stage == "shadow" for s in record.signals)
    badge = "   —   SHADOW MODEL: not for trading" if shadow else ""
    figure.suptitle(
        f"Signalbox replay, {record.start:%Y-%m-%d %H:%M} to {record.covered_until:%Y-%m-%d %H:%M} UTC{badge}\n{record.source}",
        fontsize=12,
        color=INK,
    )
    panels = np.atleast_1d(figure.subplots(count, 1, sharex=True))
    for axes, symbol in zip(panels, record.symbols, strict=False):
        _draw_symbol(axes, record, symbol)
    locator: Any = AutoDateLocator()  # type: ignore[no-untyped-call]
    panels[-1].xaxis.set_major_locator(locator)
    panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))  # type: ignore[no-untyped-call]
    sink = io.BytesIO()
    figure.savefig(sink, format="png")
    return sink.getvalue()


def _draw_symbol(axes: Any, record: ReplayRecord, symbol: Symbol) -> None:
    axes.set_ylabel(symbol, color=INK)
    axes.grid(visible=True, color="#e4e7eb", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(np.datetime64(record.start.replace(tzinfo=None)), np.datetime64(record.end.replace(tzinfo=None)))
    bars = record.bars.get(symbol)
    if bars is None or len(bars) == 0:
        axes.text(0.5, 0.5, "no bars", transform=axes.transAxes, ha="center", color=INK)
        return
    times, prices = broken_line(bars)
    axes.plot(times, prices, color=LINE, linewidth=1.1, label="close")
    for gap in gaps_of(bars, record.start, record.covered_until):
        first, last = (np.datetime64(ms, "ms") for ms in (gap.first_ms, gap.last_ms + MINUTE_MS))
        axes.axvspan(first, last, color=GAP, alpha=0.7, linewidth=0)
    for direction, marker, colour in (("BUY", "^", BUY), ("SELL", "v", SELL)):
        for tier, size in SIZES.items():
            chosen = [s for s in record.issued if s.symbol == symbol and s.direction == direction and s.tier == tier]
            if chosen:
                axes.scatter(
                    [np.datetime64(s.decided_at.replace(tzinfo=None)) for s in chosen],
                    [s.price for s in chosen],
                    marker=marker,
                    s=size,
                    color=colour if tier == "HIGH" else "white",
                    edgecolors=colour,
                    linewidths=1.2,
                    zorder=3,
                    label=f"{direction} {tier} ({len(chosen)})",
                )
    _draw_trades(axes, record, symbol)
    axes.legend(loc="upper left", fontsize=8, frameon=False, ncols=5)
    axes.margins(y=0.18)


def _draw_trades(axes: Any, record: ReplayRecord, symbol: Symbol) -> None:
    """Mark the fills of every account. Join the entry of a trade to its exit, in green if it gained."""
    for account in record.accounts:
        fills = [(fill.at, fill.price) for fill in account.facts.fills if fill.symbol == symbol]
        if fills:
            times, prices = zip(*((np.datetime64(at.replace(tzinfo=None)), float(price)) for at, price in fills), strict=True)
            label = f"fills {account.account.account} ({len(fills)})"
            axes.scatter(times, prices, marker="x", s=34.0, color=INK, linewidths=1.2, zorder=4, label=label)
        for trade in (t for t in account.trades if t.symbol == symbol and t.realised is not None):
            ends = [(trade.opened_at, account.orders.get(trade.entry)), (trade.closed_at, _exit(account, trade))]
            known = [(at, o.average_price) for at, o in ends if at is not None and o is not None and o.average_price is not None]
            if len(known) == 2:
                times, prices = zip(*((np.datetime64(at.replace(tzinfo=None)), float(price)) for at, price in known), strict=True)
                axes.plot(times, prices, color=_gained(trade), linewidth=2.2, alpha=0.6)


def _exit(account: AccountRecord, trade: Trade) -> Order | None:
    return None if trade.exit is None else account.orders.get(trade.exit)


def _gained(trade: Trade) -> str:
    return BUY if trade.realised is not None and trade.realised >= 0 else SELL


def broken_line(bars: Bars) -> tuple[Any, Any]:
    """Return close times and closes, with a NaN where minutes are missing so that no line crosses a gap."""
    after = np.flatnonzero(np.diff(bars.open_time_ms) > MINUTE_MS) + 1
    times = np.insert(bars.open_time_ms + MINUTE_MS, after, bars.open_time_ms[after])
    return times.astype("datetime64[ms]"), np.insert(bars.close, after, np.nan)
