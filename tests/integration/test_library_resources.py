"""The library's resources on PostgreSQL: entities and their revisions, pages, request ids, cycles, and two at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalbox.adapters.postgres.deployments import PostgresDeployments
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.adapters.postgres.library_requests import PostgresRequests
from signalbox.contracts import Function, database_user
from signalbox.library.entries import EntityKey, EntityKind, NewVersion, VersionKey, VersionState
from signalbox.library.errors import (
    ArtifactError,
    CursorError,
    DependencyCycleError,
    DeploymentConflictError,
    DeploymentRefusedError,
    EntityExistsError,
    RequestReusedError,
    RevisionConflictError,
    UnknownVersionError,
)
from signalbox.signals.signal import DeploymentStage
from tests.examples import examples
from tests.fakes.postgres_server import PostgresServer, app_source
from tests.integration.test_manage_library import ANNA, AT, OWNER, World, archives, world
from tests.unit.library.samples import MODEL

pytestmark = pytest.mark.integration
__all__ = ["archives", "world"]  # fixtures
USER = database_user(Function.LIBRARY_API)


def created(world: World, name: str, **facts: Any) -> Any:
    return world.change("create", kind="model", name=name, **facts)


def datasets(world: World, count: int) -> list[VersionKey]:
    """Versions of one data set."""
    entity = EntityKey(EntityKind.DATASET, "candles")
    with world.app.library.transaction() as tx:
        tx.lock(entity)
        return [tx.add_version(NewVersion(entity, f"hash {n}", VersionState.RECORDED, AT)) for n in range(count)]


def at_once(postgres: PostgresServer, database: str, acts: list[Callable[[Any], Any]]) -> list[Any]:
    """Let each act in a thread with a connection of its own, all at the same instant; return what it returned or raised."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[Any], Any]) -> Any:
        with app_source(postgres, database, user=USER) as source:
            with source.snapshot() as connection:
                connection.execute("SELECT 1")  # logged in before the others begin
            gate.wait(timeout=20)
            try:
                return act(source)
            except (DependencyCycleError, DeploymentConflictError, RequestReusedError) as error:
                return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def test_an_entity_is_described_archived_and_taken_back_out_and_each_revision_stays(world: World) -> None:
    assert created(world, "dir90", description="ninety minutes")["revision"] == 1
    key = {"kind": "model", "name": "dir90"}
    archived = world.change("change", **key, revision=1, archived=True, why="nobody uses it")
    assert (archived["revision"], archived["archived"], archived["description"]) == (2, True, "ninety minutes")
    assert (archived["who"], archived["why"]) == (OWNER, "nobody uses it")
    with pytest.raises(RevisionConflictError, match="is at revision 2, expected 1"):
        world.change("change", **key, revision=1, description="too late")
    assert [one["name"] for one in world.ask("entities", archived=True)["entities"]] == ["dir90"]
    assert world.ask("entities")["entities"] == []
    back = world.change("change", **key, revision=2, archived=False, description="again")
    assert (back["revision"], back["archived"], back["description"]) == (3, False, "again")
    rows = world.postgres.execute("SELECT revision, archived FROM entity_revisions ORDER BY 1", world.database)
    assert rows == [(1, False), (2, True), (3, False)]
    with pytest.raises(EntityExistsError, match="the model dir90 exists"):
        created(world, "dir90")
    with pytest.raises(UnknownVersionError, match="no model dir91"):
        world.change("change", kind="model", name="dir91", revision=0, archived=True)


def test_what_a_training_named_has_revision_0_and_can_be_archived(world: World) -> None:
    world.register("passing")
    found = world.ask("entity", kind="model", name=MODEL)
    assert (found["revision"], found["archived"], found["versions"]) == (0, False, 1)
    world.change("change", kind="model", name=MODEL, revision=0, archived=True)
    with pytest.raises(DeploymentRefusedError, match="is of an archived model"):
        world.change("deploy", version=MODEL)
    assert world.ask("show", version=MODEL)["archived"] is True
    world.change("change", kind="model", name=MODEL, revision=1, archived=False)
    assert world.change("deploy", version=MODEL)["state"] == "pending"


def test_a_request_id_belongs_to_one_request_and_repeating_that_changes_nothing(world: World) -> None:
    facts: dict[str, Any] = {"kind": "model", "name": "dir90", "request_id": "req-same"}
    first = world.change("create", **facts)
    assert world.change("create", **facts) == first
    for other in ({"name": "dir91"}, {"kind": "dataset"}, {"why": "another reason"}, {"who": ANNA}):
        if "who" in other:
            world.open("one")
            world.grant("operator", "one")
        with pytest.raises(RequestReusedError, match="req-same belongs to another request"):
            world.change("create", **{**facts, **other})
    with pytest.raises(RequestReusedError):
        world.change("change", revision=1, archived=True, **facts)
    change: dict[str, Any] = {**facts, "request_id": "req-change", "revision": 1, "archived": True}
    assert world.change("change", **change) == world.change("change", **change)
    rows = world.postgres.execute("SELECT request_id, verb, who, why FROM library_requests ORDER BY at, 1", world.database)
    assert rows == [("req-change", "change", OWNER, "to see it"), ("req-same", "create", OWNER, "to see it")]


def test_a_retry_from_another_session_of_the_same_role_is_the_same_request(world: World) -> None:
    role = "arn:aws:iam::123456789012:role/library"
    world.app.owners = (role,)
    facts: dict[str, Any] = {"kind": "model", "name": "dir90", "request_id": "req-session"}
    sessions = [f"arn:aws:sts::123456789012:assumed-role/library/botocore-session-{number}" for number in (1, 2)]
    assert world.change("create", sessions[0], **facts) == world.change("create", sessions[1], **facts)
    world.app.owners = (role, OWNER)
    with pytest.raises(RequestReusedError):
        world.change("create", OWNER, **facts)


def test_a_withdrawal_that_is_repeated_goes_back_no_further(world: World) -> None:
    world.serve(world.app.start(AT)["deployment"]["deployment"])
    world.register("passing")
    world.serve(world.change("deploy", version=f"{MODEL}@2")["deployment"])
    world.change("deploy", version=f"{MODEL}@1")
    first = world.change("rollback", request_id="req-back")
    assert (first["deployment"], first["state"]) == (f"{MODEL}-v2", "healthy")
    assert world.change("rollback", request_id="req-back") == first
    assert world.ask("deployments")["slot"]["incoming"] is None
    assert world.change("rollback", request_id="req-further")["restores"] == f"{MODEL}-v1"


def test_a_change_that_is_repeated_is_about_what_it_was_about(world: World) -> None:
    world.serve(world.app.start(AT)["deployment"]["deployment"])
    rejected: dict[str, Any] = {"version": MODEL, "request_id": "req-reject"}
    deployed: dict[str, Any] = {"version": MODEL, "request_id": "req-deploy"}
    assert world.change("deploy", **deployed)["version"] == f"{MODEL}@1"
    assert world.change("reject", **rejected)["version"] == f"{MODEL}@1"
    world.register("passing")
    assert world.change("deploy", **deployed)["version"] == f"{MODEL}@1"
    assert world.change("reject", **rejected)["version"] == f"{MODEL}@1"
    assert world.ask("show", version=f"{MODEL}@2")["lifecycle"] == "candidate"

    world.change("rollback")
    world.serve(world.change("deploy", version=f"{MODEL}@2")["deployment"])
    world.change("approve", version=f"{MODEL}@2")
    promoted = world.change("promote", request_id="req-promote")
    world.serve(promoted["deployment"])
    again = world.change("promote", request_id="req-promote")
    assert (again["deployment"], again["state"]) == (promoted["deployment"], "healthy")


def test_a_challenger_that_was_asked_for_again_outlives_a_repeated_withdrawal(world: World) -> None:
    world.serve(world.app.start(AT)["deployment"]["deployment"])
    world.register("passing")
    world.change("deploy", version=f"{MODEL}@2", beside=True)
    first = world.change("withdraw", version=f"{MODEL}@2", request_id="req-out")
    later = world.change("deploy", version=f"{MODEL}@2", beside=True)
    assert world.change("withdraw", version=MODEL, request_id="req-out-2")["deployment"] == later["deployment"]
    later = world.change("deploy", version=f"{MODEL}@2", beside=True)
    assert world.change("withdraw", version=f"{MODEL}@2", request_id="req-out") == first
    assert [one["deployment"] for one in world.ask("deployments")["slot"]["challengers"]] == [later["deployment"]]
    with pytest.raises(DeploymentRefusedError, match="@1 decides beside nothing"):
        world.change("withdraw", version=f"{MODEL}@1")


def test_pages_hold_every_entity_and_version_once_in_order(world: World) -> None:
    names = [f"m{n}" for n in (3, 1, 2, 10)]
    for name in names:
        created(world, name)
    datasets(world, 5)  # all of one instant
    for verb, key, facts in (
        ("entities", "entities", {}),
        ("entities", "entities", {"kind": "model"}),
        ("list", "versions", {"kind": "dataset"}),
        ("list", "versions", {"kind": "dataset", "name": "candles"}),
        ("search", "versions", {"words": "candles"}),
    ):
        whole = world.ask(verb, **facts, limit=100)
        assert whole["next"] is None
        for size in (1, 2, 3):
            found, cursor, pages = [], None, 0
            while pages == 0 or cursor is not None:
                page = world.ask(verb, **facts, limit=size, **({} if cursor is None else {"cursor": cursor}))
                found += page[key]
                cursor, pages = page["next"], pages + 1
                assert len(page[key]) <= size
            assert found == whole[key]
            assert pages == -(-len(found) // size)
    assert [one["name"] for one in world.ask("entities", kind="model")["entities"]] == sorted(names)


def test_deployments_come_in_pages_too(world: World) -> None:
    world.serve(world.app.start(AT)["deployment"]["deployment"])
    for _ in range(2):
        world.serve(world.change("deploy", version=f"{MODEL}@1")["deployment"])
    first = world.ask("deployments", limit=2)
    second = world.ask("deployments", limit=2, cursor=first["next"])
    assert [one["ordinal"] for one in first["deployments"] + second["deployments"]] == [3, 2, 1]
    assert second["next"] is None
    one = world.ask("deployment", deployment=f"{MODEL}-v1")
    assert [step["state"] for step in one["steps"]] == ["pending", "validating", "warming", "healthy", "superseded"]
    with pytest.raises(UnknownVersionError, match="no deployment nothing"):
        world.ask("deployment", deployment="nothing")


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), to=st.sampled_from("Aa0_=.-"))
def test_a_changed_cursor_or_one_of_another_question_is_refused(world: World, place: int, to: str) -> None:
    if not world.ask("entities")["entities"]:
        for name in ("a", "b"):
            created(world, name)
    good = world.ask("entities", limit=1)["next"]
    changed = good[: place % len(good)] + to + good[place % len(good) + 1 :]
    if changed != good:
        with pytest.raises(CursorError):
            world.ask("entities", limit=1, cursor=changed)
    assert world.ask("entities", limit=2, cursor=good)["entities"][0]["name"] == "b"
    for verb, facts in (("entities", {"kind": "model"}), ("entities", {"archived": True}), ("list", {}), ("deployments", {})):
        with pytest.raises(CursorError):
            world.ask(verb, cursor=good, **facts)


def test_every_process_signs_cursors_with_the_same_key(world: World, postgres: PostgresServer, database: str) -> None:
    keys = at_once(postgres, database, [lambda source: PostgresRequests(source).page_key()] * 3)
    assert len(set(keys)) == 1
    assert world.app.requests.page_key() == keys[0]


def test_a_dataset_is_known_by_its_hash_and_a_strategy_has_no_bundle_yet(world: World) -> None:
    facts: dict[str, Any] = {"kind": "dataset", "name": "candles", "sha256": "a" * 64, "tags": ["small"]}
    first = world.change("register", **facts)
    assert (first["version"], first["made"], first["new"], first["tags"]) == ("dataset candles@1", "recorded", True, ["small"])
    assert world.change("register", **facts)["new"] is False
    assert world.change("register", **{**facts, "sha256": "b" * 64})["version"] == "dataset candles@2"
    with pytest.raises(ArtifactError, match="a strategy has no bundle yet"):
        world.change("register", kind="strategy", name="trend", sha256="a" * 64)


def test_a_list_of_an_unknown_name_is_no_empty_list(world: World) -> None:
    with pytest.raises(UnknownVersionError, match="no model nothing"):
        world.ask("list", name="nothing")
    created(world, "nothing")
    assert world.ask("list", name="nothing")["versions"] == []


def test_a_tag_of_one_name_is_not_cut_by_versions_of_other_names(world: World) -> None:
    world.register("passing")
    for number in range(3):
        name = f"other{number}"
        world.change("register", kind="dataset", name=name, sha256="a" * 64, tags=["weekly"])
    world.change("register", kind="dataset", name="candles", sha256="c" * 64, tags=["weekly"])
    found = world.ask("list", kind="dataset", name="other0", tag="weekly", limit=1)["versions"]
    assert [one["version"] for one in found] == ["dataset other0@1"]


def test_a_bundle_is_registered_under_its_own_name_only(world: World) -> None:
    world.numbers += 1
    with pytest.raises(Exception, match=f"expected a bundle of other, got one of {MODEL}"):
        world.change("register", name="other", sha256=next(iter(world.artifacts.objects)).rpartition("/")[2].removesuffix(".zip"))


def test_no_version_is_made_from_itself_by_however_many_others(world: World) -> None:
    for number in range(3):
        world.change("register", kind="dataset", name="candles", sha256=str(number) * 64)
    facts = {"kind": "dataset", "needs_kind": "dataset"}
    for one, needs in (("candles@2", "candles@1"), ("candles@3", "candles@2")):
        world.change("depend", **facts, version=one, needs=needs)
    edges = world.change("depend", **facts, version="candles@3", needs="candles@1")["lineage"]
    assert len(edges) == 3
    for one, needs in (("candles@1", "candles@3"), ("candles@1", "candles@2"), ("candles@2", "candles@2")):
        with pytest.raises(DependencyCycleError, match=f"dataset {one} cannot be made from dataset {needs}"):
            world.change("depend", **facts, version=one, needs=needs)
    assert world.postgres.execute("SELECT count(*) FROM dependencies", world.database) == [(3,)]


@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edges=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=14))
def test_dependencies_never_have_a_cycle_and_refuse_nothing_else(world: World, edges: list[tuple[int, int]]) -> None:
    keys, made = datasets_apart(world), set[tuple[int, int]]()
    for one, needs in edges:
        reached, waiting = set[int](), [needs]
        while waiting:
            node = waiting.pop()
            reached.add(node)
            waiting += [to for of, to in made if of == node and to not in reached]
        try:
            with world.app.library.transaction() as tx:
                tx.add_dependency(keys[one], keys[needs])
        except DependencyCycleError:
            assert one in reached
        else:
            assert one not in reached
            made.add((one, needs))


def datasets_apart(world: World) -> list[VersionKey]:
    """Five versions that nothing was made from so far."""
    world.numbers += 1
    entity = EntityKey(EntityKind.DATASET, f"apart-{world.numbers}")
    with world.app.library.transaction() as tx:
        return [tx.add_version(NewVersion(entity, f"hash {n}", VersionState.RECORDED, AT)) for n in range(5)]


def test_two_writers_that_each_add_half_of_a_cycle_do_not_both_succeed(
    world: World, postgres: PostgresServer, database: str
) -> None:
    one, other, third = datasets(world, 3)

    def adding(version: VersionKey, needs: VersionKey) -> Callable[[Any], Any]:
        def act(source: Any) -> bool:
            with PostgresLibrary(source).transaction() as tx:
                return tx.add_dependency(version, needs)

        return act

    found = at_once(postgres, database, [adding(one, other), adding(other, third), adding(third, one)])
    assert sorted(type(result).__name__ for result in found) == ["DependencyCycleError", "bool", "bool"]


def test_the_database_itself_refuses_a_cycle_and_a_change(world: World) -> None:
    one, other = datasets(world, 2)
    with world.app.library.transaction() as tx:
        tx.add_dependency(one, other)
    insert = (
        "INSERT INTO dependencies (kind, name, number, needs_kind, needs_name, needs_number)"
        " VALUES ('dataset', 'candles', 2, 'dataset', 'candles', 1)"
    )
    with pytest.raises(psycopg.errors.CheckViolation, match="would be made from itself"):
        world.postgres.execute(insert, world.database)
    for change in ("UPDATE dependencies SET number = 2", "DELETE FROM dependencies", "UPDATE library_requests SET who = 'x'"):
        if "library_requests" in change:
            created(world, "dir90")
        with pytest.raises(psycopg.errors.RestrictViolation, match="never change"):
            world.postgres.execute(change, world.database)


def test_of_two_deployments_into_one_slot_at_once_one_wins(world: World, postgres: PostgresServer, database: str) -> None:
    world.register("passing")
    version = VersionKey(EntityKey(EntityKind.MODEL, MODEL), 1)

    def deploying(request_id: str) -> Callable[[Any], Any]:
        return lambda source: PostgresDeployments(source).request(
            version, "all", DeploymentStage.SHADOW, at=AT, who="anna", why="x", request_id=request_id, overridden=False,
            evaluated_rate=None,
        )  # fmt: skip

    found = at_once(postgres, database, [deploying(f"req-{n}") for n in range(3)])
    assert sum(isinstance(one, DeploymentConflictError) for one in found) == 2
    assert world.postgres.execute("SELECT count(*) FROM deployments", world.database) == [(1,)]


def test_of_two_requests_with_one_id_at_once_one_owns_it(world: World, postgres: PostgresServer, database: str) -> None:
    assert world.numbers == 0

    def claiming(digest: str) -> Callable[[Any], Any]:
        return lambda source: PostgresRequests(source).claim("req-1", digest * 64, verb="deploy", at=AT, who="anna", why="x")

    found = at_once(postgres, database, [claiming("a"), claiming("b"), claiming("a")])
    owner = world.postgres.execute("SELECT left(digest, 1) FROM library_requests", world.database)[0][0]
    assert [isinstance(one, RequestReusedError) for one in found] == [digest != owner for digest in "aba"]


def test_health_gives_the_role_and_needs_none(world: World) -> None:
    world.open("one")
    assert world.app.health(ANNA) == {"status": "healthy", "role": None}
    assert world.app.health(OWNER) == {"status": "healthy", "role": "owner"}
    world.grant("operator", "one")
    assert world.app.health(ANNA) == {"status": "healthy", "role": "operator"}
