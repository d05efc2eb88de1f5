"""An account over time: orders are judged, sent, filled in parts, cancelled; at no moment is a limit exceeded."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from signalbox.market.candles import Symbol
from signalbox.orders.identity import ClientOrderId
from signalbox.orders.terms import Side
from signalbox.risk import Position, ProposedOrder, RiskApproved, RiskSnapshot, WorkingOrder, assess
from signalbox.risk.exposure import book_of
from tests.unit.risk.facts import PRICES, D, instrument, limits, orders, snapshot

RULES = limits(
    max_symbol_exposure_fraction=D("0.4"),
    max_group_exposure_fraction=D("0.5"),
    max_account_exposure_fraction=D("0.7"),
    max_orders_per_window=1_000,
    loss_floors_required=False,
)
FREE = {s: instrument(s, fee_fraction=D(0)) for s in PRICES}


def fill(facts: RiskSnapshot, index: int, share: int) -> RiskSnapshot:
    """Fill a part of a working order at its limit or the mark, whichever is better for it: equity never falls."""
    working = facts.working[index]
    order, quantity = working.order, working.remaining * share / 4
    sign, mark = (1 if order.side is Side.BUY else -1), PRICES[order.symbol]
    price = mark if order.price is None else min(mark, order.price) if sign > 0 else max(mark, order.price)
    rest = [w for w in facts.working if w is not working]
    if share < 4:
        rest.append(WorkingOrder(order, working.remaining - quantity))
    held = facts.positions.get(order.symbol)
    before, average = (held.quantity, held.average_price) if held else (D(0), price)
    after = before + sign * quantity
    # moved to the mark: what was gained so far, and by this fill, is in the balance
    balance = facts.balance + before * (mark - average) + sign * quantity * (mark - price)
    positions = {s: p for s, p in facts.positions.items() if s != order.symbol}
    if after:
        positions[order.symbol] = Position(order.symbol, after, mark)
    return replace(facts, positions=positions, working=tuple(rest), balance=balance)


def notional(facts: RiskSnapshot, symbols: list[Symbol]) -> Decimal:
    return sum((abs(p.quantity) * PRICES[s] for s, p in facts.positions.items() if s in symbols), D(0))


@given(batch=orders(count=12), data=st.data())
def test_no_sequence_of_approved_orders_fills_and_cancellations_exceeds_a_limit(
    batch: list[ProposedOrder], data: st.DataObject
) -> None:
    facts = snapshot(instruments=FREE, floors=())
    alts = [s for s in PRICES if FREE[s].group == "alts"]
    for i, order in enumerate(batch):
        order = replace(order, order_id=ClientOrderId(f"s{i}"))  # noqa: PLW2901 - the same order under a fresh id
        held = facts.positions.get(order.symbol)
        if isinstance(assess(order, facts, RULES), RiskApproved):
            facts = facts.with_sent(order)
            if order.reduce_only:
                assert held is not None
                assert order.quantity <= abs(held.quantity)
        for _ in range(data.draw(st.integers(0, 2))):
            if facts.working:
                index = data.draw(st.integers(0, len(facts.working) - 1))
                if data.draw(st.integers(0, 3)):
                    facts = fill(facts, index, data.draw(st.integers(1, 4)))
                else:
                    facts = replace(facts, working=facts.working[:index] + facts.working[index + 1 :])
        book = book_of(facts, RULES)
        assert book.equity >= 200_000
        for symbol in PRICES:
            assert notional(facts, [symbol]) <= book.exposures.get(symbol, D(0)) <= book.equity * D("0.4")
        assert notional(facts, alts) <= book.equity * D("0.5")
        assert notional(facts, list(PRICES)) <= book.exposure() <= book.equity * D("0.7")
        assert book.margin() <= book.equity * RULES.max_funding_use_fraction
