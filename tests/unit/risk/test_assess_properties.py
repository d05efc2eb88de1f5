"""What holds for every account and every sequence of orders, told by arithmetic of its own."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from signalbox.exact import exactly
from signalbox.market.candles import Symbol
from signalbox.orders.terms import Side
from signalbox.risk import (
    HaltLevel,
    LossRule,
    Mark,
    Position,
    ProposedOrder,
    RiskApproved,
    RiskLimits,
    RiskRefused,
    RiskSnapshot,
    WorkingOrder,
    assess,
    assess_batch,
)
from signalbox.risk.assess import _context_of
from signalbox.risk.checks import CHECKS
from signalbox.risk.decision import Breach
from signalbox.risk.exposure import book_of
from tests.unit.risk.facts import DAILY, LIMITS, PRICES, SPOT, D, instrument, limits, orders, position, snapshot, snapshots

CALM = limits(max_symbol_exposure_fraction=D("0.4"), max_group_exposure_fraction=D("0.5"), max_account_exposure_fraction=D("0.7"))
LOOSE = limits(loss_floors_required=False, max_orders_per_window=100)  # the floors are what is left to stop it


def signed(order: ProposedOrder) -> Decimal:
    return order.quantity if order.side is Side.BUY else -order.quantity


def filled(facts: RiskSnapshot, sent: list[WorkingOrder]) -> dict[Symbol, Decimal]:
    after = {s: facts.positions[s].quantity if s in facts.positions else D(0) for s in PRICES}
    for working in sent:
        after[working.order.symbol] += working.remaining if working.order.side is Side.BUY else -working.remaining
    return after


def notional(after: dict[Symbol, Decimal], symbols: list[Symbol]) -> Decimal:
    return sum((abs(after[s]) * PRICES[s] for s in symbols), D(0))


@exactly
def found_by_every_check(order: ProposedOrder, facts: RiskSnapshot) -> list[Breach]:
    context, found = _context_of(order, facts, CALM), list[Breach]()
    for check in CHECKS:
        check(context, found)
    return found


@given(batch=orders(), facts=snapshots(), unknown=st.sets(st.sampled_from(sorted(PRICES))))
def test_checks_that_an_order_is_not_asked_would_have_found_nothing(
    batch: list[ProposedOrder], facts: RiskSnapshot, unknown: set[Symbol]
) -> None:
    facts = replace(facts, instruments={s: one for s, one in facts.instruments.items() if s not in unknown})
    for order in batch:
        decision = assess(order, facts, CALM)
        assert list(decision.breaches if isinstance(decision, RiskRefused) else ()) == found_by_every_check(order, facts)


@given(batch=orders(), facts=snapshots(), data=st.data())
def test_whatever_fills_of_approved_orders_no_exposure_limit_is_exceeded(
    batch: list[ProposedOrder], facts: RiskSnapshot, data: st.DataObject
) -> None:
    """Accounts that begin inside their limits stay inside; those that begin outside (a fall in equity) get no worse."""
    approved = [d.order for d in assess_batch(batch, facts, CALM) if isinstance(d, RiskApproved)]
    working = [*facts.working, *(WorkingOrder(o, o.quantity) for o in approved)]
    some = [w for w in working if data.draw(st.booleans())]
    equity = facts.balance + sum((p.quantity * (PRICES[s] - p.average_price) for s, p in facts.positions.items()), D(0))
    groups = {"btc": [s for s in PRICES if s == "BTC-USD"], "alts": [s for s in PRICES if s != "BTC-USD"]}
    scopes = [
        *(([s], CALM.max_symbol_exposure_fraction) for s in PRICES),
        *((members, CALM.max_group_exposure_fraction) for members in groups.values()),
        (list(PRICES), CALM.max_account_exposure_fraction),
    ]
    after = filled(facts, some)
    for symbols, fraction in scopes:
        before = sum((_worst(facts, s) for s in symbols), D(0))
        assert notional(after, symbols) <= max(equity * fraction, before)


def _worst(facts: RiskSnapshot, symbol: Symbol) -> Decimal:
    held = facts.positions[symbol].quantity if symbol in facts.positions else D(0)
    mine = [w for w in facts.working if w.order.symbol == symbol]
    price = max([PRICES[symbol] * D("1.002"), *(w.order.price for w in mine if w.order.price is not None)])
    ends = [held + sum((signed(w.order) for w in mine if w.order.side is side), D(0)) for side in Side]
    return max(abs(held), *(abs(e) for e in ends)) * price


@given(batch=orders(), data=st.data())
def test_the_worst_case_of_everything_approved_stays_above_where_new_risk_is_blocked(
    batch: list[ProposedOrder], data: st.DataObject
) -> None:
    """Each approved order fills at its worst price, then runs to its stop or the worst move: equity stays above the block."""
    facts = snapshot()
    approved = [d.order for d in assess_batch(batch, facts, LOOSE) if isinstance(d, RiskApproved)]
    equity = facts.balance
    for order in (o for o in approved if data.draw(st.booleans())):
        mark, sign = PRICES[order.symbol], 1 if order.side is Side.BUY else -1
        entry = order.price if order.price is not None else mark * (1 + sign * LOOSE.market_slippage_fraction)
        stop = order.stop_price if order.stop_price is not None else mark * (1 - sign * LOOSE.worst_move_fraction)
        end = min(stop, mark) if order.side is Side.BUY else max(stop, mark)
        equity += order.quantity * sign * (end - entry) - order.quantity * entry * D("0.001")
    assert equity >= max(f.block_below for f in facts.floors)


@given(facts=snapshots(), share=st.integers(1, 10), rules=st.sampled_from([LIMITS, SPOT]))
def test_a_fill_never_raises_an_exposure(facts: RiskSnapshot, share: int, rules: RiskLimits) -> None:
    """With the approval of each order this is the induction: approvals stay inside, and fills only use up what was counted."""
    before = book_of(facts, rules)
    for working in facts.working:
        symbol, quantity = working.order.symbol, working.remaining * share / 10
        held = facts.positions[symbol].quantity if symbol in facts.positions else D(0)
        after = held + (quantity if working.order.side is Side.BUY else -quantity)
        positions = {s: p for s, p in facts.positions.items() if s != symbol}
        if after:
            positions[symbol] = Position(symbol, after, PRICES[symbol])
        rest = tuple(w for w in facts.working if w is not working)
        if share < 10:
            rest += (WorkingOrder(working.order, working.remaining - quantity),)
        book = book_of(replace(facts, positions=positions, working=rest), rules)
        assert all(found <= before.exposures[s] for s, found in book.exposures.items())
        assert book.margin() <= before.margin()


@given(batch=orders(), facts=snapshots())
def test_the_throttle_and_the_funding_hold_over_a_batch(batch: list[ProposedOrder], facts: RiskSnapshot) -> None:
    tight = limits(SPOT, max_orders_per_window=3, reserved_for_reducing=1)
    cash = snapshot(*(Position(p.symbol, abs(p.quantity), p.average_price) for p in facts.positions.values()), floors=())
    approved = [d.order for d in assess_batch(batch, cash, tight) if isinstance(d, RiskApproved)]
    assert len(approved) <= 4
    assert sum(not o.reduce_only for o in approved) <= 3
    spent = sum((o.quantity * (o.price or PRICES[o.symbol]) for o in approved if o.side is Side.BUY), D(0))
    invested = sum((p.quantity * p.average_price for p in cash.positions.values()), D(0))
    assert spent <= max(cash.balance - invested, D(0)) * tight.max_funding_use_fraction
    for symbol in PRICES:
        held = cash.positions[symbol].quantity if symbol in cash.positions else D(0)
        assert held >= sum((o.quantity for o in approved if o.symbol == symbol and o.side is Side.SELL), D(0))


@given(batch=orders(), facts=snapshots(), halt=st.sampled_from(HaltLevel), data=st.data())
def test_reduce_only_never_increases_and_never_flips(
    batch: list[ProposedOrder], facts: RiskSnapshot, halt: HaltLevel, data: st.DataObject
) -> None:
    halted = replace(facts, halt=halt, marks={})  # nothing but reductions can pass
    exits = [replace(o, reduce_only=True, price=None, stop_price=None) for o in batch]
    approved = [d.order for d in assess_batch(exits, halted, LIMITS) if isinstance(d, RiskApproved)]
    some = [WorkingOrder(o, o.quantity) for o in approved if data.draw(st.booleans())]
    for symbol, after in filled(halted, some).items():
        before = halted.positions[symbol].quantity if symbol in halted.positions else D(0)
        assert abs(after) <= abs(before)
        assert after * before >= 0


@given(side=st.sampled_from(Side), size=st.sampled_from(["1", "-1", "0.3"]), quantity=st.integers(1, 20_000))
def test_a_reduction_is_approved_exactly_when_it_reduces(side: Side, size: str, quantity: int) -> None:
    held, amount = D(size), D(quantity) / 10_000
    order = ProposedOrder(assess_batch.__name__, _BTC, side, amount, None, None, reduce_only=True)  # type: ignore[arg-type]
    after = held + signed(order)
    decision = assess(order, snapshot(position(quantity=size), instruments={_BTC: instrument(min_notional=D(0))}), LIMITS)
    assert isinstance(decision, RiskApproved) == (abs(after) < abs(held) and after * held >= 0)


_BTC = next(iter(PRICES))


def _respelled(value: Decimal, style: int) -> Decimal:
    if style == 0:
        return D(f"{value:f}" + ("00" if "." in f"{value:f}" else ".000"))
    return D(f"{value:E}") if style == 1 else value.normalize()


@given(batch=orders(count=3), facts=snapshots(), style=st.integers(0, 2), rules=st.sampled_from([LIMITS, CALM, SPOT]))
def test_neither_the_order_of_facts_nor_the_spelling_of_numbers_changes_a_decision(
    batch: list[ProposedOrder], facts: RiskSnapshot, style: int, rules: RiskLimits
) -> None:
    def again(order: ProposedOrder) -> ProposedOrder:
        price = None if order.price is None else _respelled(order.price, style)
        stop = None if order.stop_price is None else _respelled(order.stop_price, style)
        return ProposedOrder(
            order.order_id, order.symbol, order.side, _respelled(order.quantity, style), price, stop, order.reduce_only
        )

    twin = snapshot(
        *(
            Position(p.symbol, _respelled(p.quantity, style), _respelled(p.average_price, style))
            for p in reversed(list(facts.positions.values()))
        ),
        working=tuple(WorkingOrder(again(w.order), _respelled(w.remaining, style)) for w in reversed(facts.working)),
        balance=_respelled(facts.balance, style),
        marks={s: Mark(_respelled(p, style), facts.at) for s, p in reversed(PRICES.items())},
        instruments=dict(reversed(list(facts.instruments.items()))),
        floors=facts.floors[::-1],
    )
    assert twin == facts
    assert twin.snapshot_id == facts.snapshot_id
    mine, theirs = assess_batch(batch, facts, rules), assess_batch([again(o) for o in batch], twin, rules)
    assert mine == theirs
    assert [d.message for d in mine if isinstance(d, RiskRefused)] == [d.message for d in theirs if isinstance(d, RiskRefused)]


@given(facts=snapshots(), batch=orders(count=1))
def test_a_snapshot_that_differs_in_one_fact_has_another_id(facts: RiskSnapshot, batch: list[ProposedOrder]) -> None:
    ids = {facts.snapshot_id, facts.with_sent(batch[0]).snapshot_id, snapshot(balance=D(1)).snapshot_id}
    ids.add(snapshot(balance=D(1), floors=(DAILY,)).snapshot_id)
    assert len(ids) == 4
    assert {f.rule for f in facts.floors} == set(LossRule)
