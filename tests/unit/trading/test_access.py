"""Nothing is read or done for somebody without the role for it: every route, role and relation to the account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from hypothesis import given
from hypothesis import strategies as st

from signalbox.access import Role, names_of, principal_of
from signalbox.adapters.aws.trading_api import trading_api
from signalbox.adapters.aws.trading_queue import Door, MessageRefusedError, handle_message
from signalbox.application.manage_orders import ManageOrders
from signalbox.market.candles import ONE_MINUTE
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.access import DEPLOYMENT, NEEDED, Access, AccessControl, decide, strongest
from signalbox.trading.commands import COMMANDS, HaltTrading
from signalbox.trading.errors import AccessRefusedError, CommandError
from signalbox.trading.service import TradingService
from tests.builders import NOON
from tests.fakes.memory_access import MemoryAccessBook
from tests.fakes.memory_ledger import MemoryDatabase, MemoryOutbox
from tests.fakes.memory_trading import MemoryTradingLedger

AWS = "arn:aws:iam::123456789012"
SOMEBODY, FOUNDER = f"{AWS}:user/somebody", f"{AWS}:user/founder"
MINE, OTHERS, UNKNOWN = "paper-10k", "paper-20k", "paper-90k"
KEY = "ab" * 16
SECOND = timedelta(seconds=1)


@dataclass
class Stage:
    """manage_orders over two accounts in memory, of which the founder is the owner by deployment."""

    ledger: MemoryTradingLedger = field(default_factory=MemoryTradingLedger)

    def __post_init__(self) -> None:
        self.book = MemoryAccessBook(self.ledger.database.accounts)
        self.app = ManageOrders(
            TradingService(self.ledger, "coinbase"), MemoryOutbox(MemoryDatabase()), self, accounts=(MINE, OTHERS),
            gate=AccessControl(self.book, (FOUNDER,)), pause=lambda _: None,
        )  # fmt: skip
        self.app._open_accounts(NOON)
        self.api = trading_api(self.app, lambda _: None)

    def publish(self, _events: object) -> None:
        """A bus that takes everything."""

    def give(self, role: Role | None, account: str = MINE, principal: str = SOMEBODY, at: datetime = NOON) -> None:
        self.book.change(account, Access(principal, role, FOUNDER, at, f"req-{len(self.book.rows)}"))

    def ask(self, route: str, account: str, who: str = SOMEBODY, /, **facts: object) -> tuple[int, dict[str, Any]]:
        method, path = route.split(" ")
        path = path.replace("<account>", account).replace("<client_order_id>", KEY)
        reported = {"request_id": "req-0001", "requested_at": NOON.isoformat(), **BODIES.get(route, {}), **facts}
        if "/orders" in path:
            reported["account"] = account
        answer = self.api.resolve(
            {
                "version": "2.0", "rawPath": path, "headers": {}, "isBase64Encoded": False,
                "body": None if method == "GET" else json.dumps(reported),
                "requestContext": {
                    "http": {"method": method, "path": path, "sourceIp": "203.0.113.7"}, "stage": "$default",
                    "authorizer": {"iam": {"userArn": who}}, "timeEpoch": int(NOON.timestamp() * 1000),
                },
            },
            LambdaContext(),
        )  # fmt: skip
        return answer["statusCode"], json.loads(answer["body"])

    def state(self) -> object:
        rows = self.ledger.database.accounts
        return {name: (kept.state, dict(kept.risk), dict(kept.entries)) for name, kept in rows.items()}, list(self.book.rows)


BODIES: dict[str, dict[str, object]] = {
    "POST /orders": {"symbol": "BTC-USD", "side": "BUY", "type": "MARKET", "quantity": "1"},
    "PUT /orders/<client_order_id>": {"quantity": "1"},
    "POST /accounts/<account>/confirm": {"what": "withdrawn"},
    "POST /accounts/<account>/lots": {"method": "HIFO"},
    "POST /accounts/<account>/adopt": {"symbol": "BTC-USD", "quantity": "1", "price": "1", "why": "it was there"},
    "POST /accounts/<account>/deposit": {"amount": "1", "why": "more money"},
    "POST /accounts/<account>/withdraw": {"amount": "1", "why": "less money"},
    "POST /accounts/<account>/halt": {"why": "looking into it"},
    "POST /accounts/<account>/resume": {"why": "looked into it"},
    "POST /accounts/<account>/grant": {"principal": f"{AWS}:user/third", "role": "viewer"},
    "POST /accounts/<account>/revoke": {"principal": FOUNDER},
}


def routes() -> list[str]:
    """As the API itself has them: one that is added is judged here too."""
    api = Stage().api
    return sorted(f"{route.method} {route.path}" for route in (*api._static_routes, *api._dynamic_routes))


ROUTES = routes()
READS = {"GET /accounts", "GET /accounts/<account>", "GET /accounts/<account>/readiness", "GET /accounts/<account>/access"}
OWNERS = {"PUT /accounts/<account>", "POST /accounts/<account>/grant", "POST /accounts/<account>/revoke"}


def needed(route: str) -> Role:
    return Role.VIEWER if route in READS else Role.OWNER if route in OWNERS else Role.OPERATOR


RELATIONS = ("of this account", "of another account", "of an account that is not there", "taken back", "of somebody else")


@pytest.mark.parametrize(("route", "relation"), [*product(ROUTES, RELATIONS)])
def test_each_route_does_what_the_role_on_that_account_allows_and_nothing_else(route: str, relation: str) -> None:
    for role in (None, *Role):
        stage = Stage()
        if role is not None:
            stage.give(role, OTHERS if relation == "of another account" else MINE)
            if relation == "taken back":
                stage.give(None)
        account = UNKNOWN if relation == "of an account that is not there" else MINE
        who = f"{AWS}:user/somebody-else" if relation == "of somebody else" else SOMEBODY
        before = stage.state()
        status, body = stage.ask(route, account, who)
        is_known = role is not None and relation not in {"taken back", "of somebody else"}
        if route == "GET /accounts":
            shown = [one["account"] for one in body.get("accounts", ())]
            assert (status, shown) == ((200, [OTHERS if relation == "of another account" else MINE]) if is_known else (403, []))
        elif is_known and relation == "of this account" and role is not None and role.includes(needed(route)):
            assert status != 403, body
        else:
            assert (status, body["type"]) == (403, "urn:signalbox:problem:access-refused")
        if status == 403:
            assert stage.state() == before
            (line,) = stage.book.refusals
            assert stage.app.take_denied() == (line,)
            assert (line.principal, line.needed) == (who, needed(route))
            assert stage.app.take_denied() == ()


def test_every_command_and_question_names_the_role_it_needs() -> None:
    kinds = set(COMMANDS.json_schema()["discriminator"]["mapping"])
    assert kinds | {"list", "show", "grant", "revoke"} == set(NEEDED)
    assert {kind for kind, role in NEEDED.items() if role is Role.VIEWER} == {"list", "show"}


def test_an_account_that_is_not_there_is_refused_in_the_words_of_one_that_is() -> None:
    stage = Stage()
    answers = {stage.ask("GET /accounts/<account>", name)[1]["detail"].replace(name, "NAME") for name in (MINE, UNKNOWN)}
    assert len(answers) == 1


def test_only_an_owner_of_the_stage_opens_accounts_and_then_owns_them() -> None:
    stage = Stage()
    assert stage.ask("PUT /accounts/<account>", UNKNOWN)[0] == 403
    assert UNKNOWN not in stage.ledger.database.accounts
    assert stage.ask("PUT /accounts/<account>", UNKNOWN, FOUNDER)[0] == 200
    (line,) = stage.book.access(UNKNOWN)
    assert (line.principal, line.role, line.who) == (FOUNDER, Role.OWNER, DEPLOYMENT)
    status, body = stage.ask("GET /accounts", "", FOUNDER)
    assert (status, [one["account"] for one in body["accounts"]]) == (200, [MINE, OTHERS, UNKNOWN])


def test_an_owner_of_the_stage_is_told_what_is_not_there() -> None:
    stage = Stage()
    for route in set(ROUTES) - {"GET /accounts", "PUT /accounts/<account>"}:
        assert stage.ask(route, UNKNOWN, FOUNDER)[0] == 404, route


def test_an_owner_whom_another_one_revoked_is_not_named_again_by_the_next_deployment() -> None:
    stage = Stage()
    stage.give(Role.OWNER)
    assert stage.ask("POST /accounts/<account>/revoke", MINE, principal=FOUNDER)[0] == 200
    again = ManageOrders(stage.app.service, stage.app.outbox, stage.app.bus, accounts=(MINE,), gate=stage.app.gate)
    again._open_accounts(NOON + SECOND)
    for route in ("GET /accounts/<account>", "PUT /accounts/<account>", "POST /accounts/<account>/halt"):
        assert stage.ask(route, MINE, FOUNDER)[0] == 403


def test_an_account_keeps_an_owner() -> None:
    stage = Stage()
    for change in ({"principal": FOUNDER}, {"principal": FOUNDER, "role": "viewer"}):
        verb = "grant" if "role" in change else "revoke"
        status, body = stage.ask(f"POST /accounts/<account>/{verb}", MINE, FOUNDER, **change)
        assert (status, "only owner" in body["detail"]) == (409, True)
    assert strongest(stage.book.roles(MINE, (FOUNDER,))) is Role.OWNER


@pytest.mark.parametrize("verb", ["grant", "revoke", "halt"])
def test_a_body_that_names_another_account_than_the_path_changes_neither(verb: str) -> None:
    stage = Stage()
    for account in (MINE, OTHERS):
        stage.give(Role.OWNER, account)
    before = stage.state()
    status, body = stage.ask(f"POST /accounts/<account>/{verb}", MINE, account=OTHERS)
    assert (status, body["errors"][0]["pointer"]) == (422, "#/account")
    assert stage.state() == before
    assert stage.ask(f"POST /accounts/<account>/{verb}", MINE, account=MINE)[0] == 200


HALT = json.dumps({"kind": "halt", "account": MINE, "request_id": "req-0001", "requested_at": NOON.isoformat(), "why": "news"})
NOW_MS = str(int(NOON.timestamp() * 1000))
ROBOT = "AROAEXAMPLEEXAMPLE1:session"


def test_a_command_of_the_trading_queue_is_judged_by_its_sender() -> None:
    stage = Stage()
    with pytest.raises(MessageRefusedError, match="needs the role operator"):
        handle_message(stage.app, HALT, sender=ROBOT, sent_ms=NOW_MS, keys=None)
    assert stage.ledger.database.accounts[MINE].state.halt is None
    stage.give(Role.OPERATOR, principal="AROAEXAMPLEEXAMPLE1")
    handle_message(stage.app, HALT, sender=ROBOT, sent_ms=NOW_MS, keys=None)
    assert stage.ledger.database.accounts[MINE].state.halt is not None


def test_a_halt_from_the_kill_switch_queue_needs_no_role_and_records_its_sender() -> None:
    stage = Stage()
    handle_message(stage.app, HALT, sender=ROBOT, sent_ms=NOW_MS, keys=None, door=Door.KILL_SWITCH)
    halt = stage.ledger.database.accounts[MINE].state.halt
    assert halt is not None
    assert (halt.level, halt.who, halt.why) == (HaltLevel.HALT, ROBOT, "news")
    assert stage.app.take_denied() == ()
    assert not stage.book.refusals


@pytest.mark.parametrize("kind", sorted(set(NEEDED) - {"halt"}))
def test_the_kill_switchs_queue_starts_nothing_whoever_sends(kind: str) -> None:
    stage = Stage()
    stage.give(Role.OWNER, principal="AROAEXAMPLEEXAMPLE1")
    handle_message(stage.app, HALT, sender=ROBOT, sent_ms=NOW_MS, keys=None, door=Door.KILL_SWITCH)
    body = json.dumps(json.loads(HALT) | {"kind": kind, "request_id": "req-0002"})
    with pytest.raises(MessageRefusedError, match="takes only halts"):
        handle_message(stage.app, body, sender=ROBOT, sent_ms=NOW_MS, keys=None, door=Door.KILL_SWITCH)
    weaker = json.dumps(json.loads(HALT) | {"request_id": "req-0003", "until": (NOON + SECOND).isoformat()})
    handle_message(stage.app, weaker, sender=ROBOT, sent_ms=NOW_MS, keys=None, door=Door.KILL_SWITCH)
    halt = stage.ledger.database.accounts[MINE].state.halt
    assert halt is not None
    assert halt.until is None


def test_without_a_book_nobody_may_do_anything() -> None:
    stage = Stage()
    app = ManageOrders(stage.app.service, stage.app.outbox, stage.app.bus)
    with pytest.raises(AccessRefusedError):
        app.query(MINE, NOON, FOUNDER)


USER, ROLE = f"{AWS}:user/team/ann", f"{AWS}:role/ops/Trader"
SESSION = "arn:aws:sts::123456789012:assumed-role/Trader/whatever-I-like"
SSO = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Trader_0123456789abcdef/ann@example.com"


@pytest.mark.parametrize(
    ("caller", "names"),
    [
        (USER, (USER,)),
        (f"{AWS}:root", (f"{AWS}:root",)),
        ("123456789012", (f"{AWS}:root",)),
        (SESSION, (f"{AWS}:role/Trader",)),  # the session's name is its own invention
        (SSO, (SSO, f"{AWS}:role/AWSReservedSSO_Trader_0123456789abcdef")),
        ("AIDAEXAMPLEEXAMPLE1", ("AIDAEXAMPLEEXAMPLE1",)),
        ("AROAEXAMPLEEXAMPLE1:whatever", ("AROAEXAMPLEEXAMPLE1",)),
        ("telegram:42", ("telegram:42",)),
        ("arn:aws:sts::123456789012:federated-user/ann", ()),
        ("*", ()),
        ("", ()),
        (f"{USER}\n{AWS}:root", ()),
    ],
)
def test_a_caller_is_known_by_what_aws_vouches_for(caller: str, names: tuple[str, ...]) -> None:
    assert names_of(caller) == names


def test_a_role_is_named_without_its_path_and_a_freely_named_session_is_refused() -> None:
    assert principal_of(ROLE) == f"{AWS}:role/Trader" == names_of(SESSION)[0]
    assert principal_of(SSO) == SSO
    for text in (SESSION, "*", f"{AWS}:user/*", f"{AWS}:role/*", "ann", "", "telegram:", f"{AWS}:user/ann "):
        with pytest.raises(ValueError, match=r"expected|name the role"):
            principal_of(text)


@st.composite
def histories(draw: st.DrawFn) -> list[Access]:
    people = [FOUNDER, SOMEBODY, f"{AWS}:user/third"]
    steps = draw(st.lists(st.tuples(st.sampled_from(people), st.sampled_from((None, *Role)), st.integers(0, 9)), max_size=12))
    return [Access(who, role, FOUNDER, NOON + SECOND * at, f"req-{i}") for i, (who, role, at) in enumerate(steps)]


def _newest(rows: list[Access]) -> Iterator[Access]:
    yield from {row.principal: row for row in sorted(rows, key=lambda row: row.at)}.values()


@given(history=histories())
def test_in_any_order_of_changes_an_owner_stays_and_revoked_roles_stay_revoked(history: list[Access]) -> None:
    rows = [Access(FOUNDER, Role.OWNER, DEPLOYMENT, NOON, DEPLOYMENT)]
    for change in history:
        before = {one.principal: one for one in _newest(rows)}
        held = before[change.principal].role if change.principal in before else None
        try:
            row = decide(change, tuple(before.values()), None)
        except CommandError:
            continue
        assert row is not None
        rows.append(row)
        after = {one.principal: one for one in _newest(rows)}
        assert any(one.role is Role.OWNER for one in after.values())
        now = after[change.principal].role
        if held is not None and (change.role is None or not change.role.includes(held)):
            assert now == change.role  # what takes a right away holds at once
        elif now != held:  # a right that is given is newer than what was said before
            assert change.at >= before[change.principal].at if change.principal in before else True


def test_no_grant_takes_the_id_under_which_the_deployment_names_owners() -> None:
    """The deployment names each owner once, under that id: a row that took it before would keep an owner from being named."""
    stage = Stage()
    stage.give(Role.OWNER)
    third = f"{AWS}:user/third"
    for route in ("POST /accounts/<account>/grant", "POST /accounts/<account>/revoke"):
        status, body = stage.ask(
            route, MINE, principal=third, request_id=DEPLOYMENT, **({"role": "viewer"} if "grant" in route else {})
        )
        assert status == 422, body
    stage.book.name_owners((third,), NOON + SECOND)
    assert {one.principal: one.role for one in stage.book.access(MINE)}[third] is Role.OWNER


def unopened() -> tuple[Stage, ManageOrders]:
    """The first process of a stage, which has opened nothing yet; its clock says an hour after noon."""
    stage = Stage()
    stage.ledger.database.accounts.clear()
    stage.book.rows.clear()
    stage.app._opened = False
    stage.app.clock = lambda: NOON + timedelta(hours=1)
    return stage, stage.app


@pytest.mark.parametrize("ago", [timedelta(days=9_000), timedelta(0)])
def test_accounts_begin_by_the_functions_clock_and_not_when_a_caller_says(ago: timedelta) -> None:
    stage, app = unopened()
    facts = {"kind": "halt", "account": MINE, "request_id": "stop-1", "requested_at": NOON - ago, "why": "news"}
    halt = COMMANDS.validate_python(facts)
    assert isinstance(halt, HaltTrading)
    app.kill(halt, "AROAEXAMPLEEXAMPLE:execute")
    begun = {entry.at for rows in stage.ledger.database.accounts.values() for entry in rows.entries.values()}
    assert begun == {NOON + timedelta(hours=1) - ONE_MINUTE}
    assert {one.at for _, one in stage.book.rows} == {NOON + timedelta(hours=1)}


def test_whoever_is_refused_has_opened_nothing() -> None:
    stage, app = unopened()
    facts = {"kind": "halt", "account": MINE, "request_id": "stop-1", "requested_at": NOON, "why": "news"}
    with pytest.raises(AccessRefusedError):
        app.command(COMMANDS.validate_python(facts), SOMEBODY)
    with pytest.raises(AccessRefusedError):
        app.query(MINE, NOON, SOMEBODY)
    with pytest.raises(AccessRefusedError):
        app.listed(NOON, SOMEBODY)
    assert (stage.ledger.database.accounts, stage.book.rows) == ({}, [])


def test_an_owner_of_the_stage_sees_its_accounts_in_the_first_answer() -> None:
    _, app = unopened()
    assert [one.account for one in app.listed(NOON, FOUNDER)] == [MINE, OTHERS]
