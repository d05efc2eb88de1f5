"""Nobody waits for another's trouble: an account without credentials beside a healthy one, a flooded chat beside another.

A cloud of its own. What is held back in any group would be held back for minutes, so the waits below tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from local.cloud.local_cloud import LocalCloud
from local.cloud.processes import wait_until
from local.stand_ins.faults import Fault, MessengerFault
from signalbox.contracts import Function, Metric, StackOutput
from signalbox.events import MarketDataStale
from signalbox.orders.messages import VenueViewRequested
from signalbox.orders.terms import Leg, Side
from tests.builders import BTC
from tests.e2e.test_execution import LIVE, NOBODY, LiveStage, kinds, stage_in

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
CHATS = ("1", "2", "-5")


@pytest.fixture(scope="module")
def stage() -> Iterator[LiveStage]:
    with stage_in("e2e-queues", before=_add_chats) as made:
        yield made


def _add_chats(cloud: LocalCloud) -> None:
    cloud.telegram.add_chats(*CHATS)
    secrets, secret_id = cloud.emulator.client("secretsmanager"), cloud.outputs[StackOutput.TELEGRAM_SECRET_ARN]
    secret = json.loads(secrets.get_secret_value(SecretId=secret_id)["SecretString"])
    secrets.put_secret_value(SecretId=secret_id, SecretString=json.dumps(secret | {"chat_ids": CHATS}))


def view(account: str, seconds: int) -> VenueViewRequested:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return VenueViewRequested(account=account, venue="coinbase", at=at, since=at - timedelta(hours=1), orders=(), symbols=(BTC,))


def alert(hour: int) -> MarketDataStale:
    at = datetime(2026, 1, 14, hour, tzinfo=UTC)
    return MarketDataStale(symbol=BTC, since=at, reason="VENUE_TIMEOUT", newest_close=None)


def output(stage: LiveStage, chat: str, hour: int) -> list[str]:
    return [m.text for m in stage.cloud.telegram.messages if m.chat_id == chat and f"2026-01-14 {hour}:00" in m.text]


def shown(stage: LiveStage, chat: str, hour: int) -> list[str] | None:
    return output(stage, chat, hour) or None


def test_an_exit_of_a_healthy_account_does_not_wait_for_one_without_credentials(stage: LiveStage) -> None:
    bought = stage.ask(LIVE, "coinbase", strategy="position")
    stage.publish(bought)
    assert "OrderFilled" in kinds(stage.reports(bought))
    for i in range(3):
        stage.publish(view(NOBODY, i))
    leaving = stage.ask(LIVE, "coinbase", strategy="leaving", leg=Leg.EXIT, side=Side.SELL, reduce_only=True)
    stage.publish(leaving)
    assert "OrderFilled" in kinds(stage.reports(leaving))
    stage.cloud.watch.until_quiet(seconds=60)  # nothing of the other account is tried again either
    assert stage.cloud.logs.total(Function.EXECUTE_ORDERS, Metric.VIEWS_FAILED) == 3
    assert stage.cloud.watch.dead_letters() == {}


def test_what_nobody_can_read_holds_nothing_back_and_is_counted(stage: LiveStage) -> None:
    deep = "[" * 200_000
    sqs = stage.sqs
    for key, group in (
        (StackOutput.EXECUTION_QUEUE_URL, LIVE),
        (StackOutput.TRADING_QUEUE_URL, LIVE),
        (StackOutput.ROUTING_QUEUE_URL, "routing"),
    ):
        sqs.send_message(QueueUrl=stage.cloud.outputs[key], MessageBody=deep, MessageGroupId=group)
    sqs.send_message(QueueUrl=stage.cloud.outputs[StackOutput.KILL_SWITCH_QUEUE_URL], MessageBody=deep)
    request = stage.ask(LIVE, "coinbase", strategy="behind")
    stage.publish(request)
    assert "OrderFilled" in kinds(stage.reports(request))
    stage.cloud.watch.until_quiet(seconds=60)
    counts = {
        f: stage.cloud.logs.total(f, Metric.EVENTS_REFUSED)
        for f in (Function.EXECUTE_ORDERS, Function.MANAGE_ORDERS, Function.ROUTE_EVENTS)
    }
    assert counts[Function.EXECUTE_ORDERS] == counts[Function.ROUTE_EVENTS] == 1
    assert counts[Function.MANAGE_ORDERS] >= 2  # the reports of accounts that this ledger does not know are refused too


def test_a_chat_in_flood_control_delays_no_other_and_a_chat_that_moved_is_followed(stage: LiveStage) -> None:
    telegram = stage.cloud.telegram
    flood = telegram.faults.add(Fault(MessengerFault.RATE_LIMITED, "1", retry_after=900))
    telegram.upgrade("-5", "-1005")
    for hour in (13, 14):
        stage.publish(alert(hour))
    for chat in ("2", "-1005"):
        for hour in (13, 14):
            wait_until(partial(shown, stage, chat, hour), what=f"the alert of {hour} in {chat}", seconds=30)
    assert flood.hits >= 1
    assert output(stage, "1", 13) == output(stage, "1", 14) == []
    moved = "chat is now -1005; it was -5"  # said when the whole batch of messages is done
    wait_until(lambda: [m for m in telegram.messages if moved in m.text] or None, what="the new id", seconds=30)
    moves = partial(stage.cloud.logs.total, Function.SEND_ALERTS, Metric.CHATS_MOVED)
    wait_until(lambda: moves() or None, what="the metric of it", seconds=30)
    assert moves() == 1

    # the same events again: nobody gets them twice, not the chat that moved either
    for hour in (13, 14):
        stage.publish(alert(hour))
    stage.publish(alert(15))
    wait_until(lambda: (output(stage, "2", 15) and output(stage, "-1005", 15)) or None, what="the last alert", seconds=30)
    assert [len(output(stage, chat, hour)) for chat in ("2", "-1005") for hour in (13, 14)] == [1, 1, 1, 1]
    telegram.faults.clear()
