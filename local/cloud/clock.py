"""The scheduler of the local cloud: reads the deployed schedules and fires those that are due at a given instant.

It does what EventBridge Scheduler does to a Lambda target: resolve the input's context attributes, hand over, try a hand-over
again as the retry policy says, and put what was not taken into the dead-letter queue. And it does what Lambda does with an event
that it took asynchronously: run it, run it again as the function's event-invoke configuration says, and send the record of a run
that failed for good to the on-failure destination. Lambda waits one minute before the first retry and two before the second; here
these minutes only count, so that a retry is refused for the age of its event as AWS would, and nobody waits for it.
The instant is an argument, so a replay is exact. Source: "Invoking a Lambda function asynchronously" in Lambda's manual.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from local.cloud.cron import is_due
from local.cloud.emulator import Emulator
from local.errors import WorkbenchError

DEFAULT_ATTEMPTS: Final = 185  # of Scheduler, when a schedule says nothing
DEFAULT_AGE_SECONDS: Final = 86_400
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
RETRY_WAITS: Final = (60.0, 120.0)  # of Lambda, before the first retry of a run that failed and before the second
LAMBDA_RETRIES: Final = 2  # of Lambda, when a function has no event-invoke configuration
LAMBDA_AGE_SECONDS: Final = 21_600.0
LATEST: Final = "$LATEST"  # what a name without a qualifier means
READ_SECONDS: Final = 120.0  # longer than any function may run


@dataclass(frozen=True, slots=True)
class JobTiming:
    """One deployed schedule with a Lambda target."""

    name: str
    arn: str
    expression: str
    timezone: str
    function_arn: str
    input: str
    retries: int  # after the first attempt
    max_age_seconds: float
    dead_letter_arn: str | None

    @property
    def function(self) -> str:
        """Name of the function it invokes."""
        return self.function_arn.split(":function:", 1)[1].split(":", 1)[0]

    @property
    def job(self) -> str:
        """The job that the input names."""
        named = json.loads(self.input).get("job") if self.input.startswith("{") else None
        return str(named or "")

    @property
    def qualifier(self) -> str:
        """The alias or version of the function that it invokes."""
        return self.function_arn.split(":function:", 1)[1].partition(":")[2] or LATEST

    def due(self, instant: datetime) -> bool:
        """Whether the schedule fires in the minute of `instant`."""
        return is_due(self.expression, instant, self.timezone)

    def resolved_input(self, instant: datetime, attempt: int, execution_id: str) -> str:
        """Return the input with the context attributes of Scheduler filled in."""
        text = self.input
        for attribute, value in {
            "schedule-arn": self.arn,
            "scheduled-time": f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "execution-id": execution_id,
            "attempt-number": str(attempt),
        }.items():
            text = text.replace(f"<aws.scheduler.{attribute}>", value)
        return text


@dataclass(frozen=True, slots=True)
class AsynchronousRuns:
    """The event-invoke configuration of a function."""

    retries: int = LAMBDA_RETRIES
    max_age_seconds: float = LAMBDA_AGE_SECONDS
    on_failure_arn: str | None = None

    def end_of(self, runs: int) -> str | None:
        """Return why an event is given up after its last of `runs` runs failed; None if it is run again."""
        if runs > self.retries:
            return "RetriesExhausted"
        return "EventAgeExceeded" if sum(RETRY_WAITS[:runs]) > self.max_age_seconds else None


class FunctionFailedError(WorkbenchError):
    """A run ended with an error of the function or its runtime."""


@dataclass(frozen=True, slots=True)
class Firing:
    """The result of one firing: the function's answer, or its last error if the event went to the dead-letter queue."""

    schedule: str
    instant: datetime
    attempts: int
    answer: Any = None
    error: str | None = None


class LocalClock:
    """Fires deployed schedules. Schedules are read once: deploy first."""

    def __init__(self, emulator: Emulator) -> None:
        self._lambda = emulator.client(
            "lambda", read_timeout=READ_SECONDS, retries={"total_max_attempts": 1}, max_pool_connections=20
        )
        self._sqs = emulator.client("sqs")
        self.schedules = read_schedules(emulator.client("scheduler"))

    def of(self, function: str) -> JobTiming:
        """Return the schedule that runs a function's own job. Raises WorkbenchError if it has none or several."""
        found = [s for s in self.schedules if s.function == function]
        if len(found) > 1:  # a second one names a job of its own
            found = [s for s in found if function.endswith(f"-{s.job.replace('_', '-')}")]
        if len(found) != 1:
            raise WorkbenchError(f"{function}: expected one deployed schedule, got {len(found)}")
        return found[0]

    def due(self, instant: datetime) -> tuple[JobTiming, ...]:
        """Return the schedules that fire in the minute of `instant`."""
        return tuple(s for s in self.schedules if s.due(instant))

    def fire(self, schedule: JobTiming, instant: datetime) -> Firing:
        """Invoke the function for the event of `instant` until a run succeeds or the event is given up."""
        started, execution_id, error = time.monotonic(), str(uuid4()), ""
        attempts = 0
        while True:
            attempts += 1
            payload = schedule.resolved_input(instant, attempts, execution_id)
            try:
                return self._run(schedule, instant, payload)
            except WorkbenchError as failed:
                error = str(failed)
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (attempts - 1), LONGEST_PAUSE_SECONDS)
            if attempts > schedule.retries or time.monotonic() + pause - started > schedule.max_age_seconds:
                break
            time.sleep(pause)
        self._bury(schedule, payload, error, attempts)
        return Firing(schedule.name, instant, attempts, error=error)

    def _run(self, schedule: JobTiming, instant: datetime, payload: str) -> Firing:
        """Do what Lambda does with an event that it took. Raises WorkbenchError when it does not take it."""
        configured = self._configuration(schedule)
        runs = 0
        while True:
            runs += 1
            try:
                return Firing(schedule.name, instant, runs, answer=self._invoke(schedule.function_arn, payload))
            except FunctionFailedError as failed:
                error = str(failed)
            if condition := configured.end_of(runs):
                break
            time.sleep(min(FIRST_PAUSE_SECONDS * 2 ** (runs - 1), LONGEST_PAUSE_SECONDS))
        self._record(schedule, instant, payload, error=error, condition=condition, runs=runs, queue=configured.on_failure_arn)
        return Firing(schedule.name, instant, runs, error=error)

    def _configuration(self, schedule: JobTiming) -> AsynchronousRuns:
        try:
            found = self._lambda.get_function_event_invoke_config(FunctionName=schedule.function, Qualifier=schedule.qualifier)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return AsynchronousRuns()
            raise WorkbenchError(f"{schedule.function}: its retry settings cannot be read: {error}") from error
        return AsynchronousRuns(
            retries=int(found.get("MaximumRetryAttempts", LAMBDA_RETRIES)),
            max_age_seconds=float(found.get("MaximumEventAgeInSeconds", LAMBDA_AGE_SECONDS)),
            on_failure_arn=found.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"),
        )

    def _record(
        self, schedule: JobTiming, instant: datetime, payload: str, *, error: str, condition: str, runs: int, queue: str | None
    ) -> None:
        """Send the record of a run that failed for good, in the form of Lambda's manual."""
        if queue is None:
            return
        record = {
            "version": "1.0",
            "timestamp": instant.astimezone(UTC).isoformat(),
            "requestContext": {
                "requestId": str(uuid4()),
                "functionArn": f"{schedule.function_arn.partition(schedule.function)[0]}{schedule.function}:{schedule.qualifier}",
                "condition": condition,
                "approximateInvokeCount": runs,
            },
            "requestPayload": json.loads(payload),
            "responseContext": {"statusCode": 200, "executedVersion": LATEST, "functionError": "Unhandled"},
            "responsePayload": {"errorMessage": error[:1000]},
        }
        self._sqs.send_message(QueueUrl=self._url(queue), MessageBody=json.dumps(record))

    def _url(self, queue_arn: str) -> str:
        return str(self._sqs.get_queue_url(QueueName=queue_arn.rsplit(":", 1)[1])["QueueUrl"])

    def _invoke(self, function_arn: str, payload: str) -> Any:
        try:
            reply = self._lambda.invoke(FunctionName=function_arn, Payload=payload.encode())
        except (ClientError, BotoCoreError) as error:
            raise WorkbenchError(f"{function_arn} cannot be invoked: {error}") from error
        body = reply["Payload"].read()
        if "FunctionError" in reply:
            raise FunctionFailedError(f"{function_arn} failed: {body.decode(errors='replace')[:2000]}")
        return json.loads(body) if body else None

    def _bury(self, schedule: JobTiming, payload: str, error: str, attempts: int) -> None:
        if schedule.dead_letter_arn is None:
            return
        queue = self._url(schedule.dead_letter_arn)
        facts = {
            "ERROR_MESSAGE": error[:1000],
            "SCHEDULE_ARN": schedule.arn,
            "RETRY_ATTEMPTS": str(attempts - 1),
            "TARGET_ARN": schedule.function_arn,
        }
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in facts.items()}
        self._sqs.send_message(QueueUrl=queue, MessageBody=payload, MessageAttributes=attributes)


def read_schedules(scheduler: Any) -> tuple[JobTiming, ...]:
    """Return every deployed schedule, by name. A schedule of stage `local` is disabled: this clock fires it."""
    summaries: list[dict[str, Any]] = []
    for page in scheduler.get_paginator("list_schedules").paginate():
        summaries += page["Schedules"]
    found = (scheduler.get_schedule(Name=s["Name"], GroupName=s["GroupName"]) for s in summaries)
    return tuple(sorted(_parse(found), key=lambda s: s.name))


def _parse(schedules: Iterable[dict[str, Any]]) -> Iterable[JobTiming]:
    for one in schedules:
        target = one["Target"]
        if ":lambda:" not in target["Arn"] or ":function:" not in target["Arn"]:
            raise WorkbenchError(f"schedule {one['Name']}: expected a Lambda function as its target, got {target['Arn']}")
        retry = target.get("RetryPolicy", {})
        yield JobTiming(
            name=one["Name"],
            arn=one["Arn"],
            expression=one["ScheduleExpression"],
            timezone=one.get("ScheduleExpressionTimezone") or "UTC",
            function_arn=target["Arn"],
            input=target.get("Input", "{}"),
            retries=int(retry.get("MaximumRetryAttempts", DEFAULT_ATTEMPTS)),
            max_age_seconds=float(retry.get("MaximumEventAgeInSeconds", DEFAULT_AGE_SECONDS)),
            dead_letter_arn=target.get("DeadLetterConfig", {}).get("Arn"),
        )
