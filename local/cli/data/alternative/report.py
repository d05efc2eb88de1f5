"""Reports on a lake's alternative data for `signalbox data report`. It changes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from signalbox.adapters.lake.alternative import ObservationFileError, StoredObservations
from signalbox.adapters.lake.stores import FolderStore
from signalbox.alternative.observations import MarketObservation, ObservationQuality, assess_observations


@dataclass(frozen=True, slots=True)
class AlternativeFacts:
    """The quality of each series, and why files could not be read."""

    series: tuple[ObservationQuality, ...]
    bad_files: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is no file at all."""
        return not self.series and not self.bad_files


def read_observations(lake: Path) -> tuple[tuple[MarketObservation, ...], tuple[str, ...]]:
    """Return every observation in a lake's folder, and why files could not be read."""
    stored = StoredObservations(FolderStore(lake))
    found: list[MarketObservation] = []
    bad: list[str] = []
    for day in stored.all_days():
        try:
            found += stored.inspect(day)
        except ObservationFileError as error:
            bad.append(str(error))
    return tuple(found), tuple(bad)


def alternative_facts(folder: Path) -> AlternativeFacts:
    """Return the facts about the alternative data of a lake, given its root or its `candles` folder."""
    root = folder.parent if folder.name == "candles" else folder
    found, bad = read_observations(root)
    return AlternativeFacts(assess_observations(found), bad)


def alternative_json(facts: AlternativeFacts) -> dict[str, Any]:
    """Return the facts as JSON values."""
    series = [
        {
            **asdict(one),
            "kind": one.kind.value,
            "first": one.first.isoformat(),
            "last": one.last.isoformat(),
            "first_missing": None if one.first_missing is None else one.first_missing.isoformat(),
        }
        for one in facts.series
    ]
    return {"series": series, "bad_files": list(facts.bad_files)}


def show_alternative(console: Console, facts: AlternativeFacts) -> None:
    """Print the facts as a table, if there are any."""
    if facts.is_empty:
        return
    columns = ("source", "kind", "of", "values", "first", "last", "missing", "known late", "revised")
    table = Table(*columns, title="alternative data", box=box.SIMPLE_HEAD, pad_edge=False)
    for one in facts.series:
        days = (f"{one.first:%Y-%m-%d %H:%M}", f"{one.last:%Y-%m-%d %H:%M}")
        counts = (f"{one.missing:,}", f"{one.late:,}", f"{one.revised:,}")
        table.add_row(one.source, one.kind.value, one.subject, f"{one.values:,}", *days, *counts)
    console.print(table)
    for reason in facts.bad_files:
        console.print(reason, highlight=False, markup=False, soft_wrap=True)
