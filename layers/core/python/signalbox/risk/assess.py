"""The interlocking: checks one order against one snapshot under one set of limits. Pure; no other module can approve an order.

The rules and their order: docs/risk-codes.md, docs/architecture.md section 7. Every breach is reported; missing facts refuse.
"""

from __future__ import annotations

from collections.abc import Iterable

from signalbox.exact import ZERO, exactly
from signalbox.market.candles import Symbol
from signalbox.risk.checks import CHECKS, CHECKS_OF_NEW_RISK, Breaches, CheckContext, is_fresh, reducible_quantity
from signalbox.risk.decision import SEAL, RiskApproved, RiskDecision, RiskRefused
from signalbox.risk.exposure import ExposureImpact, weigh
from signalbox.risk.limits import RiskLimits
from signalbox.risk.order import ProposedOrder
from signalbox.risk.snapshot import RiskSnapshot


def assess(order: ProposedOrder, snapshot: RiskSnapshot, limits: RiskLimits) -> RiskApproved | RiskRefused:
    """Return the decision on one order. Either kind of decision carries the snapshot it was made on."""
    found = _breaches(order, snapshot, limits)
    if found:
        return RiskRefused(order, snapshot, limits.version, tuple(found))
    return RiskApproved(order, snapshot, limits.version, SEAL)


@exactly
def _breaches(order: ProposedOrder, snapshot: RiskSnapshot, limits: RiskLimits) -> Breaches:
    context = _context_of(order, snapshot, limits)
    found: Breaches = []
    for check in CHECKS if order.reduce_only or context.impact is None else CHECKS_OF_NEW_RISK:
        check(context, found)
    return found


def assess_batch(orders: Iterable[ProposedOrder], snapshot: RiskSnapshot, limits: RiskLimits) -> tuple[RiskDecision, ...]:
    """Return one decision per order, in the given order. Each order is checked as if the approved ones before it were working."""
    decisions: list[RiskDecision] = []
    for order in orders:
        decision = assess(order, snapshot, limits)
        if isinstance(decision, RiskApproved):
            snapshot = snapshot.with_sent(order)
        decisions.append(decision)
    return tuple(decisions)


def _context_of(order: ProposedOrder, snapshot: RiskSnapshot, limits: RiskLimits) -> CheckContext:
    symbol, symbols = order.symbol, snapshot.symbols
    if symbol not in symbols:
        symbols = tuple(sorted((*symbols, symbol)))
    reducible = reducible_quantity(order, snapshot) if order.reduce_only else ZERO
    reduces = order.reduce_only and order.quantity <= reducible
    mark = snapshot.marks.get(symbol)
    return CheckContext(
        order,
        snapshot,
        limits,
        snapshot.instruments.get(symbol),
        None if mark is None else mark.price,
        None if reduces else _impact_of(order, snapshot, limits, symbols),
        symbols,
        reducible,
        reduces,
    )


def _impact_of(
    order: ProposedOrder, snapshot: RiskSnapshot, limits: RiskLimits, symbols: tuple[Symbol, ...]
) -> ExposureImpact | None:
    """Return the impact by which new risk is judged, or None if a price or an instrument is missing."""
    marks, instruments = snapshot.marks, snapshot.instruments
    if not is_fresh(snapshot, limits, symbols) and not all(s in marks and s in instruments for s in symbols):
        return None
    return weigh(order, snapshot, limits)
