"""Estimates the monthly cost of a stage from its templates: resources at list price, and the runs of schedules and queues.

Pure: it takes templates, prices and usage, and returns items. An item is a quantity at a price; a second column subtracts what
every account has for free. Traffic, object storage and backups are left out: they cost cents for what Signalbox writes.
"""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from local.cloud.cron import is_due
from local.errors import WorkbenchError
from signalbox.contracts import CYCLE_MINUTES, PRODUCT

HERE: Final = Path(__file__).parent
MILLION: Final = 1_000_000
WEEK_START: Final = datetime(2026, 3, 1, tzinfo=UTC)
WEEK_DAYS: Final = 7
MONTH_DAYS: Final = 31  # the longest month, so the estimate is never too low


class CostError(WorkbenchError):
    """Something in the templates has no known price."""


@dataclass(frozen=True, slots=True)
class CostItem:
    """A line of the bill. `free`: how much of the quantity every account gets for free."""

    name: str
    quantity: float
    price: float  # USD
    free: float = 0.0

    @property
    def listed(self) -> float:
        """USD per month at list price."""
        return self.quantity * self.price

    @property
    def paid(self) -> float:
        """USD per month after the free quantity, if nothing else in the account uses it."""
        return max(self.quantity - self.free, 0.0) * self.price


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a template."""

    kind: str
    properties: Mapping[str, Any]
    logical_id: str


def load(name: str) -> dict[str, Any]:
    """Return the content of `prices.toml` or `usage.toml`."""
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


def resources_of(templates: Iterable[Mapping[str, Any]]) -> list[Resource]:
    """Return the resources of all templates of a stage."""
    return [
        Resource(str(body["Type"]), body.get("Properties", {}), logical_id)
        for template in templates
        for logical_id, body in template["Resources"].items()
    ]


def estimate(found: Sequence[Resource], prices: Mapping[str, Any], usage: Mapping[str, Any]) -> list[CostItem]:
    """Return the items of a month, most expensive first. Raises CostError for a resource without a price."""
    items = [*_fixed_items(found, prices, usage), *_running(found, prices, usage)]
    return sorted((item for item in items if item.quantity), key=lambda item: -item.listed)


def _fixed_items(found: Sequence[Resource], prices: Mapping[str, Any], usage: Mapping[str, Any]) -> Iterator[CostItem]:
    """Yield the items that cost money all the time, used or not."""
    hours, free, each = prices["hours"], prices["always_free"], prices["each"]
    for database in _of(found, "AWS::RDS::DBInstance"):
        kind, zones = database["DBInstanceClass"], 2 if database["MultiAZ"] else 1
        if kind not in prices["rds"]:
            raise CostError(f"no price of {kind} in {HERE / 'prices.toml'}; add it")
        where = "two zones" if zones == 2 else "one zone"
        yield CostItem(f"RDS {kind}, {where}: hours", hours * zones, prices["rds"][kind])
        yield CostItem(f"RDS storage, {where}: GB", float(database["AllocatedStorage"]) * zones, prices["rds"]["storage"])
    for endpoint in _of(found, "AWS::EC2::VPCEndpoint"):
        if endpoint["VpcEndpointType"] == "Interface":
            zones = len(endpoint["SubnetIds"])
            name = _service(endpoint["ServiceName"])
            yield CostItem(f"interface endpoint {name}: zone hours", hours * zones, prices["hourly"]["interface_endpoint"])
    counts = Counter(one.kind for one in found)
    yield CostItem("secrets", counts["AWS::SecretsManager::Secret"], each["secret"])
    yield CostItem("KMS keys", counts["AWS::KMS::Key"], each["key"])
    yield CostItem("dashboards", counts["AWS::CloudWatch::Dashboard"], each["dashboard"], free["dashboard"])
    alarmed = sum(max(len(alarm.get("Metrics", ())), 1) for alarm in _of(found, "AWS::CloudWatch::Alarm"))
    yield CostItem("metrics of alarms", alarmed, each["alarm_metric"], free["alarm_metric"])
    sent = len(usage["hourly_metrics"]) + usage["sometimes_metrics"]
    yield CostItem("custom metrics", sent, each["custom_metric"], free["custom_metric"])


def _running(found: Sequence[Resource], prices: Mapping[str, Any], usage: Mapping[str, Any]) -> Iterator[CostItem]:
    """Yield the items that are paid by use."""
    free, million = prices["always_free"], prices["million"]
    cycles = MONTH_DAYS * 24 * 60 / CYCLE_MINUTES
    scheduled = _scheduled_runs(found)
    runs = Counter(scheduled)
    functions = {_function(f["FunctionName"]): f for f in _of(found, "AWS::Lambda::Function") if "FunctionName" in f}
    for name, count in usage["runs_a_cycle"].items():
        if name in functions:
            runs[name] += round(cycles * count)
    longer = usage.get("seconds_of", {})
    seconds = {name: longer.get(name, usage["seconds_a_run"]) for name in runs}
    memory = sum(count * seconds[name] * functions[name]["MemorySize"] / 1024 for name, count in runs.items())
    total = sum(runs.values())
    yield CostItem("Lambda: requests", total, million["lambda_request"] / MILLION, free["lambda_request"])
    yield CostItem("Lambda: GB-seconds", memory, prices["other"]["lambda_gigabyte_second"], free["lambda_gigabyte_second"])
    yield CostItem("Scheduler: runs", sum(scheduled.values()), million["scheduler_run"] / MILLION, free["scheduler_run"])
    logs = total * usage["log_kilobytes_a_run"] / MILLION
    yield CostItem("logs: GB", logs, prices["other"]["log_gigabyte"], free["log_gigabyte"])
    polled = MONTH_DAYS * 86_400 / usage["idle_wait_seconds"] * usage["idle_pollers"]
    queues = {one.logical_id: one.properties for one in found if one.kind == "AWS::SQS::Queue"}
    fifo = sum(_is_fifo(mapping, queues) for mapping in _of(found, "AWS::Lambda::EventSourceMapping"))
    standard = len(_of(found, "AWS::Lambda::EventSourceMapping")) - fifo
    per_fifo, per_standard = million["sqs_fifo_request"] / MILLION, million["sqs_request"] / MILLION
    yield CostItem("SQS, FIFO: requests of idle queues", fifo * polled, per_fifo, free["sqs_request"])
    yield CostItem("SQS: requests of idle queues", standard * polled, per_standard)
    yield CostItem("events on the bus", cycles * usage["events_a_cycle"], million["bus_event"] / MILLION)
    yield CostItem("X-Ray: traces", cycles * usage["traces_a_cycle"], million["trace"] / MILLION, free["trace"])
    yield CostItem("DynamoDB: writes", cycles * usage["dynamodb_writes_a_cycle"], million["dynamodb_write"] / MILLION)
    yield CostItem("HTTP API: requests", usage["http_requests"], million["http_request"] / MILLION)


def _of(found: Sequence[Resource], kind: str) -> list[Mapping[str, Any]]:
    return [one.properties for one in found if one.kind == kind]


def _is_fifo(mapping: Mapping[str, Any], queues: Mapping[str, Mapping[str, Any]]) -> bool:
    match mapping["EventSourceArn"]:
        case {"Fn::GetAtt": [str(logical_id), "Arn"]}:
            return bool(queues[logical_id].get("FifoQueue", False))
        case other:
            raise CostError(f"expected every function's queue in the same template, got {other}")


def _scheduled_runs(found: Sequence[Resource]) -> Counter[str]:
    """Return how often each function's schedule fires in a month."""
    targets = {one.logical_id: one.properties for one in found if one.kind == "AWS::Lambda::Function"}
    aliases = {one.logical_id: str(one.properties["FunctionName"]["Ref"]) for one in found if one.kind == "AWS::Lambda::Alias"}
    runs: Counter[str] = Counter()
    for schedule in _of(found, "AWS::Scheduler::Schedule"):
        if schedule["State"] == "ENABLED":
            name = _function(targets[aliases[schedule["Target"]["Arn"]["Ref"]]]["FunctionName"])
            expression, zone = schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"]
            minutes = range(WEEK_DAYS * 24 * 60)  # every schedule here repeats within a week
            fired = sum(is_due(expression, WEEK_START + timedelta(minutes=m), zone) for m in minutes)
            runs[name] += math.ceil(fired * MONTH_DAYS / WEEK_DAYS)
    return runs


def _function(deployed_name: str) -> str:
    return deployed_name.removeprefix(f"{PRODUCT}-").split("-", 1)[1].replace("-", "_")


def _service(name: Any) -> str:
    parts = name["Fn::Join"][1] if isinstance(name, Mapping) else [name]
    return str(parts[-1]).rsplit(".", 1)[-1]
