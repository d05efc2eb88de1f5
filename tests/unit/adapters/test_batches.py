"""A batch of a queue: what fails is told once and given back alone; what is committed is published or left to the relay."""

import io
import json
from typing import Any

import boto3
import pytest
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from signalbox.adapters.aws.after_commit import publish_or_leave
from signalbox.adapters.aws.batches import (
    RecordHandler,
    event_in,
    failure_logged,
    process_fifo,
    process_standard,
    visible_again,
    wait_seconds,
)
from signalbox.events import MarketDataStale
from tests.builders import BTC, NOON
from tests.fakes.lambda_context import FakeLambdaContext

pytestmark = pytest.mark.usefixtures("aws")
CONTEXT: Any = FakeLambdaContext()


class LoggedError(Exception):
    """Logged where it happened."""


def message(body: str = "", *, group: str = "g", deliveries: int = 1, message_id: str = "m") -> dict[str, Any]:
    return {
        "messageId": message_id, "receiptHandle": "r", "body": body, "eventSource": "aws:sqs", "messageAttributes": {},
        "attributes": {"ApproximateReceiveCount": str(deliveries), "MessageGroupId": group},
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:q",
    }  # fmt: skip


def batch(*output: tuple[str, str]) -> dict[str, Any]:
    """Messages m0, m1, … of (group, body)."""
    return {"Records": [message(body, group=group, message_id=f"m{i}") for i, (group, body) in enumerate(output)]}


def handler_of(handled: list[str]) -> RecordHandler:
    def handle(record: SQSRecord) -> None:
        if record.body == "bad":
            raise ValueError("bad")
        handled.append(record.message_id)

    return handle


def given_back(answer: dict[str, Any]) -> list[str]:
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_of_a_standard_queue_each_failure_comes_back_alone() -> None:
    handled: list[str] = []
    answer = process_standard(batch(("a", "good"), ("a", "bad"), ("a", "good")), handler_of(handled), CONTEXT)
    assert (given_back(answer), handled) == (["m1"], ["m0", "m2"])


def test_of_a_fifo_queue_a_failure_holds_back_its_group_and_no_other() -> None:
    handled: list[str] = []
    answer = process_fifo(batch(("a", "bad"), ("b", "good"), ("a", "good")), handler_of(handled), CONTEXT)
    assert (sorted(given_back(answer)), handled) == (["m0", "m2"], ["m1"])


@pytest.mark.parametrize("run", [process_standard, process_fifo])
def test_a_batch_of_failures_alone_is_an_answer_and_no_error(run: Any) -> None:
    assert given_back(run(batch(("a", "bad"), ("b", "bad")), handler_of([]), CONTEXT)) == ["m0", "m1"]


@pytest.fixture
def reported() -> tuple[Logger, io.StringIO]:
    text = io.StringIO()
    return Logger(service=f"batches-{id(text)}", stream=text), text


def lines(text: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.getvalue().splitlines()]


def fail(error: Exception, logger: Logger) -> None:
    with failure_logged(logger, SQSRecord(message()), already_logged=(LoggedError,)):
        raise error


def test_a_failure_is_told_with_its_message_and_its_reason_and_still_fails(reported: tuple[Logger, io.StringIO]) -> None:
    logger, text = reported
    with pytest.raises(ValueError, match="the ledger is away"):
        fail(ValueError("the ledger is away"), logger)
    (line,) = lines(text)
    assert (line["message"], line["message_id"], line["exception_name"]) == ("record_failed", "m", "ValueError")


def test_what_was_told_already_fails_without_a_second_line(reported: tuple[Logger, io.StringIO]) -> None:
    logger, text = reported
    with pytest.raises(LoggedError):
        fail(LoggedError(), logger)
    assert lines(text) == []


@given(asked=st.none() | st.integers(-10, 10**6), deliveries=st.integers(1, 10**4), first=st.integers(1, 10))
def test_a_pause_is_what_was_asked_for_or_doubles_and_never_leaves_its_bounds(asked: Any, deliveries: int, first: int) -> None:
    found = SQSRecord(message(deliveries=deliveries))
    wait = wait_seconds(asked, found, first=first, longest=120)
    assert 1 <= wait <= 120
    if asked is not None:
        assert wait == min(max(asked, 1), 120)
    else:
        later = wait_seconds(None, SQSRecord(message(deliveries=deliveries + 1)), first=first, longest=120)
        assert wait <= later <= 2 * wait
        assert deliveries > 1 or wait == first


def test_a_message_is_visible_again_after_its_pause() -> None:
    with mock_aws():
        queue = boto3.client("sqs")
        url = queue.create_queue(QueueName="alerts", Attributes={"VisibilityTimeout": "600"})["QueueUrl"]
        arn = queue.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        queue.send_message(QueueUrl=url, MessageBody="later")
        (taken,) = queue.receive_message(QueueUrl=url)["Messages"]
        assert "Messages" not in queue.receive_message(QueueUrl=url)
        visible_again(queue, taken["ReceiptHandle"], arn, 0)
        assert queue.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "later"


def test_a_published_outbox_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics(namespace="Batches", service="s")
    publish_or_leave(lambda: 4, logger=Logger(service="batches"), metrics=metrics)
    metrics.flush_metrics()
    assert json.loads(capsys.readouterr().out)["OutboxPublished"] == [4.0]


@pytest.mark.filterwarnings("ignore:No application metrics")
def test_an_outbox_that_was_not_published_is_told_and_is_no_failure(
    reported: tuple[Logger, io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    def publish() -> int:
        raise ConnectionError("the bus is away")

    logger, text = reported
    metrics = Metrics(namespace="Batches", service="s")
    publish_or_leave(publish, logger=logger, metrics=metrics)
    metrics.flush_metrics()
    (line,) = lines(text)
    assert (line["message"], line["level"], capsys.readouterr().out) == ("outbox_not_published", "ERROR", "")


def test_the_event_of_a_rule_of_the_bus_is_in_the_message() -> None:
    output = MarketDataStale(symbol=BTC, since=NOON, reason="STALE_DATA", newest_close=None)
    body = json.dumps({"source": "signalbox", "detail-type": output.type, "detail": output.to_detail()})
    assert event_in(SQSRecord(message(body))) == output


@pytest.mark.parametrize("body", ["{", "{}", json.dumps({"source": "signalbox", "detail-type": "Unknown", "detail": {}})])
def test_a_message_that_is_no_event_is_an_error(body: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        event_in(SQSRecord(message(body)))
