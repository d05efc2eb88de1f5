"""Features one bar at a time: the expressions of matrix.py, computed in a time that does not depend on the length of history.

A stream starts empty or from a saved state. It gives the same bits as a batch over all bars it has seen.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from signalbox.features.matrix import Incomplete
from signalbox.features.nodes import BAR_INPUTS, BarUpdate
from signalbox.features.schema import FeatureSchema, FeatureSchemaError
from signalbox.features.windows import StatefulUpdate, whole_number
from signalbox.limits import MAX_STREAM_STATE_BYTES
from signalbox.market.candles import MINUTE_MS, Bars, Candle, from_ms, to_ms

STATE_FORMAT: Final = 1
_HEAD: Final = 2  # numbers that precede the steps' state: how many bars were seen, and the newest open time
_MOST_BARS: Final = 4.0e9  # minutes from 1970 to the year 9575, so every open time below it is a valid date


class Bar(NamedTuple):
    """One closed one-minute bar. Prices in quote currency, volume in base currency."""

    open_time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    @classmethod
    def of_candle(cls, candle: Candle) -> Bar:
        """Return a candle as a bar. Its exact numbers are rounded to float64, as Bars.from_candles does."""
        prices = (float(candle.open), float(candle.high), float(candle.low), float(candle.close))
        return cls(to_ms(candle.open_time), *prices, float(candle.volume))

    @classmethod
    def each(cls, bars: Bars) -> Iterator[Bar]:
        """Yield the rows of `bars` one by one."""
        columns = (bars.open_time_ms, bars.open, bars.high, bars.low, bars.close, bars.volume)
        return map(cls._make, zip(*(column.tolist() for column in columns), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRow:
    """The features at the close of one bar. values: (f,) float64 in schema order, NaN during warm-up.

    incomplete: why no decision may be made on the row, as `why_incomplete` reports it for a matrix; None if one may be made.
    """

    open_time_ms: int
    values: NDArray[np.float64]
    incomplete: Incomplete | None

    @property
    def is_complete(self) -> bool:
        return self.incomplete is None


class FeatureStream:
    """The features of one symbol, updated as each bar closes."""

    def __init__(self, schema: FeatureSchema) -> None:
        self.schema = schema
        program = schema.program
        self._steps: list[BarUpdate] = [instruction.node.step() for instruction in program.instructions]
        self._stateful = [step for step in self._steps if isinstance(step, StatefulUpdate)]
        first = len(BAR_INPUTS) + len(program.constants)
        self._slots = [math.nan] * program.places
        self._slots[len(BAR_INPUTS) : first] = program.constants
        self._calls = [(step, *_padded(i.inputs), i.output) for step, i in zip(self._steps, program.instructions, strict=True)]
        self._bars, self._newest_ms = 0, -MINUTE_MS

    def __len__(self) -> int:
        return self._bars

    @property
    def newest_open_time_ms(self) -> int | None:
        """Open time of the newest bar it has seen; None before the first bar."""
        return self._newest_ms if self._bars else None

    def update(self, bar: Bar, reference_bar: Bar | None = None) -> FeatureRow:
        """Take the next closed bar and return its features.

        reference_bar: the reference's bar of the same minute, or None if there is none or the schema needs none; for the
        reference symbol itself, pass `bar`. Skip missing minutes. Raises FeatureSchemaError, without any change, if the bar is
        not after the last one, is not on a whole minute or has an impossible price or volume, or if the reference bar is of
        another minute.
        """
        self._check(bar, reference_bar)
        slots = self._slots
        reference = math.nan if reference_bar is None else reference_bar.close
        slots[: len(BAR_INPUTS)] = (*bar[1:], float(bar.open_time_ms // MINUTE_MS + 1), reference)
        try:
            for step, count, a, b, c, d, output in self._calls:
                if count == 2:
                    slots[output] = step(slots[a], slots[b])
                elif count == 1:
                    slots[output] = step(slots[a])
                else:
                    slots[output] = step(slots[a], slots[b], slots[c], slots[d])
        except (ValueError, ArithmeticError) as error:  # no sequence of bars leads here, only a forged state does
            raise FeatureSchemaError(f"the stream's state is invalid ({error}); start from history") from error
        self._bars += 1
        self._newest_ms = bar.open_time_ms
        return self._row(bar.open_time_ms)

    def replay(self, bars: Bars, reference: Bars | None = None) -> FeatureRow | None:
        """Take many bars and return the newest row, or None if there are no bars. The reference is matched by open time."""
        beside = {bar.open_time_ms: bar for bar in Bar.each(reference)} if reference is not None else {}
        row = None
        for bar in Bar.each(bars):
            row = self.update(bar, beside.get(bar.open_time_ms))
        return row

    def state(self) -> bytes:
        """Return the whole state, from which `restore` continues. It is bound to the schema's hash."""
        numbers = np.concatenate(([self._bars, self._newest_ms], *(step.save() for step in self._stateful)))
        body = zlib.compress(numbers.astype("<f8").tobytes(), level=1)
        head = {"format": STATE_FORMAT, "schema": self.schema.name, "hash": self.schema.hash, "crc32": zlib.crc32(body)}
        return json.dumps(head).encode() + b"\n" + body

    @classmethod
    def restore(cls, schema: FeatureSchema, state: bytes) -> FeatureStream:
        """Return a stream that continues where `state` was taken.

        Raises FeatureSchemaError if the state is damaged or belongs to another schema; the error then names both hashes.
        """
        stream = cls(schema)
        numbers = _numbers_of(schema, state)
        sizes = [step.size for step in stream._stateful]
        if numbers.shape[0] != _HEAD + sum(sizes):
            raise FeatureSchemaError(f"expected a stream state of {_HEAD + sum(sizes)} numbers, got {numbers.shape[0]}")
        try:
            stream._bars = whole_number(numbers[0], _MOST_BARS)
            stream._newest_ms = MINUTE_MS * (whole_number(numbers[1] / MINUTE_MS + 1.0, _MOST_BARS) - 1)
            at = _HEAD
            for step, size in zip(stream._stateful, sizes, strict=True):
                step.load(numbers[at : at + size])
                at += size
        except ValueError as error:
            raise FeatureSchemaError(f"the stream's state is invalid: {error}; start from history") from error
        return stream

    def _row(self, open_time_ms: int) -> FeatureRow:
        outputs = [self._slots[place] for place in self.schema.program.outputs]
        count = len(self.schema.features)
        if self._bars < self.schema.warmup_bars:
            return FeatureRow(open_time_ms, np.full(count, np.nan), Incomplete.INSUFFICIENT_HISTORY)
        values = np.array(outputs[:count])
        return FeatureRow(open_time_ms, values, self._why_incomplete(values, outputs[count:]))

    def _why_incomplete(self, values: NDArray[np.float64], judged: list[float]) -> Incomplete | None:
        if (rule := self.schema.reference) is not None and (judged[1] != rule.recent_bars or not judged[2] >= rule.least_bars):
            return Incomplete.REFERENCE_MISSING
        if not np.isfinite(values).all():
            return Incomplete.FEATURES_NOT_FINITE
        if not judged[0] - self.schema.contiguous_bars <= self.schema.most_missing_bars:
            return Incomplete.GAP_IN_WINDOW
        if self.schema.most_missing_bars and judged[1 if rule is None else 3] != self.schema.whole_bars:
            return Incomplete.GAP_IN_WINDOW
        most = self.schema.most_empty_bars
        return None if most is None or self.schema.contiguous_bars - judged[-1] <= most else Incomplete.TOO_MANY_EMPTY

    def _check(self, bar: Bar, reference_bar: Bar | None) -> None:
        at = bar.open_time_ms
        if at % MINUTE_MS:
            raise FeatureSchemaError(f"expected open times on whole minutes, got {at} ms")
        if at <= self._newest_ms:
            newest = from_ms(self._newest_ms).isoformat()
            raise FeatureSchemaError(f"expected a bar after {newest}, got {from_ms(at).isoformat()}")
        for one in (bar,) if reference_bar is None else (bar, reference_bar):
            if one.open_time_ms != at:
                was = from_ms(one.open_time_ms).isoformat()
                raise FeatureSchemaError(f"expected the reference's bar of {from_ms(at).isoformat()}, got the bar of {was}")
            if not (min(one[1:5]) > 0.0 and one.volume >= 0.0 and math.isfinite(sum(one[1:]))):
                _check_each(one)


def _check_each(bar: Bar) -> None:
    """Check the numbers one by one, because their sum may overflow to infinity although each is finite."""
    if not all(math.isfinite(price) and price > 0.0 for price in bar[1:5]) or not (
        math.isfinite(bar.volume) and bar.volume >= 0.0
    ):
        raise FeatureSchemaError(
            f"{from_ms(bar.open_time_ms).isoformat()}: expected finite prices above 0 and a volume of 0 or more, got {bar[1:]}"
        )


def _padded(places: tuple[int, ...]) -> tuple[int, int, int, int, int]:
    """Return the number of inputs of an instruction and their places, padded to four."""
    a, b, c, d = (*places, 0, 0, 0)[:4]
    return len(places), a, b, c, d


def _numbers_of(schema: FeatureSchema, state: bytes) -> NDArray[np.float64]:
    first, _, body = state.partition(b"\n")
    try:
        head = json.loads(first)
        written = (head["format"], head["schema"], head["hash"], head["crc32"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FeatureSchemaError("not the state of a feature stream; start from history") from error
    if written[0] != STATE_FORMAT:
        raise FeatureSchemaError(f"expected a stream state of format {STATE_FORMAT}, got {written[0]}")
    if written[2] != schema.hash:
        raise FeatureSchemaError(
            f"expected a stream state of {schema.name} ({schema.hash}), got one of {written[1]}"
            f" ({written[2]}); start from history"
        )
    if written[3] != zlib.crc32(body):
        raise FeatureSchemaError("the feature stream's state is damaged; start from history")
    unpacking = zlib.decompressobj()
    try:
        numbers = unpacking.decompress(body, MAX_STREAM_STATE_BYTES)
    except zlib.error as error:
        raise FeatureSchemaError("the feature stream's state is damaged; start from history") from error
    if unpacking.unconsumed_tail or not unpacking.eof or len(numbers) % 8:
        raise FeatureSchemaError(
            f"the feature stream's state is damaged or larger than {MAX_STREAM_STATE_BYTES} bytes; start from history"
        )
    return np.frombuffer(numbers, dtype="<f8")
