"""Verifies a signal's stored features: computes them again from other bars (the lake's) and compares each value.

The newest row of a decision is computed from exactly the newest `history_bars` closed bars of its symbol, so exactly those are
used here, whatever else the lake holds. A window model also reads older bars, but not for its newest row. Whatever cannot be
computed is a mismatch with a code of its own, so nothing passes unchecked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np

from signalbox.features import SCHEMAS, FeatureMatrix, FeatureSchema, FeatureSchemaError, compute_features, with_hash
from signalbox.market.candles import Bars, Symbol, from_ms, to_ms
from signalbox.market.clock import newest_closed_open_time
from signalbox.market.gaps import find_gaps
from signalbox.market.revisions import BarRevision
from signalbox.signals.signal import Signal

TOLERANCE: Final = 1e-9  # relative; another processor may compute different last bits


class MismatchCode(StrEnum):
    """The kind of a mismatch."""

    SCHEMA_UNKNOWN = "SCHEMA_UNKNOWN"
    HASH_DIFFERS = "HASH_DIFFERS"  # the schema with that name has other definitions now
    LENGTH_DIFFERS = "LENGTH_DIFFERS"
    BARS_MISSING = "BARS_MISSING"  # the newest bar or part of the history is missing
    ROW_INCOMPLETE = "ROW_INCOMPLETE"  # no decision would have been made on these bars
    VALUE_DIFFERS = "VALUE_DIFFERS"
    PRICE_DIFFERS = "PRICE_DIFFERS"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One difference between stored and computed values. feature: set for VALUE_DIFFERS only."""

    code: MismatchCode
    stored: str
    derived: str
    feature: str | None = None


@dataclass(frozen=True, slots=True)
class SignalVerification:
    """The result for one signal. missing_minutes: how many minutes are missing in the window it was computed from."""

    signal: Signal
    mismatches: tuple[Mismatch, ...]
    missing_minutes: int
    largest_difference: float  # relative; the largest of all values that could be compared

    @property
    def agrees(self) -> bool:
        """Whether there is no mismatch."""
        return not self.mismatches


def history_of(signals: Sequence[Signal], schemas: Mapping[str, FeatureSchema] = SCHEMAS) -> int:
    """Return how many bars before a decision are needed to verify any of these signals."""
    return max((schemas[s.schema_name].history_bars for s in signals if s.schema_name in schemas), default=0)


def symbols_of(signals: Sequence[Signal], schemas: Mapping[str, FeatureSchema] = SCHEMAS) -> frozenset[Symbol]:
    """Return the symbols whose bars are needed: those of the signals, and the reference symbols of their schemas."""
    known = (schemas[s.schema_name] for s in signals if s.schema_name in schemas)
    beside = {schema.reference_symbol for schema in known if schema.reference_symbol is not None}
    return frozenset({s.symbol for s in signals} | beside)


def verify_signals(
    signals: Sequence[Signal],
    bars: Mapping[Symbol, Bars],
    *,
    revisions: Sequence[BarRevision] = (),
    schemas: Mapping[str, FeatureSchema] = SCHEMAS,
    tolerance: float = TOLERANCE,
) -> tuple[SignalVerification, ...]:
    """Return the verification of each signal, in order. bars: may reach further than needed in both directions.

    revisions: earlier values of these bars. A decision is checked against the values that it saw, even if the venue changed them
    later.
    """
    return tuple(_verify(signal, bars_seen(bars, revisions, signal.decided_at), schemas, tolerance) for signal in signals)


def bars_seen(bars: Mapping[Symbol, Bars], revisions: Sequence[BarRevision], at: datetime) -> Mapping[Symbol, Bars]:
    """Return the bars with the numbers that a decision at `at` saw, where later collections replaced them."""
    seen: dict[Symbol, dict[int, BarRevision]] = {}
    for revision in sorted(revisions, key=lambda one: one.replaced_at):
        if revision.replaced_at > at:
            seen.setdefault(revision.symbol, {}).setdefault(to_ms(revision.open_time), revision)
    return {symbol: _replaced(kept, seen[symbol]) if symbol in seen else kept for symbol, kept in bars.items()}


def _replaced(bars: Bars, revisions: Mapping[int, BarRevision]) -> Bars:
    """Return the bars with the numbers of these revisions, which are by open time in ms."""
    times = np.array(sorted(revisions), dtype=np.int64)
    _, places, chosen = np.intersect1d(bars.open_time_ms, times, assume_unique=True, return_indices=True)
    rows = [revisions[int(time)] for time in times[chosen]]
    columns = []
    for name in ("open", "high", "low", "close", "volume"):
        column = getattr(bars, name).copy()
        column[places] = [getattr(row, name) for row in rows]
        columns.append(column)
    return Bars(bars.symbol, bars.open_time_ms, *columns)


def _verify(
    signal: Signal, bars: Mapping[Symbol, Bars], schemas: Mapping[str, FeatureSchema], tolerance: float
) -> SignalVerification:
    schema = _schema(signal, schemas)
    if isinstance(schema, Mismatch):
        return SignalVerification(signal, (schema,), 0, math.inf)
    seen = _seen(signal.symbol, bars, signal.decided_at, schema)
    missing = sum(gap.minutes for gap in find_gaps(seen.open_time_ms))
    reference = None if schema.reference_symbol is None else _seen(schema.reference_symbol, bars, signal.decided_at, schema)
    matrix = _derive(signal, seen, schema, reference)
    if isinstance(matrix, Mismatch):
        return SignalVerification(signal, (matrix,), missing, math.inf)
    found: list[Mismatch] = []
    if not matrix.is_complete[-1]:
        found.append(Mismatch(MismatchCode.ROW_INCOMPLETE, "a complete row", f"{missing} minutes missing"))
    if float(signal.price) != float(seen.close[-1]):
        found.append(Mismatch(MismatchCode.PRICE_DIFFERS, str(signal.price), repr(float(seen.close[-1]))))
    derived = matrix.values[-1].tolist()
    differences = [relative_difference(a, b) for a, b in zip(signal.features, derived, strict=True)]
    for name, stored, again, difference in zip(schema.names, signal.features, derived, differences, strict=True):
        if not difference <= tolerance:
            found.append(Mismatch(MismatchCode.VALUE_DIFFERS, repr(stored), repr(again), name))
    return SignalVerification(signal, tuple(found), missing, max(differences, default=0.0))


def _schema(signal: Signal, schemas: Mapping[str, FeatureSchema]) -> FeatureSchema | Mismatch:
    """Return the schema that the signal was decided with, if its definitions are still the same."""
    schema = schemas.get(signal.schema_name)
    if schema is None:
        return Mismatch(MismatchCode.SCHEMA_UNKNOWN, signal.schema_name, ", ".join(schemas))
    # signals from before decision 0085 carry the former hash
    found = schema if signal.schema_hash == schema.former_hash else with_hash(schema, signal.schema_hash)
    if found is None:
        return Mismatch(MismatchCode.HASH_DIFFERS, signal.schema_hash, schema.hash)
    if len(signal.features) != len(schema.names):
        return Mismatch(MismatchCode.LENGTH_DIFFERS, f"{len(signal.features)} values", f"{len(schema.names)} features")
    return found


def _seen(symbol: Symbol, bars: Mapping[Symbol, Bars], decided_at: datetime, schema: FeatureSchema) -> Bars:
    """Return the bars of a symbol that the decision used; an empty series if there are none."""
    return (bars.get(symbol) or Bars.from_candles(symbol, ())).until(decided_at).last(schema.history_bars)


def _derive(signal: Signal, seen: Bars, schema: FeatureSchema, reference: Bars | None) -> FeatureMatrix | Mismatch:
    """Return the features of the bars that the decision used, if all of these bars exist."""
    expected = newest_closed_open_time(signal.decided_at)
    if not len(seen) or from_ms(int(seen.open_time_ms[-1])) != expected:
        return Mismatch(MismatchCode.BARS_MISSING, f"the bar of {expected.isoformat()}", _newest(seen))
    if len(seen) < schema.history_bars:
        return Mismatch(MismatchCode.BARS_MISSING, f"{schema.history_bars} bars", f"{len(seen)} bars")
    try:
        return compute_features(schema, seen, reference=reference)
    except FeatureSchemaError as error:
        return Mismatch(MismatchCode.ROW_INCOMPLETE, "a complete row", str(error))


def relative_difference(stored: float, derived: float) -> float:
    """Return |a - b| / max(|a|, |b|): 0 for equal values, infinite if the values differ and either is not finite."""
    if stored == derived:
        return 0.0
    if not (math.isfinite(stored) and math.isfinite(derived)):
        return math.inf
    return abs(stored - derived) / max(abs(stored), abs(derived))


def _newest(bars: Bars) -> str:
    return f"newest is {from_ms(int(bars.open_time_ms[-1])).isoformat()}" if len(bars) else "no bars"
