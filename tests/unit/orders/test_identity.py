from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox.orders.errors import OrderTermsError
from signalbox.orders.identity import client_order_id
from tests.builders import NOON
from tests.unit.orders.samples import seconds, terms

PARTS = st.text(min_size=1, max_size=6)


def test_identity_is_frozen_for_ever() -> None:
    assert terms().client_order_id == "79fd334af96f0aa885c44d8a0cb36f92"


@given(PARTS, PARTS, PARTS, PARTS)
def test_identity_fits_every_venue(account: str, strategy: str, symbol: str, leg: str) -> None:
    key = client_order_id(account=account, strategy=strategy, symbol=symbol, decided_at=NOON, leg=leg)
    assert re.fullmatch("[0-9a-f]{32}", key)


@given(st.lists(st.tuples(PARTS, PARTS, PARTS, PARTS), unique=True, max_size=8))
def test_different_reasons_never_share_an_identity(reasons: list[tuple[str, str, str, str]]) -> None:
    keys = {client_order_id(account=a, strategy=s, symbol=y, decided_at=NOON, leg=g) for a, s, y, g in reasons}
    assert len(keys) == len(reasons)


def test_separators_inside_the_parts_do_not_collide() -> None:
    one = client_order_id(account="a", strategy='b","c', symbol="d", decided_at=NOON, leg="e")
    other = client_order_id(account='a","b', strategy="c", symbol="d", decided_at=NOON, leg="e")
    assert one != other


def test_the_same_instant_in_another_zone_is_the_same_order() -> None:
    prague = NOON.astimezone(timezone(timedelta(hours=1)))
    assert terms(decided_at=prague).client_order_id == terms().client_order_id


def test_quantity_and_price_are_no_part_of_the_identity() -> None:
    assert terms(quantity="3", price="99").client_order_id == terms().client_order_id
    assert terms(decided_at=NOON + timedelta(microseconds=1)).client_order_id != terms().client_order_id


def test_an_identity_needs_every_part_and_a_zone() -> None:
    with pytest.raises(OrderTermsError, match="empty part"):
        client_order_id(account="", strategy="s", symbol="y", decided_at=NOON, leg="g")
    with pytest.raises(OrderTermsError, match="with a time zone"):
        client_order_id(account="a", strategy="s", symbol="y", decided_at=datetime(2024, 3, 1), leg="g")  # noqa: DTZ001


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": 1.5},
        {"quantity": "0"},
        {"quantity": "-1"},
        {"quantity": "NaN"},
        {"quantity": "1e-19"},
        {"limit_price": "100"},
        {"type": "LIMIT"},
        {"type": "STOP"},
        {"price": "100", "stop_price": "90"},
        {"time_in_force": "GTD"},
        {"expires_at": seconds(5)},
        {"time_in_force": "GTD", "expires_at": NOON},
        {"send_before": NOON},
        {"symbol": "btcusd"},
    ],
)
def test_terms_that_contradict_each_other_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        terms(**changes)


def test_selling_takes_from_the_position() -> None:
    assert terms().signed(Decimal(3)) == 3
    assert terms(side="SELL").signed(Decimal(3)) == -3
    assert terms().side.opposite.sign == -1
