"""Whose message group an event is in: nobody's trouble holds another's, and what belongs to one order stays in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.contracts import ROUTED_EVENTS, EventType
from signalbox.events import BusEvent, CycleDecided, MarketDataStale
from signalbox.orders.events import OrderSubmitted
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    OrderInstruction,
    VenueViewReported,
    VenueViewRequested,
)
from signalbox.orders.terms import Leg
from signalbox.trading.events import AccountReviewDue, TurnMissed
from signalbox.trading.routing import Destination, NotRoutedError, route_of
from tests.builders import BTC
from tests.unit.orders.samples import terms

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True)


def asked(account: str, leg: Leg, instruction: OrderInstruction, venue: str = "coinbase") -> ExecutionRequested:
    of = terms(account=account, leg=leg, decided_at=NOW, send_before=NOW + timedelta(minutes=5))
    return ExecutionRequested(
        account=account, venue=venue, instruction=instruction, client_order_id=of.client_order_id, terms=of, at=NOW,
        request_id=None if instruction is OrderInstruction.SUBMIT else "r-1",
    )  # fmt: skip


def events(account: str, venue: str = "coinbase") -> list[BusEvent]:
    """One of each kind about an account, and an order of each leg with each instruction."""
    return [
        *(asked(account, leg, instruction, venue) for leg in Leg for instruction in OrderInstruction),
        VenueViewRequested(account=account, venue=venue, at=NOW, since=NOW, orders=(), symbols=(BTC,)),
        ExecutionReported(
            account=account, client_order_id="a" * 32, reported_at=NOW, events=(OrderSubmitted(client_order_id="a" * 32, at=NOW),)
        ),
        VenueViewReported(account=account, requested_at=NOW, asked_at=NOW, orders=(), trades=(), positions={}),
        AccountReviewDue(account=account, at=NOW, due=NOW),
        TurnMissed(
            account=account, missed=CycleDecided(venue="coinbase", cycle_at=NOW, symbols=(BTC,), late=False), why="no price"
        ),
    ]


@given(st.lists(names, min_size=2, max_size=2, unique=True), st.sampled_from(["coinbase", "mt5"]))
def test_no_two_accounts_share_a_message_group(accounts: list[str], venue: str) -> None:
    groups = [{route_of(event).group for event in events(account, venue)} for account in accounts]
    assert not groups[0] & groups[1]
    assert all(len(group) <= 128 for found in groups for group in found)


def test_an_exit_waits_for_no_entry_and_no_view() -> None:
    entering = {route_of(asked("a", Leg.ENTRY, i)).group for i in OrderInstruction}
    leaving = {route_of(asked("a", leg, i)).group for leg in Leg if leg is not Leg.ENTRY for i in OrderInstruction}
    view = route_of(VenueViewRequested(account="a", venue="coinbase", at=NOW, since=NOW, orders=(), symbols=())).group
    assert (len(entering), len(leaving)) == (1, 1)  # an order and its cancel are in one
    assert len({*entering, *leaving, view}) == 3


def test_what_an_agent_numbers_is_in_one_group() -> None:
    assert {route_of(event).group for event in events("a", "mt5") if route_of(event).queue is Destination.EXECUTION} == {"a"}


def test_everything_that_the_rule_sends_has_a_route_and_nothing_else() -> None:
    assert {event.type for event in events("a")} == {*ROUTED_EVENTS, EventType.ACCOUNT_REVIEW_DUE}
    with pytest.raises(NotRoutedError, match="MarketDataStale"):
        route_of(MarketDataStale(symbol=BTC, since=NOW, reason="x", newest_close=None))
