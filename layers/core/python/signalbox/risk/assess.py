"""The interlocking: one order against one snapshot under one set of limits. Pure; the only place that approves.

Rules and their order: docs/risk-codes.md, DESIGN section 7. Every breach is reported. Whatever is unknown refuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import localcontext

from signalbox.risk.checks import CHECKS, Breaches, Case, reducible_quantity
from signalbox.risk.decision import SEAL, RiskApproved, RiskDecision, RiskRefused
from signalbox.risk.exposure import book_of
from signalbox.risk.limits import RiskLimits
from signalbox.risk.numbers import CONTEXT, ZERO
from signalbox.risk.order import ProposedOrder
from signalbox.risk.snapshot import RiskSnapshot


def assess(order: ProposedOrder, snapshot: RiskSnapshot, limits: RiskLimits) -> RiskApproved | RiskRefused:
    """Return the decision on one order; both kinds carry the snapshot they were judged on."""
    with localcontext(CONTEXT):
        case = _case(order, snapshot, limits)
        found: Breaches = []
        for check in CHECKS:
            check(case, found)
    if found:
        return RiskRefused(order, snapshot, limits.version, tuple(found))
    return RiskApproved(order, snapshot, limits.version, SEAL)


def assess_batch(orders: Iterable[ProposedOrder], snapshot: RiskSnapshot, limits: RiskLimits) -> tuple[RiskDecision, ...]:
    """Return a decision per order, in the order given; each is judged with the approved ones before it already working."""
    decisions: list[RiskDecision] = []
    for order in orders:
        decision = assess(order, snapshot, limits)
        if isinstance(decision, RiskApproved):
            snapshot = snapshot.with_sent(order)
        decisions.append(decision)
    return tuple(decisions)


def _case(order: ProposedOrder, snapshot: RiskSnapshot, limits: RiskLimits) -> Case:
    symbols = {order.symbol, *snapshot.positions, *(w.order.symbol for w in snapshot.working)}
    complete = all(s in snapshot.marks and s in snapshot.instruments for s in symbols)
    reducible = reducible_quantity(order, snapshot) if order.reduce_only else ZERO
    mark = snapshot.marks.get(order.symbol)
    return Case(
        order=order,
        snapshot=snapshot,
        limits=limits,
        instrument=snapshot.instruments.get(order.symbol),
        mark=None if mark is None else mark.price,
        book=book_of(snapshot, limits) if complete else None,
        symbols=tuple(sorted(symbols)),
        reducible=reducible,
        reduces=order.reduce_only and ZERO < order.quantity <= reducible,
    )
