"""A unit of work on the ledger, run again while the ledger is away or busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from signalbox.ledger_errors import LedgerBusyError, LedgerUnavailableError

T = TypeVar("T")
RETRY_PAUSES_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 4.0)  # a failover or restart of the database, within the function's timeout


def retried(
    unit: Callable[[], T],
    pause: Callable[[float], None],
    passing: tuple[type[Exception], ...] = (LedgerUnavailableError, LedgerBusyError),
    pauses: Sequence[float] = RETRY_PAUSES_SECONDS,
) -> T:
    """Run a unit of work, again after a pause when the ledger is away or busy. It must be idempotent: a commit may come twice.

    passing: what is tried again here; where many accounts wait for their turn, one that is busy is not.
    """
    for wait in pauses:
        try:
            return unit()
        except passing:
            pause(wait)
    return unit()
