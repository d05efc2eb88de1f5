"""The library's door: who is let in, what is refused before the library hears of it, and how a refusal reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from signalbox.access import Refusal, Role
from signalbox.inference.errors import BundleGoldenError
from signalbox.ledger_errors import LedgerUnavailableError
from signalbox.library.commands import AnyLibraryRequest, DeployVersion
from signalbox.library.errors import (
    ApprovalRefusedError,
    DeploymentConflictError,
    DeploymentRefusedError,
    LibraryAccessError,
    LifecycleError,
    UnknownVersionError,
)
from signalbox.signing import AcceptedKeys, SigningKey
from signalbox.trading.person_seal import HEADER, SealedRequest, seal_person
from tests.fakes.keys import PEOPLE_KEY, REPORT_KEY, FixedKeys
from tests.unit.lambdas.test_handlers import CONTEXT, logged, metric_values

ANNA = "arn:aws:iam::123456789012:user/anna"
GOOD = {"version": "dir60@3", "why": "better", "request_id": "req-1"}


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
        return {"deployment": "dir60-v3"}

    def start(self, at: datetime) -> Any:
        assert at.tzinfo is not None
        self.started += 1
        return {"version": "starter@1", "deployment": {"deployment": "starter-v1"}}

    def publish(self) -> int:
        self.publishes += 1
        return 0

    def take_denied(self) -> tuple[Refusal, ...]:
        return self.denied


def http(
    verb: str, body: Any, *, who: str | None = ANNA, method: str = "POST", headers: dict[str, str] | None = None
) -> dict[str, Any]:
    authorizer = {} if who is None else {"authorizer": {"iam": {"userArn": who}}}
    path = f"/library/{verb}"
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers or {},
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

    def asked(app: FakeLibrary, verb: str, body: Any, **changes: Any) -> tuple[int, dict[str, Any]]:
        answer = module.make_handler(app)(http(verb, body, **changes), CONTEXT)
        return answer["statusCode"], json.loads(answer["body"])

    return asked


def test_a_request_is_parsed_named_and_timed_by_the_gateway(ask: Ask) -> None:
    app = FakeLibrary()
    assert ask(app, "deploy", GOOD) == (200, {"deployment": "dir60-v3"})
    ((asked, who, at),) = app.asked
    assert isinstance(asked, DeployVersion)
    assert (asked.version, asked.why, who, at) == ("dir60@3", "better", ANNA, datetime.fromtimestamp(1_795_867_200, UTC))
    assert app.publishes == 1


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (LibraryAccessError("needs owner"), 403, "role-missing"),
        (UnknownVersionError("no model"), 404, "unknown-version"),
        (DeploymentConflictError("on its way"), 409, "deployment-conflict"),
        (DeploymentRefusedError("is rejected"), 409, "deployment-refused"),
        (ApprovalRefusedError("G1 fail"), 409, "approval-refused"),
        (LifecycleError("is retired"), 409, "illegal-step"),
        (BundleGoldenError("0.3 apart"), 422, "bundle-refused"),
        (LedgerUnavailableError("away"), 503, "ledger-unavailable"),
    ],
)
def test_a_refusal_is_a_problem_document(ask: Ask, error: Exception, status: int, kind: str) -> None:
    found, problem = ask(FakeLibrary(error), "deploy", GOOD)
    assert (found, problem["type"], problem["detail"]) == (status, f"urn:signalbox:problem:{kind}", str(error))
    assert problem["instance"].endswith("r-1")


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("deploy", "{", 400),
        ("deploy", "[]", 400),
        ("deploy", '{"version": "dir60", "version": "dir61"}', 400),
        ("deploy", "[" * 16_000, 400),
        ("deploy", json.dumps({**GOOD, "why": "x" * 20_000}), 400),
        ("deploy", {**GOOD, "verb": "list"}, 400),
        ("deploy", None, 422),
        ("deploy", {**GOOD, "unknown": 1}, 422),
        ("deploy", {**GOOD, "version": 3}, 422),
        ("deploy", {**GOOD, "version": "dir60'; DROP TABLE versions; --"}, 422),
        ("deploy", {**GOOD, "request_id": "../x"}, 422),
        ("nothing", {}, 422),
    ],
)
def test_what_is_no_request_never_reaches_the_library(ask: Ask, verb: str, body: Any, status: int) -> None:
    app = FakeLibrary()
    found, problem = ask(app, verb, body)
    assert (found, app.asked) == (status, [])
    assert problem["status"] == status


def test_a_request_without_a_verified_caller_is_refused(ask: Ask) -> None:
    app = FakeLibrary()
    assert ask(app, "list", {}, who=None)[0] == 401
    assert ask(app, "list", {}, method="GET")[0] == 404
    assert app.asked == []


def test_who_lacks_a_role_is_counted_for_the_alarm(load: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    refusal = Refusal("", ANNA, "library promote", Role.OWNER, Role.VIEWER)
    app = FakeLibrary(LibraryAccessError("needs owner"), (refusal,))
    load("library_api").make_handler(app)(http("promote", {"why": "x", "request_id": "req-1"}), CONTEXT)
    assert metric_values(logged(capsys))["AccessRefused"] == 1


def test_the_call_of_a_deployment_starts_the_library_and_any_other_is_refused(load: Callable[[str], ModuleType]) -> None:
    module, app = load("library_api"), FakeLibrary()
    assert module.make_handler(app)({"starter": True}, CONTEXT)["version"] == "starter@1"
    others: tuple[dict[str, Any], ...] = ({"starter": True, "who": "me"}, {}, {"Records": []})
    for event in others:
        with pytest.raises(module.UnexpectedLibraryCallError):
            module.make_handler(app)(event, CONTEXT)
    assert app.started == 1


def sealed_header(verb: str = "deploy", *, key: SigningKey = PEOPLE_KEY, age: timedelta = timedelta()) -> dict[str, str]:
    """The header with which the bot names a person for this one request."""
    request = SealedRequest("POST", f"/library/{verb}", json.dumps(GOOD).encode())
    return {HEADER: seal_person("telegram:11", request, key, datetime.fromtimestamp(1_795_867_200, UTC) - age)}


def test_a_person_whom_the_bot_names_is_the_one_who_asks(ask: Ask) -> None:
    app = FakeLibrary()
    assert ask(app, "deploy", GOOD, headers=sealed_header())[0] == 200
    ((_, who, _),) = app.asked
    assert who == "telegram:11"


@pytest.mark.parametrize(
    "headers",
    [
        {HEADER: "telegram:11"},
        sealed_header("rollback"),  # of another request
        sealed_header(key=REPORT_KEY),
        sealed_header(age=timedelta(minutes=5)),
    ],
)
def test_a_name_that_the_bot_did_not_seal_for_this_request_never_reaches_the_library(ask: Ask, headers: dict[str, str]) -> None:
    app = FakeLibrary()
    found, problem = ask(app, "deploy", GOOD, headers=headers)
    assert (found, problem["type"], app.asked) == (401, "urn:signalbox:problem:unsigned", [])


def test_a_library_without_the_bots_key_takes_nobodys_word(ask: Ask) -> None:
    app = FakeLibrary()
    app.person_keys = None
    assert ask(app, "deploy", GOOD, headers=sealed_header())[0] == 401
    assert app.asked == []
