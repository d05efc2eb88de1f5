"""Deployments on PostgreSQL: one serves, one is on its way, and every change is an event beside the row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest

from signalbox.adapters.postgres.deployments import PostgresDeployments
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.contracts import Function, database_user, emitted_by
from signalbox.events import parse_event
from signalbox.library.deployments import ALL_SYMBOLS, DECIDER, DeploymentState, LibraryDeployment, SignalCount
from signalbox.library.entries import EntityKey, EntityKind, NewVersion, VersionKey, VersionState
from signalbox.library.errors import (
    DeploymentConflictError,
    DeploymentRefusedError,
    DeploymentStateError,
    UnknownVersionError,
)
from signalbox.library.events import DeploymentChanged
from signalbox.library.lifecycle import Lifecycle, VersionDecision
from signalbox.signals.signal import DeploymentStage
from tests.fakes.postgres_server import PostgresServer, app_source

pytestmark = pytest.mark.integration

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
MODEL = EntityKey(EntityKind.MODEL, "dir60")


class World:
    """A migrated database with three candidates of one model, as library_api reaches it."""

    def __init__(self, postgres: PostgresServer, database: str, source: Any) -> None:
        self.postgres, self.database, self.source = postgres, database, source
        self.book = PostgresDeployments(source)
        self.numbers = 0
        with PostgresLibrary(source).transaction() as tx:
            tx.lock(MODEL)
            for number in range(1, 4):
                hashed = f"{number:064x}"
                facts = NewVersion(
                    MODEL, f"job-{number}", VersionState.CANDIDATE, AT, bundle_key=f"bundles/dir60/{hashed}.zip", sha256=hashed,
                    manifest="{}", semantic=f"1.{number}.0",
                )  # fmt: skip
                version = tx.add_version(facts)
                tx.add_decision(version, VersionDecision(Lifecycle.CANDIDATE, "training", AT, "G0 pass", f"job-{number}"))

    def ask(self, number: int, stage: DeploymentStage = DeploymentStage.SHADOW, **changes: Any) -> LibraryDeployment:
        self.numbers += 1
        facts = {"at": AT, "who": "anna", "why": "better", "request_id": f"req-{self.numbers}", "overridden": False}
        return self.book.request(VersionKey(MODEL, number), ALL_SYMBOLS, stage, **{**facts, "evaluated_rate": 0.2, **changes})

    def serve(self, number: int, stage: DeploymentStage = DeploymentStage.SHADOW) -> LibraryDeployment:
        one = self.ask(number, stage)
        self.book.move(one.name, DeploymentState.VALIDATING, AT, "f", "fetching")
        self.book.move(one.name, DeploymentState.WARMING, AT, "f", "warm")
        return self.book.confirm(one.name, AT + timedelta(minutes=5), "decided")

    def back(self, to: int | None = None) -> LibraryDeployment:
        self.numbers += 1
        request = f"back-{self.numbers}"
        return self.book.roll_back(ALL_SYMBOLS, to=to, at=AT, who="anna", why="worse", request_id=request)

    def states(self) -> dict[str, str]:
        return {one.name: one.state.value for one in self.book.deployments(ALL_SYMBOLS, 20)}

    def told(self) -> list[str]:
        """What people are alerted of: deployment, state, and what serves."""
        outbox = PostgresOutbox(self.source, emitted_by(Function.LIBRARY_API))
        with outbox.claim(100) as events:
            found = [parse_event(one.event_type, json.loads(one.detail)) for one in events]
        return [f"{one.deployment} {one.state} {one.serves}" for one in found if isinstance(one, DeploymentChanged)]

    def decide(self, number: int, state: Lifecycle) -> None:
        with PostgresLibrary(self.source).transaction() as tx:
            decision = VersionDecision(state, "anna", AT, "no good", f"d-{number}-{state}")
            tx.add_decision(VersionKey(MODEL, number), decision)


@pytest.fixture
def world(postgres: PostgresServer, database: str) -> Iterator[World]:
    with app_source(postgres, database, user=database_user(Function.LIBRARY_API)) as source:
        yield World(postgres, database, source)


def test_a_deployment_serves_after_its_first_cycle_and_supersedes_what_served(world: World) -> None:
    first, second = world.serve(1), world.serve(2)
    assert (first.name, second.name, second.replaces, second.ordinal) == ("dir60-v1", "dir60-v2", "dir60-v1", 2)
    assert world.states() == {"dir60-v2": "healthy", "dir60-v1": "superseded"}
    slot = world.book.slot(ALL_SYMBOLS)
    assert (slot.current, slot.incoming) == (world.book.deployments(ALL_SYMBOLS, 1)[0], None)
    rows = world.postgres.execute(
        "SELECT state, who, why FROM deployment_events WHERE deployment = 'dir60-v1' ORDER BY step", world.database
    )
    assert [row[0] for row in rows] == ["pending", "validating", "warming", "healthy", "superseded"]
    assert rows[0][1:] == ("anna", "better")
    assert rows[-1][1:] == ("anna", "dir60-v2 took over: better")


def test_the_same_request_gives_the_same_deployment_and_another_is_a_conflict(world: World) -> None:
    one = world.ask(1, request_id="req-same")
    assert world.ask(1, request_id="req-same") == one
    with pytest.raises(DeploymentConflictError, match="asked for dir60-v1 before"):
        world.ask(2, request_id="req-same")
    with pytest.raises(DeploymentConflictError, match=r"deployment 1 \(dir60-v1, by anna\) is pending; wait"):
        world.ask(2)


def test_of_concurrent_deployments_one_wins_and_the_others_hear_of_it(world: World) -> None:
    start = Barrier(4)

    def ask(number: int) -> str:
        with app_source(world.postgres, world.database, user=database_user(Function.LIBRARY_API)) as source:
            start.wait(timeout=10)
            try:
                one = PostgresDeployments(source).request(
                    VersionKey(MODEL, number % 3 + 1), ALL_SYMBOLS, DeploymentStage.ACTIVE, at=AT, who="anna", why="race",
                    request_id=f"race-{number}", overridden=False, evaluated_rate=None,
                )  # fmt: skip
            except DeploymentConflictError as error:
                return str(error)
            return one.name

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert sum("is pending" not in text for text in found) == 1
    assert len(world.states()) == 1


@pytest.mark.parametrize("state", ["pending", "healthy"])
def test_the_database_itself_refuses_a_second_one_in_a_slot(world: World, state: str) -> None:
    if state == "pending":
        world.ask(1)
    else:
        world.serve(1, DeploymentStage.ACTIVE)
    with pytest.raises(psycopg.errors.UniqueViolation):
        world.postgres.execute(
            "INSERT INTO deployments (deployment, kind, name, number, symbol_group, ordinal, stage, state, requested_at,"
            f" changed_at, who, why, overridden, request_id) VALUES ('other', 'model', 'dir60', 2, 'all', 9, 'active', '{state}',"
            " now(), now(), 'x', 'y', false, 'z')",
            world.database,
        )


def challenger_row(world: World, name: str, number: int, ordinal: int, stage: str = "shadow") -> None:
    world.postgres.execute(
        "INSERT INTO deployments (deployment, kind, name, number, symbol_group, ordinal, stage, state, requested_at,"
        f" changed_at, who, why, overridden, request_id, challenger) VALUES ('{name}', 'model', 'dir60', {number}, 'all',"
        f" {ordinal}, '{stage}', 'healthy', now(), now(), 'x', 'y', false, '{name}', true)",
        world.database,
    )


def test_the_database_takes_any_number_of_challengers_but_each_version_once(world: World) -> None:
    for number in (1, 2, 3):
        challenger_row(world, f"s{number}", number, number)
    assert set(world.states().values()) == {"healthy"}
    with pytest.raises(psycopg.errors.UniqueViolation):
        challenger_row(world, "s4", 1, 4)
    with pytest.raises(psycopg.errors.CheckViolation):
        challenger_row(world, "s5", 3, 5, "active")


def challenge(world: World, number: int, **changes: Any) -> LibraryDeployment:
    one = world.ask(number, beside=True, most=2, **changes)
    world.book.move(one.name, DeploymentState.VALIDATING, AT, "f", "fetching")
    world.book.move(one.name, DeploymentState.WARMING, AT, "f", "warm")
    return world.book.confirm(one.name, AT, "decided")


def test_challengers_decide_beside_what_serves_up_to_the_limit(world: World) -> None:
    with pytest.raises(DeploymentRefusedError, match="nothing serves yet"):
        challenge(world, 1)
    world.serve(1)
    first, second = challenge(world, 2), challenge(world, 3)
    slot = world.book.slot(ALL_SYMBOLS)
    assert slot.current is not None
    assert (slot.current.name, [one.name for one in slot.challengers]) == ("dir60-v1", [first.name, second.name])
    with pytest.raises(DeploymentConflictError, match=r"expected at most 2 .* are dir60-v2, dir60-v3; `signalbox library wi"):
        challenge(world, 1)
    with pytest.raises(DeploymentConflictError, match="decides beside it already, as dir60-v2"):
        challenge(world, 2)


def test_a_shadow_does_not_take_the_place_of_an_active_deployment(world: World) -> None:
    world.serve(1, DeploymentStage.ACTIVE)
    assert world.ask(2, most=1).challenger is True
    assert world.ask(3, DeploymentStage.ACTIVE).challenger is False


def test_what_is_promoted_no_longer_decides_beside_itself(world: World) -> None:
    world.serve(1)
    challenge(world, 2)
    promoted = world.serve(2, DeploymentStage.ACTIVE)
    assert world.states() == {promoted.name: "healthy", "dir60-v2": "superseded", "dir60-v1": "superseded"}
    with pytest.raises(DeploymentRefusedError, match=r"deployment 2 \(dir60-v2\) was a challenger and never served"):
        world.back(2)
    assert world.back().version.number == 1


def test_a_challenger_on_its_way_whose_version_takes_over_alerts_nobody_of_a_failure(world: World) -> None:
    world.serve(1)
    world.ask(2, beside=True, most=2)
    promoted = world.serve(2, DeploymentStage.ACTIVE)
    assert world.states()["dir60-v2"] == "failed"
    assert world.told() == ["dir60-v1 healthy dir60-v1", f"{promoted.name} healthy {promoted.name}"]


def test_a_challenger_is_withdrawn_by_its_version_as_often_as_it_is_asked(world: World) -> None:
    world.serve(1)
    challenge(world, 2)
    facts: dict[str, Any] = {"at": AT, "who": "anna", "why": "seen enough", "request_id": "req-out"}
    found = world.book.withdraw(VersionKey(MODEL, 2), ALL_SYMBOLS, **facts)
    assert (found.state, found.reason) == (DeploymentState.ROLLED_BACK, "withdrawn: seen enough")
    assert world.book.withdraw(VersionKey(MODEL, 2), ALL_SYMBOLS, **facts) == found
    for number in (1, 2):  # what serves, and what has ended
        with pytest.raises(DeploymentRefusedError, match=f"dir60@{number} decides beside nothing"):
            world.book.withdraw(VersionKey(MODEL, number), ALL_SYMBOLS, **{**facts, "request_id": "req-other"})
    challenge(world, 2)
    assert world.book.withdraw(VersionKey(MODEL, 2), ALL_SYMBOLS, **facts) == found
    assert world.states()["dir60-v2-2"] == "healthy"
    with pytest.raises(DeploymentStateError, match="is no challenger"):
        world.book.end("dir60-v1", AT, "f", "no")


def test_what_cannot_be_loaded_gives_way_to_the_previous_one_that_can(world: World) -> None:
    for number in (1, 2, 3):
        world.serve(number)
    back = world.book.fall_back("dir60-v3", AT, "f", "its bundle is corrupt")
    assert back is not None
    assert (back.version.number, back.restores) == (2, "dir60-v2")
    assert world.book.fall_back("dir60-v3", AT, "f", "its bundle is corrupt") is None  # one is on its way
    world.book.move(back.name, DeploymentState.FAILED, AT, "f", "corrupt too")
    again = world.book.fall_back("dir60-v3", AT, "f", "its bundle is corrupt")
    assert again is not None
    assert again.version.number == 1
    world.book.move(again.name, DeploymentState.FAILED, AT, "f", "corrupt too")
    with pytest.raises(DeploymentRefusedError, match="no earlier healthy deployment"):
        world.book.fall_back("dir60-v3", AT, "f", "its bundle is corrupt")


@pytest.mark.parametrize("damage", ["bundle_key = 'nowhere', sha256 = repeat('0', 64)", "manifest = '{\"format\": 99}'"])
def test_rollback_works_while_the_newest_row_is_corrupt(world: World, damage: str) -> None:
    for number in (1, 2):
        world.serve(number)
    world.postgres.execute("ALTER TABLE versions DISABLE TRIGGER versions_never_change", world.database)
    world.postgres.execute(f"UPDATE versions SET {damage} WHERE number = 2", world.database)
    assert world.back().version.number == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE versions SET sha256 = repeat('f', 64)",
        "DELETE FROM versions",
        "UPDATE version_decisions SET state = 'approved'",
        "DELETE FROM version_decisions",
        "UPDATE deployment_events SET who = 'nobody'",
        "DELETE FROM deployment_events",
    ],
)
def test_facts_never_change_not_even_by_the_owner_of_the_schema(world: World, change: str) -> None:
    world.ask(1)
    with pytest.raises(psycopg.Error, match="never change"):
        world.postgres.execute(change, world.database)


def test_a_failed_deployment_leaves_what_served_and_says_why(world: World) -> None:
    world.serve(1)
    one = world.ask(2)
    world.book.move(one.name, DeploymentState.VALIDATING, AT, "f", "fetching")
    failed = world.book.move(one.name, DeploymentState.FAILED, AT, "f", "expected sha256 a, got b")
    assert failed.reason == "expected sha256 a, got b"
    slot = world.book.slot(ALL_SYMBOLS)
    assert (slot.current and slot.current.name, slot.incoming) == ("dir60-v1", None)
    with pytest.raises(DeploymentStateError):
        world.book.confirm(one.name, AT, "too late")


def test_two_missed_cycles_fail_a_deployment_and_a_redelivered_one_counts_once(world: World) -> None:
    one = world.ask(1)
    for _ in range(3):
        assert world.book.miss(one.name, AT, "S3 is silent").state is DeploymentState.PENDING
    found = world.book.miss(one.name, AT + timedelta(minutes=5), "S3 is silent")
    assert (found.state, found.reason) == (DeploymentState.FAILED, "not confirmed within 2 cycles: S3 is silent")
    assert world.book.miss(one.name, AT + timedelta(minutes=10), "S3 is silent") == found


def test_rollback_deploys_the_previous_version_again_and_takes_the_present_one_back(world: World) -> None:
    world.serve(1)
    world.serve(2)
    back = world.back()
    assert (back.name, back.version.number, back.restores, back.state) == ("dir60-v1-2", 1, "dir60-v1", DeploymentState.PENDING)
    for state in (DeploymentState.VALIDATING, DeploymentState.WARMING):
        world.book.move(back.name, state, AT, "f", "next")
    world.book.confirm(back.name, AT, "decided")
    assert world.states() == {"dir60-v1-2": "healthy", "dir60-v2": "rolled_back", "dir60-v1": "superseded"}
    with pytest.raises(DeploymentRefusedError, match="no earlier healthy deployment of another version"):
        world.back()


def test_rollback_passes_over_what_was_rejected_or_retired_since(world: World) -> None:
    for number in (1, 2, 3):
        world.serve(number)
    world.decide(2, Lifecycle.REJECTED)
    assert world.back().version.number == 1
    with pytest.raises(DeploymentRefusedError, match="rejected or retired since"):
        world.back(2)


def test_rollback_withdraws_what_is_on_its_way(world: World) -> None:
    world.serve(1)
    world.ask(2)
    assert world.back().name == "dir60-v1"
    assert world.states() == {"dir60-v2": "failed", "dir60-v1": "healthy"}


def test_the_watch_over_signals_withdraws_nothing_and_asks_again(world: World) -> None:
    world.serve(1)
    current = world.serve(2)
    remedy = world.ask(3)

    def watch() -> LibraryDeployment:
        facts: dict[str, Any] = {"at": AT, "who": DECIDER, "why": "too many signals", "request_id": f"rate-{current.name}"}
        return world.book.roll_back(ALL_SYMBOLS, to=None, **facts)

    assert watch() == remedy == world.book.slot(ALL_SYMBOLS).incoming
    world.book.move(remedy.name, DeploymentState.FAILED, AT, "f", "corrupt")
    back = watch()
    assert (back.restores, back.is_incoming) == ("dir60-v1", True)
    assert watch() == back


def test_rollback_of_the_very_first_deployment_withdraws_it(world: World) -> None:
    world.ask(1)
    assert world.back().reason == "withdrawn: worse"
    assert world.states() == {"dir60-v1": "failed"}


@pytest.mark.parametrize(("to", "number"), [(1, 1), (2, 2)])
def test_rollback_to_a_number_goes_there(world: World, to: int, number: int) -> None:
    for each in (1, 2, 3):
        world.serve(each)
    assert world.back(to).version.number == number


def test_rollback_to_what_never_served_is_refused(world: World) -> None:
    world.serve(1)
    world.serve(2)
    failed = world.ask(3)
    world.book.move(failed.name, DeploymentState.FAILED, AT, "f", "broken")
    with pytest.raises(DeploymentRefusedError, match=r"deployment 3 \(dir60-v3\) is failed: expected one that served"):
        world.back(3)
    with pytest.raises(UnknownVersionError, match="no deployment 77"):
        world.back(77)


def test_rollback_needs_nothing_of_a_version_whose_manifest_is_unreadable(world: World) -> None:
    world.serve(1)
    world.serve(2)
    world.postgres.execute("ALTER TABLE versions DISABLE TRIGGER versions_never_change", world.database)
    world.postgres.execute("UPDATE versions SET manifest = '{\"format\": 99}' WHERE number IN (2, 3)", world.database)
    assert world.back().version.number == 1


def test_the_same_rollback_asked_again_changes_nothing(world: World) -> None:
    world.serve(1)
    world.serve(2)
    facts: dict[str, Any] = {"to": None, "at": AT, "who": "anna", "why": "worse", "request_id": "once"}
    assert world.book.roll_back(ALL_SYMBOLS, **facts) == world.book.roll_back(ALL_SYMBOLS, **facts)


def test_the_first_deployment_of_a_stage_is_asked_for_once(world: World) -> None:
    first = world.ask(1, only_first=True)
    assert world.ask(2, only_first=True) == first
    world.back()
    assert world.ask(3, only_first=True).name == first.name


def test_decisions_are_counted_by_period(world: World) -> None:
    source = (
        "INSERT INTO signals (symbol, decided_at, deployment, stage, direction, tier, probability_up, price, late, schema_name,"
        " schema_hash, features) SELECT 'BTC-USD', timestamptz '2026-11-28 12:00Z' + i * interval '5 minutes', 'dir60-v1',"
        " 'shadow', CASE WHEN i % 5 = 0 THEN 'BUY' ELSE 'HOLD' END, CASE WHEN i % 5 = 0 THEN 'HIGH' ELSE 'LOW' END,"
        " CASE WHEN i % 5 = 0 THEN 0.6 ELSE 0.5 END, 1, false, 's', repeat('0', 64), '{}' FROM generate_series(1, 10) AS i"
    )
    world.postgres.execute(source, world.database)
    with app_source(world.postgres, world.database, user=database_user(Function.GENERATE_SIGNALS)) as own:
        book = PostgresDeployments(own)
        assert book.count("dir60-v1", AT, AT + timedelta(minutes=50)) == SignalCount(10, 2)
        assert book.count("dir60-v1", AT + timedelta(minutes=25), AT + timedelta(minutes=50)) == SignalCount(5, 1)


def test_people_are_alerted_of_what_serves_what_failed_and_what_went_back_once(world: World) -> None:
    first = world.serve(1)
    assert world.book.confirm(first.name, AT, "again") == world.book.slot(ALL_SYMBOLS).current
    assert world.told() == [f"{first.name} healthy {first.name}"]
    failed = world.ask(2)
    for cycle in (1, 1, 2):
        world.book.miss(failed.name, AT + timedelta(minutes=5 * cycle), "no bundle")
    assert world.told() == [f"{failed.name} failed {first.name}"]
    second = world.serve(3)
    assert world.told() == [f"{second.name} healthy {second.name}"]
    back = world.back()
    world.book.move(back.name, DeploymentState.VALIDATING, AT, "f", "fetching")
    world.book.move(back.name, DeploymentState.WARMING, AT, "f", "warm")
    world.book.confirm(back.name, AT + timedelta(minutes=9), "decided")
    assert world.told() == [f"{second.name} rolled_back {back.name}"]
    withdrawn = world.ask(2)
    world.back()
    assert world.told() == [f"{withdrawn.name} failed {back.name}"]
