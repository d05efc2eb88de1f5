"""What comes by the queue: a report that is stamped ahead of its arrival moves no account into the future."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from signalbox.adapters.aws.trading_queue import handle_message
from signalbox.events import BusEvent
from signalbox.orders.events import OrderSubmitted
from signalbox.orders.messages import ExecutionReported, VenueViewReported
from signalbox.trading.commands import AnyCommand
from signalbox.trading.service import AccountOutcome
from tests.builders import NOON
from tests.fakes.keys import REPORT_KEYS, message_of

KEY = "ab" * 16


@dataclass
class Heard:
    """A trading service that keeps what it gets."""

    events: list[BusEvent] = field(default_factory=list)

    def handle(self, event: BusEvent) -> tuple[AccountOutcome, ...]:
        self.events.append(event)
        return ()

    def command(self, command: AnyCommand, who: str) -> AccountOutcome:
        raise AssertionError(f"no command is expected: {command} {who}")


def sent(event: BusEvent, at: datetime) -> BusEvent:
    service = Heard()
    handle_message(service, message_of(event), sender="me", sent_ms=str(int(at.timestamp() * 1000)), keys=REPORT_KEYS)
    return service.events[0]


@pytest.mark.parametrize(("ahead", "expected"), [(timedelta(hours=2), NOON), (timedelta(0), NOON), (-timedelta(minutes=9), None)])
def test_a_report_is_of_the_time_it_was_sent_at_the_latest(ahead: timedelta, expected: datetime | None) -> None:
    at = NOON + ahead
    reported = (OrderSubmitted(client_order_id=KEY, at=NOON),)
    found = sent(ExecutionReported(account="a", client_order_id=KEY, reported_at=at, events=reported), NOON)
    assert isinstance(found, ExecutionReported)
    assert found.reported_at == (expected or at)
    view = sent(VenueViewReported(account="a", requested_at=NOON, asked_at=at, orders=(), trades=(), positions={}), NOON)
    assert isinstance(view, VenueViewReported)
    assert view.asked_at == (expected or at)
