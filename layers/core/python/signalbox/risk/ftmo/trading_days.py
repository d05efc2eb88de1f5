"""What makes a day a trading day: a fill that opens a position. The one rule of paper, live, backtest and simulated accounts.

FTMO counts a day of its time zone on which at least one new position was opened; holding one does not count, nor does
closing (academy.ftmo.com, Minimum Trading Days). On a netted position a fill opens when it leaves more on its own side than
there was: from flat, on top, or through zero. Closing a part, or all of it, opens nothing, whatever the order was called.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

from signalbox.exact import CONTEXT, ZERO


def opens_position(before: Decimal, traded: Decimal) -> bool:
    """Return whether a fill opens a position. before: signed, of its symbol; traded: signed, not 0."""
    with localcontext(CONTEXT):
        after = before + traded
    return after > ZERO if traded > ZERO else after < ZERO
