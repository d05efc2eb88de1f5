"""`signalbox accounts ...` as typer sees it; it runs in `command.py`."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from local.cli.instants import parse_instant, parse_period
from local.cli.options import Database, End, Json, Stage, Start

if TYPE_CHECKING:
    from local.cli.accounts.command import OrdersApi

accounts_app = typer.Typer(
    help="Trading accounts of a stage, commanded in your own name: open, confirm, halt, resume, look.", no_args_is_help=True
)
access_app = typer.Typer(help="Who may do what with an account: viewer, operator or owner.", no_args_is_help=True)
accounts_app.add_typer(access_app, name="access")
Who = Annotated[
    str,
    typer.Argument(
        help="ARN of an IAM user or role, or of a session of IAM Identity Center; the unique id of a user or role (AIDA, AROA),"
        " by which a queue knows it; or telegram:NUMBER."
    ),
]
Name = Annotated[str, typer.Argument(help="The account's name, such as ftmo-2step-100k.")]
RequestId = Annotated[
    str | None, typer.Option(help="Of a command that is sent again, as the failed one printed it; default: a new one.")
]
Why = Annotated[str, typer.Option(help="The reason, for the compliance record.")]
At = Annotated[str | None, typer.Option(help="When it happened, ISO 8601 with a zone; default: now.")]
Amount = Annotated[str, typer.Option(help="In the account's currency, above zero.")]
VenueId = Annotated[
    str | None,
    typer.Option(help="The venue's own id of it. A live account needs it: its views bring the same money under that id."),
]


_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{3,47}")  # as commands have it
HALT_LEVELS = ("HALT", "REDUCE_ONLY", "FLATTEN")  # `resume` is the way back


@accounts_app.callback()
def _group() -> None:
    """Trading accounts of a stage."""


def _api(stage: str | None, *, changes: bool = False, is_urgent: bool = False) -> OrdersApi:
    from local.cli.accounts.command import orders_api  # noqa: PLC0415 - boto3 is imported by the command that needs it
    from local.cli.stage import announce, stage_of  # noqa: PLC0415 - as above
    from local.settings import load_settings  # noqa: PLC0415 - as above

    settings = load_settings()
    named = stage_of(stage, settings)
    api = orders_api(named, settings)
    if changes:
        announce(named, api.session, is_urgent=is_urgent)
    return api


def _id_of(given: str | None) -> str:
    """Return the id of a request, a new one unless it was given. Raises DataError."""
    if given is not None and _REQUEST_ID.fullmatch(given) is None:
        from local.errors import DataError  # noqa: PLC0415 - as above

        raise DataError(f"--request-id: expected 4 to 48 letters, digits, - and _, was {given[:60]!r}")
    return given or f"cli-{uuid.uuid4().hex[:16]}"


def _exactly(option: str, text: str | None) -> str | None:
    """Return an instant of the command line as the API takes it. Raises typer.BadParameter."""
    found = parse_instant(text, option)
    return None if found is None else found.isoformat()


def _sent(stage: str | None, verb: str, path: str, request_id: str | None, facts: dict[str, Any]) -> Any:
    given = {key: value for key, value in facts.items() if value is not None}
    return _api(stage, changes=True).call(verb, path, {"request_id": _id_of(request_id), **given})


def _command(stage: str | None, verb: str, path: str, request_id: str | None, *, as_json: bool, **facts: Any) -> None:
    from local.cli.accounts.command import account_text, show  # noqa: PLC0415 - as above

    show(_sent(stage, verb, path, request_id, facts), account_text, as_json=as_json)


@accounts_app.command("list")
def list_accounts(stage: Stage = None, json_output: Json = False) -> None:  # noqa: FBT002 - of typer
    """List every account."""
    from local.cli.accounts.command import listed_text, show  # noqa: PLC0415 - as above

    show(_api(stage).call("GET", "/accounts"), listed_text, as_json=json_output)


@accounts_app.command("show")
def show_account(name: Name, stage: Stage = None, json_output: Json = False) -> None:  # noqa: FBT002 - of typer
    """Show what an account has, holds and works on, and what stops it."""
    from local.cli.accounts.command import account_text, show  # noqa: PLC0415 - as above

    show(_api(stage).call("GET", f"/accounts/{name}"), account_text, as_json=json_output)


@accounts_app.command("readiness")
def readiness(name: Name, stage: Stage = None, json_output: Json = False) -> None:  # noqa: FBT002 - of typer
    """Say whether an account may trade live, and what mends each thing that is against it. Exit code 1 while it may not."""
    from local.cli.accounts.command import readiness_text, show  # noqa: PLC0415 - as above

    found = _api(stage).call("GET", f"/accounts/{name}/readiness")
    show(found, readiness_text, as_json=json_output)
    raise typer.Exit(0 if found["is_ready"] else 1)


@accounts_app.command("open")
def open_account(  # noqa: PLR0917 - typer passes by keyword
    name: Name,
    kind: Annotated[str | None, typer.Option(help="paper, live-spot, ftmo-2step or ftmo-1step; without it, by the name.")] = None,
    capital: Annotated[str | None, typer.Option(help="What it begins with, as 100000.")] = None,
    currency: Annotated[str | None, typer.Option(help="Of the capital; default: USD.")] = None,
    venue: Annotated[str | None, typer.Option(help="paper, coinbase or mt5; default: paper.")] = None,
    mode: Annotated[str | None, typer.Option(help="paper, dry_run or live; default: paper.")] = None,
    phase: Annotated[str | None, typer.Option(help="Of the firm's programme, as challenge or verification.")] = None,
    policy: Annotated[str | None, typer.Option(help="Name of the entry policy's preset.")] = None,
    follows: Annotated[
        str | None, typer.Option(help="A deployment, or active; default: the active one, on paper a shadow where none is active.")
    ] = None,
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Open an account. A live one does not trade before it is confirmed and everything `readiness` names is mended."""
    given = {
        "kind": kind, "capital": capital, "currency": currency, "venue": venue, "mode": mode, "phase": phase, "policy": policy,
        "follows": follows,
    }  # fmt: skip
    configuration = {key: value for key, value in given.items() if value is not None} or None
    if configuration is not None and kind is None:
        from local.errors import DataError  # noqa: PLC0415 - as above

        raise DataError(f"--kind: expected paper, live-spot, ftmo-2step or ftmo-1step beside --{next(iter(configuration))}")
    _command(stage, "PUT", f"/accounts/{name}", request_id, as_json=json_output, configuration=configuration)


@accounts_app.command("confirm")
def confirm(
    name: Name,
    what: Annotated[str, typer.Argument(help="live; the rules you read, as 'ftmo-2step 2026-11.2'; paper or withdrawn.")],
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Confirm, in your name, that an account may trade live, or that you read its firm's rules; or take it back."""
    _command(stage, "POST", f"/accounts/{name}/confirm", request_id, as_json=json_output, what=what)


@accounts_app.command("lots-method")
def lots_method(  # noqa: PLR0917 - typer passes by keyword
    name: Name,
    method: Annotated[str, typer.Argument(help="FIFO, LIFO or HIFO: which lot a closing fill closes first.")],
    start: Annotated[str | None, typer.Option(help="From when: ISO 8601 with a zone; default: now. Never in the past.")] = None,
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Give the standing order of the tax lots."""
    path = f"/accounts/{name}/lots"
    _command(
        stage, "POST", path, request_id, as_json=json_output, method=method.upper(), effective_from=_exactly("--start", start)
    )


def _reads(name: str, does: str, since: str) -> None:
    """Add a command that lists rows of an account and period from the ledger."""

    def rows(  # noqa: PLR0917 - typer passes by keyword
        account: Name,
        start: Start = since,
        end: End = None,
        stage: Stage = None,
        database: Database = None,
        json_output: Json = False,  # noqa: FBT002 - of typer
    ) -> None:
        from local.cli.accounts import ledger  # noqa: PLC0415 - psycopg
        from local.cli.rows import print_rows  # noqa: PLC0415 - rich
        from local.settings import load_settings  # noqa: PLC0415 - as above

        period = parse_period(start, end)
        with ledger.ledger(stage, database, load_settings()) as source:
            found = getattr(ledger, name)(source, account, *period)
        print_rows(name, found, {"account": account, "start": period[0], "end": period[1]}, as_json=json_output)

    accounts_app.command(name, help=does)(rows)


_reads("trades", "List the trades of a period: entry, exit, profit after fees.", "30d")
_reads("orders", "List the orders of a period, as they are now.", "7d")
_reads("equity", "List cash, balance and equity over a period.", "1d")
_reads("history", "List the compliance record: halts, resumes, refusals, limits, commands.", "30d")


@accounts_app.command("lots")
def lots(
    account: Name,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """List the lots that are open, and which of them a closing fill closes first."""
    from local.cli.accounts import ledger  # noqa: PLC0415 - psycopg
    from local.cli.rows import print_rows  # noqa: PLC0415 - rich
    from local.settings import load_settings  # noqa: PLC0415 - as above

    with ledger.ledger(stage, database, load_settings()) as source:
        method, found = ledger.lots(source, account, datetime.now(UTC))
    print_rows("lots", found, {"account": account, "method": method}, as_json=json_output)


@accounts_app.command("adopt")
def adopt(  # noqa: PLR0917 - typer passes by keyword
    name: Name,
    symbol: Annotated[str, typer.Option(help="Such as BTC-USD.")],
    quantity: Annotated[str, typer.Option(help="In base currency; below zero what was sold, as --quantity=-0.1.")],
    price: Annotated[str, typer.Option(help="At which it is booked: neither balance nor equity moves at this price.")],
    why: Why,
    at: At = None,
    fee: Annotated[str | None, typer.Option(help="That was paid for it; default: none.")] = None,
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Book a position that none of our orders opened: an initial holding, dust, a manual trade."""
    given = {"symbol": symbol, "quantity": quantity, "price": price, "why": why, "at": _exactly("--at", at), "fee": fee}
    _command(stage, "POST", f"/accounts/{name}/adopt", request_id, as_json=json_output, **given)


def _books_money(kind: str, does: str) -> None:
    """Add the command that books money which moved, in one direction."""

    def move(  # noqa: PLR0917 - typer passes by keyword
        name: Name,
        amount: Amount,
        why: Why,
        at: At = None,
        venue_id: VenueId = None,
        stage: Stage = None,
        request_id: RequestId = None,
        json_output: Json = False,  # noqa: FBT002 - of typer
    ) -> None:
        given = {"amount": amount, "why": why, "at": _exactly("--at", at), "venue_id": venue_id}
        _command(stage, "POST", f"/accounts/{name}/{kind}", request_id, as_json=json_output, **given)

    accounts_app.command(kind, help=does)(move)


_books_money("deposit", "Book money that came into an account. It is no profit.")
_books_money("withdraw", "Book money that was taken out of an account. It is no loss.")


@accounts_app.command("halt")
def halt(  # noqa: PLR0917 - typer passes by keyword
    name: Name,
    why: Why,
    level: Annotated[str, typer.Option(help="HALT, REDUCE_ONLY or FLATTEN, which closes everything.")] = "HALT",
    until: Annotated[str | None, typer.Option(help="ISO 8601 with a zone; default: until somebody resumes.")] = None,
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Set the kill switch. Where the API does not answer, or throttles, the halt goes by the kill switch's own queue."""
    from local.cli.accounts.command import halt_text, show  # noqa: PLC0415 - as above
    from local.errors import DataError  # noqa: PLC0415 - as above

    until = _exactly("--until", until)
    level = level.upper().replace("-", "_")
    if level not in HALT_LEVELS:
        raise DataError(f"--level: expected {', '.join(HALT_LEVELS)}, was {level}")

    facts = {"request_id": _id_of(request_id), "why": why, "level": level}
    show(
        _api(stage, changes=True, is_urgent=True).halt(name, facts if until is None else {**facts, "until": until}),
        halt_text,
        as_json=json_output,
    )


@accounts_app.command("resume")
def resume(
    name: Name,
    why: Why,
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Release the kill switch, and say what is true then."""
    from local.cli.accounts.command import resumed_text, show  # noqa: PLC0415 - as above

    show(_sent(stage, "POST", f"/accounts/{name}/resume", request_id, {"why": why}), resumed_text, as_json=json_output)


@access_app.callback()
def _access_group() -> None:
    """Who may do what with an account."""


def _change(stage: str | None, path: str, request_id: str | None, *, as_json: bool, **facts: Any) -> None:
    from local.cli.accounts.command import access_text, show  # noqa: PLC0415 - as above

    show(_sent(stage, "POST", path, request_id, facts), access_text, as_json=as_json)


@access_app.command("list")
def list_access(name: Name, stage: Stage = None, json_output: Json = False) -> None:  # noqa: FBT002 - of typer
    """List who has a role on an account, and who gave it to them."""
    from local.cli.accounts.command import access_text, show  # noqa: PLC0415 - as above

    show(_api(stage).call("GET", f"/accounts/{name}/access"), access_text, as_json=json_output)


@access_app.command("grant")
def grant(  # noqa: PLR0917 - typer passes by keyword
    name: Name,
    principal: Who,
    role: Annotated[str, typer.Argument(help="viewer reads, operator commands, owner also says who may.")],
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Grant a role on an account, or change it. Only an owner may."""
    _change(stage, f"/accounts/{name}/grant", request_id, as_json=json_output, principal=principal, role=role.lower())


@access_app.command("revoke")
def revoke(
    name: Name,
    principal: Who,
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Revoke a role on an account, at once. Only an owner may, and the last owner stays."""
    _change(stage, f"/accounts/{name}/revoke", request_id, as_json=json_output, principal=principal)
