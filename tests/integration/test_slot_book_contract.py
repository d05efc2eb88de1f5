"""The book of deployments in memory, which the tests of serving use, does what the one on PostgreSQL does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.deployments import PostgresDeployments
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.contracts import Function, database_user
from signalbox.library.deployments import DeploymentState, LibraryDeployment
from signalbox.library.entries import EntityKey, EntityKind, NewVersion, VersionKey, VersionState
from signalbox.library.errors import LibraryError
from signalbox.signals.signal import DeploymentStage
from tests.examples import examples
from tests.fakes.memory_deployments import AT, MemoryDeployments
from tests.fakes.postgres_server import PostgresServer, app_source

pytestmark = pytest.mark.integration

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 3)),
        st.tuples(st.just("serve"), st.integers(1, 3)),
        st.tuples(st.just("move"), st.sampled_from(["validating", "warming", "failed", "healthy", "rolled_back"])),
        st.tuples(st.just("confirm"), st.none()),
        st.tuples(st.just("miss"), st.integers(0, 2)),
        st.tuples(st.just("back"), st.none() | st.integers(1, 5)),
        st.tuples(st.sampled_from(["beside", "challenge", "activate", "withdraw"]), st.integers(1, 3)),
        st.tuples(st.sampled_from(["end", "fall_back"]), st.none()),
    ),
    min_size=3,
    max_size=14,
)
NUMBERS = count()


class Pair:
    """One slot in both books, and what each answered last."""

    def __init__(self, source: ConnectionSource) -> None:
        name = f"m{next(NUMBERS)}"
        self.group, self.model = name, EntityKey(EntityKind.MODEL, name)
        self.memory, self.postgres = MemoryDeployments(group=name), PostgresDeployments(source)
        self.requests = count()
        self.newest = "nothing"
        with PostgresLibrary(source).transaction() as tx:
            tx.lock(self.model)
            for number in range(1, 4):
                hashed = f"{number:064x}"
                facts = NewVersion(
                    self.model, f"job-{number}", VersionState.CANDIDATE, AT, bundle_key=f"bundles/{hashed}.zip", sha256=hashed,
                    manifest="{}", semantic=f"1.{number}.0",
                )  # fmt: skip
                tx.add_version(facts)

    def ask(self, number: int, stage: DeploymentStage = DeploymentStage.SHADOW, *, beside: bool = False) -> None:
        version = VersionKey(self.model, number)
        facts: dict[str, Any] = {"at": AT, "who": "anna", "why": "try", "overridden": False, "evaluated_rate": None}
        facts |= {"beside": beside, "most": 2}
        request = f"{self.group}-{next(self.requests)}"
        self.same(
            lambda: self.memory.ask(version, stage, beside=beside, most=2),
            lambda: self.postgres.request(version, self.group, stage, request_id=request, **facts),
        )

    def on_both(self, call: Callable[[Any], LibraryDeployment | None]) -> None:
        self.same(lambda: call(self.memory), lambda: call(self.postgres))

    def same(self, memory: Callable[[], LibraryDeployment | None], postgres: Callable[[], LibraryDeployment | None]) -> None:
        expected = answer_of(postgres)
        assert answer_of(memory) == expected
        slots = [book.slot(self.group) for book in (self.memory, self.postgres)]
        assert shown(slots[0].current) == shown(slots[1].current)
        assert shown(slots[0].incoming) == shown(slots[1].incoming)
        assert [shown(one) for one in slots[0].challengers] == [shown(one) for one in slots[1].challengers]
        rows = self.postgres.deployments(self.group, 100)
        assert [shown(one) for one in reversed(rows)] == [shown(one) for one in self.memory.rows.values()]
        if rows:
            self.newest = rows[0].name

    def step(self, what: str, value: Any) -> None:  # noqa: C901 - a kind of step a case
        """Take a step; one about a deployment is about the newest, wherever it is by then."""
        name, request = self.newest, f"{self.group}-{next(self.requests)}"
        match what:
            case "ask":
                self.ask(value)
            case "beside":
                self.ask(value, beside=True)
            case "withdraw":
                version = VersionKey(self.model, value)
                self.on_both(lambda book: book.withdraw(version, self.group, at=AT, who="anna", why="enough", request_id=request))
            case "end":
                self.on_both(lambda book: book.end(name, AT, "f", "it does not score"))
            case "fall_back":
                current = self.memory.slot(self.group).current
                unusable = name if current is None else current.name
                self.on_both(lambda book: book.fall_back(unusable, AT, "f", "it is corrupt"))
            case "serve" | "challenge" | "activate":
                stage = DeploymentStage.ACTIVE if what == "activate" else DeploymentStage.SHADOW
                self.ask(value, stage, beside=what == "challenge")
                name = self.newest
                for state in (DeploymentState.VALIDATING, DeploymentState.WARMING):
                    self.on_both(lambda book: book.move(name, state, AT, "f", "next"))  # noqa: B023 - called at once
                self.on_both(lambda book: book.confirm(name, AT, "decided"))
            case "move":
                self.on_both(lambda book: book.move(name, DeploymentState(value), AT, "f", "told so"))
            case "confirm":
                self.on_both(lambda book: book.confirm(name, AT, "decided"))
            case "miss":
                at = AT + timedelta(minutes=5 * value)
                self.on_both(lambda book: book.miss(name, at, "S3 is silent"))
            case _:
                facts: dict[str, Any] = {"to": value, "at": AT, "who": "anna", "why": "worse", "request_id": request}
                self.on_both(lambda book: book.roll_back(self.group, **facts))


def shown(one: LibraryDeployment | None) -> tuple[object, ...] | None:
    if one is None:
        return None
    return one.name, one.version.number, one.ordinal, one.state, one.stage, one.restores, one.missed, one.challenger


def answer_of(call: Callable[[], LibraryDeployment | None]) -> object:
    try:
        return shown(call())
    except LibraryError as error:
        return type(error)


@pytest.fixture
def source(postgres: PostgresServer, database: str) -> Iterator[ConnectionSource]:
    with app_source(postgres, database, user=database_user(Function.LIBRARY_API)) as found:
        yield found


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_both_books_answer_alike_whatever_is_asked(source: ConnectionSource, steps: list[tuple[str, Any]]) -> None:
    pair = Pair(source)
    for what, value in steps:
        pair.step(what, value)
