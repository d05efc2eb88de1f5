"""The quality of a series as JSON and as text. Instants are ISO 8601 in UTC; a gap is its first and last missing minute."""

from __future__ import annotations

from typing import Any

from signalbox.market.candles import from_ms
from signalbox.market.clock import Gap
from signalbox.market.quality import SeriesQuality
from signalbox.market.row_faults import FAULT_WORDS, RowFaultCount


def quality_json(quality: SeriesQuality) -> dict[str, Any]:
    """Return the quality of one series."""
    return {
        "rows": quality.rows,
        "first": None if quality.first is None else quality.first.isoformat(),
        "last_close": None if quality.last_close is None else quality.last_close.isoformat(),
        "missing_minutes": quality.missing,
        "empty_minutes": quality.empty,
        "gaps": [gap_json(gap) for gap in quality.gaps],
        "duplicates": quality.duplicates,
        "disordered": quality.disordered,
        "off_minute": quality.off_minute,
        "bad_rows": quality.bad_rows,
        "zero_volume": quality.zero_volume,
        "jumps": quality.jumps,
        "row_faults": [fault_json(one) for one in quality.row_faults],
    }


def fault_json(one: RowFaultCount) -> dict[str, Any]:
    """Return why rows are bad, how many are, and the first minute."""
    return {"fault": one.fault.value, "rows": one.rows, "first": None if one.first is None else one.first.isoformat()}


def fault_text(one: RowFaultCount) -> str:
    """Return the same as text: `3 rows off the minute, first 2024-03-01 12:00:30`."""
    count = "1 row" if one.rows == 1 else f"{one.rows:,} rows"
    first = "" if one.first is None else f", first {one.first:%Y-%m-%d %H:%M:%S} UTC".replace(":00 UTC", " UTC")
    return f"{count} {FAULT_WORDS[one.fault]}{first}"


def gap_json(gap: Gap) -> dict[str, Any]:
    """Return a gap: its first and last missing minute, and the number of minutes."""
    return {"first": from_ms(gap.first_ms).isoformat(), "last": from_ms(gap.last_ms).isoformat(), "minutes": gap.minutes}
