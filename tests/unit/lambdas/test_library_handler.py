"""The library's door: who is let in, what is refused before the library hears of it, and how a refusal reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

import pytest

from signalbox.access import Refusal, Role
from signalbox.inference.errors import BundleGoldenError
from signalbox.ledger_errors import LedgerUnavailableError
from signalbox.library.commands import NEEDED_ROLES, AnyLibraryRequest, ChangeEntity, DeployVersion, parse_library_request
from signalbox.library.documents import LibraryHealthDocument
from signalbox.library.errors import (
    ApprovalRefusedError,
    CursorError,
    DependencyCycleError,
    DeploymentConflictError,
    DeploymentRefusedError,
    EntityExistsError,
    LibraryAccessError,
    LifecycleError,
    RequestReusedError,
    RevisionConflictError,
    UnknownVersionError,
)
from signalbox.library.routes import LIBRARY_ROUTES, addressed
from signalbox.observation.rules import ID_LENGTH
from signalbox.signing import AcceptedKeys, SigningKey
from signalbox.trading.person_seal import HEADER, SealedRequest, seal_person
from tests.fakes.keys import PEOPLE_KEY, REPORT_KEY, FixedKeys
from tests.unit.lambdas.test_handlers import CONTEXT, logged, metric_values

ANNA = "arn:aws:iam::123456789012:user/anna"
NOW = datetime.fromtimestamp(1_795_867_200, UTC)
GOOD = {"version": "dir60@3", "why": "better"}
DEPLOY = "POST /v1/deployments"
MODEL = "/v1/entities/model/dir60"


class FakeLibrary:
    def __init__(self, error: Exception | None = None, denied: tuple[Refusal, ...] = ()) -> None:
        self.error, self.denied = error, denied
        self.asked: list[tuple[AnyLibraryRequest, str, datetime]] = []
        self.started = self.publishes = 0
        self.person_keys: AcceptedKeys | None = FixedKeys(PEOPLE_KEY)

    def answer(self, asked: AnyLibraryRequest, who: str, at: datetime) -> Any:
        self.asked.append((asked, who, at))
        if self.error is not None:
            raise self.error
        return {"revision": 3} if asked.verb in {"entity", "create", "change"} else {"deployment": "dir60-v3"}

    def health(self, who: str) -> LibraryHealthDocument:
        if self.error is not None:
            raise self.error
        return {"status": "healthy", "role": None if who != ANNA else "viewer"}

    def start(self, at: datetime) -> Any:
        assert at.tzinfo is not None
        self.started += 1
        return {"version": "starter@1", "deployment": {"deployment": "starter-v1"}}

    def publish(self) -> int:
        self.publishes += 1
        return 0

    def take_denied(self) -> tuple[Refusal, ...]:
        return self.denied


def http(route: str, body: Any = None, *, who: str | None = ANNA, headers: dict[str, str] | None = None) -> dict[str, Any]:
    authorizer = {} if who is None else {"authorizer": {"iam": {"userArn": who}}}
    method, _, target = route.partition(" ")
    path, _, query = target.partition("?")
    given = {"idempotency-key": "req-1", **(headers or {})} if method != "GET" else headers or {}
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "queryStringParameters": dict(parse_qsl(query, keep_blank_values=True)),
        "headers": {key: value for key, value in given.items() if value},
        "isBase64Encoded": False,
        "body": body if isinstance(body, str) or body is None else json.dumps(body),
        "requestContext": {
            "http": {"method": method, "path": path},
            "stage": "$default",
            "requestId": "r-1",
            "timeEpoch": 1_795_867_200_000,
            **authorizer,
        },
    }


Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def ask(load: Callable[[str], ModuleType]) -> Callable[..., tuple[int, dict[str, Any]]]:
    module = load("library_api")

    def asked(app: FakeLibrary, route: str, body: Any = None, **changes: Any) -> tuple[int, dict[str, Any]]:
        answer = module.make_handler(app)(http(route, body, **changes), CONTEXT)
        return answer["statusCode"], json.loads(answer["body"])

    return asked


def test_a_request_is_parsed_named_and_timed_by_the_gateway(ask: Ask) -> None:
    app = FakeLibrary()
    assert ask(app, DEPLOY, GOOD) == (201, {"deployment": "dir60-v3"})
    ((asked, who, at),) = app.asked
    assert isinstance(asked, DeployVersion)
    assert (asked.version, asked.why, asked.request_id, who, at) == ("dir60@3", "better", "req-1", ANNA, NOW)
    assert app.publishes == 1


FACTS: dict[str, dict[str, Any]] = {
    "entities": {"kind": "dataset", "archived": True, "limit": 7, "cursor": "abc.def"},
    "entity": {"kind": "feature_set", "name": "v31"},
    "create": {"kind": "model", "name": "dir60", "description": "three pairs"},
    "change": {"kind": "model", "name": "dir60", "revision": 3, "archived": False},
    "list": {"kind": "model", "name": "dir60", "tag": "weekly", "limit": 50},
    "register": {"kind": "model", "name": "dir60", "sha256": "0" * 64, "tags": ["weekly"]},
    "show": {"version": "dir60@1.2.0", "kind": "model"},
    "evaluations": {"version": "dir60", "kind": "model"},
    "lineage": {"version": "candles@3", "kind": "dataset"},
    "compare": {"version": "dir60@1", "other": "dir60@2"},
    "compare-live": {"version": "dir60@1", "other": "dir60@2"},
    "withdraw": {"version": "dir60@2"},
    "depend": {"version": "dir60@1", "needs_kind": "dataset", "needs": "candles@1"},
    "approve": {"version": "dir60@1", "override": True},
    "reject": {"version": "dir60@1"},
    "retire": {"version": "dir60"},
    "deployments": {"limit": 3},
    "deploy": {"version": "dir60@1", "stage": "active"},
    "promote": {},
    "rollback": {"to": 4},
    "deployment": {"deployment": "dir60-v3"},
    "history": {"version": "dir60@2", "limit": 9},
    "search": {"words": "two words & a 'quote'"},
    "permission": {"action": "promote"},
    "observe": {"rules": "{}"},
    "end-observation": {"observation": "0" * ID_LENGTH, "verdict": "GO", "reasons": ["all hold"]},
}


@pytest.mark.parametrize("verb", sorted(FACTS))
def test_what_a_client_asks_is_what_the_library_is_asked(load: Callable[[str], ModuleType], verb: str) -> None:
    facts = FACTS[verb]
    given = facts if NEEDED_ROLES[verb] is Role.VIEWER else {**facts, "why": "better", "request_id": "req-7"}
    sent, app = addressed(verb, given), FakeLibrary()
    assert (sent.body is None) == (sent.method == "GET")
    headers = {key.lower(): value for key, value in sent.headers.items()}
    answer = load("library_api").make_handler(app)(http(f"{sent.method} {sent.path}", sent.body, headers=headers), CONTEXT)
    assert answer["statusCode"] in {200, 201}
    ((asked, _, _),) = app.asked
    assert asked == parse_library_request(verb, given)


def test_every_request_has_a_route_and_every_route_a_request() -> None:
    assert set(FACTS) == set(NEEDED_ROLES) == {route.verb for route in LIBRARY_ROUTES} - {"health"}
    assert len({route.key for route in LIBRARY_ROUTES}) == len(LIBRARY_ROUTES)
    assert {route.method == "GET" for route in LIBRARY_ROUTES if NEEDED_ROLES.get(route.verb) is Role.VIEWER} == {True}


def test_health_says_whether_the_ledger_answers_and_who_you_are(ask: Ask) -> None:
    assert ask(FakeLibrary(), "GET /health") == (200, {"status": "healthy", "role": "viewer"})
    assert ask(FakeLibrary(LedgerUnavailableError("away")), "GET /health")[0] == 503


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (LibraryAccessError("needs owner"), 403, "access-refused"),
        (UnknownVersionError("no model"), 404, "unknown-version"),
        (DeploymentConflictError("on its way"), 409, "deployment-conflict"),
        (DeploymentRefusedError("is rejected"), 409, "deployment-refused"),
        (ApprovalRefusedError("G1 fail"), 409, "approval-refused"),
        (LifecycleError("is retired"), 409, "illegal-step"),
        (BundleGoldenError("0.3 apart"), 422, "bundle-refused"),
        (RequestReusedError("of another"), 409, "request-reused"),
        (EntityExistsError("dir60"), 409, "entity-exists"),
        (DependencyCycleError("itself"), 409, "dependency-cycle"),
        (CursorError("changed"), 400, "cursor-refused"),
        (RevisionConflictError("is at 4"), 412, "revision-changed"),
        (LedgerUnavailableError("away"), 503, "ledger-unavailable"),
    ],
)
def test_a_refusal_is_a_problem_document(ask: Ask, error: Exception, status: int, kind: str) -> None:
    found, problem = ask(FakeLibrary(error), DEPLOY, GOOD)
    assert (found, problem["type"], problem["detail"]) == (status, f"urn:signalbox:problem:{kind}", str(error))
    assert problem["instance"].endswith("r-1")


@pytest.mark.parametrize(
    ("route", "body", "status"),
    [
        (DEPLOY, "{", 400),
        (DEPLOY, "[]", 400),
        (DEPLOY, '{"version": "dir60", "version": "dir61"}', 400),
        (DEPLOY, "[" * 16_000, 400),
        (DEPLOY, '{"version": NaN}', 400),
        (DEPLOY, {**GOOD, "why": "x" * 20_000}, 400),
        (DEPLOY, {**GOOD, "verb": "list"}, 422),
        (DEPLOY, {**GOOD, "request_id": "req-2"}, 422),
        (DEPLOY, None, 422),
        (DEPLOY, {**GOOD, "unknown": 1}, 422),
        (DEPLOY, {**GOOD, "version": 3}, 422),
        (DEPLOY, {**GOOD, "version": "dir60'; DROP TABLE versions; --"}, 422),
        (f"POST {MODEL}/versions/1/approve", {"why": "x", "version": "dir61@1"}, 422),
        (f"POST {MODEL}/versions/1/approve", {"why": "x", "number": "2"}, 422),
        (f"POST {MODEL}/versions/latest/approve", {"why": "x"}, 422),
        (f"POST {MODEL}/versions", {"why": "x", "sha256": "0" * 64, "name": "dir60"}, 422),
        ("POST /v1/entities", {"kind": "robot", "name": "dir60", "why": "x"}, 422),
        ("POST /v1/entities", {"kind": "model", "name": "../dir60", "why": "x"}, 422),
        (f"{DEPLOY}?stage=active", GOOD, 422),
        ("POST /v1/deployments/rollback?to=4", {"why": "x"}, 422),
        ("GET /v1/entities?limit=0", None, 422),
        ("GET /v1/entities?limit=1e3", None, 422),
        ("GET /v1/entities?limit=501", None, 422),
        ("GET /v1/entities?archived=yes", None, 422),
        ("GET /v1/entities?sort=name", None, 422),
        ("GET /v1/entities?cursor=", None, 422),
        ("GET /v1/entities/robot/dir60", None, 422),
        ("GET /v1/entities/model/DIR60", None, 422),
        ("GET /v1/search", None, 422),
        (f"GET {MODEL}/versions/1/diff", None, 422),
        ("GET /v1/nothing", None, 404),
        ("DELETE /v1/deployments", None, 404),
        ("POST /library/list", {}, 404),
    ],
)
def test_what_is_no_request_never_reaches_the_library(ask: Ask, route: str, body: Any, status: int) -> None:
    app = FakeLibrary()
    found, problem = ask(app, route, body)
    assert (found, app.asked) == (status, [])
    assert problem["status"] == status


def test_a_change_needs_a_request_id_in_its_header(ask: Ask) -> None:
    app = FakeLibrary()
    assert ask(app, DEPLOY, GOOD, headers={"idempotency-key": ""})[1]["type"].endswith(":request-id-missing")
    for wrong in ("../x", "x" * 49, "x y z"):
        status, problem = ask(app, DEPLOY, GOOD, headers={"idempotency-key": wrong})
        assert (status, problem["errors"][0]["pointer"]) == (422, "#/request_id")
    assert app.asked == []


def test_a_change_of_an_entity_says_of_which_revision_it_is_one(ask: Ask) -> None:
    app, change = FakeLibrary(), {"archived": True, "why": "replaced"}
    assert ask(app, f"PATCH {MODEL}", change)[0] == 428
    for wrong in ('W/"3"', "3", "*", '"03"', '"x"', '"3", "4"'):
        assert ask(app, f"PATCH {MODEL}", change, headers={"if-match": wrong})[0] == 412
    assert ask(app, f"PATCH {MODEL}", {"why": "nothing else"}, headers={"if-match": '"3"'})[0] == 422
    assert app.asked == []
    assert ask(app, f"PATCH {MODEL}", change, headers={"if-match": '"3"'}) == (200, {"revision": 3})
    assert isinstance(app.asked[0][0], ChangeEntity)


def test_an_entity_comes_with_its_etag(load: Callable[[str], ModuleType]) -> None:
    answer = load("library_api").make_handler(FakeLibrary())(http(f"GET {MODEL}"), CONTEXT)
    assert answer["headers"]["ETag"] == '"3"'


@pytest.mark.parametrize(("minutes", "status"), [(-5, 200), (0, 200), (5, 200), (-6, 403), (6, 403), (60 * 24 * 400, 403)])
def test_a_signature_that_is_too_old_or_ahead_is_refused(ask: Ask, minutes: int, status: int) -> None:
    signed = (NOW + timedelta(minutes=minutes)).strftime("%Y%m%dT%H%M%SZ")
    found, answer = ask(FakeLibrary(), "GET /v1/entities", headers={"x-amz-date": signed})
    assert found == status
    assert status == 200 or answer["type"].endswith(":clock-skewed")
    assert ask(FakeLibrary(), "GET /v1/entities", headers={"x-amz-date": "yesterday"})[0] == 403


def test_a_request_without_a_verified_caller_is_refused(ask: Ask) -> None:
    app = FakeLibrary()
    for route in LIBRARY_ROUTES:
        assert (
            ask(
                app,
                route.key.format(kind="model", name="a", number=1, deployment="a-v1", observation="0" * ID_LENGTH),
                {},
                who=None,
            )[0]
            == 403
        )
    assert app.asked == []


def test_who_lacks_a_role_is_counted_for_the_alarm(load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    refusal = Refusal("", ANNA, "library promote", Role.OWNER, Role.VIEWER)
    app = FakeLibrary(LibraryAccessError("needs owner"), (refusal,))
    load("library_api").make_handler(app)(http("POST /v1/deployments/promote", {"why": "x"}), CONTEXT)
    assert metric_values(logged(capsys))["AccessRefused"] == 1


def test_the_call_of_a_deployment_starts_the_library_and_any_other_is_refused(load: Callable[[str], ModuleType]) -> None:
    module, app = load("library_api"), FakeLibrary()
    assert module.make_handler(app)({"starter": True}, CONTEXT)["version"] == "starter@1"
    others: tuple[dict[str, Any], ...] = ({"starter": True, "who": "me"}, {}, {"Records": []})
    for event in others:
        with pytest.raises(module.UnexpectedLibraryCallError):
            module.make_handler(app)(event, CONTEXT)
    assert app.started == 1


def sealed_header(
    path: str = "/v1/deployments", *, key: SigningKey = PEOPLE_KEY, age: timedelta = timedelta(), request_id: str = "req-1"
) -> dict[str, str]:
    """The header with which the bot names a person for this one request."""
    request = SealedRequest("POST", path, json.dumps(GOOD).encode(), request_id)
    return {HEADER: seal_person("telegram:11", request, key, NOW - age)}


def test_a_person_whom_the_bot_names_is_the_one_who_asks(ask: Ask) -> None:
    app = FakeLibrary()
    assert ask(app, DEPLOY, GOOD, headers=sealed_header())[0] == 201
    ((_, who, _),) = app.asked
    assert who == "telegram:11"


def test_a_seal_covers_the_query_of_a_question(ask: Ask) -> None:
    app, asked = FakeLibrary(), "/v1/permission?action=deploy"
    sealed = {HEADER: seal_person("telegram:11", SealedRequest("GET", asked, b""), PEOPLE_KEY, NOW)}
    assert ask(app, f"GET {asked}", headers=sealed)[0] == 200
    assert ask(app, "GET /v1/permission?action=rollback", headers=sealed)[0] == 403
    assert len(app.asked) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {HEADER: "telegram:11"},
        sealed_header("/v1/deployments/rollback"),  # of another request
        sealed_header(request_id="req-2"),  # of another change
        sealed_header(key=REPORT_KEY),
        sealed_header(age=timedelta(minutes=5)),
    ],
)
def test_a_name_that_the_bot_did_not_seal_for_this_request_never_reaches_the_library(ask: Ask, headers: dict[str, str]) -> None:
    app = FakeLibrary()
    found, problem = ask(app, DEPLOY, GOOD, headers=headers)
    assert (found, problem["type"], app.asked) == (403, "urn:signalbox:problem:unsigned", [])


def test_a_library_without_the_bots_key_takes_nobodys_word(ask: Ask) -> None:
    app = FakeLibrary()
    app.person_keys = None
    assert ask(app, DEPLOY, GOOD, headers=sealed_header())[0] == 403
    assert app.asked == []
