"""Declares `signalbox accounts ...` for typer; command.py runs it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from local.cli.instants import parse_instant, parse_period
from local.cli.options import Database, End, Json, RequestId, Stage, Start, request_id_of

if TYPE_CHECKING:
    from local.cli.accounts.command import OrdersApi

accounts_app = typer.Typer(
    help="Open, confirm, halt, resume and inspect the accounts of a stage, in your own name.", no_args_is_help=True
)
access_app = typer.Typer(help="List, grant and revoke roles on an account: viewer, operator, owner.", no_args_is_help=True)
accounts_app.add_typer(access_app, name="access")
Who = Annotated[
    str,
    typer.Argument(
        help="ARN of an IAM user or role, or of an IAM Identity Center session; unique id of a user or role (AIDA..., AROA...),"
        " as SQS reports it; or telegram:NUMBER."
    ),
]
VENUES = ("paper", "coinbase", "mt5")  # an account of another would never be traded


def _name(text: str) -> str:
    from local.cli.arguments import account_name  # noqa: PLC0415 - pydantic

    return account_name(text)


Name = Annotated[str, typer.Argument(help="The account's name, such as ftmo-2step-100k.", callback=_name)]
Why = Annotated[str, typer.Option(help="Reason, for the compliance record.")]
At = Annotated[str | None, typer.Option(help="When it happened, ISO 8601 with an offset; default: now.")]
Amount = Annotated[str, typer.Option(help="Amount in the account's currency, above 0.")]
VenueId = Annotated[
    str | None,
    typer.Option(help="The venue's own id of the transfer. A live account needs it, because its venue reports the transfer too."),
]


HALT_LEVELS = ("HALT", "REDUCE_ONLY", "FLATTEN")  # `resume` is the way back


@accounts_app.callback()
def _group() -> None:
    """Open, confirm, halt, resume and inspect the accounts of a stage."""


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


def _exactly(option: str, text: str | None) -> str | None:
    """Return an instant of the command line as the API takes it. Raises typer.BadParameter."""
    found = parse_instant(text, option)
    return None if found is None else found.isoformat()


def _sent(stage: str | None, verb: str, path: str, request_id: str | None, facts: dict[str, Any]) -> Any:
    given = {key: value for key, value in facts.items() if value is not None}
    return _api(stage, changes=True).call(verb, path, {"request_id": request_id_of(request_id), **given})


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
    """Show an account's money, positions and orders, and what stops it."""
    from local.cli.accounts.command import account_text, show  # noqa: PLC0415 - as above

    show(_api(stage).call("GET", f"/accounts/{name}"), account_text, as_json=json_output)


@accounts_app.command("readiness")
def readiness(name: Name, stage: Stage = None, json_output: Json = False) -> None:  # noqa: FBT002 - of typer
    """Show whether an account may trade live, and the remedy for each reason against it. Exit code 1 while it may not."""
    from local.cli.accounts.command import readiness_text, show  # noqa: PLC0415 - as above

    found = _api(stage).call("GET", f"/accounts/{name}/readiness")
    show(found, readiness_text, as_json=json_output)
    raise typer.Exit(0 if found["is_ready"] else 1)


@accounts_app.command("open")
def open_account(  # noqa: PLR0917 - typer passes by keyword
    name: Name,
    kind: Annotated[
        str | None, typer.Option(help="paper, live-spot, ftmo-2step or ftmo-1step; default: as the name says.")
    ] = None,
    capital: Annotated[str | None, typer.Option(help="Initial capital, such as 100000.")] = None,
    currency: Annotated[str | None, typer.Option(help="Currency of the account; default: USD.")] = None,
    venue: Annotated[str | None, typer.Option(help="paper, coinbase or mt5; default: paper.")] = None,
    mode: Annotated[str | None, typer.Option(help="paper, dry_run or live; default: paper.")] = None,
    phase: Annotated[str | None, typer.Option(help="Phase of the firm's programme, such as challenge or verification.")] = None,
    policy: Annotated[str | None, typer.Option(help="Name of an entry policy preset.")] = None,
    follows: Annotated[
        str | None,
        typer.Option(
            help="Deployment to follow, or active; default: the active deployment, or the shadow one if none is active."
        ),
    ] = None,
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Open an account. A live account does not trade until it is confirmed and `readiness` shows no reason against it."""
    given = {
        "kind": kind, "capital": capital, "currency": currency, "venue": venue, "mode": mode, "phase": phase, "policy": policy,
        "follows": follows,
    }  # fmt: skip
    configuration = {key: value for key, value in given.items() if value is not None} or None
    from local.errors import DataError  # noqa: PLC0415 - as above

    if venue is not None and venue not in VENUES:
        raise DataError(f"--venue: expected {', '.join(VENUES[:-1])} or {VENUES[-1]}, got {venue!r}")
    if configuration is not None and kind is None:
        raise DataError(
            f"--kind: expected paper, live-spot, ftmo-2step or ftmo-1step, which --{next(iter(configuration))} requires"
        )
    _command(stage, "PUT", f"/accounts/{name}", request_id, as_json=json_output, configuration=configuration)


@accounts_app.command("confirm")
def confirm(
    name: Name,
    what: Annotated[
        str,
        typer.Argument(
            help="live; the rules that you read, such as 'ftmo-2step 2026-11.2'; or paper or withdrawn, to take it back."
        ),
    ],
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Confirm in your name that an account may trade live, or that you read its firm's rules; or withdraw a confirmation."""
    _command(stage, "POST", f"/accounts/{name}/confirm", request_id, as_json=json_output, what=what)


@accounts_app.command("lots-method")
def lots_method(  # noqa: PLR0917 - typer passes by keyword
    name: Name,
    method: Annotated[str, typer.Argument(help="FIFO, LIFO or HIFO: which lot a closing fill closes first.")],
    start: Annotated[str | None, typer.Option(help="Start, ISO 8601 with an offset, never in the past; default: now.")] = None,
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Choose which tax lot a closing fill closes first."""
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
_reads("orders", "List the orders of a period in their current state.", "7d")
_reads("equity", "List cash, balance and equity over a period.", "1d")
_reads("history", "List the compliance record: halts, resumes, refusals, limits, commands.", "30d")


@accounts_app.command("lots")
def lots(
    account: Name,
    stage: Stage = None,
    database: Database = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """List the open lots, and the method that decides which one a closing fill closes first."""
    from local.cli.accounts import ledger  # noqa: PLC0415 - psycopg
    from local.cli.rows import print_rows  # noqa: PLC0415 - rich
    from local.settings import load_settings  # noqa: PLC0415 - as above

    with ledger.ledger(stage, database, load_settings()) as source:
        method, found = ledger.lots(source, account, datetime.now(UTC))
    print_rows("lots", found, {"account": account, "method": method}, as_json=json_output)


@accounts_app.command("adopt")
def adopt(  # noqa: PLR0917 - typer passes by keyword
    name: Name,
    symbol: Annotated[str, typer.Option(help="Symbol, such as BTC-USD.")],
    quantity: Annotated[str, typer.Option(help="Quantity in base currency; negative for a short position, as --quantity=-0.1.")],
    price: Annotated[str, typer.Option(help="Booking price; balance and equity do not change at this price.")],
    why: Why,
    at: At = None,
    fee: Annotated[str | None, typer.Option(help="Fee that was paid; default: none.")] = None,
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Book a position that none of our orders opened: an initial holding, dust, a manual trade."""
    given = {"symbol": symbol, "quantity": quantity, "price": price, "why": why, "at": _exactly("--at", at), "fee": fee}
    _command(stage, "POST", f"/accounts/{name}/adopt", request_id, as_json=json_output, **given)


def _books_money(kind: str, does: str) -> None:
    """Add the command that books a transfer in one direction."""

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


_books_money("deposit", "Book a deposit. It is not profit.")
_books_money("withdraw", "Book a withdrawal. It is not a loss.")


@accounts_app.command("halt")
def halt(  # noqa: PLR0917 - typer passes by keyword
    name: Name,
    why: Why,
    level: Annotated[str, typer.Option(help="HALT, REDUCE_ONLY, or FLATTEN, which closes every position.")] = "HALT",
    until: Annotated[str | None, typer.Option(help="End, ISO 8601 with an offset; default: until somebody resumes.")] = None,
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Set the kill switch. If the API does not answer or throttles, the halt goes through the kill switch's own queue."""
    from local.cli.accounts.command import halt_text, show  # noqa: PLC0415 - as above
    from local.errors import DataError  # noqa: PLC0415 - as above

    until = _exactly("--until", until)
    level = level.upper().replace("-", "_")
    if level not in HALT_LEVELS:
        raise DataError(f"--level: expected one of {', '.join(HALT_LEVELS)}, got {level}")

    facts = {"request_id": request_id_of(request_id), "why": why, "level": level}
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
    """Release the kill switch, and show whether the account may trade then."""
    from local.cli.accounts.command import resumed_text, show  # noqa: PLC0415 - as above

    show(_sent(stage, "POST", f"/accounts/{name}/resume", request_id, {"why": why}), resumed_text, as_json=json_output)


@access_app.callback()
def _access_group() -> None:
    """List, grant and revoke roles on an account."""


def _change(stage: str | None, path: str, request_id: str | None, *, as_json: bool, **facts: Any) -> None:
    from local.cli.accounts.command import access_text, show  # noqa: PLC0415 - as above

    show(_sent(stage, "POST", path, request_id, facts), access_text, as_json=as_json)


@access_app.command("list")
def list_access(name: Name, stage: Stage = None, json_output: Json = False) -> None:  # noqa: FBT002 - of typer
    """List who has a role on an account, and who granted it."""
    from local.cli.accounts.command import access_text, show  # noqa: PLC0415 - as above

    show(_api(stage).call("GET", f"/accounts/{name}/access"), access_text, as_json=json_output)


@access_app.command("grant")
def grant(  # noqa: PLR0917 - typer passes by keyword
    name: Name,
    principal: Who,
    role: Annotated[str, typer.Argument(help="viewer: read; operator: give commands; owner: also grant roles.")],
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Grant a role on an account, or change it. Only owners may."""
    _change(stage, f"/accounts/{name}/grant", request_id, as_json=json_output, principal=principal, role=role.lower())


@access_app.command("revoke")
def revoke(
    name: Name,
    principal: Who,
    stage: Stage = None,
    request_id: RequestId = None,
    json_output: Json = False,  # noqa: FBT002 - of typer
) -> None:
    """Revoke a role on an account at once. Only owners may, and the last owner cannot be removed."""
    _change(stage, f"/accounts/{name}/revoke", request_id, as_json=json_output, principal=principal)
