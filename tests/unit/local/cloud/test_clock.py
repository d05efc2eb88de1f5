"""Firing deployed schedules: what the target is given, when it is tried again, where a lost run ends."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud.clock import LocalClock
from local.errors import WorkbenchError

NOON = datetime(2026, 3, 2, 12, 5, tzinfo=UTC)
ARN = "arn:aws:lambda:us-east-1:000000000000:function:collect"


def schedule(**target: Any) -> dict[str, Any]:
    return {
        "Name": "Every",
        "GroupName": "box",
        "Arn": "arn:schedule",
        "ScheduleExpression": "cron(0/5 * * * ? *)",
        "State": "DISABLED",
        "Target": {
            "Arn": ARN,
            "Input": '{"scheduled_at": "<aws.scheduler.scheduled-time>", "attempt": "<aws.scheduler.attempt-number>"}',
            "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 240},
            "DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:000000000000:lost"},
            **target,
        },
    }


class FakeEmulator:
    """Scheduler with some schedules, a function that fails a number of times, and one queue."""

    def __init__(self, *schedules: dict[str, Any], failures: int = 0, **configured: Any) -> None:
        """configured: the function's event-invoke configuration, none when empty."""
        self.schedules, self.failures, self.configured = schedules, failures, configured
        self.refusals = 0  # of the hand-over, which come first
        self.payloads: list[dict[str, Any]] = []
        self.lost: list[dict[str, Any]] = []

    def client(self, _service: str, **_: Any) -> FakeEmulator:
        return self

    def get_paginator(self, _name: str) -> FakeEmulator:
        return self

    def paginate(self) -> list[dict[str, Any]]:
        return [{"Schedules": list(self.schedules)}]

    def get_schedule(self, **wanted: str) -> dict[str, Any]:
        return next(s for s in self.schedules if s["Name"] == wanted["Name"])

    def get_function_event_invoke_config(self, **_: str) -> dict[str, Any]:
        if not self.configured:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetFunctionEventInvokeConfig")
        return self.configured

    def invoke(self, **call: Any) -> dict[str, Any]:
        if self.refusals:
            self.refusals -= 1
            raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")
        self.payloads.append(json.loads(call["Payload"]))
        if len(self.payloads) <= self.failures:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorType": "Boom"}')}
        return {"Payload": io.BytesIO(b'{"done": true}')}

    def get_queue_url(self, **wanted: str) -> dict[str, str]:
        return {"QueueUrl": wanted["QueueName"]}

    def send_message(self, **message: Any) -> None:
        self.lost.append(message)


def clock(emulator: FakeEmulator, monkeypatch: pytest.MonkeyPatch) -> LocalClock:
    monkeypatch.setattr("local.cloud.clock.FIRST_PAUSE_SECONDS", 0.0)
    return LocalClock(emulator)  # type: ignore[arg-type]


def test_target_gets_the_scheduled_time_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = FakeEmulator(schedule())
    chosen = clock(emulator, monkeypatch)
    firing = chosen.fire(chosen.of("collect"), NOON.astimezone(timezone(timedelta(hours=2))))
    assert firing.answer == {"done": True}
    assert emulator.payloads == [{"scheduled_at": "2026-03-02T12:05:00Z", "attempt": "1"}]


def test_a_hand_over_that_is_refused_is_tried_again_by_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = FakeEmulator(schedule())
    emulator.refusals = 2
    chosen = clock(emulator, monkeypatch)
    assert chosen.fire(chosen.of("collect"), NOON).error is None
    assert [p["attempt"] for p in emulator.payloads] == ["3"]


def test_a_hand_over_that_is_never_taken_ends_in_the_schedules_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = FakeEmulator(schedule())
    emulator.refusals = 9
    chosen = clock(emulator, monkeypatch)
    assert "TooManyRequests" in (chosen.fire(chosen.of("collect"), NOON).error or "")
    assert [m["QueueUrl"] for m in emulator.lost] == ["lost"]
    assert emulator.lost[0]["MessageAttributes"]["RETRY_ATTEMPTS"]["StringValue"] == "2"


def test_failure_is_run_again_with_the_same_event(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = FakeEmulator(schedule(), failures=2)
    chosen = clock(emulator, monkeypatch)
    firing = chosen.fire(chosen.of("collect"), NOON)
    assert (firing.attempts, firing.error) == (3, None)
    assert [p["attempt"] for p in emulator.payloads] == ["1", "1", "1"]  # Scheduler handed it over once
    assert len({p["scheduled_at"] for p in emulator.payloads}) == 1


QUEUE = {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:lost-runs"}}


def test_a_run_that_never_succeeds_ends_in_the_functions_own_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = FakeEmulator(schedule(), failures=99, MaximumRetryAttempts=1, DestinationConfig=QUEUE)
    chosen = clock(emulator, monkeypatch)
    firing = chosen.fire(chosen.of("collect"), NOON)
    assert (firing.attempts, "Boom" in (firing.error or "")) == (2, True)
    (lost,) = emulator.lost
    record = json.loads(lost["MessageBody"])
    assert lost["QueueUrl"] == "lost-runs"
    assert record["requestPayload"] == emulator.payloads[0]
    context = record["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("RetriesExhausted", 2)
    assert (context["functionArn"], record["responseContext"]["functionError"]) == (f"{ARN}:$LATEST", "Unhandled")


@pytest.mark.parametrize(("age", "runs"), [(59, 1), (60, 2), (179, 2), (180, 3), (21600, 3)])
def test_a_run_is_not_repeated_when_its_event_is_too_old_by_then(monkeypatch: pytest.MonkeyPatch, age: int, runs: int) -> None:
    emulator = FakeEmulator(schedule(), failures=99, MaximumEventAgeInSeconds=age, DestinationConfig=QUEUE)
    chosen = clock(emulator, monkeypatch)
    assert chosen.fire(chosen.of("collect"), NOON).attempts == runs
    condition = json.loads(emulator.lost[0]["MessageBody"])["requestContext"]["condition"]
    assert condition == ("RetriesExhausted" if runs == 3 else "EventAgeExceeded")


def test_without_a_configuration_a_run_that_failed_is_lost_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = FakeEmulator(schedule(), failures=99)
    chosen = clock(emulator, monkeypatch)
    assert chosen.fire(chosen.of("collect"), NOON).attempts == 3  # as Lambda does by itself
    assert emulator.lost == []


def test_a_hand_over_is_not_tried_again_when_the_event_grew_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = FakeEmulator(schedule(RetryPolicy={"MaximumRetryAttempts": 9, "MaximumEventAgeInSeconds": 0}))
    emulator.refusals = 9
    chosen = clock(emulator, monkeypatch)
    monkeypatch.setattr("local.cloud.clock.FIRST_PAUSE_SECONDS", 1.0)
    assert chosen.fire(chosen.of("collect"), NOON).attempts == 1


def test_only_what_is_due_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = clock(FakeEmulator(schedule()), monkeypatch)
    assert [s.function for s in chosen.due(NOON)] == ["collect"]
    assert chosen.due(NOON + timedelta(minutes=1)) == ()


def test_unknown_function_or_foreign_target_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkbenchError, match="nobody"):
        clock(FakeEmulator(schedule()), monkeypatch).of("nobody")
    with pytest.raises(WorkbenchError, match="expected a Lambda function"):
        clock(FakeEmulator(schedule(Arn="arn:aws:sqs:us-east-1:000000000000:q")), monkeypatch)
