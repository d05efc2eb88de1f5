"""The unit for comparing figures across machines: the sum of ten Decimal products, timed in the same process and minutes.

It tells a slow machine from slow code: in this unit the cost of an order changes almost only with the code.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Final

UNIT: Final = "ten Decimal products"
_CALLS: Final = 20  # per sample


def ten_products() -> Decimal:
    """Do the work of one unit."""
    total = Decimal(0)
    for price in ("50000", "2500", "100", "50100", "2505", "101", "49900", "2495", "99", "50050"):
        total += Decimal(price) * Decimal("0.1234")
    return total


def unit_sample_us() -> float:
    """Return the current CPU time of one unit in microseconds, averaged over a few calls."""
    began = time.thread_time_ns()
    for _ in range(_CALLS):
        ten_products()
    return (time.thread_time_ns() - began) / _CALLS / 1000
