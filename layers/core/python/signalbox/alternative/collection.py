"""One run of the collection of alternative data: asks every source and adds what is new to the lake.

Sources, kinds and subjects are independent: one that fails is recorded and the next run asks for its period again. The newest
values are asked for again each time, because sources publish late and revise. Candles and cycles know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final, Protocol

from signalbox.alternative.observations import RULES, WHOLE_MARKET, MarketObservation, ObservationError, ObservationKind, merge
from signalbox.events import CollectionProblem
from signalbox.market.collection import VenueError

OVERLAP_STEPS: Final = 12  # values of a regular series that are asked for again
EVENT_OVERLAP: Final = timedelta(hours=6)  # of events
FIRST_LOOK: Final = timedelta(days=2)  # how far back a series without any value begins
_SILENT: Final = frozenset({CollectionProblem.VENUE_TIMEOUT, CollectionProblem.VENUE_UNAVAILABLE})
OF_THE_MARKET: Final = frozenset({ObservationKind.FEAR_AND_GREED, ObservationKind.ECONOMIC_EVENT})


@dataclass(frozen=True, slots=True)
class RawObservation:
    """A value as its source gave it. published_at: None where the source states no other instant than `observed_at`."""

    observed_at: datetime
    value: Decimal
    item: str = ""
    published_at: datetime | None = None


class ObservationSource(Protocol):
    """A source of values."""

    @property
    def name(self) -> str:
        """The source's name, part of every key and path."""

    @property
    def kinds(self) -> Sequence[ObservationKind]:
        """The kinds of values that it has."""

    def fetch(self, kind: ObservationKind, subject: str, since: datetime, until: datetime) -> Sequence[RawObservation]:
        """Return the values with since <= observed_at <= until, in any order. Raises VenueError."""


@dataclass(frozen=True, slots=True, order=True)
class ObservationDay:
    """A file of the lake: a source's values of one kind and UTC day, by `observed_at`."""

    source: str
    kind: ObservationKind
    day: date

    @property
    def path(self) -> str:
        return f"alt/source={self.source}/kind={self.kind}/date={self.day.isoformat()}.jsonl.gz"


class ObservationLake(Protocol):
    """Files of observations."""

    def days(self, source: str, kind: ObservationKind) -> Sequence[ObservationDay]:
        """Return the days that have a file, oldest first."""

    def read(self, day: ObservationDay) -> tuple[MarketObservation, ...]:
        """Return a day's observations; none if no file is readable. A bad file is set aside."""

    def write(self, day: ObservationDay, observations: Sequence[MarketObservation]) -> None:
        """Replace a day's file as one step."""


@dataclass(frozen=True, slots=True)
class SeriesOutcome:
    """The result for one source, kind and subject. added: new values and versions; revised: versions among them."""

    source: str
    kind: ObservationKind
    subject: str
    added: int = 0
    revised: int = 0
    late: int = 0
    refused: tuple[str, ...] = ()
    problem: CollectionProblem | None = None
    detail: str = ""


def collect_observations(
    sources: Sequence[ObservationSource],
    symbols: Sequence[str],
    *,
    lake: ObservationLake,
    clock: Callable[[], datetime],
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[SeriesOutcome, ...]:
    """Ask each source for each of its series once, and write what is new.

    clock: the instant at which an answer is known, read after it arrived. since: where to begin; default: some values before the
    newest one. until: where to end; default: the clock. A source that does not answer is not asked again in this run.
    """
    outcomes: list[SeriesOutcome] = []
    for source in sources:
        silent: SeriesOutcome | None = None
        series = [(kind, one) for kind in source.kinds for one in ((WHOLE_MARKET,) if kind in OF_THE_MARKET else symbols)]
        for kind, subject in series:
            if silent is not None:
                outcomes.append(replace(silent, kind=kind, subject=subject))
                continue
            outcomes.append(found := _collect(source, kind, subject, lake, clock, since, until))
            if found.problem in _SILENT:
                silent = found
    return tuple(outcomes)


def _collect(  # noqa: PLR0917 - what, from where, of which period
    source: ObservationSource,
    kind: ObservationKind,
    subject: str,
    lake: ObservationLake,
    clock: Callable[[], datetime],
    since: datetime | None,
    until: datetime | None,
) -> SeriesOutcome:
    end = until or clock()
    begin = since or _begin(source.name, kind, subject, lake, end)
    try:
        raw = source.fetch(kind, subject, begin, end)
    except VenueError as error:
        return SeriesOutcome(source.name, kind, subject, problem=error.problem, detail=str(error))
    known_at = clock()
    found, refused = [], []
    for one in raw:
        try:
            found.append(
                MarketObservation(
                    source.name,
                    kind,
                    subject,
                    one.observed_at,
                    one.published_at or one.observed_at,
                    known_at,
                    one.value,
                    one.item,
                )
            )
        except ObservationError as error:
            refused.append(str(error))
    by_day: dict[ObservationDay, list[MarketObservation]] = {}
    for observation in found:
        day = ObservationDay(source.name, kind, observation.observed_at.astimezone(UTC).date())
        by_day.setdefault(day, []).append(observation)
    added = revised = late = 0
    for day in sorted(by_day):
        kept = lake.read(day)
        known = {one.key for one in kept}
        merged = merge(kept, by_day[day])
        news = set(merged) - set(kept)
        if news:
            lake.write(day, merged)
        added += len(news)
        revised += sum(one.key in known for one in news)
        late += sum(one.is_late for one in news if one.key not in known)
    return SeriesOutcome(source.name, kind, subject, added, revised, late, tuple(refused))


def _begin(source: str, kind: ObservationKind, subject: str, lake: ObservationLake, end: datetime) -> datetime:
    """Return where to begin: some values before the newest one, so that revisions and late values are seen."""
    step = RULES[kind].step
    overlap = EVENT_OVERLAP if step is None else OVERLAP_STEPS * step
    for day in reversed(lake.days(source, kind)):
        instants = [one.observed_at for one in lake.read(day) if one.subject == subject and one.observed_at <= end]
        if instants:
            return max(instants) - overlap
    return end - max(FIRST_LOOK, overlap)
