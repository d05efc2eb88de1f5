"""`signalbox trace`: one cycle end to end, from the functions' logs and the ledger's rows.

From a running `signalbox up` both are read directly. A demo's cloud ends with it, so the demo writes a recording,
`logs/trace.jsonl`: the log lines and ledger rows of each cycle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from local.cloud.function_logs import FunctionLogs
from local.cloud.postgres import LocalPostgres
from local.errors import WorkbenchError
from local.settings import STAGE, Settings
from signalbox.adapters.postgres.connection import ConnectionSource
from signalbox.adapters.postgres.tracing import DecisionReader, TracedRow
from signalbox.contracts import Function, function_name
from signalbox.events import correlation_id_of
from signalbox.wire import in_one_line, parse_object

RECORDING: Final = "trace.jsonl"
_OF_THE_LOGGER: Final = frozenset(  # what Powertools adds to every line; the rest are the facts of the line
    {
        "level", "location", "message", "timestamp", "service", "cold_start", "function_name", "function_memory_size",
        "function_arn", "function_request_id", "correlation_id", "exception", "exception_name", "stack_trace", "xray_trace_id",
    }
)  # fmt: skip


class TraceError(WorkbenchError):
    """There is nothing to trace: neither a running cloud nor a recording, or neither has anything of that instant."""


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """A log line of a function. at: by the machine's clock, which differs from market time in a replay."""

    at: str
    function: str
    level: str
    message: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """One decision end to end: the functions' log lines about it, oldest first, and its rows in the ledger."""

    correlation_id: str
    lines: tuple[LoggedLine, ...]
    rows: tuple[TracedRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as one object."""
        rows = [{**asdict(row), "at": row.at.isoformat()} for row in self.rows]
        return {"correlation_id": self.correlation_id, "logs": [asdict(line) for line in self.lines], "ledger": rows}


def trace_running(logs: FunctionLogs, settings: Settings, at: datetime | None) -> Trace:
    """Return a cycle, by default the newest decided one, of the running `signalbox up`. Raises TraceError."""
    postgres = LocalPostgres(settings, settings.state / "up" / "postgres", durable=True)
    source = ConnectionSource(postgres.settings, lambda: "")
    try:
        reader = DecisionReader(source)
        instant = at or reader.newest_cycle()
        if instant is None:
            raise TraceError("no cycle was decided yet; the first one is at the next five-minute boundary")
        return _found(instant, _lines(logs), reader.rows(instant))
    finally:
        source.close()


def trace_recorded(recording: Path, at: datetime | None) -> Trace:
    """Return a cycle, by default the last one, of a demo's recording. Raises TraceError, WireError."""
    try:
        entries = [parse_object(line) for line in recording.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise TraceError(
            f"no {recording.name} in {recording.parent}; `signalbox demo --out DIR` leaves one in DIR/logs"
        ) from error
    known = [datetime.fromisoformat(entry["decision"]) for entry in entries if "decision" in entry]
    if not known:
        raise TraceError(f"{recording}: expected the rows of a cycle, got none")
    instant = at or max(known)
    rows = tuple(
        TracedRow(entry["table"], datetime.fromisoformat(entry["at"]), entry["key"], entry["facts"])
        for entry in entries
        if entry.get("decision") == correlation_id_of(instant)
    )
    return _found(instant, ((entry["function"], entry["line"]) for entry in entries if "line" in entry), rows)


def record_trace(logs: FunctionLogs, reader: DecisionReader, decisions: Iterable[datetime], recording: Path) -> None:
    """Record logs and rows for a later `trace_recorded`. decisions: the cycles whose rows are recorded."""
    recording.parent.mkdir(parents=True, exist_ok=True)
    with recording.open("w", encoding="utf-8") as file:
        for function, line in _lines(logs):
            file.write(json.dumps({"function": function, "line": line}) + "\n")
        for instant in decisions:
            for row in reader.rows(instant):
                facts = {**asdict(row), "at": row.at.isoformat(), "decision": correlation_id_of(instant)}
                file.write(json.dumps(facts, default=str) + "\n")


def _lines(logs: FunctionLogs) -> Iterator[tuple[str, dict[str, Any]]]:
    for function in Function:
        for line in logs.lines(function):
            if "_aws" not in line:  # embedded metrics are no step of a cycle
                yield function_name(STAGE, function), line


def _found(instant: datetime, lines: Iterable[tuple[str, dict[str, Any]]], rows: Sequence[TracedRow]) -> Trace:
    name = correlation_id_of(instant)
    orders = {row.key for row in rows if row.table == "orders"}
    found = [
        LoggedLine(
            at=str(line.get("timestamp", "")),
            function=function,
            level=str(line.get("level", "")),
            message=str(line.get("message", "")),
            facts={key: value for key, value in line.items() if key not in _OF_THE_LOGGER and value is not None},
        )
        for function, line in lines
        if line.get("correlation_id") == name or _names(line, orders)
    ]
    if not found and not rows:
        raise TraceError(f"{name}: no log line and no row mentions it; a cycle is named by its five-minute boundary in UTC")
    return Trace(name, tuple(sorted(found, key=lambda line: line.at)), tuple(rows))


def _names(line: dict[str, Any], orders: set[str]) -> bool:
    """Whether a line without the id is about an order of the decision: an agent's report does not know when it was decided."""
    if "correlation_id" in line:
        return False
    ids = {str(line.get("client_order_id", "")), *str(line.get("event_id", "")).split(":")}
    return not orders.isdisjoint(ids)


def trace_text(trace: Trace) -> str:
    """Return a trace for people: one line per step, beginning with its time."""
    lines = [f"{trace.correlation_id}", f"logs ({len(trace.lines)} lines, the machine's clock)"]
    lines += _columns([(line.at[11:23], line.function, line.message, _facts(line.facts)) for line in trace.lines])
    lines.append(f"ledger ({len(trace.rows)} rows, the market's clock)")
    lines += _columns([(f"{row.at:%H:%M:%S}", row.table, row.key, _facts(row.facts)) for row in trace.rows])
    return "\n".join(lines)


def _columns(found: Sequence[tuple[str, str, str, str]]) -> list[str]:
    """Return rows as lines. Texts of others stay in theirs: a venue's words could otherwise draw a step that never was."""
    rows = [tuple(in_one_line(text) for text in row) for row in found]
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(3)]
    return ["  " + "  ".join([*(row[place].ljust(widths[place]) for place in range(3)), row[3]]).rstrip() for row in rows]


def _facts(facts: dict[str, Any]) -> str:
    return " ".join(f"{key}={_short(value)}" for key, value in facts.items() if value is not None)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 100 else f"{text[:99]}…"
