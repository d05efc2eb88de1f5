"""A run of a schedule that fails for good is seen: Lambda's record of it is in the stage's queue of lost runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from local.cloud.local_cloud import LocalCloud
from signalbox.contracts import Function

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.parametrize("function", [Function.COLLECT_CANDLES, Function.RELAY_OUTBOX])
def test_a_scheduled_function_that_raises_ends_in_the_queue_of_lost_runs(cloud: LocalCloud, function: Function) -> None:
    schedule = cloud.schedule_of(function)
    future = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(days=365)  # every function refuses such an instant
    firing = cloud.clock.fire(schedule, future)
    assert "scheduled_at: expected" in (firing.error or "")
    assert firing.attempts == (3 if function is Function.COLLECT_CANDLES else 1)
    sqs = cloud.emulator.client("sqs")
    assert schedule.dead_letter_arn is not None
    url = sqs.get_queue_url(QueueName=schedule.dead_letter_arn.rsplit(":", 1)[1])["QueueUrl"]
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    record = json.loads(message["Body"])
    assert record["requestPayload"]["scheduled_at"] == f"{future:%Y-%m-%dT%H:%M:%SZ}"
    assert record["requestContext"]["functionArn"].split(":")[-2] == schedule.function
    assert "scheduled_at: expected" in record["responsePayload"]["errorMessage"]
