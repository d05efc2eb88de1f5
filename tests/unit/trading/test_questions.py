"""Questions about the ledger: each person gets what they may see, and an account they may not see looks like none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.access import Role
from signalbox.application.query_ledger import QueryLedger, ReadingAccess
from signalbox.orders.order import Order
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import DeploymentStage, Direction, Signal, Tier
from signalbox.trading.access import Access
from signalbox.trading.questions import BARS, EQUITY, SIGNALS, BarRow, QuestionError
from signalbox.trading.service import TradingService
from signalbox.trading.state import Trade
from tests.fakes.memory_access import MemoryAccessBook
from tests.fakes.memory_trading import MemoryTradingLedger
from tests.unit.trading.market import BTC, START

NAME = "paper-25k"
ANNA, BEN = "telegram:11", "telegram:22"
PERIOD = {"start": (START - timedelta(days=1)).isoformat(), "end": START.isoformat()}
POINT = EquitySnapshot(
    account=NAME, at=START, cash=Decimal("1.10"), balance=Decimal(2), unrealised=Decimal(3), equity=Decimal(4),
    exposure=Decimal(5), transfers=Decimal(6), realised=Decimal(7), fees=Decimal(8), funding=Decimal(9),
    marks=MappingProxyType({BTC: Decimal(60)}),
)  # fmt: skip
DECIDED = Signal(
    BTC, START, "starter-1", DeploymentStage.SHADOW, Direction.BUY, Tier.HIGH, 0.61, Decimal("60000.10"),
    late=False, schema_name="v50", schema_hash="h", features=(1.0, 0.1),
)  # fmt: skip
BAR = BarRow(open_time=START, open=1.0, high=2.0, low=0.5, close=1.5, volume=3.0)


class History:
    """One of everything."""

    def order(self, account: str, client_order_id: str) -> Order | None:
        return None

    def trades(self, account: str, start: datetime, end: datetime) -> Sequence[Trade]:
        return ()

    def equity(self, account: str, start: datetime, end: datetime) -> Sequence[EquitySnapshot]:
        return (POINT,)

    def signals(self, start: datetime, end: datetime) -> Sequence[Signal]:
        return (DECIDED,)

    def bars(self, symbol: str, start: datetime, end: datetime) -> Sequence[BarRow]:
        return (BAR,)


@pytest.fixture
def app() -> QueryLedger:
    ledger = MemoryTradingLedger()
    service = TradingService(ledger, "coinbase")
    service.open(NAME, START - timedelta(hours=1), "anna")
    book = MemoryAccessBook(ledger.database.accounts)
    book.change(NAME, Access(ANNA, Role.VIEWER, "owner", START, "grant-1"))
    return QueryLedger(service, History(), ReadingAccess(book))


def test_an_account_is_shown_to_whom_has_a_role_on_it(app: QueryLedger) -> None:
    found = app.answer({"kind": "account", "who": ANNA, "account": NAME}, START).found
    assert (found["account"], found["cash"]) == (NAME, "25000")
    assert [one["account"] for one in app.answer({"kind": "accounts", "who": ANNA}, START).found] == [NAME]
    assert app.take_denied() == ()


@pytest.mark.parametrize(("role", "refused"), [(Role.VIEWER, True), (Role.OPERATOR, False), (Role.OWNER, False), (None, True)])
def test_whether_somebody_may_command_is_judged_as_the_command_is(app: QueryLedger, role: Role | None, refused: bool) -> None:
    if role is not None:
        app.gate.book.change(NAME, Access(BEN, role, "owner", START, "grant-2"))
    answer = app.answer({"kind": "permission", "who": BEN, "account": NAME, "action": "resume"}, START)
    assert (answer.refused is not None, answer.found) == (refused, None if refused else True)
    assert len(app.take_denied()) == refused


@pytest.mark.parametrize("action", ["open", "grant", "show", ""])
def test_permission_is_asked_for_commands_of_the_bot_alone(app: QueryLedger, action: str) -> None:
    with pytest.raises(QuestionError, match="action"):
        app.answer({"kind": "permission", "who": ANNA, "account": NAME, "action": action}, START)


@pytest.mark.parametrize("kind", ["account", "readiness", "trades", "equity", "order"])
@pytest.mark.parametrize("account", [NAME, "paper-99k"])
def test_others_are_told_the_same_of_every_account(app: QueryLedger, kind: str, account: str) -> None:
    about: dict[str, Any] = {"kind": kind, "who": BEN, "account": account}
    about |= PERIOD if kind in {"trades", "equity"} else {}
    about |= {"client_order_id": "0" * 32} if kind == "order" else {}
    found = app.answer(about, START)
    assert found.found is None
    assert "has none on" in str(found.refused)
    assert [(one.principal, one.account) for one in app.take_denied()] == [(BEN, account)]


def test_rows_come_back_as_they_were(app: QueryLedger) -> None:
    equity = app.answer({"kind": "equity", "who": ANNA, "account": NAME, **PERIOD}, START).found
    assert EQUITY.validate_python(equity) == (POINT,)
    assert SIGNALS.validate_python(app.answer({"kind": "signals", "who": BEN, **PERIOD}, START).found) == (DECIDED,)
    assert BARS.validate_python(app.answer({"kind": "bars", "who": BEN, "symbol": BTC, **PERIOD}, START).found) == (BAR,)


def test_an_order_that_is_not_there_is_said_so(app: QueryLedger) -> None:
    found = app.answer({"kind": "order", "who": ANNA, "account": NAME, "client_order_id": "0" * 32}, START)
    assert found.refused == f"account {NAME} has no order {'0' * 32}"


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "drop"},
        {"who": "anybody"},
        {"start": (START - timedelta(days=500)).isoformat()},
        {"start": PERIOD["end"]},
        {"kind": "bars", "symbol": BTC, "start": (START - timedelta(days=9)).isoformat()},
        {"kind": "bars", "symbol": "'; DROP"},
        {"more": 1},
    ],
)
def test_what_is_no_question_is_refused(app: QueryLedger, changed: dict[str, Any]) -> None:
    with pytest.raises(QuestionError):
        app.answer({"kind": "signals", "who": ANNA, **PERIOD, **changed}, START)


@given(asked=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_anything_else_is_a_question_error(asked: object) -> None:
    with pytest.raises(QuestionError):
        QueryLedger(None, History(), None).answer(asked, START)  # type: ignore[arg-type]
