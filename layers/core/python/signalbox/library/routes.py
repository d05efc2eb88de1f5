"""The routes of the library's API, each written once: the gateway, the function, the contract and the clients read this table.

A route is a request of commands.py in HTTP: the path, the query and the body give its fields, and two headers the rest
(`Idempotency-Key`: request_id; `If-Match`: revision).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

VERSION: Final = "1"  # of the API, in its paths and its document; raise it with every breaking change
NEWEST: Final = "newest"  # in a path instead of a version's number
REQUEST_ID_HEADER: Final = "Idempotency-Key"
REVISION_HEADER: Final = "If-Match"
_ENTITY: Final = "/v1/entities/{kind}/{name}"
_ONE: Final = f"{_ENTITY}/versions/{{number}}"
_PARAMETER: Final = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True)
class LibraryRoute:
    """One route. verb: of its request. makes: whether success is 201."""

    method: str
    path: str
    verb: str
    summary: str
    makes: bool = False

    @property
    def key(self) -> str:
        """The route as the gateway names it."""
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters of its path."""
        return tuple(_PARAMETER.findall(self.path))


HEALTH: Final = LibraryRoute("GET", "/health", "health", "Show whether the ledger answers, and your role")
LIBRARY_ROUTES: Final = (
    HEALTH,
    LibraryRoute("GET", "/v1/entities", "entities", "List entities"),
    LibraryRoute("POST", "/v1/entities", "create", "Create an entity", makes=True),
    LibraryRoute("GET", _ENTITY, "entity", "Show an entity"),
    LibraryRoute("PATCH", _ENTITY, "change", "Describe or archive an entity"),
    LibraryRoute("GET", f"{_ENTITY}/versions", "list", "List the versions of an entity"),
    LibraryRoute("POST", f"{_ENTITY}/versions", "register", "Register a version", makes=True),
    LibraryRoute("GET", "/v1/versions", "list", "List versions of a kind"),
    LibraryRoute("GET", _ONE, "show", "Show a version"),
    LibraryRoute("GET", f"{_ONE}/evaluations", "evaluations", "Show the judgements of a version"),
    LibraryRoute("GET", f"{_ONE}/lineage", "lineage", "Show what a version was made from, and what from it"),
    LibraryRoute("GET", f"{_ONE}/diff", "compare", "Show in what two versions differ"),
    LibraryRoute("GET", f"{_ONE}/live-diff", "compare-live", "Show how two models did on what both decided"),
    LibraryRoute("POST", f"{_ONE}/dependencies", "depend", "Record what a version was made from"),
    LibraryRoute("POST", f"{_ONE}/approve", "approve", "Approve a version"),
    LibraryRoute("POST", f"{_ONE}/reject", "reject", "Reject a version"),
    LibraryRoute("POST", f"{_ONE}/withdraw", "withdraw", "Take back a model that decides beside the one that serves"),
    LibraryRoute("POST", f"{_ONE}/retire", "retire", "Retire a version"),
    LibraryRoute("GET", "/v1/deployments", "deployments", "List deployments, and what serves"),
    LibraryRoute("POST", "/v1/deployments", "deploy", "Deploy a version", makes=True),
    LibraryRoute("POST", "/v1/deployments/promote", "promote", "Deploy as active what serves as shadow"),
    LibraryRoute("POST", "/v1/deployments/rollback", "rollback", "Go back to an earlier deployment"),
    LibraryRoute("GET", "/v1/deployments/{deployment}", "deployment", "Show a deployment with its steps"),
    LibraryRoute("GET", "/v1/permission", "permission", "Show whether you may make a change"),
    LibraryRoute("POST", "/v1/observations", "observe", "Begin to observe what serves", makes=True),
    LibraryRoute("POST", "/v1/observations/{observation}/end", "end-observation", "End an observation with its verdict"),
    LibraryRoute("GET", "/v1/history", "history", "Show the newest changes"),
    LibraryRoute("GET", "/v1/search", "search", "Find versions by words"),
)


@dataclass(frozen=True, slots=True)
class AddressedRequest:
    """A request ready to be signed and sent. body: None for a question."""

    method: str
    path: str  # with its query
    headers: Mapping[str, str]
    body: Mapping[str, Any] | None


def facts_in_path(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a request that the path gives. A version is its entity's name and a number."""
    found = dict(values)
    if (number := found.pop("number", None)) is not None:
        name = found.pop("name")
        found["version"] = name if number == NEWEST else f"{name}@{number}"
    return found


def addressed(verb: str, facts: Mapping[str, Any]) -> AddressedRequest:
    """Return the HTTP request for a request of the library. facts: its fields in JSON's types, without those that are None."""
    given = {key: value for key, value in facts.items() if value is not None}
    headers = {}
    if (request_id := given.pop("request_id", None)) is not None:
        headers[REQUEST_ID_HEADER] = str(request_id)
    if (revision := given.pop("revision", None)) is not None:
        headers[REVISION_HEADER] = etag(revision)
    routes = [one for one in LIBRARY_ROUTES if one.verb == verb]
    route = next(one for one in routes if "name" not in one.parameters or {"name", "version"} & given.keys())
    if "number" in route.parameters:
        name, _, number = str(given.pop("version")).partition("@")
        given |= {"name": name, "number": number or NEWEST}
    inside = {name: str(given.pop(name, "model" if name == "kind" else "")) for name in route.parameters}
    path = route.path.format(**inside)
    if route.method == "GET":
        query = urlencode({key: str(value).lower() if isinstance(value, bool) else value for key, value in given.items()})
        return AddressedRequest(route.method, f"{path}?{query}" if query else path, headers, None)
    return AddressedRequest(route.method, path, headers, given)


def etag(revision: int) -> str:
    """Return the entity tag of a revision."""
    return f'"{revision}"'
