"""Real ccxt classes and the index on sources that speak their documented form, collected into a lake that is verified."""

from __future__ import annotations

import gzip
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from typing_extensions import override

from signalbox.adapters.lake.alternative import (
    MAX_UNPACKED_BYTES,
    ObservationFileError,
    StoredObservations,
    decode_observations,
    encode_observations,
)
from signalbox.adapters.lake.stores import FolderStore
from signalbox.alternative.collection import (
    ObservationDay,
    ObservationSource,
    RawObservation,
    SeriesOutcome,
    collect_observations,
)
from signalbox.alternative.observations import WHOLE_MARKET, MarketObservation, ObservationKind, as_known
from signalbox.bootstrap.collect_alternative import observation_source
from signalbox.events import CollectionProblem
from signalbox.market.candles import Symbol, to_ms
from signalbox.market.collection import VenueError
from tests.builders import BTC, ETH, minutes
from tests.fakes.alternative_venues import DAY, FIVE_MINUTES, HOUR, AlternativeVenue, Statistics
from tests.fakes.http_server import Reply, serving

NOW = datetime(2026, 11, 20, 12, 7, tzinfo=UTC)
NAMES = ("binanceusdm", "bybit", "okx")
K = ObservationKind
STEPS = {K.FUNDING_RATE: 8 * HOUR, K.OPEN_INTEREST: FIVE_MINUTES, K.LONG_SHORT_RATIO: FIVE_MINUTES}
WORDS = {K.FUNDING_RATE: "funding", K.OPEN_INTEREST: "interest", K.LONG_SHORT_RATIO: "ratio"}


def facts(**changes: object) -> Statistics:
    return replace(Statistics(to_ms(NOW)), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", STEPS)
def test_every_value_of_three_days_comes_once_and_exactly(name: str, kind: ObservationKind) -> None:
    venue = AlternativeVenue(name, facts())
    since = NOW - timedelta(days=3)
    with serving(venue) as server:
        found = observation_source(name, server.url).fetch(kind, BTC, since, NOW)
    wanted = venue.facts.instants(STEPS[kind], to_ms(since), to_ms(NOW))
    assert [to_ms(one.observed_at) for one in found] == wanted
    assert [one.value for one in found] == [Decimal(venue.facts.value(t, WORDS[kind])) for t in wanted]


def test_the_index_comes_day_by_day_and_liquidations_over_pages_in_base_currency() -> None:
    index = AlternativeVenue("alternativeme", facts())
    forced = [(to_ms(NOW) - i * 60_000, "long" if i % 3 else "short", "60000.1", "3") for i in range(250)]
    okx = AlternativeVenue("okx", facts(liquidations=[*forced, forced[5]]))
    since = NOW - timedelta(hours=3)
    with serving(index) as first, serving(okx) as second:
        days = observation_source("alternativeme", first.url).fetch(K.FEAR_AND_GREED, WHOLE_MARKET, NOW - timedelta(days=9), NOW)
        sizes = observation_source("okx", second.url).fetch(K.LIQUIDATION, BTC, since, NOW)
    assert sorted(to_ms(one.observed_at) for one in days) == index.facts.instants(DAY, to_ms(NOW - timedelta(days=9)), to_ms(NOW))
    assert len(sizes) == 181
    assert {one.value for one in sizes} == {Decimal("0.03"), Decimal("0.06")}  # contracts of 0.01; two of one instant are one
    assert {one.item for one in sizes} == {"long 60000.1", "short 60000.1"}


@pytest.mark.parametrize("name", [*NAMES, "alternativeme"])
@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (Reply(503, {"message": "maintenance"}), CollectionProblem.VENUE_UNAVAILABLE),
        (Reply(429, {"code": "50011", "msg": "too many"}), CollectionProblem.VENUE_RATE_LIMITED),
        (Reply(200, b"<html>welcome</html>"), None),
    ],
)
def test_a_source_that_gives_no_values_is_a_problem_and_no_quiet_market(
    name: str, reply: Reply, problem: CollectionProblem | None
) -> None:
    with serving(AlternativeVenue(name, facts(), failures=[reply] * 9)) as server:
        source = observation_source(name, server.url)
        with pytest.raises(VenueError) as caught:
            source.fetch(source.kinds[0], BTC, NOW - timedelta(days=1), NOW)
    assert problem in {None, caught.value.problem}


def test_an_unknown_source_and_a_symbol_without_a_perpetual_are_refused() -> None:
    with pytest.raises(VenueError, match="expected one of binanceusdm, bybit, okx"):
        observation_source("mtgox")
    with (
        serving(AlternativeVenue("okx", facts())) as server,
        pytest.raises(VenueError, match="no perpetual future ETH/USDT:USDT"),
    ):
        observation_source("okx", server.url).fetch(K.FUNDING_RATE, ETH, NOW - timedelta(days=1), NOW)


class Room:
    """A source on a lake, at an instant."""

    def __init__(self, root: Path, name: str = "okx") -> None:
        self.venue, self.now = AlternativeVenue(name, facts()), NOW
        self.lake = StoredObservations(FolderStore(root))

    def run(self, *sources: ObservationSource, kinds: Sequence[ObservationKind] = (K.OPEN_INTEREST,)) -> dict[str, SeriesOutcome]:
        self.venue.facts.now = to_ms(self.now)
        with serving(self.venue) as server:
            own = observation_source(self.venue.name, server.url)
            chosen = _Only(own, kinds)
            found = collect_observations([*sources, chosen], (BTC,), lake=self.lake, clock=lambda: self.now)
        return {f"{one.source} {one.kind}": one for one in found}

    def stored(self, kind: ObservationKind = K.OPEN_INTEREST) -> list[MarketObservation]:
        return [one for day in self.lake.days(self.venue.name, kind) for one in self.lake.read(day)]


class _Only:
    def __init__(self, inner: ObservationSource, kinds: Sequence[ObservationKind]) -> None:
        self._inner, self.kinds, self.name = inner, kinds, inner.name

    def fetch(self, kind: ObservationKind, subject: str, since: datetime, until: datetime):  # type: ignore[no-untyped-def]
        return self._inner.fetch(kind, subject, since, until)


def test_each_run_adds_what_is_new_and_asks_only_for_the_newest_values(tmp_path: Path) -> None:
    room = Room(tmp_path)
    first = room.run()["okx open_interest"]
    assert first.added == 2 * 288
    assert {one.known_at for one in room.stored()} == {NOW}
    asked = len(room.venue.asked)
    room.now = NOW + minutes(15)
    again = room.run()["okx open_interest"]
    assert (again.added, again.revised) == (3, 0)
    assert len(room.venue.asked) - asked == 2  # its markets, and one page
    assert room.run()["okx open_interest"].added == 0


def test_a_revised_value_is_a_version_and_the_former_one_stays_known(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.run()
    at = to_ms(NOW) // FIVE_MINUTES * FIVE_MINUTES - FIVE_MINUTES
    before = as_known(room.stored(), NOW)
    room.venue.facts.revised[at] = "1.5"
    room.now = NOW + minutes(15)
    assert room.run()["okx open_interest"].revised == 1
    assert as_known(room.stored(), NOW) == before
    (now,) = (one for one in as_known(room.stored(), room.now) if to_ms(one.observed_at) == at)
    assert now.value == Decimal("1.5")


def test_a_value_that_is_published_late_fills_its_gap_and_counts_as_late(tmp_path: Path) -> None:
    room = Room(tmp_path)
    at = to_ms(NOW) // FIVE_MINUTES * FIVE_MINUTES - 3 * FIVE_MINUTES
    room.venue.facts.absent = frozenset({at})
    room.run()
    room.venue.facts.absent = frozenset()
    room.now = NOW + minutes(35)
    found = room.run()["okx open_interest"]
    assert (found.added, found.late) == (8, 2)  # the absent one, and one of the first minutes after the run before
    assert to_ms(min(one.observed_at for one in room.stored() if one.known_at == room.now)) == at


def test_a_source_that_is_down_is_asked_once_and_holds_no_other_up(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.venue.failures = [Reply(503, {"message": "maintenance"})] * 99
    with serving(AlternativeVenue("alternativeme", facts())) as server:
        index = observation_source("alternativeme", server.url)
        found = room.run(index, kinds=(K.OPEN_INTEREST, K.FUNDING_RATE, K.LONG_SHORT_RATIO))
    assert found["alternativeme fear_and_greed"].added == 12
    problems = {one.problem for name, one in found.items() if name.startswith("okx")}
    assert problems == {CollectionProblem.VENUE_UNAVAILABLE}
    assert len(room.venue.asked) == 1


def _same(at: datetime) -> datetime:
    return at


class Counted(StoredObservations):
    """Counts what is read and written, by path."""

    def __init__(self, root: Path) -> None:
        super().__init__(FolderStore(root))
        self.reads, self.writes = Counter[str](), Counter[str]()

    @override
    def read(self, day: ObservationDay) -> tuple[MarketObservation, ...]:
        self.reads[day.path] += 1
        return super().read(day)

    @override
    def write(self, day: ObservationDay, observations: Sequence[MarketObservation]) -> None:
        self.writes[day.path] += 1
        super().write(day, observations)


class Made:
    """A source of one value of each subject a step, without a venue behind it; it breaks at a subject."""

    name, kinds = "made", (K.OPEN_INTEREST, K.FUNDING_RATE)

    def __init__(self, breaks_at: str = "") -> None:
        self._breaks_at = breaks_at

    def fetch(self, kind: ObservationKind, subject: str, since: datetime, until: datetime) -> Sequence[RawObservation]:
        assert kind in self.kinds
        assert since < until
        if subject == self._breaks_at:
            raise RuntimeError("a fault of the program")
        newest = until - timedelta(minutes=until.minute % 5)
        return [RawObservation(newest - minutes(5 * i), Decimal(7)) for i in range(2)]


def test_a_run_reads_and_writes_each_file_of_all_its_series_once(tmp_path: Path) -> None:
    lake, symbols = Counted(tmp_path), (BTC, ETH, Symbol("SOL-USD"))
    collect_observations([Made()], symbols, lake=lake, clock=lambda: NOW)
    assert set(lake.writes.values()) == {1}
    assert len({one.subject for day in lake.all_days() for one in lake.inspect(day)}) == 3
    for later, written in ((minutes(20), 1), (minutes(20), 0)):
        lake.reads.clear()
        lake.writes.clear()
        collect_observations([Made()], symbols, lake=lake, clock=partial(_same, NOW + later))
        assert set(lake.reads.values()) == {1}
        assert set(lake.writes.values()) == ({1} if written else set())


def test_what_was_fetched_before_a_fault_is_kept(tmp_path: Path) -> None:
    lake = Counted(tmp_path)
    with pytest.raises(RuntimeError):
        collect_observations([Made(breaks_at=ETH)], (BTC, ETH), lake=lake, clock=lambda: NOW)
    assert {one.subject for day in lake.all_days() for one in lake.inspect(day)} == {BTC}


def test_a_damaged_file_is_set_aside_and_fetched_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    room = Room(tmp_path)
    room.run()
    day = room.lake.days("okx", K.OPEN_INTEREST)[-1]
    whole = room.lake.read(day)
    (tmp_path / day.path).write_bytes((tmp_path / day.path).read_bytes()[:-9])
    with caplog.at_level(logging.ERROR):
        assert room.lake.read(day) == ()
    assert "observation_file_quarantined" in caplog.text
    assert list((tmp_path / "quarantine").rglob("*.jsonl.gz.*"))
    room.now = NOW + minutes(5)
    room.run()
    assert {one.observed_at for one in whole} <= {one.observed_at for one in room.lake.read(day)}


DAY_OF = ObservationDay("okx", K.OPEN_INTEREST, NOW.date())


def test_a_file_gives_back_every_digit_and_refuses_what_is_not_its_own() -> None:
    one = MarketObservation("okx", K.OPEN_INTEREST, BTC, NOW, NOW, NOW, Decimal("70000.000000000000000001"), "x")
    content = encode_observations(DAY_OF, (one,))
    assert decode_observations(DAY_OF, content) == (one,)
    with pytest.raises(ObservationFileError, match="expected a first line with"):
        decode_observations(replace(DAY_OF, source="bybit"), content)
    with pytest.raises(ObservationFileError, match="expected observations of this source"):
        encode_observations(replace(DAY_OF, source="bybit"), (one,))


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_file_that_was_cut_is_refused(cut: int) -> None:
    content = encode_observations(DAY_OF, ())
    with pytest.raises(ObservationFileError):
        decode_observations(DAY_OF, content[:cut])


def test_a_small_file_that_asks_for_gigabytes_is_refused() -> None:
    bomb = gzip.compress(b"[" * (MAX_UNPACKED_BYTES + 1))
    assert len(bomb) < 100_000
    with pytest.raises(ObservationFileError, match="at most"):
        decode_observations(DAY_OF, bomb)


def test_a_row_that_was_changed_is_found() -> None:
    one = MarketObservation("okx", K.OPEN_INTEREST, BTC, NOW, NOW, NOW, Decimal(5))
    text = gzip.decompress(encode_observations(DAY_OF, (one,))).replace(b'"5"', b'"6"')
    with pytest.raises(ObservationFileError, match="the rows differ from the row count or the sha256"):
        decode_observations(DAY_OF, gzip.compress(text))
