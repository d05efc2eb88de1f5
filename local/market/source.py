"""The port of a candle source: closed one-minute bars of a few symbols, and the period it covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from local.errors import DataError
from signalbox.market.candles import Bars, Symbol


@dataclass(frozen=True, slots=True)
class HistoryCoverage:
    """The period that a source covers: first open_time, and the close_time of the last bar, UTC."""

    first: datetime
    last: datetime

    def require(self, start: datetime, end: datetime, what: str) -> None:
        """Raise DataError, which names the covered period, if [start, end) is not inside it."""
        if start < self.first or end > self.last:
            raise DataError(
                f"{what}: {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC is outside of the data, "
                f"which covers {self.first:%Y-%m-%d %H:%M} to {self.last:%Y-%m-%d %H:%M} UTC"
            )


class CandleHistory(Protocol):
    """Closed one-minute bars of a few symbols."""

    @property
    def name(self) -> str:
        """A short description of the source, for the output and the summary."""

    def coverage(self, symbols: Sequence[Symbol]) -> HistoryCoverage:
        """Return the period that is covered for all of the symbols."""

    def default_end(self, symbols: Sequence[Symbol]) -> datetime:
        """Return the time at which a replay ends if no start time is given."""

    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        """Return the bars with start <= open_time < end. Missing minutes are left out."""
