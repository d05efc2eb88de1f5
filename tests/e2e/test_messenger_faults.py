"""Telegram misbehaves: what passes is tried again, what is final is announced, and nothing comes twice."""

from __future__ import annotations

import pytest

from local.cloud.processes import wait_until
from local.stand_ins.faults import Fault, MessengerFault, VenueFault
from signalbox.contracts import Function, Metric
from tests.e2e.conftest import Market

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def outage_alert(market: Market) -> str:
    """Cause one alert, an outage of SOL, and return what it says."""
    market.cloud.exchange.faults.add(Fault(VenueFault.EMPTY, "SOL-USD"))
    at = market.cycle()
    return f"SOL-USD has no signals since {at:%Y-%m-%d %H:%M}"


@pytest.mark.parametrize("kind", [MessengerFault.RATE_LIMITED, MessengerFault.SERVER_ERROR])
def test_alert_that_was_put_off_arrives_once(market: Market, kind: MessengerFault) -> None:
    fault = market.cloud.telegram.faults.add(Fault(kind, times=1, retry_after=1))
    sent = len(market.texts())
    text = outage_alert(market)
    market.await_text(text, sent)
    market.quiet()
    assert fault.hits == 1
    assert sum(text in output for output in market.texts()) == 1


def test_alert_to_a_blocked_bot_is_announced_as_undeliverable_and_blocks_nobody(market: Market) -> None:
    logs = market.cloud.logs
    before = logs.total(Function.SEND_ALERTS, Metric.ALERTS_UNDELIVERABLE)
    fault = market.cloud.telegram.faults.add(Fault(MessengerFault.FORBIDDEN))
    text = outage_alert(market)
    wait_until(
        lambda: logs.total(Function.SEND_ALERTS, Metric.ALERTS_UNDELIVERABLE) > before or None,
        what="an undeliverable alert",
        seconds=30,
    )
    market.quiet()
    assert fault.hits >= 1
    assert not any(text in output for output in market.texts())
    market.cloud.telegram.faults.clear()
    market.cloud.exchange.faults.clear()
    sent = len(market.texts())
    market.cycle()
    market.await_text("SOL-USD has signals again", sent)
