"""Reads the logs of the deployed functions: their lines, and the metrics inside them (embedded metric format).

The emulator stores function logs but makes no metrics of them, so the numbers are added up here, from the same lines that
CloudWatch would read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from local.settings import STAGE
from signalbox.contracts import Function, Metric, function_name


class FunctionLogs:
    """Reads the log groups of the functions, by a boto3 client of CloudWatch Logs."""

    def __init__(self, client: Any) -> None:
        self._logs = client

    def lines(self, function: Function, pattern: str = "") -> Iterator[dict[str, Any]]:
        """Yield the structured lines of a function, oldest first, optionally those that contain `pattern` as a term."""
        request: dict[str, Any] = {"logGroupName": f"/aws/lambda/{function_name(STAGE, function)}"}
        if pattern:
            request["filterPattern"] = pattern
        try:
            pages = list(self._logs.get_paginator("filter_log_events").paginate(**request))
        except ClientError:  # it never ran
            return
        for event in (e for page in pages for e in page["events"]):
            for text in str(event["message"]).splitlines():
                line = parse_line(text)
                if line is not None:
                    yield line

    def total(self, function: Function, metric: Metric) -> float:
        """Return the sum of a metric over everything the function logged."""
        return sum(metric_values(line, metric) for line in self.lines(function, f'"{metric.value}"'))

    def troubles(self, function: Function, count: int = 3) -> list[str]:
        """Return the newest warnings and errors, shortened."""
        found = [line for line in self.lines(function) if line.get("level") in {"WARNING", "ERROR", "CRITICAL"}]
        return [json.dumps({k: str(v)[-600:] for k, v in line.items() if k in _REPORTED}) for line in found[-count:]]


_REPORTED = frozenset({"level", "message", "exception", "exception_name", "reason", "detail", "symbol"})


def parse_line(text: str) -> dict[str, Any] | None:
    """Return a structured line, or None for anything else (START, REPORT, a stray print)."""
    text = text.strip()
    if not text.startswith("{"):
        return None
    try:
        line = json.loads(text)
    except json.JSONDecodeError:
        return None
    return line if isinstance(line, dict) else None


def metric_values(line: dict[str, Any], metric: Metric) -> float:
    """Return the sum of a metric's values in one line; 0 when the line does not carry it."""
    if "_aws" not in line:
        return 0.0
    value = line.get(metric.value, 0.0)
    return float(sum(value)) if isinstance(value, list) else float(value)
