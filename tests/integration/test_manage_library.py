"""The library for people, on PostgreSQL as its own user: who may, what is refused, and what stays on record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from signalbox.adapters.postgres.deployments import PostgresDeployments
from signalbox.adapters.postgres.entities import PostgresEntities
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.adapters.postgres.library_requests import PostgresRequests
from signalbox.adapters.postgres.library_roles import PostgresLibraryRoles
from signalbox.adapters.postgres.live_records import PostgresLiveDecisions
from signalbox.adapters.postgres.observations import PostgresObservations
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.registry import PostgresRegistry
from signalbox.application.manage_library import ManageLibrary
from signalbox.contracts import Function, database_user, emitted_by, upload_key
from signalbox.inference.archive import pack_bundle
from signalbox.inference.errors import BundleError
from signalbox.library.commands import parse_library_request
from signalbox.library.deployments import DeploymentState
from signalbox.library.errors import (
    ApprovalRefusedError,
    ArtifactError,
    DeploymentConflictError,
    DeploymentRefusedError,
    LibraryAccessError,
    LifecycleError,
    UnknownVersionError,
)
from tests.fakes.memory_library import MemoryArtifacts
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.unit.library.samples import MODEL, bundle

pytestmark = pytest.mark.integration

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
OWNER = "arn:aws:iam::123456789012:user/owner"
ANNA = "arn:aws:iam::123456789012:user/anna"
INJECTIONS = ("x'; DROP TABLE versions; --", "../../etc/passwd", "m@1 OR 1=1", "%00", "m\u202e", "A" * 200, "")


class Bus:
    def publish(self, events: Any) -> None:
        """Take every event."""


class World:
    def __init__(self, postgres: PostgresServer, database: str, source: Any, archives: dict[str, bytes]) -> None:
        self.postgres, self.database, self.archives = postgres, database, archives
        objects = {f"s3://models/{upload_key(hashlib.sha256(one).hexdigest())}": one for one in archives.values()}
        self.artifacts = MemoryArtifacts(**objects)
        self.book = PostgresDeployments(source)
        self.app = ManageLibrary(
            registry=PostgresRegistry(source), library=PostgresLibrary(source), book=self.book, artifacts=self.artifacts,
            observations=PostgresObservations(source),
            entities=PostgresEntities(source), requests=PostgresRequests(source),
            roles=PostgresLibraryRoles(source), outbox=PostgresOutbox(source, emitted_by(Function.LIBRARY_API)), bus=Bus(),
            live=PostgresLiveDecisions(source, "coinbase"), models_bucket="models",
            starter=lambda: archives["failing"], owners=(OWNER,), pause=lambda _: None,
        )  # fmt: skip
        self.numbers = 0

    def ask(self, verb: str, who: str = OWNER, **facts: Any) -> Any:
        return self.app.answer(parse_library_request(verb, facts), who, AT)

    def change(self, verb: str, who: str = OWNER, **facts: Any) -> Any:
        self.numbers += 1
        return self.ask(verb, who, **{"why": "to see it", "request_id": f"req-{self.numbers}", **facts})

    def register(self, which: str) -> Any:
        return self.change("register", name=MODEL, sha256=hashlib.sha256(self.archives[which]).hexdigest(), tags=["weekly"])

    def serve(self, deployment: str) -> None:
        for state in (DeploymentState.VALIDATING, DeploymentState.WARMING):
            self.book.move(deployment, state, AT, "generate_signals", "next")
        self.book.confirm(deployment, AT, "decided")

    def grant(self, role: str, *accounts: str) -> None:
        for account in accounts:
            self.postgres.execute(
                "INSERT INTO account_access (account, principal, request_id, role, who, at)"
                f" VALUES ('{account}', '{ANNA}', 'r-{account}', '{role}', 'x', now())",
                self.database,
            )

    def open(self, *accounts: str) -> None:
        for account in accounts:
            self.postgres.execute(
                "INSERT INTO accounts (account, mode, configuration, opened_at, opened_by, cash, transfers)"
                f" VALUES ('{account}', 'paper', '{{}}', now(), 'x', 1, 1)",
                self.database,
            )


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("bundles")
    return {name: pack_bundle(bundle(folder / name, passes=name == "passing")) for name in ("failing", "passing")}


@pytest.fixture
def world(postgres: PostgresServer, database: str, archives: dict[str, bytes]) -> Iterator[World]:
    with app_source(postgres, database, user=database_user(Function.LIBRARY_API)) as source:
        yield World(postgres, database, source, archives)


def test_a_stage_begins_with_the_starter_as_shadow_once(world: World) -> None:
    first = world.app.start(AT)
    assert first["version"] == f"{MODEL}@1"
    assert (first["deployment"]["stage"], first["deployment"]["state"]) == ("shadow", "pending")
    assert world.app.start(AT) == first
    (listed,) = world.ask("list", tag="starter")["versions"]
    assert (listed["lifecycle"], listed["semantic"], listed["deployed"]) == ("candidate", "1.0.0", f"{MODEL}-v1 pending")


def test_a_bundle_is_one_version_however_often_it_is_registered(world: World) -> None:
    first = world.register("failing")
    assert (first["version"], first["new"]) == (f"{MODEL}@1", True)
    assert world.register("failing")["new"] is False
    second = world.register("passing")
    assert (second["version"], second["semantic"]) == (f"{MODEL}@2", "1.0.1")
    assert {one["version"] for one in world.ask("search", words="weekly")["versions"]} == {f"{MODEL}@1", f"{MODEL}@2"}
    assert world.ask("search", words="tiny to see")["versions"]
    edges = world.ask("lineage", version=MODEL)["lineage"]
    assert {edge["needs"] for edge in edges} == {"dataset candles@1", "feature_set v31@1"}


def test_what_is_no_bundle_is_not_recorded(world: World) -> None:
    sha256 = "0" * 64
    with pytest.raises(ArtifactError, match="does not exist"):
        world.change("register", name=MODEL, sha256=sha256)
    world.artifacts.objects[f"s3://models/{upload_key(sha256)}"] = b"no zip at all"
    with pytest.raises(BundleError):
        world.change("register", name=MODEL, sha256=sha256)
    assert world.ask("list")["versions"] == []


def test_the_gates_approve_and_a_person_overrides_them_only_by_name_and_with_a_mark(world: World) -> None:
    world.register("failing")
    world.register("passing")
    with pytest.raises(ApprovalRefusedError, match="training: G1 fail"):
        world.change("approve", version=f"{MODEL}@1")
    by_gates = world.change("approve", version=f"{MODEL}@2")
    overridden = world.change("approve", version=f"{MODEL}@1", override=True, why="we know better")
    assert (by_gates["lifecycle"], by_gates["overridden"]) == ("approved", False)
    assert (overridden["lifecycle"], overridden["overridden"]) == ("approved", True)
    step = overridden["decisions"][-1]
    assert (step["who"], step["why"], step["at"]) == (OWNER, "we know better", AT.isoformat())
    assert world.change("promote", version=f"{MODEL}@1")["overridden"] is True


def test_only_what_is_approved_may_be_active_and_nothing_rejected_is_deployed(world: World) -> None:
    world.register("failing")
    with pytest.raises(DeploymentRefusedError, match="is candidate, and only an approved version may be active"):
        world.change("deploy", version=MODEL, stage="active")
    world.change("reject", version=MODEL)
    with pytest.raises(DeploymentRefusedError, match="is rejected: expected a candidate or an approved version"):
        world.change("deploy", version=MODEL)
    with pytest.raises(LifecycleError, match="is rejected and cannot become approved; expected retired"):
        world.change("approve", version=MODEL, override=True)
    world.change("retire", version=MODEL)
    with pytest.raises(UnknownVersionError, match="has no model nothing"):
        world.change("deploy", version="nothing")
    with pytest.raises(DeploymentRefusedError, match="nothing serves yet"):
        world.change("promote")


def test_promote_and_rollback_go_the_whole_way_and_history_says_who_and_why(world: World) -> None:
    world.serve(world.app.start(AT)["deployment"]["deployment"])
    world.register("passing")
    world.serve(world.change("deploy", version=f"{MODEL}@2")["deployment"])
    with pytest.raises(DeploymentRefusedError, match="only an approved version"):
        world.change("promote")
    world.change("approve", version=f"{MODEL}@2")
    promoted = world.change("promote", why="a week as evaluated")
    with pytest.raises(DeploymentConflictError, match="is pending; wait"):
        world.change("deploy", version=f"{MODEL}@1")
    world.serve(promoted["deployment"])
    back = world.change("rollback", why="too many signals")
    assert (back["version"], back["restores"], back["state"]) == (f"{MODEL}@1", f"{MODEL}-v1", "pending")
    world.serve(back["deployment"])
    found = world.ask("history")
    assert found["slot"]["current"]["deployment"] == back["deployment"]
    assert [one["state"] for one in found["deployments"]] == ["healthy", "rolled_back", "superseded", "superseded"]
    assert any((one["who"], one["why"]) == (OWNER, "too many signals") for one in found["history"])
    differences = {row["what"] for row in world.ask("compare", version=f"{MODEL}@1", other=f"{MODEL}@2")["differences"]}
    assert {"semantic", "lifecycle", "evaluation.gates.G1"} <= differences


@pytest.mark.parametrize(
    ("role", "accounts", "verb", "allowed"),
    [
        (None, (), "list", False),
        ("viewer", ("one",), "list", True),
        ("viewer", ("one", "two"), "deploy", False),
        ("operator", ("one",), "deploy", False),  # not on every account
        ("operator", ("one", "two"), "deploy", True),
        ("operator", ("one", "two"), "approve", False),
        ("owner", ("one", "two"), "approve", True),
    ],
)
def test_a_change_needs_its_role_on_every_account(
    world: World, role: str | None, accounts: tuple[str, ...], verb: str, allowed: bool
) -> None:
    world.register("passing")
    world.open("one", "two")
    if role is not None:
        world.grant(role, *accounts)

    def act() -> None:
        if verb == "list":
            world.ask("list", ANNA)
        else:
            world.change(verb, ANNA, version=MODEL)

    if allowed:
        act()
        return
    with pytest.raises(LibraryAccessError, match="needs the role"):
        act()
    rows = world.postgres.execute("SELECT principal, action FROM access_refusals", world.database)
    assert rows == [(ANNA, f"library {verb}")]
    assert [one.action for one in world.app.take_denied()] == [f"library {verb}"]


@pytest.mark.parametrize("text", INJECTIONS)
def test_an_injected_text_is_refused_at_the_door_or_finds_nothing(world: World, text: str) -> None:
    for verb, fields in (
        ("show", ("version",)), ("compare", ("version", "other")), ("list", ("name", "tag", "kind")), ("deploy", ("version",)),
        ("deploy", ("request_id",)), ("deploy", ("stage",)), ("register", ("sha256",)),
    ):  # fmt: skip
        for field in fields:
            good = {"version": MODEL, "other": MODEL, "name": MODEL, "why": "x", "request_id": "req-1", "sha256": "0" * 64}
            names = set(parse_fields(verb))
            with pytest.raises(ValidationError):
                parse_library_request(verb, {**{key: good[key] for key in good if key in names}, field: text})
    if text.strip() and text.isprintable():
        assert world.ask("search", words=text)["versions"] == []


def parse_fields(verb: str) -> list[str]:
    """Return the fields that a request of this verb has to have."""
    try:
        parse_library_request(verb, {})
    except ValidationError as error:
        return [str(one["loc"][-1]) for one in error.errors()]
    return []


@pytest.mark.parametrize(
    ("verb", "facts"),
    [
        ("nothing", {}),
        ("list", {"limit": 0}),
        ("list", {"limit": "50"}),
        ("list", {"limit": 10**6}),
        ("list", {"unknown": 1}),
        ("show", {"version": 7}),
        ("approve", {"version": MODEL, "why": "x", "request_id": "req-1", "override": "yes"}),
        ("approve", {"version": MODEL, "why": "   ", "request_id": "req-1"}),
        ("approve", {"version": MODEL, "request_id": "req-1"}),
        ("approve", {"version": MODEL, "why": "x" * 501, "request_id": "req-1"}),
        ("rollback", {"to": 0, "why": "x", "request_id": "req-1"}),
        ("rollback", {"to": 1.5, "why": "x", "request_id": "req-1"}),
        ("register", {"name": MODEL, "sha256": "0" * 63, "why": "x", "request_id": "req-1"}),
        ("register", {"name": MODEL, "sha256": "0" * 64, "why": "x", "request_id": "req-1", "tags": ["A B"]}),
        ("deploy", {"version": MODEL, "stage": "live", "why": "x", "request_id": "req-1"}),
    ],
)
def test_wrong_types_unknown_fields_and_bounds_are_refused_at_the_door(verb: str, facts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse_library_request(verb, facts)


def test_a_person_of_the_chat_may_what_their_least_role_on_the_accounts_allows(world: World) -> None:
    world.open("one", "two")
    deployable = world.register("passing")["version"]
    world.serve(world.change("deploy", version=deployable)["deployment"])
    with pytest.raises(LibraryAccessError, match="telegram:11 has none"):
        world.ask("permission", "telegram:11", action="rollback")
    for account, role in (("one", "owner"), ("two", "operator")):
        world.postgres.execute(
            "INSERT INTO account_access (account, principal, request_id, role, who, at)"
            f" VALUES ('{account}', 'telegram:11', 'g-{account}', '{role}', 'x', now())",
            world.database,
        )
    assert world.ask("permission", "telegram:11", action="rollback") == {"may": True}
    with pytest.raises(LibraryAccessError, match="needs the role owner"):
        world.ask("permission", "telegram:11", action="promote")
    with pytest.raises(LibraryAccessError, match="needs the role owner"):
        world.change("deploy", "telegram:11", version=deployable, stage="active")
    found = world.change("deploy", "telegram:11", version=deployable)
    assert (found["who"], found["stage"], found["state"]) == ("telegram:11", "shadow", "pending")


def decide(world: World, deployment: str, probabilities: dict[str, float]) -> None:
    """Signals of a deployment at these instants, and the bar that ends each horizon, a percent up."""
    world.postgres.execute("SELECT ensure_candle_partitions(ARRAY['2026-10-01'::date, '2026-11-01'::date])", world.database)
    for at, probability in probabilities.items():
        side = "BUY" if probability > 0.5 else "SELL"
        world.postgres.execute(
            "INSERT INTO signals (symbol, decided_at, deployment, stage, direction, tier, probability_up, price, late,"
            f" schema_name, schema_hash, features) VALUES ('BTC-USD', '{at}', '{deployment}', 'shadow', '{side}', 'HIGH',"
            f" {probability}, 100, false, 's', repeat('0', 64), '{{}}')",
            world.database,
        )
        world.postgres.execute(
            "INSERT INTO candles (venue, symbol, open_time, open, high, low, close, volume) VALUES ('coinbase', 'BTC-USD',"
            f" timestamptz '{at}' + interval '59 minutes', 101, 101, 101, 101, 1) ON CONFLICT DO NOTHING",
            world.database,
        )


def test_the_live_record_and_the_comparison_are_of_what_the_ledger_holds(world: World) -> None:
    world.register("failing")
    world.register("passing")
    served = world.change("deploy", version=f"{MODEL}@1")
    world.serve(served["deployment"])
    beside = world.change("deploy", version=f"{MODEL}@2", beside=True)
    world.serve(beside["deployment"])
    decide(world, served["deployment"], {"2026-11-28 09:00Z": 0.7, "2026-11-28 10:00Z": 0.3, "2026-11-28 11:30Z": 0.7})
    decide(world, beside["deployment"], {"2026-11-28 09:00Z": 0.9, "2026-11-28 10:00Z": 0.8, "2026-10-01 10:00Z": 0.9})
    (record,) = world.ask("show", version=f"{MODEL}@1")["live"]
    assert (record["deployment"], record["decisions"], record["settled"]) == (served["deployment"], 3, 2)  # 12:29 is not here yet
    assert record["precision"]["value"] == 0.5
    found = world.ask("history")
    assert [one["deployment"] for one in found["slot"]["challengers"]] == [beside["deployment"]]
    assert {one["deployment"] for one in found["live"]} == {served["deployment"], beside["deployment"]}
    live = world.ask("compare-live", version=f"{MODEL}@1", other=f"{MODEL}@2")["live"]
    assert live["pairs"] == 0  # they were asked for at AT, and what was decided before is no part of it
    world.postgres.execute("UPDATE deployments SET requested_at = '2026-11-28 08:00Z'", world.database)
    live = world.ask("compare-live", version=f"{MODEL}@1", other=f"{MODEL}@2")["live"]
    assert (live["pairs"], live["bets"], live["days"]) == (2, 2, 1)
    assert live["squared_error"]["value"] == pytest.approx(((0.3**2 - 0.1**2) + (0.7**2 - 0.2**2)) / 2)
    assert live["for_second"] > 1 > live["for_first"]


def test_a_challenger_is_withdrawn_and_never_active(world: World) -> None:
    world.register("failing")
    world.serve(world.change("deploy", version=f"{MODEL}@1")["deployment"])
    world.register("passing")
    beside = world.change("deploy", version=f"{MODEL}@2", beside=True)
    assert (beside["challenger"], beside["stage"]) == (True, "shadow")
    assert world.change("withdraw", version=f"{MODEL}@2")["state"] == "failed"
    with pytest.raises(DeploymentRefusedError, match="decides beside nothing"):
        world.change("withdraw", version=f"{MODEL}@1")
    with pytest.raises(ValidationError, match="expected stage shadow"):
        world.change("deploy", version=f"{MODEL}@2", beside=True, stage="active")
