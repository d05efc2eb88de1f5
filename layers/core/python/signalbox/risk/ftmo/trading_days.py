"""Defines a trading day: a day with a fill that opens a position. Paper, live, backtest and simulated accounts share this rule.

FTMO counts a day, in its time zone, on which at least one new position was opened; holding or closing one does not count
(academy.ftmo.com, Minimum Trading Days). For a netted position, a fill opens if it leaves more on its own side than there was
before: from flat, added to a position, or through zero. Closing part or all of it opens nothing, whatever the order's type.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

from signalbox.exact import CONTEXT, ZERO


def opens_position(before: Decimal, traded: Decimal) -> bool:
    """Return whether a fill opens a position. before: the symbol's signed position; traded: the fill's signed quantity, not 0."""
    with localcontext(CONTEXT):
        after = before + traded
    return after > ZERO if traded > ZERO else after < ZERO
