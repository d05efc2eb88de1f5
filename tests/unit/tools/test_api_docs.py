"""docs/api says what the routes, commands and answers say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from signalbox.adapters.aws.trading_problems import PROBLEM_TYPES
from signalbox.wire import parse_object
from tools.api_docs import OPENAPI, PROBLEMS, ROUTES, main, openapi, openapi_text, problems_page

DOCUMENT = openapi()


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*(references(inner) for inner in value.values()))
    return set().union(*(references(inner) for inner in value)) if isinstance(value, list) else set()


def test_the_pages_are_not_stale() -> None:
    assert OPENAPI.read_text(encoding="utf-8") == openapi_text(), "run: make docs"
    assert PROBLEMS.read_text(encoding="utf-8") == problems_page(), "run: make docs"


def test_every_route_is_described_and_no_other() -> None:
    assert {f"{method} {path}" for path, one in DOCUMENT["paths"].items() for method in one} == set(ROUTES)


def test_every_reference_leads_to_a_schema_and_every_schema_is_referred_to() -> None:
    found = references(DOCUMENT)
    assert found == {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}


def test_each_operation_has_its_own_name_and_its_refusals_are_problems() -> None:
    operations = [one for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations) == len(ROUTES)
    for one in operations:
        assert set(one["responses"]["default"]["content"]) == {"application/problem+json"}


@pytest.mark.parametrize(
    ("command", "required"),
    [
        ("SubmitOrder", {"account", "request_id", "requested_at", "symbol", "side", "type", "quantity"}),
        ("HaltTrading", {"request_id", "why"}),
        ("CancelOrder", set()),
        ("ReplaceOrder", {"account", "request_id"}),
    ],
)
def test_a_body_asks_for_what_path_and_gateway_do_not_say(command: str, required: set[str]) -> None:
    schema = DOCUMENT["components"]["schemas"][command]
    assert set(schema.get("required", ())) == required
    assert schema["additionalProperties"] is False
    assert "kind" not in schema["properties"]


def test_no_problem_type_is_named_twice_or_hidden_by_one_before_it() -> None:
    assert len({one.name for one in PROBLEM_TYPES}) == len(PROBLEM_TYPES)
    for place, one in enumerate(PROBLEM_TYPES):
        before = tuple(error for other in PROBLEM_TYPES[:place] for error in other.errors)
        assert not any(issubclass(error, before) for error in one.errors if before)


def test_writing_them_gives_the_pages(tmp_path: Path) -> None:
    main(tmp_path)
    assert parse_object((tmp_path / "openapi.json").read_text()) == DOCUMENT
    assert (tmp_path / "problems.md").read_text() == problems_page()
