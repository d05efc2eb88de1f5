"""Whatever is sent to the library's routes, the real library answers what its contract says: an answer, or a known problem."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from signalbox.adapters.aws.library_api import library_api
from signalbox.adapters.aws.library_problems import LIBRARY_PROBLEMS
from signalbox.library.routes import LIBRARY_ROUTES, LibraryRoute
from signalbox.observation.rules import ID_LENGTH
from tests.examples import examples
from tests.integration.test_manage_library import INJECTIONS, OWNER, World, archives, world
from tests.unit.lambdas.test_library_handler import http
from tests.unit.library.samples import MODEL
from tools.library_api_docs import ANSWERS, library_openapi

pytestmark = pytest.mark.integration
__all__ = ["archives", "world"]  # fixtures

DOCUMENT: Final = library_openapi()
STATUSES: Final = {one.uri: int(one.status) for one in LIBRARY_PROBLEMS}
HOSTILE: Final[st.SearchStrategy[Any]] = st.sampled_from(
    (*INJECTIONS, None, 7, -1, 1.5, True, [], {}, ["x"], "\ud800", "\x00", "é" * 600, "null")
)
GOOD: Final[dict[str, st.SearchStrategy[Any]]] = {  # by the field's name: values of which many belong to something that exists
    "kind": st.sampled_from(("model", "model", "model", "dataset", "dataset", "feature_set", "strategy")),
    "needs_kind": st.sampled_from(("model", "dataset")),
    "name": st.sampled_from((MODEL, MODEL, "candles", "another", "nothing")),
    "number": st.sampled_from(("1", "2", "newest", "1.0.0", "0")),
    "deployment": st.sampled_from((f"{MODEL}-v1", "nothing")),
    "version": st.sampled_from((MODEL, f"{MODEL}@1", "nothing")),
    "other": st.sampled_from((MODEL, f"{MODEL}@1", "candles@1")),
    "needs": st.sampled_from((MODEL, "candles@1", "candles@2")),
    "sha256": st.sampled_from(("0" * 64, "1" * 64)),
    "tags": st.lists(st.sampled_from(("weekly", "small")), max_size=2),
    "tag": st.sampled_from(("weekly", "small")),
    "words": st.text("ab é'&|<>:*!()\\%-", min_size=1, max_size=30),
    "limit": st.sampled_from((1, 2, 500)),
    "archived": st.booleans(),
    "override": st.booleans(),
    "to": st.sampled_from((1, 2, 99)),
    "stage": st.sampled_from(("shadow", "active")),
    "why": st.text("ab é'&|<>:*!()\\%-", min_size=1, max_size=60),
    "description": st.text("ab é'&|<>:*!()\\%-", min_size=1, max_size=60),
    "beside": st.booleans(),
    "action": st.sampled_from(("deploy", "promote", "rollback")),
    "rules": st.sampled_from(("{}", "[]", "{", '{"version": 1}')),
    "observation": st.sampled_from(("0" * ID_LENGTH, "nothing")),
    "verdict": st.sampled_from(("GO", "NO-GO", "EXTEND")),
    "reasons": st.lists(st.sampled_from(("all hold", "too few")), min_size=1, max_size=2),
    "cursor": st.sampled_from(("abc", "abc.def", "W10=." + "0" * 64)),
}


@st.composite
def requests(draw: st.DrawFn, route: LibraryRoute) -> dict[str, Any]:
    """A request of a route with values that fit mostly; one in four has a hostile or an unknown one."""
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    path = route.path.format(**{name: draw(GOOD[name]) for name in route.parameters})
    if route.method == "GET":
        names = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
    else:
        names = list(DOCUMENT["components"]["schemas"][route_body(operation)]["properties"])
    facts = {name: draw(GOOD[name]) for name in names if (draw(st.integers(0, 9)) > 0) == (name != "cursor")}
    if draw(st.integers(0, 3)) == 0:
        facts[draw(st.sampled_from((*names, "unknown")))] = draw(HOSTILE)
    headers = {"idempotency-key": f"req-{draw(st.integers(0, 10**9))}", "if-match": f'"{draw(st.integers(0, 2))}"'}
    if route.method != "GET":
        return http(f"{route.method} {path}", facts, who=OWNER, headers=headers)
    question = http(f"GET {path}", who=OWNER)
    as_text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
    return {**question, "queryStringParameters": as_text}


def route_body(operation: dict[str, Any]) -> str:
    """Return the name of an operation's body."""
    return str(operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]).rpartition("/")[2]


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.tuples(*(requests(route) for route in LIBRARY_ROUTES)))
def test_every_answer_is_one_that_the_contract_has(world: World, sent: tuple[dict[str, Any], ...]) -> None:
    if world.numbers == 0:
        world.register("passing")
        world.serve(world.change("deploy", version=MODEL)["deployment"])
    for route, one in zip(LIBRARY_ROUTES, sent, strict=True):
        answer = library_api(world.app).resolve(one, None)  # type: ignore[arg-type] # no route asks for Lambda's context
        status, body = answer["statusCode"], json.loads(answer["body"])
        event(f"{route.key} {status}")
        described = DOCUMENT["paths"][route.path][route.method.lower()]["responses"]
        if status < 300:
            assert str(status) in described
            TypeAdapter(ANSWERS[route.verb]).validate_python(body, strict=True)
            assert ("ETag" in answer["headers"]) == ("headers" in described[str(status)])
        else:
            assert answer["headers"]["Content-Type"] == "application/problem+json"
            assert STATUSES[body["type"]] == body["status"] == status
            assert body["type"] != "urn:signalbox:problem:ledger-unavailable", body
