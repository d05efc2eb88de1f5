"""Adds ids to log lines: `correlation_id`, the cycle or command that a record belongs to, and `event_id`.

Powertools' logger keeps keys until they are removed, even from one record to the next and from one warm invocation to the next.
So the keys are set for one record and removed after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from signalbox.events import BusEvent, correlation_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from signalbox.trading.service import AccountOutcome

_KEYS: Final = ("correlation_id", "event_id", "request")


class Follower:
    """Sets the ids of a record once it has been read. All later log lines carry them."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def event(self, event: BusEvent) -> None:
        """Set the ids of an event of the bus."""
        self.ids(event.correlation_id, event_id=event.event_id)

    def command(self, request_id: str, at: datetime) -> None:
        """Set the ids of a person's command. Everything that it starts, such as an order, has the same correlation id."""
        self.ids(correlation_id_of(at), request=request_id)

    def ids(self, correlation_id: str | None, **more: str) -> None:
        """Set these ids on the following log lines. None clears the correlation id, so that none of an earlier record is kept."""
        self._logger.remove_keys(_KEYS)
        self._logger.append_keys(**more, **({} if correlation_id is None else {"correlation_id": correlation_id}))


@contextmanager
def followed(logger: Logger) -> Iterator[Follower]:
    """Yield a Follower for one record, and remove the record's ids afterwards."""
    try:
        yield Follower(logger)
    finally:
        logger.remove_keys(_KEYS)


def log_changes(logger: Logger, handled: Iterable[AccountOutcome], risk: Callable[..., None]) -> None:
    """Log the outcome for each account: one line for each event with its own ids, and through `risk` one for each risk entry."""
    for one in handled:
        account = one.account.account
        for event in one.changes.events:
            facts: dict[str, Any] = {"event_type": event.type, "event_id": event.event_id}
            if event.correlation_id is not None:
                facts["correlation_id"] = event.correlation_id
            logger.info("account_event", account=account, **facts)
        for line in one.changes.risk:
            risk("risk_event", account=account, kind=line.kind, code=line.code, detail=line.detail, key=line.key)
