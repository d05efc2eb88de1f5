"""The arguments of `signalbox data import`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from local.cli.data.importing.columns import NO_COLUMN_OPTIONS, ColumnOptions


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Checked arguments. symbol, venue, time_zone: used for files that do not state them.

    replace: a bar of a file takes the place of the lake's where the two differ. empty_minutes: by the operator's word the venue
    publishes no bar of a minute without a trade. dry_run: nothing is written.
    """

    paths: tuple[Path, ...]
    out: Path
    now: datetime
    symbol: str | None = None
    venue: str | None = None
    time_zone: str | None = None
    columns: ColumnOptions = NO_COLUMN_OPTIONS
    replace: bool = False
    empty_minutes: bool = False
    dry_run: bool = False
