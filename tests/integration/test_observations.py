"""Observations on PostgreSQL, through the library as its own user: fixed once, ended once, and nothing of them ever changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from signalbox.adapters.postgres.observations import PostgresObservations
from signalbox.contracts import SYMBOLS, Function, database_user
from signalbox.library.commands import parse_library_request
from signalbox.library.errors import LibraryAccessError, RequestReusedError
from signalbox.observation.errors import ObservationRulesError, ObservationStateError, UnknownObservationError
from signalbox.observation.ports import ObservationState
from signalbox.observation.rules import ObservationRules, ObservedModel, preset
from signalbox.observation.verdicts import ObservationVerdict
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.integration.test_manage_library import ANNA, AT, OWNER, World, archives  # noqa: F401 - a fixture

pytestmark = pytest.mark.integration


@pytest.fixture
def world(postgres: PostgresServer, database: str, archives: dict[str, bytes]) -> Iterator[World]:  # noqa: F811
    """A stage whose starter serves."""
    with app_source(postgres, database, user=database_user(Function.LIBRARY_API)) as source:
        found = World(postgres, database, source, archives)
        found.serve(found.app.start(AT)["deployment"]["deployment"])
        yield found


def book(world: World) -> PostgresObservations:
    observations = world.app.observations
    assert isinstance(observations, PostgresObservations)
    return observations


def rules(world: World, *, hours: int = 1, **changes: Any) -> ObservationRules:
    current = world.book.slot("all").current
    assert current is not None
    assert current.evaluated_rate is not None
    facts: dict[str, Any] = {
        "deployment": current.name,
        "bundle_sha256": current.sha256,
        "symbols": tuple(SYMBOLS),
        "horizon_minutes": 60,
        "evaluated_share": current.evaluated_rate,
    }
    return preset(ObservedModel(**{**facts, **changes}), AT + timedelta(hours=hours), days=5, last_days=10)


def end(world: World, observation: str, **facts: Any) -> Any:
    return world.change(
        "end-observation", **{"observation": observation, "verdict": "NO-GO", "reasons": ["SIGNAL_RATE FAILED: 2"], **facts}
    )


def test_rules_are_recorded_with_their_hash_and_starting_again_changes_nothing(world: World) -> None:
    one = rules(world)
    first = world.change("observe", rules=one.text)
    assert (first["observation"], first["rules_sha256"], first["state"]) == (one.observation, one.sha256, "running")
    assert world.change("observe", rules=one.text) == first
    facts = {"request_id": "again-1", "why": "its answer was lost", "rules": one.text}
    later = one.starts_at + timedelta(hours=3)  # it has begun since
    assert world.app.answer(parse_library_request("observe", facts), OWNER, later) == first
    (found,) = book(world).observations(9)
    assert (found.rules, found.state, len(found.steps)) == (one, ObservationState.RUNNING, 1)


def test_changed_rules_wait_until_the_running_observation_has_ended(world: World) -> None:
    one, other = rules(world), rules(world, hours=2)
    world.change("observe", rules=one.text)
    with pytest.raises(ObservationStateError, match=f"is observed by {one.observation}"):
        world.change("observe", rules=other.text)
    ended = end(world, one.observation, request_id="end-1")
    assert ended["steps"][-1]["verdict"] == "NO-GO"
    assert ended["steps"][-1]["reasons"] == ["SIGNAL_RATE FAILED: 2"]
    world.change("observe", rules=other.text)
    assert book(world).earlier(other)[0].steps[-1].verdict is ObservationVerdict.NO_GO
    assert book(world).observation(None).rules == other


def test_ended_observation_is_never_ended_differently_or_begun_again(world: World) -> None:
    one = rules(world)
    world.change("observe", rules=one.text)
    first = end(world, one.observation, request_id="end-1")
    assert end(world, one.observation, request_id="end-1") == first
    with pytest.raises(RequestReusedError, match="end-1"):
        end(world, one.observation, request_id="end-1", verdict="GO")
    with pytest.raises(ObservationStateError, match="ended at"):
        end(world, one.observation, request_id="end-2", verdict="GO")
    assert book(world).observation(one.observation).steps[-1].verdict is ObservationVerdict.NO_GO
    with pytest.raises(ObservationStateError, match="has ended"):
        world.change("observe", rules=one.text)
    with pytest.raises(UnknownObservationError, match="no observation"):
        end(world, "0" * 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deployment": "other-v1"}, "model.deployment"),
        ({"bundle_sha256": "a" * 64}, "model.bundle_sha256"),
        ({"evaluated_share": 0.9}, "model.evaluated_share"),
        ({"symbols": ("BTC-USD",)}, "model.symbols"),
        ({"hours": -1}, "starts_at"),
    ],
)
def test_rules_that_do_not_fit_what_serves_are_refused(world: World, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ObservationRulesError, match=message):
        world.change("observe", rules=rules(world, **change).text)
    assert book(world).observations(9) == ()


def test_starting_and_ending_need_an_operator(world: World) -> None:
    world.open("a")
    world.grant("viewer", "a")
    for verb, facts in (
        ("observe", {"rules": rules(world).text}),
        ("end-observation", {"observation": "0" * 16, "verdict": "GO", "reasons": ["x"]}),
    ):
        with pytest.raises(LibraryAccessError, match="operator"):
            world.change(verb, ANNA, **facts)


def test_rows_of_an_observation_never_change_and_the_database_checks_the_hash(world: World) -> None:
    one = rules(world)
    world.change("observe", rules=one.text)
    for statement in (
        "UPDATE observations SET rules = '{}'",
        "DELETE FROM observations",
        "UPDATE observation_events SET who = 'nobody'",
        "DELETE FROM observation_events",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation, match="never change"):
            world.postgres.execute(statement, world.database)
    weaker = one.text.replace('"precision":0.68', '"precision":0.56')
    insert = (
        "INSERT INTO observations SELECT left(rules_sha256, 15) || 'x', rules_sha256, $${}$$, deployment, bundle_sha256,"
        " starts_at FROM observations"
    )
    with pytest.raises(psycopg.errors.CheckViolation, match="observations_hash"):
        world.postgres.execute(insert.replace("{}", weaker), world.database)
