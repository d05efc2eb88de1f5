"""docs/api/library.json says what the routes, requests and answers of the library's API say."""

from __future__ import annotations

import re

import pytest

from signalbox.adapters.aws.library_problems import LIBRARY_PROBLEMS
from signalbox.library import errors
from signalbox.library.commands import NEEDED_ROLES
from signalbox.library.routes import LIBRARY_ROUTES
from tests.unit.tools.test_api_docs import references
from tools.library_api_docs import ANSWERS, PAGE, REQUESTS, library_openapi, library_text

DOCUMENT = library_openapi()
OPERATIONS = [one for path in DOCUMENT["paths"].values() for one in path.values()]


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text(encoding="utf-8") == library_text(), "run: make docs"


def test_every_route_is_described_and_no_other() -> None:
    described = {f"{method.upper()} {path}" for path, one in DOCUMENT["paths"].items() for method in one}
    assert described == {route.key for route in LIBRARY_ROUTES}
    assert set(ANSWERS) == set(REQUESTS) | {"health"} == set(NEEDED_ROLES) | {"health"}


def test_every_reference_leads_to_a_schema_and_every_schema_is_referred_to() -> None:
    assert references(DOCUMENT) == {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}


def test_each_operation_has_its_own_name_and_its_refusals_are_problems() -> None:
    assert len({one["operationId"] for one in OPERATIONS}) == len(OPERATIONS) == len(LIBRARY_ROUTES)
    for one in OPERATIONS:
        assert set(one["responses"]["default"]["content"]) == {"application/problem+json"}


@pytest.mark.parametrize(
    ("request_name", "fields", "required"),
    [
        ("CreateEntity", {"kind", "name", "description", "why"}, {"kind", "name", "why"}),
        ("ChangeEntity", {"description", "archived", "why"}, {"why"}),
        ("RegisterVersion", {"sha256", "tags", "why"}, {"sha256", "why"}),
        ("ApproveVersion", {"override", "why"}, {"why"}),
        ("DeployVersion", {"version", "stage", "beside", "why"}, {"version", "why"}),
        ("AddDependency", {"needs_kind", "needs", "why"}, {"needs_kind", "needs", "why"}),
    ],
)
def test_a_body_asks_for_what_path_and_headers_do_not_say(request_name: str, fields: set[str], required: set[str]) -> None:
    schema = DOCUMENT["components"]["schemas"][request_name]
    assert (set(schema["properties"]), set(schema["required"])) == (fields, required)
    assert schema["additionalProperties"] is False


def test_every_change_asks_for_a_request_id_and_a_change_of_an_entity_for_its_etag() -> None:
    for route in LIBRARY_ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        headers = {one["name"] for one in operation["parameters"] if one["in"] == "header" and one["required"]}
        assert headers == ({"Idempotency-Key"} if route.method == "POST" else set()) | (
            {"Idempotency-Key", "If-Match"} if route.method == "PATCH" else set()
        )
        in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", route.path))


def test_each_error_of_the_library_has_a_problem_that_none_before_it_hides() -> None:
    assert len({one.name for one in LIBRARY_PROBLEMS}) == len(LIBRARY_PROBLEMS)
    for place, one in enumerate(LIBRARY_PROBLEMS):
        before = tuple(error for other in LIBRARY_PROBLEMS[:place] for error in other.errors)
        assert not any(issubclass(error, before) for error in one.errors if before)
    named = {error for one in LIBRARY_PROBLEMS[:-1] for error in one.errors}
    mine = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.LibraryError)}
    # of jobs, which this API does not start
    assert {kind.__name__ for kind in mine - named} == {"LibraryError", "TrainingPlanError", "UnknownBundleError"}
