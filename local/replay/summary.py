"""The results of a replay as numbers: the content of `summary.json`, from the ledger, the functions' logs and the stand-ins."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from local.cloud.accounts import AccountRecord, summarise_account
from local.stand_ins.telegram import Message
from signalbox.market.candles import MINUTE_MS, Bars, Symbol, from_ms, to_ms
from signalbox.market.clock import CYCLE, Gap
from signalbox.market.gaps import find_gaps
from signalbox.signals.ports import SymbolRefusal
from signalbox.signals.signal import Signal

OK = "ok"
INTERRUPTED = "interrupted"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CycleTiming:
    """One replayed cycle: the time from firing the schedule until its signals were committed."""

    cycle_at: datetime
    milliseconds: float


def why_nothing_was_decided(signals: Sequence[Signal], refusals: Sequence[SymbolRefusal]) -> str | None:
    """Return the error of a run in which every decision was refused; None when there was one that was not."""
    if signals or not refusals:
        return None
    reasons = ", ".join(f"{reason} {count} times" for reason, count in Counter(r.reason for r in refusals).most_common(3))
    return f"no symbol was decided in any cycle: {reasons}; the first was {refusals[0].symbol}, {refusals[0].detail}"


@dataclass(frozen=True)
class ReplayRecord:
    """All data for the report and the summary."""

    source: str
    symbols: tuple[Symbol, ...]
    start: datetime
    end: datetime
    timings: tuple[CycleTiming, ...]
    signals: tuple[Signal, ...]
    refusals: tuple[SymbolRefusal, ...]
    bars: Mapping[Symbol, Bars]
    alerts_sent: int
    duplicates_injected: int
    duplicates_ignored: int
    warnings: tuple[str, ...]
    wall_seconds: float
    stages_seconds: Mapping[str, float]
    exit: str
    error: str | None = None
    accounts: tuple[AccountRecord, ...] = ()
    decided_until: datetime | None = None  # the last decided cycle, which is `end` unless the replay stopped early
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()  # what the chat got, oldest first

    @property
    def issued(self) -> tuple[Signal, ...]:
        """The signals that were issued to trade on."""
        return tuple(s for s in self.signals if s.issued)

    @property
    def covered_until(self) -> datetime:
        """The instant up to which the replay got."""
        return self.decided_until or self.end


def gaps_of(bars: Bars, start: datetime, end: datetime) -> tuple[Gap, ...]:
    """Return the missing minutes of [start, end), including those at its edges."""
    inside = bars.open_time_ms[(bars.open_time_ms >= to_ms(start)) & (bars.open_time_ms < to_ms(end))]
    fenced = np.concatenate([[to_ms(start) - MINUTE_MS], inside, [to_ms(end)]]).astype(np.int64)
    return find_gaps(fenced)


def summarise(record: ReplayRecord) -> dict[str, Any]:
    """Return the summary, ready for JSON.

    `p50_ms` and `p99_ms` are over all cycles. The first cycle starts the functions and back-fills days of history, so
    `warm_p99_ms` leaves it out.
    """
    cycle_ms = [t.milliseconds for t in record.timings]
    newest = record.signals[-1] if record.signals else None
    stale = {r.cycle_at for r in record.refusals}
    until = record.covered_until
    return {
        "source": record.source,
        "symbols": list(record.symbols),
        "start": _iso(record.start),
        "end": _iso(record.end),
        "decided_until": _iso(until),
        "cycles": len(record.timings),
        "signals": {
            "total": len(record.signals),
            "issued": len(record.issued),
            "held_back": dict(Counter(s.held_back for s in record.signals if s.held_back)),
            "by_direction": _counts([s.direction for s in record.signals], ("BUY", "SELL", "HOLD")),
            "by_tier": _counts([s.tier for s in record.signals], ("HIGH", "MEDIUM", "LOW")),
            "by_symbol": _counts([s.symbol for s in record.signals], record.symbols),
        },
        "shadow_signals": sum(s.stage == "shadow" for s in record.signals),
        "accounts": [summarise_account(account) for account in record.accounts],
        "alerts_sent": record.alerts_sent,
        "duplicates_injected": record.duplicates_injected,
        "duplicates_ignored": record.duplicates_ignored,
        "gaps": [
            {"symbol": symbol, "from": _iso(from_ms(gap.first_ms)), "to": _iso(from_ms(gap.last_ms + MINUTE_MS))}
            for symbol in record.symbols
            if symbol in record.bars
            for gap in gaps_of(record.bars[symbol], record.start, until)
        ],
        "stale_cycles": len(stale),
        "refusals": dict(Counter(r.reason for r in record.refusals)),
        "p50_ms": _percentile(cycle_ms, 50),
        "p99_ms": _percentile(cycle_ms, 99),
        "warm_p99_ms": _percentile(cycle_ms[1:], 99),
        "first_cycle_ms": round(record.timings[0].milliseconds, 1) if record.timings else None,
        "model": {
            "bundle": newest.deployment if newest else None,
            "schema": newest.schema_name if newest else None,
            "schema_hash": newest.schema_hash if newest else None,
            "stage": newest.stage if newest else None,
        },
        "dead_letters": dict(record.dead_letters),
        "warnings": list(record.warnings),
        "stages_seconds": {name: round(seconds, 2) for name, seconds in record.stages_seconds.items()},
        "wall_seconds": round(record.wall_seconds, 2),
        "exit": record.exit,
        "error": record.error,
    }


def write_summary(record: ReplayRecord, path: Path) -> dict[str, Any]:
    """Write and return the summary."""
    summary = summarise(record)
    path.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def expected_cycles(start: datetime, end: datetime) -> int:
    """Return the number of cycles in (start, end]."""
    return (end - start) // CYCLE


def _counts(values: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    counted = Counter(values)
    return {name: counted.get(name, 0) for name in names}


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 1) if values else None


def _iso(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
