from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox.events import MAX_AHEAD
from signalbox.orders.terms import Leg
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.commands import COMMANDS, MAX_BEHIND, Command, ReplaceOrder, SubmitOrder, amounts, check_clock
from signalbox.trading.errors import CommandError
from tests.builders import NOON

KEY = "ab" * 16
SUBMIT = {
    "kind": "submit", "account": "ftmo-2step-100k", "request_id": "req-0001", "requested_at": NOON.isoformat(),
    "symbol": "BTC-USD", "side": "BUY", "type": "MARKET", "quantity": "0.5",
}  # fmt: skip
ABOUT = {"account": "a", "request_id": "req-0001", "requested_at": NOON.isoformat()}


def submitted(**changes: object) -> SubmitOrder:
    command = COMMANDS.validate_python({**SUBMIT, **changes})
    assert isinstance(command, SubmitOrder)
    return command


def test_the_same_request_is_the_same_order_and_another_one_is_another() -> None:
    first = submitted().terms()
    assert first.client_order_id == submitted(quantity="9", side="SELL").terms().client_order_id
    assert first.client_order_id != submitted(request_id="req-0002").terms().client_order_id
    assert first.client_order_id != submitted(account="paper-25k").terms().client_order_id
    assert (first.leg, first.quantity, first.send_before) == (Leg.ENTRY, Decimal("0.5"), NOON + timedelta(minutes=5))


def test_an_order_that_only_reduces_is_an_exit() -> None:
    assert submitted(reduce_only=True).terms().leg is Leg.EXIT


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"quantity": 0.5}, "quantity"),
        ({"quantity": "0"}, "quantity"),
        ({"quantity": "NaN"}, "quantity"),
        ({"symbol": "btc"}, "symbol"),
        ({"side": "LONG"}, "side"),
        ({"request_id": "x"}, "request_id"),
        ({"request_id": "a;drop"}, "request_id"),
        ({"requested_at": "2024-03-01T12:00:00"}, "requested_at"),
        ({"leverage": 10}, "leverage"),
        ({"kind": "transfer"}, "kind"),
    ],
)
def test_a_command_that_cannot_be_names_what_is_wrong(changes: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValidationError) as caught:
        COMMANDS.validate_python({**SUBMIT, **changes})
    assert wrong in str(caught.value)


def test_prices_that_do_not_fit_the_type_are_found_when_the_terms_are_made() -> None:
    with pytest.raises(ValidationError, match="limit_price"):
        submitted(type="LIMIT").terms()


def test_a_halt_is_a_halt_unless_it_says_more_and_never_none() -> None:
    command = COMMANDS.validate_python({**ABOUT, "kind": "halt", "why": "nobody looks"})
    assert command.kind == "halt"
    assert command.level is HaltLevel.HALT
    with pytest.raises(ValidationError, match="level"):
        COMMANDS.validate_python({**ABOUT, "kind": "halt", "why": "nobody looks", "level": "NONE"})


def test_a_replace_changes_something() -> None:
    command = COMMANDS.validate_python({**ABOUT, "kind": "replace", "client_order_id": KEY})
    assert isinstance(command, ReplaceOrder)
    with pytest.raises(CommandError, match="give a quantity"):
        amounts(command)
    assert amounts(command.model_copy(update={"quantity": Decimal(2)})) == (Decimal(2), None, None)


@given(st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=1)))
def test_a_command_is_of_the_time_it_comes_at(apart: timedelta) -> None:
    command = Command(account="a", request_id="req-0001", requested_at=NOON + apart)
    late, early = apart < -MAX_BEHIND, apart > MAX_AHEAD
    if late or early:
        with pytest.raises(CommandError, match="requested_at"):
            check_clock(command, NOON)
    else:
        check_clock(command, NOON)
    if early:
        with pytest.raises(CommandError, match="requested_at"):
            check_clock(command, NOON, behind=None)
    else:
        check_clock(command, NOON, behind=None)


def test_every_command_survives_the_wire() -> None:
    for facts in (SUBMIT, {**ABOUT, "kind": "cancel", "client_order_id": KEY}, {**ABOUT, "kind": "resume", "why": "looked"}):
        command = COMMANDS.validate_python(facts)
        assert COMMANDS.validate_json(COMMANDS.dump_json(command)) == command
