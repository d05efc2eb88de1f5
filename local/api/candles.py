"""Candles and features as frames."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from local.errors import DataError
from local.settings import load_settings
from signalbox.adapters.lake.series import find_series, require_bars
from signalbox.features import compute_features, find_reference, get_schema
from signalbox.market.candles import ONE_MINUTE, Bars, Symbol, to_ms

LEAD_DAYS = pd.Timedelta(days=1)  # of outages inside the warm-up: bars are counted, not minutes


def candles(
    data: Path | str | None = None,
    *,
    start: datetime | str | None = None,
    end: datetime | str | None = None,
    symbols: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return one-minute candles with start <= open_time < end, by symbol, then by time.

    data: a lake or a folder of recorded files; None: the setting `data`. start, end: ISO 8601 or datetimes, UTC unless they
    say otherwise; None: no bound. symbols: None for all.
    Columns: symbol (str), open_time (UTC), open, high, low, close (float64, quote currency), volume (float64, base currency).
    A minute without a candle has no row. Raises DataError or MarketDataError for candles that are not there.
    """
    found = [_frame(bars) for bars in read(data, start, end, symbols)]
    return pd.concat(found, ignore_index=True)


def features(
    data: Path | str | None = None,
    *,
    schema: str = "v31",
    start: datetime | str | None = None,
    end: datetime | str | None = None,
) -> pd.DataFrame:
    """Return the features of every bar with start <= open_time < end, as training and the deployed cycle compute them.

    schema: v31 or v50. Arguments and errors otherwise as `candles`; FeatureSchemaError for an unknown schema.
    Columns: symbol, open_time (UTC), the features in the schema's order (float64, dimensionless unless docs/features.md says
    otherwise; NaN in the warm-up), is_complete (bool: every feature of the row is known). A row is knowable at open_time + 1 min.
    """
    wanted = get_schema(schema)
    first = instant(start)
    lead = None if first is None else first - wanted.history_bars * ONE_MINUTE - LEAD_DAYS
    series = read(data, lead, end, None)
    reference = find_reference(wanted, series)
    frames = []
    for bars in series:
        matrix = compute_features(wanted, bars, reference=reference)
        frame = pd.DataFrame(matrix.values, columns=list(wanted.names))
        frame.insert(0, "symbol", str(bars.symbol))
        frame.insert(1, "open_time", _times(matrix.open_time_ms))
        frame["is_complete"] = matrix.is_complete
        frames.append(frame if first is None else frame[matrix.open_time_ms >= to_ms(first)])
    return pd.concat(frames, ignore_index=True)


def read(
    data: Path | str | None, start: datetime | str | None, end: datetime | str | None, symbols: Sequence[str] | None
) -> list[Bars]:
    """Return the bars of a period, one series per symbol. Raises DataError, MarketDataError."""
    first, last = instant(start), instant(end)
    if first is not None and last is not None and first >= last:
        raise DataError(f"start: expected an instant before end ({last.isoformat()}), got {first.isoformat()}")
    series = find_series(folder_of(data))
    if symbols is not None:
        known = {one.symbol for one in series}
        if unknown := [name for name in symbols if Symbol(name) not in known]:
            raise DataError(f"symbols: expected some of {', '.join(sorted(known))}, got {', '.join(unknown)}")
        series = tuple(one for one in series if one.symbol in {Symbol(name) for name in symbols})
    return [require_bars(one, first, last) for one in series]


def folder_of(data: Path | str | None) -> Path:
    """Return the folder of candles: the given one, or the configured one. Raises DataError if none is set."""
    found = load_settings().recorded_candles if data is None else Path(data)
    if found is None:
        raise DataError(
            "data: expected a folder of candles, got none, and the setting `data` names none either (signalbox config show)"
        )
    return found


def instant(value: datetime | str | None) -> datetime | None:
    """Return an aware UTC instant; a text without a zone is UTC. Raises DataError if it is no instant."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise DataError(f"expected ISO 8601 as in 2024-03-01T12:00, got {value!r}") from error
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)


def _frame(bars: Bars) -> pd.DataFrame:
    columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame({"symbol": str(bars.symbol), "open_time": _times(bars.open_time_ms), **columns})


def _times(milliseconds: np.ndarray) -> pd.DatetimeIndex:
    return pd.to_datetime(milliseconds, unit="ms", utc=True)
