"""Checks a command's arguments before anything slow begins. Each check raises an error that names the option."""

from __future__ import annotations

import re
import tempfile
from datetime import datetime
from pathlib import Path

from local.cli.instants import parse_bounds
from local.errors import DataError
from local.settings import Settings


def candles_of(data: Path | None, settings: Settings) -> Path:
    """Return the folder of candles, from --data or the settings. Raises DataError if there is none."""
    folder = data or settings.recorded_candles
    if folder is None:
        raise DataError(
            "no candles: give --data DIR, or set `data` in signalbox.toml or SIGNALBOX_DATA; "
            "`signalbox data import` makes a lake from files, `signalbox data sample` a synthetic one to try things"
        )
    return folder


def check_covers(folder: Path, start: datetime | None, end: datetime | None) -> None:
    """Check that candles lie in the period.

    Raises DataError that names the period with candles, MarketDataError if there are none.
    """
    from signalbox.adapters.lake.series import find_series  # noqa: PLC0415 - pyarrow

    series_of = find_series(folder)
    if start is None and end is None:
        return
    found = [series.ends() for series in series_of]
    first, last = min(ends[0] for ends in found), max(ends[1] for ends in found)
    there = f"{folder} has candles from {first:%Y-%m-%dT%H:%M} to {last:%Y-%m-%dT%H:%M} UTC"
    if start is not None and start >= last:
        raise DataError(f"--start {start:%Y-%m-%dT%H:%M} is too late: {there}")
    if end is not None and end <= first:
        raise DataError(f"--end {end:%Y-%m-%dT%H:%M} is too early: {there}")


def check_bundle(path: Path, option: str = "BUNDLE") -> None:
    """Raise DataError unless a folder holds a bundle with a readable manifest."""
    from signalbox.errors import SignalboxError  # noqa: PLC0415 - as above
    from signalbox.inference import read_manifest  # noqa: PLC0415 - pydantic

    try:
        read_manifest(path)
    except SignalboxError as error:
        raise DataError(f"{option}: {error}") from error


def scored_candles(
    bundle: Path, data: Path | None, settings: Settings, *, start: str | None, end: str | None
) -> tuple[Path, datetime | None, datetime | None]:
    """Return the folder of candles to score a bundle on, and the bounds of the period. Raises DataError, MarketDataError."""
    first, last = parse_bounds(start, end)
    folder = candles_of(data, settings)
    check_bundle(bundle)
    check_covers(folder, first, last)
    return folder, first, last


def account_name(name: str) -> str:
    """Return the name of an account. Raises DataError for an impossible name, before it becomes part of a URL."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - not for every command

    from signalbox.orders.messages import AccountName  # noqa: PLC0415 - pydantic

    try:
        return str(TypeAdapter(AccountName).validate_python(name))
    except ValidationError:
        raise DataError(
            f"expected an account's name of 1 to 40 of a-z, 0-9 and '-', not beginning with '-', got {name!r}"
        ) from None


def symbol_name(text: str, option: str = "--symbol") -> str:
    """Return a symbol in capitals. Raises DataError for a text that cannot be a symbol."""
    if not re.fullmatch(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,20}", found := text.upper()):
        raise DataError(f"{option}: expected a symbol such as BTC-USD, got {text!r}")
    return found


def out_folder(path: Path, option: str = "--out") -> Path:
    """Return a folder for output files, which is created if needed. Raises DataError that names the option."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise DataError(f"{option}: cannot write to {path} ({error.strerror}); choose another folder") from error
    return path


def out_file(path: Path) -> Path:
    """Check that a file can be written, and create its folder if needed. Raises DataError."""
    if path.is_dir():
        raise DataError(f"--out: {path} is a folder; name a file")
    out_folder(path.parent)
    return path
