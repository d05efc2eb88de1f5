"""Candles with volume, signals and trades: the data of the interactive chart, its picture and the table of trades.

The page carries candles as whole price steps, each relative to the one before, so that three months of three symbols stay far
below 1.5 MB. Candles are merged into the smallest bars of BAR_MINUTES that fit MAX_CANDLES. Floats: a chart is looked at, and the
exact figures are in the tables and files beside it. The script is scripts/page.js; it draws on a canvas and sorts tables.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from signalbox.market.candles import MINUTE_MS, Bars, to_ms
from signalbox.signals.signal import Direction, was_right

BAR_MINUTES: Final = (1, 5, 15, 30, 60, 240, 1440)
MAX_CANDLES: Final = 24_000  # of all symbols on a page
MAX_SIGNALS: Final = 4_000  # of all symbols on a page; the newest are shown
RIGHT, WRONG, OPEN = "right", "wrong", "not known yet"
_SCRIPT: Final = Path(__file__).with_name("scripts") / "page.js"


@dataclass(frozen=True, slots=True)
class ChartSignal:
    """An issued signal. outcome: whether the price went its way up to the end of the horizon."""

    symbol: str
    at: datetime
    direction: str
    tier: str
    price: float
    outcome: str


@dataclass(frozen=True, slots=True)
class ChartTrade:
    """A trade. profit: after fees, in the account's currency; None while the trade is open. r: profit over the amount at risk."""

    symbol: str
    side: str
    tier: str
    quantity: Decimal
    opened_at: datetime
    entry: Decimal
    stop: Decimal
    target: Decimal | None
    closed_at: datetime | None = None
    exit: Decimal | None = None
    leg: str = ""
    profit: Decimal | None = None
    r: float | None = None

    @property
    def is_gain(self) -> bool:
        """Whether it is closed with a profit."""
        return self.profit is not None and self.profit > 0


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """Candles of one symbol. open_ms: (n,) int64; prices: (n, 4) float64 open, high, low, close; volume: (n,) float64, base."""

    symbol: str
    minutes: int
    open_ms: NDArray[np.int64]
    prices: NDArray[np.float64]
    volume: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PriceChart:
    """The content of one chart. Its period ends where the data or the run ended. currency: of profits."""

    start: datetime
    end: datetime
    currency: str
    candles: tuple[Candles, ...]
    signals: tuple[ChartSignal, ...]
    trades: tuple[ChartTrade, ...]

    @property
    def shown_signals(self) -> tuple[ChartSignal, ...]:
        """The newest MAX_SIGNALS."""
        return self.signals[-MAX_SIGNALS:]

    def markup(self) -> Markup:
        """Return the chart's place on the page and its data. The page also needs `page_script`."""
        minutes = self.candles[0].minutes if self.candles else 1
        left_out = len(self.signals) - len(self.shown_signals)
        note = f"Bars of {minutes} minute{'s' * (minutes > 1)}, times in UTC."
        if left_out:
            note += f" The newest {len(self.shown_signals):,} of {len(self.signals):,} signals are marked."
        return Markup(
            '<div class="price" data-kit="price"><p class="soft">{}</p>{}<noscript><p>The interactive chart needs scripts; the '
            "picture beside this page shows the same.</p></noscript></div>"
        ).format(note, data_block(self._data()))

    def _data(self) -> Mapping[str, Any]:
        order = {one.symbol: i for i, one in enumerate(self.candles)}
        return {
            "start": to_ms(self.start) // 1000,
            "end": to_ms(self.end) // 1000,
            "currency": self.currency,
            "symbols": [_packed(one) for one in self.candles],
            "signals": [
                [
                    order[s.symbol],
                    to_ms(s.at) // 1000,
                    s.direction[0],
                    s.tier[0],
                    s.price,
                    s.outcome[0],
                ]
                for s in self.shown_signals
                if s.symbol in order
            ],
            "trades": [
                [
                    order[t.symbol],
                    t.side[0],
                    to_ms(t.opened_at) // 1000,
                    float(t.entry),
                    float(t.stop),
                    None if t.target is None else float(t.target),
                    None if t.closed_at is None else to_ms(t.closed_at) // 1000,
                    None if t.exit is None else float(t.exit),
                    None if t.profit is None else round(float(t.profit), 2),
                    t.leg,
                    t.tier,
                ]
                for t in self.trades
                if t.symbol in order
            ],
        }


def merged_candles(bars: Sequence[Bars], start: datetime, end: datetime) -> tuple[Candles, ...]:
    """Return the candles of [start, end), all of one length: the smallest of BAR_MINUTES with at most MAX_CANDLES in all."""
    inside = [_between(one, to_ms(start), to_ms(end)) for one in bars]
    span = max((to_ms(end) - to_ms(start)) // MINUTE_MS, 1) * max(len(bars), 1)
    minutes = next((m for m in BAR_MINUTES if span / m <= MAX_CANDLES), BAR_MINUTES[-1])
    return tuple(_merged(one, minutes) for one in inside)


def _between(bars: Bars, start_ms: int, end_ms: int) -> Bars:
    first, last = (int(i) for i in np.searchsorted(bars.open_time_ms, (start_ms, end_ms)))
    return bars.window(slice(first, last))


def _merged(bars: Bars, minutes: int) -> Candles:
    """Merge minutes into bars. A bar without any minute is absent, as a gap."""
    if not len(bars):
        return Candles(bars.symbol, minutes, np.empty(0, np.int64), np.empty((0, 4)), np.empty(0))
    prices = np.column_stack([bars.open, bars.high, bars.low, bars.close])
    return _joined(Candles(bars.symbol, 1, bars.open_time_ms, prices, bars.volume), minutes)


def _joined(candles: Candles, minutes: int) -> Candles:
    length = minutes * MINUTE_MS
    number = candles.open_ms // length
    first = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
    last = np.append(first[1:], number.size) - 1
    opened, high, low, close = candles.prices.T
    prices = np.column_stack([opened[first], np.maximum.reduceat(high, first), np.minimum.reduceat(low, first), close[last]])
    return Candles(candles.symbol, minutes, number[first] * length, prices, np.add.reduceat(candles.volume, first))


def fewer(candles: Candles, most: int) -> Candles:
    """Return the candles joined into at most about `most` longer ones, for a picture that cannot be zoomed."""
    if not len(candles.open_ms):
        return candles
    count = int((candles.open_ms[-1] - candles.open_ms[0]) // (candles.minutes * MINUTE_MS)) + 1
    return _joined(candles, candles.minutes * max(-(-count // most), 1))


def _packed(candles: Candles) -> Mapping[str, Any]:
    """Return candles as differences in whole price steps: gap, open - last close, high, low and close from the open; volume."""
    decimals = _decimals(candles.prices)
    steps = np.rint(candles.prices * 10**decimals).astype(np.int64)
    number = candles.open_ms // (candles.minutes * MINUTE_MS)
    opened, high, low, close = steps.T if len(steps) else np.empty((4, 0), np.int64)
    before = np.concatenate([[0], close[:-1]])
    columns = (np.diff(number, prepend=0), opened - before, high - opened, opened - low, close - opened)
    volume = [float(f"{value:.3g}") for value in candles.volume.tolist()]
    rows: list[float] = []
    for row, amount in zip(np.column_stack(columns).tolist(), volume, strict=True):
        rows += [*row, int(amount) if amount == int(amount) else amount]
    return {"name": candles.symbol, "minutes": candles.minutes, "decimals": decimals, "rows": rows}


def _decimals(prices: NDArray[np.float64]) -> int:
    """Return the decimals that the prices are written with, at most 8."""
    sample = prices[:: max(len(prices) // 500, 1)]
    return next((d for d in range(8) if np.allclose(np.rint(sample * 10**d) / 10**d, sample, rtol=1e-10, atol=0.0)), 8)


def outcome_of(direction: str, price: float, later: float | None) -> str:
    """Return whether a signal was right: the price at the end of its horizon is beyond the one at its decision."""
    if later is None:
        return OPEN
    return RIGHT if was_right(Direction(direction), later - price) else WRONG


def data_block(content: object) -> Markup:
    """Return data that the script reads. No text in it can end the block: `<` is written as an escape."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Markup('<script type="application/json">{}</script>').format(Markup(text))  # noqa: S704 - escaped above


class PageScript:
    """The script of an interactive page. `policy` lets the browser run this text only, whatever else came onto the page."""

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def policy(self) -> str:
        """The part of the page's content security policy."""
        digest = base64.b64encode(hashlib.sha256(self._text.encode()).digest()).decode()
        return f"; script-src 'sha256-{digest}'"

    def __html__(self) -> str:
        return f"<script>{self._text}</script>"


@cache
def page_script() -> PageScript:
    """Return the script of interactive pages."""
    return PageScript(_SCRIPT.read_text(encoding="utf-8"))
