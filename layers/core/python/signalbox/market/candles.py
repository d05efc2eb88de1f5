"""Candle: one closed one-minute bar of one symbol, exact. Bars: many of them as float64 columns for the features.

A bar covers [open_time, open_time + 1 min). It is closed at `close_time`; a decision at t may use bars with close_time <= t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NewType

from signalbox.errors import SignalboxError
from signalbox.exact import MAX_DIGITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Symbol = NewType("Symbol", str)  # canonical, base-quote: BTC-USD
ONE_MINUTE: Final = timedelta(minutes=1)
MINUTE_MS: Final = 60_000
MAX_DECIMALS: Final = 36  # a venue writes 0.0000123 as a float of 17 digits


class MarketDataError(SignalboxError):
    """A candle is invalid, or a series of candles is out of order, missing or unreadable."""


@dataclass(frozen=True, slots=True)
class Candle:
    """One closed bar. Prices in quote currency, volume in base currency.

    Raises MarketDataError when it is not aligned to a UTC minute, or prices or volume are not finite, positive
    (volume: not negative), below 10^18 with at most 36 decimals, and consistent (low <= open, close <= high).
    """

    symbol: Symbol
    open_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    def __post_init__(self) -> None:
        if self.open_time.utcoffset() != timedelta(0):
            raise MarketDataError(f"{self.symbol}: expected a UTC open_time, got {self.open_time!r}")
        if self.open_time.second or self.open_time.microsecond:
            raise MarketDataError(f"{self.symbol}: expected a whole minute, got {self.open_time.isoformat()}")
        prices = (self.open, self.high, self.low, self.close)
        if not all(p.is_finite() and p > 0 for p in prices):
            raise MarketDataError(f"{self.symbol} {self.open_time.isoformat()}: expected finite prices above 0, got {prices}")
        if not (self.volume.is_finite() and self.volume >= 0):
            raise MarketDataError(
                f"{self.symbol} {self.open_time.isoformat()}: expected a volume of 0 or more, got {self.volume}"
            )
        if not all(is_bounded(number) for number in (*prices, self.volume)):
            raise MarketDataError(
                f"{self.symbol} {self.open_time.isoformat()}: expected numbers below 10^18 with at most 36 decimals"
            )
        if not (self.low <= min(self.open, self.close) and max(self.open, self.close) <= self.high):
            raise MarketDataError(
                f"{self.symbol} {self.open_time.isoformat()}: expected low <= open, close <= high, got {prices}"
            )

    @classmethod
    def trusted(cls, symbol: Symbol, open_time: datetime, numbers: tuple[Decimal, Decimal, Decimal, Decimal, Decimal]) -> Candle:
        """Return a bar whose facts were checked already, without a check. numbers: open, high, low, close, volume."""
        made = object.__new__(cls)
        _set(made, "symbol", symbol)
        _set(made, "open_time", open_time)
        for name, number in zip(_NUMBERS, numbers, strict=True):
            _set(made, name, number)
        return made

    @property
    def close_time(self) -> datetime:
        """The instant from which this bar may be used."""
        return self.open_time + ONE_MINUTE


_NUMBERS: Final = ("open", "high", "low", "close", "volume")
_COLUMNS: Final = ("open_time_ms", *_NUMBERS)
_set: Final = object.__setattr__  # the fields of a frozen bar, while it is made


def is_bounded(number: Decimal) -> bool:
    """Whether a finite number is below 10^18 in size and has at most 36 decimals: what databases and floats can keep."""
    exponent = number.as_tuple().exponent
    return not number or (isinstance(exponent, int) and exponent >= -MAX_DECIMALS and number.adjusted() < MAX_DIGITS)


def to_ms(instant: datetime) -> int:
    """Return milliseconds since the epoch of an aware instant."""
    return round(instant.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """Return the aware UTC instant of milliseconds since the epoch."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Bars of one symbol as columns, oldest first. Missing minutes are simply absent: never filled.

    open_time_ms: (n,) int64, milliseconds since the epoch, strictly increasing whole minutes.
    open, high, low, close: (n,) float64, quote currency, finite, > 0. volume: (n,) float64, base currency, >= 0.
    Raises MarketDataError if shapes differ or times do not increase.
    """

    symbol: Symbol
    open_time_ms: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = self.open_time_ms.shape
        if len(shape) != 1 or any(c.shape != shape for c in (self.open, self.high, self.low, self.close, self.volume)):
            raise MarketDataError(f"{self.symbol}: expected equal one-dimensional columns")
        if shape[0] > 1 and not bool((self.open_time_ms[1:] > self.open_time_ms[:-1]).all()):
            raise MarketDataError(f"{self.symbol}: expected strictly increasing open times")

    def __len__(self) -> int:
        return int(self.open_time_ms.shape[0])

    @classmethod
    def from_candles(cls, symbol: Symbol, candles: Sequence[Candle]) -> Bars:
        """Build columns from candles that are already sorted by open_time."""
        import numpy as np  # noqa: PLC0415 - a sixth of a cold start, and most functions have candles but no columns

        columns = np.array(
            [[float(c.open), float(c.high), float(c.low), float(c.close), float(c.volume)] for c in candles], dtype=np.float64
        ).reshape(len(candles), 5)
        times = np.array([to_ms(c.open_time) for c in candles], dtype=np.int64)
        return cls(symbol, times, *(np.ascontiguousarray(columns[:, i]) for i in range(5)))

    def last(self, count: int) -> Bars:
        """Return the newest `count` bars (fewer if there are fewer), without copying."""
        cut = slice(max(len(self) - count, 0), None)
        return self.window(cut)

    def until(self, instant: datetime) -> Bars:
        """Return the bars closed at or before `instant`, without copying."""
        stop = int(self.open_time_ms.searchsorted(to_ms(instant) - MINUTE_MS, side="right"))
        return self.window(slice(0, stop))

    def window(self, cut: slice) -> Bars:
        """Return a slice of every column, without copying. Only a slice that may change their order is checked."""
        if cut.step not in {None, 1}:
            columns = (self.open[cut], self.high[cut], self.low[cut], self.close[cut], self.volume[cut])
            return Bars(self.symbol, self.open_time_ms[cut], *columns)
        made = object.__new__(Bars)
        _set(made, "symbol", self.symbol)
        for name in _COLUMNS:
            _set(made, name, getattr(self, name)[cut])
        return made
