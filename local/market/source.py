"""Where candles come from: `--data DIR`, else SIGNALBOX_DATA, else the shared folder, else a live exchange, else a simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from local.errors import DataError
from local.settings import Settings
from signalbox.market.candles import Bars, Symbol

DEFAULT_SEED = 7


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


def choose_source(data: Path | None, settings: Settings, symbols: Sequence[Symbol], *, seed: int = DEFAULT_SEED) -> CandleHistory:
    """Return the first source there is. A folder that was asked for and has no candles is an error, not a reason to go on."""
    from local.market.parquet import ParquetSource  # noqa: PLC0415 - pyarrow only where files are read

    folder = data or settings.recorded_candles
    if folder is not None:
        return ParquetSource(folder, symbols)
    return live_or_simulated(symbols, seed=seed)


def live_or_simulated(symbols: Sequence[Symbol], *, seed: int = DEFAULT_SEED) -> CandleHistory:
    """Return live public candles when an exchange answers within seconds, else the simulator."""
    from local.market.live import LiveSource  # noqa: PLC0415 - ccxt takes a second to import
    from local.market.simulator import SimulatedSource  # noqa: PLC0415 - as above

    live = LiveSource()
    return live if live.reachable(symbols[0]) else SimulatedSource(seed)
