"""Writes docs/api/: the orders API as OpenAPI 3.1, and its problem types, from its routes, commands and answers.

The resolver knows routes, paths and summaries. It does not validate (trading_api says why), so it does not know the request
bodies; those come from the command models. `make docs` or `python -m tools.api_docs` writes the pages; a test fails if they are
out of date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, cast

from pydantic import TypeAdapter

from signalbox.adapters.aws.library_problems import LIBRARY_PROBLEMS
from signalbox.adapters.aws.problem_types import ProblemType
from signalbox.adapters.aws.trading_api import MAX_BODY, ApiTradingService, trading_api
from signalbox.adapters.aws.trading_problems import PROBLEM_TYPES
from signalbox.problems import MEDIA_TYPE, Problem
from signalbox.trading import commands
from signalbox.trading.access import GrantAccess, RevokeAccess
from signalbox.trading.documents import (
    AccessDocument,
    AccountDocument,
    AccountsDocument,
    OrderAnswerDocument,
    ReadinessDocument,
)

REPOSITORY: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = REPOSITORY / "docs" / "api"
OPENAPI: Final = FOLDER / "openapi.json"
PROBLEMS: Final = FOLDER / "problems.md"
VERSION: Final = "1"  # version of the API in its document; raise it with every breaking change
SCHEMAS: Final = "#/components/schemas/"
SIGNED: Final = "iam"
SIGV4: Final = {"type": "apiKey", "in": "header", "name": "Authorization", "x-amazon-apigateway-authtype": "awsSigv4"}

# Name, body (None: no body) and answer of each route. The generator fails for a route without a line here.
ROUTES: Final[Mapping[str, tuple[str, type[commands.Command] | None, type[Any]]]] = {
    "post /orders": ("submitOrder", commands.SubmitOrder, OrderAnswerDocument),
    "delete /orders/{client_order_id}": ("cancelOrder", commands.CancelOrder, OrderAnswerDocument),
    "put /orders/{client_order_id}": ("replaceOrder", commands.ReplaceOrder, OrderAnswerDocument),
    "put /accounts/{account}": ("openAccount", commands.OpenAccount, AccountDocument),
    "post /accounts/{account}/confirm": ("confirmAccount", commands.ConfirmAccount, AccountDocument),
    "post /accounts/{account}/lots": ("chooseLots", commands.ChooseLots, AccountDocument),
    "post /accounts/{account}/adopt": ("adoptPosition", commands.AdoptPosition, AccountDocument),
    "post /accounts/{account}/deposit": ("depositMoney", commands.DepositMoney, AccountDocument),
    "post /accounts/{account}/withdraw": ("withdrawMoney", commands.WithdrawMoney, AccountDocument),
    "post /accounts/{account}/halt": ("haltTrading", commands.HaltTrading, AccountDocument),
    "post /accounts/{account}/resume": ("resumeTrading", commands.ResumeTrading, AccountDocument),
    "post /accounts/{account}/grant": ("grantAccess", GrantAccess, AccessDocument),
    "post /accounts/{account}/revoke": ("revokeAccess", RevokeAccess, AccessDocument),
    "get /accounts": ("listAccounts", None, AccountsDocument),
    "get /accounts/{account}": ("showAccount", None, AccountDocument),
    "get /accounts/{account}/readiness": ("showReadiness", None, ReadinessDocument),
    "get /accounts/{account}/access": ("listAccess", None, AccessDocument),
}
_IN_THE_BODY: Final = {"post /orders": "requested_at"}  # optional in the other routes, which use the gateway's time
_INTRO: Final = (
    "Commands to trading accounts, for callers with an IAM identity. Sign each request with SigV4 for the service execute-api. "
    f"A body has at most {MAX_BODY:,} bytes. Every refusal is a problem details object (RFC 9457); the types are in problems.md. "
    "Amounts are decimal text; a JSON number is read digit by digit."
)


class _Nobody(ApiTradingService):
    """A service for routes that are only described, never called."""

    def _no(self, *_facts: object) -> NoReturn:
        raise NotImplementedError("the routes are only described here and cannot be called")

    command = change_access = access = query = readiness_report = listed = cast("Callable[..., NoReturn]", _no)


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document."""
    api = trading_api(_Nobody(), lambda _: None)
    document: dict[str, Any] = json.loads(  # our own generator's text
        api.get_openapi_json_schema(title="Signalbox orders API", version=VERSION, openapi_version="3.1.0", description=_INTRO)
    )
    schemas: dict[str, Any] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, f"{method} {path}", schemas)
    document["components"] = {
        "schemas": dict(sorted(schemas.items())),
        "securitySchemes": {SIGNED: SIGV4},
    }
    document["security"] = [{SIGNED: []}]
    return document


def _complete(operation: dict[str, Any], route: str, schemas: dict[str, Any]) -> None:
    """Add what the resolver does not know: operation id, request body and answers."""
    operation["operationId"], command, answer = ROUTES[route]
    if command is not None:
        in_path = re.findall(r"{(\w+)}", route)
        body = _body(command, in_path, _IN_THE_BODY.get(route))
        schemas |= body.pop("$defs", {})
        schemas[command.__name__] = body
        operation["requestBody"] = {
            "required": bool(body.get("required")),
            "content": {"application/json": {"schema": {"$ref": f"{SCHEMAS}{command.__name__}"}}},
        }
        operation["description"] = " ".join((command.__doc__ or "").split())
    if route.startswith("delete"):
        operation["parameters"] += [
            {"name": name, "in": "query", "required": False, "schema": {"type": "string"}} for name in ("account", "request_id")
        ]
    created = "201" if route == "post /orders" else "200"
    operation["responses"] = {
        created: {"description": "done", "content": {"application/json": {"schema": reference(answer, schemas)}}},
        "default": {"description": "refused", "content": {MEDIA_TYPE: {"schema": reference(Problem, schemas)}}},
    }


def reference(kind: type[Any], schemas: dict[str, Any]) -> dict[str, str]:
    """Return a reference to the schema of an answer, which is added to `schemas`."""
    schema = TypeAdapter(kind).json_schema(ref_template=f"{SCHEMAS}{{model}}", mode="serialization")
    schemas |= schema.pop("$defs", {})
    schemas[kind.__name__] = schema
    return {"$ref": f"{SCHEMAS}{kind.__name__}"}


def _body(command: type[commands.Command], in_path: list[str], in_the_body: str | None) -> dict[str, Any]:
    """Return a command's schema as a request body, without its kind. What the path or the gateway provides is optional."""
    schema = command.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
    schema["properties"].pop("kind", None)
    optional = {*in_path, "requested_at"} - {in_the_body}
    if command is commands.CancelOrder:
        optional |= {"account", "request_id"}  # they may be in the query string
    schema["required"] = [name for name in schema.get("required", ()) if name not in optional]
    if not schema["required"]:
        del schema["required"]
    return schema


def openapi_text() -> str:
    """Return the document as text, as it is stored."""
    return json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n"


def problems_page() -> str:
    """Return the page of problem types."""
    orders, library = ([_row(one) for one in types] for types in (PROBLEM_TYPES, LIBRARY_PROBLEMS))
    return "\n".join([_PROBLEMS_HEAD, *orders, "", _LIBRARY_HEAD, *library, ""])


def _row(one: ProblemType) -> str:
    return f"| `{one.name}` | {int(one.status)} | {one.title} | {one.remedy or '`detail` says what to do'} |"


_PROBLEMS_HEAD: Final = f"""\
# Problems

Generated from `trading_problems` and `library_problems` in `signalbox.adapters.aws` by `make docs`; do not edit.

Every refusal of the orders API and of the library API is a problem details object of RFC 9457 with the media type `{MEDIA_TYPE}`:

| member | content |
|---|---|
| `type` | `urn:signalbox:problem:` and a name from the table below; it never changes |
| `title` | the type in words |
| `status` | the HTTP status |
| `detail` | what is wrong with this request |
| `instance` | `urn:signalbox:request:` and the gateway's request id, which is `request` in its access log |
| `errors` | for each wrong value: `detail`, and `pointer`, a JSON Pointer into the body merged with path and query |
| `remedy` | what to do next |

With `--json` a `signalbox` command that fails prints such an object on standard output, prints the error in words on standard
error, and exits with 2. `signalbox accounts` prints the API's own object; for other commands `type` names the error
([the tree](../errors.md)).

Refusals by API Gateway itself have the form `{{"message": ...}}`: 403 without `execute-api:Invoke`, 404 for a
route that is not deployed, 429, and 500, 503 or 504 if the function failed or took too long.

## Of the orders API

| type | status | title | remedy |
|---|---|---|---|"""
_LIBRARY_HEAD: Final = """\
## Of the library API

| type | status | title | remedy |
|---|---|---|---|"""


def main(folder: Path = FOLDER) -> None:
    """Write both pages."""
    folder.mkdir(exist_ok=True)
    (folder / OPENAPI.name).write_text(openapi_text(), encoding="utf-8")
    (folder / PROBLEMS.name).write_text(problems_page(), encoding="utf-8")
    print(f"wrote {OPENAPI.name} and {PROBLEMS.name}")


if __name__ == "__main__":
    main()
