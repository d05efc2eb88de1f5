"""What a source of candles promises: closed one-minute bars of a few symbols, and what it covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from local.errors import DataError
from signalbox.market.candles import Bars, Symbol


@dataclass(frozen=True, slots=True)
class HistoryCoverage:
    """What a source can serve: first open_time and the close_time after the last bar, UTC."""

    first: datetime
    last: datetime

    def require(self, start: datetime, end: datetime, what: str) -> None:
        """Raise DataError, naming what there is, when [start, end) sticks out."""
        if start < self.first or end > self.last:
            raise DataError(
                f"{what}: {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC is outside of the data, "
                f"which covers {self.first:%Y-%m-%d %H:%M} to {self.last:%Y-%m-%d %H:%M} UTC"
            )


class CandleHistory(Protocol):
    """Closed one-minute bars of a few symbols."""

    @property
    def name(self) -> str:
        """Say in a few words what this is; printed and written to the summary."""

    def coverage(self, symbols: Sequence[Symbol]) -> HistoryCoverage:
        """Return what is there for all of the symbols."""

    def default_end(self, symbols: Sequence[Symbol]) -> datetime:
        """Return where a replay ends when nobody says when it starts."""

    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        """Return the bars with start <= open_time < end; missing minutes are absent."""
