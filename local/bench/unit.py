"""The unit that figures of different machines are compared in: ten Decimal products, summed, in the same process and minutes.

A slow machine can be told from slow code: what an order costs in this unit changes with the code alone, nearly.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Final

UNIT: Final = "ten Decimal products"
_CALLS: Final = 20  # a sample


def ten_products() -> Decimal:
    """Do the work of one unit."""
    total = Decimal(0)
    for price in ("50000", "2500", "100", "50100", "2505", "101", "49900", "2495", "99", "50050"):
        total += Decimal(price) * Decimal("0.1234")
    return total


def unit_sample_us() -> float:
    """Return the CPU time of one unit in microseconds, as a few calls take it now."""
    began = time.thread_time_ns()
    for _ in range(_CALLS):
        ten_products()
    return (time.thread_time_ns() - began) / _CALLS / 1000
