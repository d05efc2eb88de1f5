"""Retries a unit of work on the ledger while the ledger is unavailable or busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from signalbox.ledger_errors import LedgerBusyError, LedgerUnavailableError

T = TypeVar("T")
RETRY_PAUSES_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 4.0)  # covers a failover or restart, within the function's timeout


def retried(
    unit: Callable[[], T],
    pause: Callable[[float], None],
    passing: tuple[type[Exception], ...] = (LedgerUnavailableError, LedgerBusyError),
    pauses: Sequence[float] = RETRY_PAUSES_SECONDS,
) -> T:
    """Run a unit of work, and retry it after pauses while the ledger is unavailable or busy.

    The unit must be idempotent, because its commit may happen twice. passing: the errors to retry; where other accounts wait
    for their turn, a busy account is not among them.
    """
    for wait in pauses:
        try:
            return unit()
        except passing:
            pause(wait)
    return unit()
