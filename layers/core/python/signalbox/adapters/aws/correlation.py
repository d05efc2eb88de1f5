"""Log lines say what they belong to: `correlation_id`, the cycle or command that a record goes back to, and `event_id`.

Powertools' logger keeps keys until they are removed, also from one record to the next and from one warm call to the next. So they
are set for a record alone.
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
    """Names what a record is, once it is read: every line from then on carries its ids."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def event(self, event: BusEvent) -> None:
        """It is an event of the bus."""
        self.ids(event.correlation_id, event_id=event.event_id)

    def command(self, request_id: str, at: datetime) -> None:
        """It is somebody's command. What it starts, an order for one, goes back to its instant."""
        self.ids(correlation_id_of(at), request=request_id)

    def ids(self, correlation_id: str | None, **more: str) -> None:
        """It has these ids. Without a correlation id the lines have none, rather than that of something before."""
        self._logger.remove_keys(_KEYS)
        self._logger.append_keys(**more, **({} if correlation_id is None else {"correlation_id": correlation_id}))


@contextmanager
def followed(logger: Logger) -> Iterator[Follower]:
    """Give what names a record, and forget the record's ids afterwards."""
    try:
        yield Follower(logger)
    finally:
        logger.remove_keys(_KEYS)


def log_changes(logger: Logger, handled: Iterable[AccountOutcome], risk: Callable[..., None]) -> None:
    """Log what each account made of it: a line an event with its own ids, and by `risk` one an entry of the risk record."""
    for one in handled:
        account = one.account.account
        for event in one.changes.events:
            facts: dict[str, Any] = {"event_type": event.type, "event_id": event.event_id}
            if event.correlation_id is not None:
                facts["correlation_id"] = event.correlation_id
            logger.info("account_event", account=account, **facts)
        for line in one.changes.risk:
            risk("risk_event", account=account, kind=line.kind, code=line.code, detail=line.detail, key=line.key)
