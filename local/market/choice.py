"""Chooses the candle source: `--data DIR`, else SIGNALBOX_DATA, the shared folder, a live exchange, or a simulator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from local.market.source import CandleHistory
from local.settings import Settings
from signalbox.market.candles import Symbol

DEFAULT_SEED: Final = 7


def choose_source(data: Path | None, settings: Settings, symbols: Sequence[Symbol], *, seed: int = DEFAULT_SEED) -> CandleHistory:
    """Return the first available source. A requested folder without candles is an error; no other source replaces it."""
    from local.market.parquet import ParquetSource  # noqa: PLC0415 - pyarrow only where files are read

    folder = data or settings.recorded_candles
    if folder is not None:
        return ParquetSource(folder, symbols)
    return live_or_simulated(symbols, seed=seed)


def live_or_simulated(symbols: Sequence[Symbol], *, seed: int = DEFAULT_SEED) -> CandleHistory:
    """Return live public candles if an exchange answers within seconds, else the simulator."""
    from local.market.live import LiveSource  # noqa: PLC0415 - ccxt takes a second to import
    from local.market.simulator import SimulatedSource  # noqa: PLC0415 - as above

    live = LiveSource()
    return live if live.reachable(symbols[0]) else SimulatedSource(seed)
