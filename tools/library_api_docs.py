"""Writes docs/api/library.json: the library's API as OpenAPI 3.1, from its routes, requests and answers.

The resolver of the function is made from the same routes, so what it serves is what is described. `make docs` or
`python -m tools.library_api_docs` writes the page; a test fails if it is out of date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import TypeAdapter

from signalbox.adapters.aws.library_api import MAX_LIBRARY_BODY, MAX_SKEW
from signalbox.library import documents
from signalbox.library.commands import AnyLibraryRequest, EntityName, LibraryChange, LibraryRequest
from signalbox.library.entries import EntityKind
from signalbox.library.routes import HEALTH, LIBRARY_ROUTES, NEWEST, REQUEST_ID_HEADER, REVISION_HEADER, VERSION, LibraryRoute
from signalbox.observation.rules import ID_LENGTH
from signalbox.problems import MEDIA_TYPE, Problem
from tools.api_docs import FOLDER, SCHEMAS, SIGNED, SIGV4, reference

PAGE: Final = FOLDER / "library.json"
REQUESTS: Final[Mapping[str, type[LibraryRequest]]] = {
    get_args(one.model_fields["verb"].annotation)[0]: one for one in get_args(AnyLibraryRequest)
}
ANSWERS: Final[Mapping[str, type[Any]]] = {
    "health": documents.LibraryHealthDocument,
    "entities": documents.EntitiesDocument,
    **dict.fromkeys(("entity", "create", "change"), documents.EntityDocument),
    **dict.fromkeys(("list", "search"), documents.VersionsDocument),
    "register": documents.RegisteredDocument,
    **dict.fromkeys(("approve", "reject", "retire"), documents.VersionDocument),
    "evaluations": documents.EvaluationsDocument,
    **dict.fromkeys(("lineage", "depend"), documents.LineageDocument),
    "show": documents.ShownVersionDocument,
    "compare": documents.ComparedDocument,
    "compare-live": documents.LiveComparedDocument,
    "deployments": documents.DeploymentsDocument,
    **dict.fromkeys(("deploy", "promote", "withdraw", "rollback"), documents.LibraryDeploymentDocument),
    "deployment": documents.DeploymentStepsDocument,
    "history": documents.HistoryDocument,
    "permission": documents.PermissionDocument,
    **dict.fromkeys(("observe", "end-observation"), documents.ObservationDocument),
}
_NUMBER: Final = {"type": "string", "pattern": rf"^({NEWEST}|[0-9]{{1,9}}(\.[0-9]{{1,9}}\.[0-9]{{1,9}})?)$"}
_ETAG: Final = {"type": "string", "pattern": '^"[0-9]{1,9}"$'}
_INTRO: Final = (
    "The library of models, strategies, feature sets and data sets: versions, judgements, deployments. Sign each request with"
    f" SigV4 for the service execute-api, within {MAX_SKEW.seconds // 60} minutes. Every change has a request id in"
    f" {REQUEST_ID_HEADER}, the same in every retry; the same id with another content, or of another caller, is refused. A list"
    f" gives the cursor of its next page as `next`. A body has at most {MAX_LIBRARY_BODY:,} bytes. Every refusal is a problem"
    " details object (RFC 9457); the types are in problems.md."
)


def library_openapi() -> dict[str, Any]:
    """Return the OpenAPI document."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for route in LIBRARY_ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Signalbox library API", "version": VERSION, "description": _INTRO},
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": {SIGNED: SIGV4}},
        "security": [{SIGNED: []}],
    }


def _operation(route: LibraryRoute, schemas: dict[str, Any]) -> dict[str, Any]:
    answer = {"description": "done", "content": {"application/json": {"schema": reference(ANSWERS[route.verb], schemas)}}}
    if route.verb in {"entity", "create", "change"}:
        answer["headers"] = {"ETag": {"description": "the entity's revision", "schema": _ETAG}}
    answers = {"201": answer} if route.makes else {"200": answer}
    if route.verb == "register":
        answers["200"] = {**answer, "description": "it was registered before"}
    found: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "parameters": _parameters(route, schemas),
        "responses": {
            **answers,
            "default": {"description": "refused", "content": {MEDIA_TYPE: {"schema": reference(Problem, schemas)}}},
        },
    }
    if route is HEALTH:
        return found
    request = REQUESTS[route.verb]
    found["description"] = " ".join((request.__doc__ or "").split())
    if issubclass(request, LibraryChange):
        body = _body(route, request, schemas)
        schemas[request.__name__] = body
        content = {"application/json": {"schema": {"$ref": f"{SCHEMAS}{request.__name__}"}}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _name(route: LibraryRoute) -> str:
    """Return the operation's name: its request's; the versions of one entity are asked for by two routes."""
    if route is HEALTH:
        return "askHealth"
    name = REQUESTS[route.verb].__name__
    return name[0].lower() + name[1:] + ("OfEntity" if route.verb == "list" and "name" in route.parameters else "")


def _parameters(route: LibraryRoute, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    in_path = {
        "kind": TypeAdapter(EntityKind).json_schema(),
        "name": TypeAdapter(EntityName).json_schema(),
        "number": _NUMBER,
        "deployment": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"},
        "observation": {"type": "string", "pattern": rf"^[0-9a-f]{{{ID_LENGTH}}}$"},
    }
    found = [{"name": name, "in": "path", "required": True, "schema": in_path[name]} for name in route.parameters]
    if route is HEALTH:
        return found
    request = REQUESTS[route.verb]
    fields = _fields(request, schemas)
    if not issubclass(request, LibraryChange):
        required = request.model_json_schema().get("required", ())
        found += [
            {"name": name, "in": "query", "required": name in required, "schema": _without_null(fields[name])}
            for name in fields.keys() - _outside(route)
        ]
        return sorted(found, key=lambda one: (str(one["in"]), str(one["name"])))
    found.append({"name": REQUEST_ID_HEADER, "in": "header", "required": True, "schema": fields["request_id"]})
    if "revision" in fields:
        found.append({"name": REVISION_HEADER, "in": "header", "required": True, "schema": _ETAG})
    return found


def _outside(route: LibraryRoute) -> set[str]:
    """Return the fields of a request that are in no query and no body."""
    return {"verb", "request_id", "revision", *route.parameters, *(("version",) if "number" in route.parameters else ())}


def _body(route: LibraryRoute, request: type[LibraryRequest], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = request.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
    schemas |= schema.pop("$defs", {})
    outside = _outside(route)
    schema["properties"] = {name: one for name, one in schema["properties"].items() if name not in outside}
    schema["required"] = [name for name in schema.get("required", ()) if name not in outside]
    if route.verb == "change":
        schema["anyOf"] = [{"required": ["description"]}, {"required": ["archived"]}]
    return schema


def _fields(request: type[LibraryRequest], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = request.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
    if not issubclass(request, LibraryChange):
        schemas |= schema.pop("$defs", {})
    found: dict[str, Any] = schema["properties"]
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value in a query, where null cannot be written."""
    kept = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return kept[0] if len(kept) == 1 else schema


def library_text() -> str:
    """Return the document as text, as it is stored."""
    return json.dumps(library_openapi(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(library_text(), encoding="utf-8")
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
