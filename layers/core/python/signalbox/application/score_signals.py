"""Scores feature rows that a caller computed, or symbols on the newest bars, with one verified bundle. Nothing is recorded.

Rows are taken only together with the hash of the schema that they were computed by: a model gives a number for any numbers, also
for the features of another schema. Symbols are scored as the deployed cycle scores them (`signals.rows.newest_rows`); one that
cannot be is refused by name with a reason, and the others are scored. A score is not a signal: no rate limit is applied.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, Field, Strict, model_validator

from signalbox.errors import SignalboxError
from signalbox.features import FeatureSchemaError
from signalbox.frozen import FrozenModel
from signalbox.inference import Ensemble
from signalbox.market.candles import MINUTE_MS, ONE_MINUTE, Bars, Symbol, to_ms
from signalbox.market.clock import newest_closed_open_time
from signalbox.signals.cycle import RefusalReason
from signalbox.signals.rows import IncompleteRows, newest_rows
from signalbox.signals.signal import Thresholds, classify

MAX_SCORES: Final = 1_000  # of one request
MAX_SYMBOLS: Final = 50
MAX_WIDTH: Final = 512  # features of a row
MAX_AHEAD: Final = timedelta(minutes=1)  # how far `at` may be in the future: the caller's clock
_EARLIEST: Final = datetime(1970, 1, 2, tzinfo=UTC)  # no candle is older, and the bars before it have an open time

Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Row = Annotated[list[Number], Field(min_length=1, max_length=MAX_WIDTH)]
Window = Annotated[list[Row], Field(min_length=1, max_length=240)]


class WrongSchemaError(SignalboxError):
    """The features were computed by another schema than the model's."""


class ScoringInputError(SignalboxError):
    """The features have another shape than the model takes, or a value that it cannot take."""


class ScoringFailedError(SignalboxError):
    """The model did not answer: its graphs failed, or took too long."""


class NoBarsError(SignalboxError):
    """Symbols cannot be scored here, because no candles are at hand."""


class ScoreRequest(FrozenModel):
    """What to score: exactly one of `windows`, `rows` and `symbols`.

    windows: each the rows of one decision, oldest first. rows: rows of consecutive minutes, oldest first; each that has enough
    rows before it is a decision. Both need `schema_hash`. symbols: scored on the newest bars closed at `at`, or now.
    """

    windows: Annotated[list[Window], Field(min_length=1, max_length=MAX_SCORES)] | None = None
    rows: Annotated[list[Row], Field(min_length=1, max_length=MAX_SCORES + 239)] | None = None
    symbols: (
        Annotated[
            list[Annotated[str, Field(pattern=r"^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}$")]], Field(min_length=1, max_length=MAX_SYMBOLS)
        ]
        | None
    ) = None
    schema_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if sum(one is not None for one in (self.windows, self.rows, self.symbols)) != 1:
            raise ValueError("expected exactly one of windows, rows and symbols")
        if self.symbols is None and self.schema_hash is None:
            raise ValueError("expected schema_hash, the hash of the schema that computed the features")
        if self.symbols is None and self.at is not None:
            raise ValueError("expected at for symbols only: feature rows have no time")
        if self.symbols is not None and len(set(self.symbols)) != len(self.symbols):
            raise ValueError("expected each symbol once")
        return self


class Score(FrozenModel):
    """One score. symbol, decided_at: of a symbol; None for feature rows. A refused symbol has `refused` and no probability."""

    symbol: str | None = None
    decided_at: AwareDatetime | None = None
    probability_up: float | None = None
    direction: str | None = None
    tier: str | None = None
    refused: str | None = None
    detail: str | None = None


class ScoreAnswer(FrozenModel):
    """The scores, in the order of the request, and the model that gave them. deployment: None for a bundle that is on disk."""

    model: str
    deployment: str | None = None
    schema_name: str
    schema_hash: str
    horizon_minutes: int
    scores: tuple[Score, ...]


class ScoringBars(Protocol):
    """Where the newest candles are."""

    def newest(self, symbols: Collection[Symbol], until: datetime, count: int) -> Mapping[Symbol, Bars]:
        """Return at most `count` of each symbol's newest bars that are closed at `until`, all of one moment.

        A symbol without candles has no bars. Raises MarketDataError; LedgerError if they are in the ledger.
        """


@dataclass(frozen=True, slots=True, eq=False)
class _KeptRows:
    """The rows of one symbol and the bars that they were computed from."""

    bars: Bars
    reference: Bars | None
    rows: NDArray[np.float64] | IncompleteRows


@dataclass(frozen=True, slots=True)
class ScoreSignals:
    """The application. ensemble: the verified bundle. bars: None if only feature rows can be scored."""

    ensemble: Ensemble
    bars: ScoringBars | None = None
    deployment: str | None = None
    _kept: dict[Symbol, _KeptRows] = field(default_factory=dict, repr=False, compare=False)

    def score(self, request: ScoreRequest, now: datetime) -> ScoreAnswer:
        """Return the scores of a request.

        Raises WrongSchemaError, ScoringInputError, NoBarsError, ScoringFailedError; MarketDataError where candles cannot be read.
        """
        known = self.ensemble.schema.hash
        if request.schema_hash not in {None, known}:
            raise WrongSchemaError(
                f"{self.ensemble.name}: expected features of schema {self.ensemble.schema.name} with hash {known}, got hash"
                f" {request.schema_hash}"
            )
        scores = self._of_symbols(request, now) if request.symbols is not None else self._of_features(request)
        manifest = self.ensemble.manifest
        return ScoreAnswer.trusted(
            model=manifest.name,
            deployment=self.deployment,
            schema_name=self.ensemble.schema.name,
            schema_hash=known,
            horizon_minutes=manifest.label.horizon_minutes,
            scores=scores,
        )

    def _of_features(self, request: ScoreRequest) -> tuple[Score, ...]:
        given = request.windows if request.windows is not None else request.rows
        try:
            features = np.array(given, dtype=np.float64)
        except ValueError:  # rows of several lengths
            raise ScoringInputError(
                f"expected rows of {len(self.ensemble.schema.names)} features each, got several lengths"
            ) from None
        if request.rows is not None:
            features = self._windows(features)
        return tuple(Score.trusted(**self._judged(one)) for one in self._predicted(features))

    def _windows(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        window = self.ensemble.window_bars
        if rows.shape[0] < window:
            raise ScoringInputError(f"expected at least {window} rows of consecutive minutes, got {rows.shape[0]}")
        if rows.shape[0] - window + 1 > MAX_SCORES:
            raise ScoringInputError(f"expected rows of at most {MAX_SCORES} decisions, got {rows.shape[0] - window + 1}")
        return np.moveaxis(np.lib.stride_tricks.sliding_window_view(rows, window, axis=0), -1, 1)

    def _of_symbols(self, request: ScoreRequest, now: datetime) -> tuple[Score, ...]:
        if self.bars is None:
            raise NoBarsError("no candles are at hand here, so only windows or rows of features can be scored")
        if request.at is not None and request.at > now + MAX_AHEAD:
            raise ScoringInputError(f"at: expected an instant that is not in the future, got {request.at.isoformat()}")
        if request.at is not None and request.at < _EARLIEST:
            raise ScoringInputError(f"at: expected an instant since {_EARLIEST.isoformat()}, got {request.at.isoformat()}")
        until = request.at or now
        newest_ms = to_ms(newest_closed_open_time(until))
        ensemble, schema = self.ensemble, self.ensemble.schema
        symbols = tuple(map(Symbol, request.symbols or ()))
        wanted = dict.fromkeys(symbols if schema.reference_symbol is None else (*symbols, schema.reference_symbol))
        found = self.bars.newest(wanted, until, ensemble.history_bars)
        reference = None if schema.reference_symbol is None else found[schema.reference_symbol]
        ready: list[tuple[int, NDArray[np.float64]]] = []
        scores: list[dict[str, Any]] = []
        for place, symbol in enumerate(symbols):
            bars = found[symbol]
            facts: dict[str, Any] = {"symbol": symbol}
            scores.append(facts)
            if not len(bars) or bars.open_time_ms[-1] != newest_ms:
                facts |= {"refused": RefusalReason.STALE_DATA.value, "detail": _newest(bars, newest_ms)}
                continue
            rows = self._rows(bars, reference)
            if isinstance(rows, IncompleteRows):
                facts |= {"refused": str(rows.code), "detail": rows.detail}
                continue
            facts["decided_at"] = newest_closed_open_time(until) + ONE_MINUTE
            ready.append((place, rows))
        if ready:
            predicted = self._predicted(np.stack([rows for _, rows in ready]))
            for (place, _), probability in zip(ready, predicted, strict=True):
                scores[place] |= self._judged(probability)
        return tuple(Score.trusted(**facts) for facts in scores)

    def _rows(self, bars: Bars, reference: Bars | None) -> NDArray[np.float64] | IncompleteRows:
        """Return the newest rows. A symbol's are kept until one of its bars is another: within a minute none is."""
        kept = self._kept.get(bars.symbol)
        if kept is not None and _same(kept.bars, bars) and _same(kept.reference, reference):
            return kept.rows
        rows = newest_rows(self.ensemble, bars, reference)
        if len(self._kept) >= MAX_SYMBOLS:
            self._kept.clear()
        self._kept[bars.symbol] = _KeptRows(bars, reference, rows)  # one reference, so threads see whole entries
        return rows

    def _predicted(self, features: NDArray[np.float64]) -> Sequence[float]:
        try:
            found: list[float] = self.ensemble.predict(features).tolist()
        except FeatureSchemaError as error:
            raise ScoringInputError(str(error)) from error
        except Exception as error:  # onnxruntime's errors share no base class
            raise ScoringFailedError(f"{self.ensemble.name}: the model did not answer: {str(error)[:200]}") from error
        return found

    def _judged(self, probability: float) -> dict[str, Any]:
        if not 0.0 <= probability <= 1.0:  # also for NaN: a graph that overflows
            raise ScoringFailedError(f"{self.ensemble.name}: expected a probability, got {probability}")
        limits = self.ensemble.thresholds
        direction, tier = classify(probability, Thresholds(limits.issue_margin, limits.high_margin))
        return {"probability_up": probability, "direction": direction.value, "tier": tier.value}


def _same(one: Bars | None, other: Bars | None) -> bool:
    """Return whether both are the same bars, to the last bit of each price."""
    if one is None or other is None or one is other:
        return one is other
    columns = ("open_time_ms", "open", "high", "low", "close", "volume")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in columns)


def _newest(bars: Bars, wanted_ms: int) -> str:
    if not len(bars):
        return "no bars"
    return f"the newest bar is {(wanted_ms - int(bars.open_time_ms[-1])) // MINUTE_MS} minutes old"
