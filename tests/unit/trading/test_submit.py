"""Orders that are sent or reported together come out as those that come one after the other, risk records included."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.market.candles import Symbol
from signalbox.orders.events import OrderAccepted, OrderDenied, OrderFilled, OrderReleased
from signalbox.orders.messages import ExecutionReported, ExecutionRequested
from signalbox.orders.terms import OrderTerms, OrderType, Side
from signalbox.risk.snapshot import canonical_text
from signalbox.trading import bars, entries, operator_orders, venue_reports
from signalbox.trading.account import TradingAccount, TradingMode
from signalbox.trading.changes import NO_CHANGES, ChangeSet
from signalbox.trading.errors import CommandError
from signalbox.trading.snapshot import risk_snapshot
from signalbox.trading.state import AccountState
from tests.examples import examples
from tests.unit.trading.market import AT_VENUE, BASE, BTC, ETH, SOL, START, history, manual_terms, paper, signal, state_at

PAPER = paper()
LIVE = TradingAccount.model_validate(
    PAPER.model_dump() | {"account": "live-1", "mode": TradingMode.LIVE, "venue": "exchange", "strategy": "signals"}
)
SECOND = timedelta(seconds=1)
AMOUNTS = st.integers(1, 300)  # USD 100 each: the largest are over the limits together
WANTED = st.lists(
    st.tuples(st.sampled_from((BTC, ETH, SOL)), st.sampled_from(Side), AMOUNTS, st.booleans(), st.booleans()), max_size=12
)


def begun(account: TradingAccount) -> AccountState:
    """A new account state; a live one knows its venue's instruments."""
    return replace(state_at(account), at_venue=AT_VENUE) if account.mode is TradingMode.LIVE else state_at(account)


def terms_of(account: TradingAccount, wanted: list[tuple[Symbol, Side, int, bool, bool]]) -> list[OrderTerms]:
    found = []
    for number, (symbol, side, hundreds, limit, reduce_only) in enumerate(wanted):
        price = BASE[symbol] * Decimal("0.99")
        found.append(
            manual_terms(
                account,
                number,
                symbol,
                hundreds,
                side=side,
                type=OrderType.LIMIT if limit else OrderType.MARKET,
                limit_price=price if limit else None,
                reduce_only=reduce_only,
            )
        )
    return found


def one_by_one(state: AccountState, wanted: list[OrderTerms]) -> tuple[AccountState, ChangeSet]:
    changes = NO_CHANGES
    for terms in wanted:
        state, more = operator_orders.submit(state, terms, START)
        changes += more
    return state, changes


@settings(max_examples=examples(60), deadline=None)
@given(account=st.sampled_from((PAPER, LIVE, paper("ftmo-2step-100k"))), wanted=WANTED, again=st.integers(0, 3))
def test_batch_is_judged_as_its_orders_one_after_the_other(
    account: TradingAccount, wanted: list[tuple[Symbol, Side, int, bool, bool]], again: int
) -> None:
    orders = terms_of(account, wanted)
    batch, changes = operator_orders.submit(begun(account), [*orders, *orders[:again]], START)
    single, more = one_by_one(begun(account), orders)
    assert batch == single
    assert changes == more  # the ids of the snapshots they were judged on are among the events and the risk records


def test_release_names_the_snapshot_with_the_orders_before_it_working() -> None:
    orders = terms_of(LIVE, [(BTC, Side.BUY, 10, False, False), (ETH, Side.SELL, 10, False, False)])
    begin = begun(LIVE)
    _, changes = operator_orders.submit(begin, orders, START)
    first, second = (event for event in changes.events if isinstance(event, ExecutionRequested))
    between, _ = operator_orders.submit(begin, orders[0], START)
    assert first.snapshot_id == risk_snapshot(begin, START).snapshot_id
    assert second.snapshot_id == risk_snapshot(between, START).snapshot_id
    facts = risk_snapshot(between, START)
    assert facts.snapshot_id == hashlib.sha256(canonical_text(facts).encode()).hexdigest()


def test_batch_passes_over_a_refused_order_and_goes_on() -> None:
    orders = terms_of(
        LIVE, [(BTC, Side.BUY, 10, False, False), (BTC, Side.BUY, 9_000, False, False), (ETH, Side.BUY, 10, False, False)]
    )
    _, changes = operator_orders.submit(begun(LIVE), orders, START)
    kinds = [type(event) for event in changes.order_events if isinstance(event, OrderReleased | OrderDenied)]
    assert kinds == [OrderReleased, OrderDenied, OrderReleased]


def test_batch_with_one_order_that_came_too_late_sends_none() -> None:
    orders = terms_of(LIVE, [(BTC, Side.BUY, 10, False, False), (ETH, Side.BUY, 10, False, False)])
    late = orders[1].model_copy(update={"send_before": START - SECOND, "decided_at": START - 2 * SECOND})
    with pytest.raises(CommandError, match="had to be sent before"):
        operator_orders.submit(begun(LIVE), [orders[0], late], START)


@settings(max_examples=examples(30), deadline=None)
@given(wanted=st.lists(st.tuples(st.sampled_from((BTC, ETH, SOL)), st.sampled_from(Side), st.integers(1, 20)), max_size=6))
def test_reports_taken_together_leave_the_account_of_reports_taken_apart(wanted: list[tuple[Symbol, Side, int]]) -> None:
    orders = terms_of(LIVE, [(*one, False, False) for one in wanted])
    state, _ = operator_orders.submit(begun(LIVE), orders, START)
    delivered = [
        reported(terms, number) for number, terms in enumerate(orders) if not state.orders[terms.client_order_id].state.is_closed
    ]
    together, changes = venue_reports.report(state, delivered)
    apart, more = state, NO_CHANGES
    for one in delivered:
        apart, by_one = venue_reports.report(apart, one)
        more += by_one
    assert together == apart
    assert changes == more
    assert venue_reports.report(together, delivered) == (together, NO_CHANGES)
    assert venue_reports.report(state, []) == (state, NO_CHANGES)


def reported(terms: OrderTerms, number: int) -> ExecutionReported:
    key, at = terms.client_order_id, START + SECOND * (number + 1)
    filled = OrderFilled(
        client_order_id=key,
        at=at,
        account=terms.account,
        symbol=terms.symbol,
        trade_id=f"t{number}",
        quantity=terms.quantity,
        price=BASE[Symbol(terms.symbol)],
    )
    taken = OrderAccepted(client_order_id=key, at=at, venue_order_id=f"v{number}")
    return ExecutionReported(account=terms.account, client_order_id=key, reported_at=at, events=(taken, filled))


def test_sends_are_kept_oldest_first_also_of_an_older_decision() -> None:
    account = paper()
    (order,) = terms_of(account, [(ETH, Side.BUY, 10, False, False)])
    state, _ = operator_orders.submit(state_at(account), order, START + 10 * SECOND)
    state, changes = entries.enter(state, signal(), history(), START)
    assert not changes.risk
    assert state.order_times == (START, START + 10 * SECOND)
    later, _ = bars.apply_bars(state, {}, START + timedelta(seconds=state.account.limits.throttle_window_seconds))
    assert later.order_times == (START + 10 * SECOND,)
