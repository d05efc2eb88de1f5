"""The five-minute cycle: records candles and commits signals in one transaction.

A cycle is decided once, when all its parts are recorded, and only from bars closed at or before `cycle_at`. So replaying the same
events gives the same signals. A symbol that cannot be decided is refused with a reason while the others go on. The outbox
publishes what was committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from signalbox.events import (
    CandlesClosed,
    CycleDecided,
    MarketDataRecovered,
    MarketDataStale,
    ModelRefused,
    RecentCandles,
    SignalGenerated,
    SignalResolved,
    SymbolCandles,
)
from signalbox.market.candles import MINUTE_MS, Bars, Candle, Symbol, from_ms
from signalbox.market.clock import newest_closed_open_time
from signalbox.market.collection import candles_of
from signalbox.signals.model import DeployedModel, ModelChoice, Scorer
from signalbox.signals.ports import (
    CandleWrites,
    CycleState,
    IssuedSignal,
    Ledger,
    LedgerTransaction,
    SymbolRefusal,
    SymbolStatus,
)
from signalbox.signals.rate_limit import WINDOW, SignalLimits, limit_rate
from signalbox.signals.rows import IncompleteRows, newest_rows
from signalbox.signals.signal import Direction, Signal, Tier, classify, was_right
from signalbox.wire import readable


class RefusalReason(StrEnum):
    """Why a symbol got no signal, in addition to the codes of the features (`why_incomplete`) and of the collection."""

    STALE_DATA = "STALE_DATA"  # the newest bar is missing
    NO_MODEL = "NO_MODEL"
    MODEL_FAILED = "MODEL_FAILED"


NO_WRITES: Final = CandleWrites(0, 0, ())
STANDARD: Final = SignalLimits()
DETAIL_LENGTH: Final = 500
RECENT_BARS: Final = 241  # four hours: what a chart on a phone shows, and the bars of one volatility (trading/entry_plan.py)
RESOLVE_WITHIN: Final = timedelta(minutes=30)  # how late the bar that ends a horizon may be recorded


class RowsKey(NamedTuple):
    """Models with the same key score the same feature rows."""

    schema_hash: str
    window_bars: int


def rows_key(scorer: Scorer) -> RowsKey:
    """Return the key of a scorer's rows."""
    return RowsKey(scorer.schema.hash, scorer.window_bars)


@dataclass(frozen=True, slots=True, eq=False)
class ReadySymbol:
    """A symbol that can be decided: the newest feature rows, and the price."""

    symbol: Symbol
    window: NDArray[np.float64]  # (window_bars, f), oldest row first
    price: Decimal
    market: str | None  # as Signal.market


@dataclass(frozen=True, slots=True, eq=False)
class CycleRows:
    """What a decided cycle was decided from, for the models that decide beside. key: None without a model."""

    key: RowsKey | None
    ready: tuple[ReadySymbol, ...]
    late: bool
    known_at: datetime | None  # as Signal.known_at


@dataclass(frozen=True, slots=True)
class CycleOutcome:
    """The result of delivering one part. rows: of a cycle that this delivery decided."""

    cycle_at: datetime
    state: CycleState  # before this delivery made a decision
    writes: CandleWrites
    signals: tuple[Signal, ...]
    refusals: tuple[SymbolRefusal, ...]
    rows: CycleRows | None = field(default=None, compare=False, repr=False)

    @property
    def duplicate(self) -> bool:
        """Whether the cycle was decided before this delivery."""
        return self.state is CycleState.DECIDED


def run_cycle(event: CandlesClosed, *, ledger: Ledger, choice: ModelChoice, limits: SignalLimits = STANDARD) -> CycleOutcome:
    """Record the candles of one event and, if its cycle is now complete and undecided, decide the cycle.

    Raises the ledger's errors. Then nothing was changed and the event may be delivered again.
    """
    brought: dict[str, list[Candle]] = {}
    for item in (*event.symbols, *event.others):
        brought.setdefault(_market_of(item, event), []).extend(candles_of(item))
    with ledger.transaction() as tx:
        tx.lock_cycle(event.venue)
        writes = NO_WRITES
        for market in sorted(brought):
            if brought[market]:
                writes += tx.add_candles(market, brought[market], event.cycle_at)
        state = tx.record_part(event.venue, event.cycle_at, event.part, event.parts)
        if state is not CycleState.READY:
            return CycleOutcome(event.cycle_at, state, writes, (), ())
        newest = tx.newest_decided_cycle(event.venue)
        late = newest is not None and event.cycle_at < newest
        signals, refusals, rows = _decide(tx, event, choice, limits, late=late)
        if not late:
            _update_statuses(tx, event, refusals)
        if choice.model is not None:
            resolve_signals(tx, event.venue, event.cycle_at, choice.model)
        if choice.problem is not None:
            problem = choice.problem
            tx.add_event(
                ModelRefused(deployment=problem.deployment, cycle_at=event.cycle_at, reason=problem.reason, kept=problem.kept),
                event.cycle_at,
            )
        tx.mark_decided(event.venue, event.cycle_at)
        symbols = tuple(item.symbol for item in event.symbols)
        tx.add_event(CycleDecided(venue=event.venue, cycle_at=event.cycle_at, symbols=symbols, late=late), event.cycle_at)
    return CycleOutcome(event.cycle_at, state, writes, signals, refusals, rows)


def _market_of(item: SymbolCandles, event: CandlesClosed) -> str:
    """Return the venue of a symbol's bars."""
    return item.market or event.venue


def _decide(
    tx: LedgerTransaction, event: CandlesClosed, choice: ModelChoice, limits: SignalLimits, *, late: bool
) -> tuple[tuple[Signal, ...], tuple[SymbolRefusal, ...], CycleRows]:
    ready: list[ReadySymbol] = []
    refusals: list[SymbolRefusal] = []
    for item in event.symbols:
        found = judged(tx, event, item, None if choice.model is None else choice.model.scorer)
        if isinstance(found, SymbolRefusal):
            refusals.append(found)
        else:
            ready.append(found)
    signals: tuple[Signal, ...] = ()
    horizon_minutes = 0
    known_at = event.cycle_at + timedelta(seconds=event.waited_seconds) if event.waited_seconds else None
    key = None if choice.model is None else rows_key(choice.model.scorer)
    rows = CycleRows(key, tuple(ready), late, known_at)
    if choice.model is not None:
        tx.add_deployed_model(choice.model, event.cycle_at)
    if ready and choice.model is not None:
        horizon_minutes = choice.model.horizon_minutes
        decided, failed = score_ready(ready, event.cycle_at, choice.model, late=late, known_at=known_at)
        refusals.extend(failed)
        hour = tx.issued_signals(choice.model.deployment, event.cycle_at - WINDOW, event.cycle_at)
        signals = limit_rate(decided, hour, limits)
    for refusal in refusals:
        tx.add_refusal(event.venue, refusal)
    recorded = []
    for signal in signals:
        if tx.add_signal(signal):
            recorded.append(signal)
            recent = _recent(tx, event.venue, signal) if signal.issued else None
            tx.add_event(announcement(signal, horizon_minutes, recent), event.cycle_at)
    return tuple(recorded), tuple(refusals), rows


def _recent(tx: LedgerTransaction, venue: str, signal: Signal) -> RecentCandles | None:
    """Return the bars that a chart of the signal shows; they are no part of the decision."""
    bars = tx.bars(signal.market or venue, signal.symbol, signal.decided_at, RECENT_BARS)
    if not len(bars):
        return None
    first = int(bars.open_time_ms[0])
    minutes = ((bars.open_time_ms - first) // MINUTE_MS).tolist()
    prices = (bars.open.tolist(), bars.high.tolist(), bars.low.tolist(), bars.close.tolist())
    return RecentCandles(first=from_ms(first), rows=tuple(zip(minutes, *prices, strict=True)))


def resolve_signals(tx: LedgerTransaction, venue: str, at: datetime, model: DeployedModel) -> None:
    """Announce the outcome of the signals whose horizon has passed, as soon as the bar that ends it is recorded.

    The bar is of the venue that the signal was decided on.
    Each event has its natural key, so a signal of the last RESOLVE_WITHIN that was announced before is not announced again.
    """
    horizon = timedelta(minutes=model.horizon_minutes)
    for signal in tx.signals_to_resolve(model.deployment, at - horizon - RESOLVE_WITHIN, at - horizon):
        close = tx.close_price(signal.market or venue, signal.symbol, newest_closed_open_time(signal.decided_at + horizon))
        if close is not None:
            tx.add_event(_resolution(signal, model, close), at)


def _resolution(signal: IssuedSignal, model: DeployedModel, close: Decimal) -> SignalResolved:
    return SignalResolved(
        symbol=signal.symbol,
        decided_at=signal.decided_at,
        deployment=model.deployment,
        stage=signal.stage.value,
        direction="BUY" if signal.direction is Direction.BUY else "SELL",
        tier="HIGH" if signal.tier is Tier.HIGH else "MEDIUM",
        horizon_minutes=model.horizon_minutes,
        price=signal.price,
        close=close,
        right=was_right(signal.direction, close - signal.price),
        challenger=model.challenger,
    )


def judged(
    tx: LedgerTransaction, event: CandlesClosed, item: SymbolCandles, scorer: Scorer | None
) -> ReadySymbol | SymbolRefusal:
    """Return the newest feature rows of a symbol, or the reason why no decision may be made on them.

    All bars are of one venue, the reference symbol's too: prices of two venues differ by more than what a model looks at.
    """
    at, symbol, problem, venue = event.cycle_at, Symbol(item.symbol), item.problem, _market_of(item, event)
    if scorer is None:
        return SymbolRefusal(symbol, at, RefusalReason.NO_MODEL, "no bundle is loaded")
    schema = scorer.schema
    bars = tx.bars(venue, symbol, at, scorer.history_bars)
    expected = newest_closed_open_time(at)
    if not _is_fresh(bars, expected):
        newest = from_ms(int(bars.open_time_ms[-1])).isoformat() if len(bars) else "none"
        code = problem.value if problem is not None else RefusalReason.STALE_DATA.value
        return SymbolRefusal(symbol, at, code, f"expected the bar of {expected.isoformat()}, newest is {newest}")
    reference = None
    if schema.reference_symbol is not None:
        reference = tx.bars(venue, schema.reference_symbol, at, scorer.history_bars)
    rows = newest_rows(scorer, bars, reference)
    if isinstance(rows, IncompleteRows):
        return SymbolRefusal(symbol, at, rows.code, rows.detail)
    price = tx.close_price(venue, symbol, expected)
    if price is None:
        return SymbolRefusal(symbol, at, RefusalReason.STALE_DATA, f"no close of the bar of {expected.isoformat()}")
    return ReadySymbol(symbol, rows, price, item.market)


def _is_fresh(bars: Bars, expected: datetime) -> bool:
    return len(bars) > 0 and from_ms(int(bars.open_time_ms[-1])) == expected


def score_ready(
    ready: Sequence[ReadySymbol], at: datetime, model: DeployedModel, *, late: bool, known_at: datetime | None
) -> tuple[tuple[Signal, ...], tuple[SymbolRefusal, ...]]:
    """Return a model's decisions on these symbols, and the symbols that it could not score."""
    try:
        probabilities = _probabilities(ready, model)
    except Exception as error:  # noqa: BLE001 - a model that fails refuses its symbols; the cycle is decided, for all who wait for it
        detail = readable(f"{type(error).__name__}: {error}")[:DETAIL_LENGTH]
        return (), tuple(SymbolRefusal(item.symbol, at, RefusalReason.MODEL_FAILED, detail) for item in ready)
    signals: list[Signal] = []
    failed: list[SymbolRefusal] = []
    for item, probability in zip(ready, probabilities.tolist(), strict=True):
        if not 0.0 <= probability <= 1.0:
            failed.append(
                SymbolRefusal(item.symbol, at, RefusalReason.MODEL_FAILED, f"expected a probability, got {probability}")
            )
            continue
        direction, tier = classify(probability, model.thresholds)
        signals.append(
            Signal(
                symbol=item.symbol,
                decided_at=at,
                deployment=model.deployment,
                stage=model.stage,
                direction=direction,
                tier=tier,
                probability_up=probability,
                price=item.price,
                late=late,
                schema_name=model.scorer.schema.name,
                schema_hash=model.scorer.schema.hash,
                features=tuple(item.window[-1].tolist()),
                known_at=known_at,
                market=item.market,
                overridden=model.overridden,
                challenger=model.challenger,
            )
        )
    return tuple(signals), tuple(failed)


def _probabilities(ready: Sequence[ReadySymbol], model: DeployedModel) -> NDArray[np.float64]:
    found = model.scorer.predict(np.stack([item.window for item in ready]))
    if found.shape != (len(ready),):
        raise ValueError(f"expected {len(ready)} probabilities, got {found.shape}")
    return found


def announcement(signal: Signal, horizon_minutes: int, recent: RecentCandles | None = None) -> SignalGenerated:
    """Return the event that announces a signal. Backtests use it too, without recent bars."""
    return SignalGenerated(
        symbol=signal.symbol,
        decided_at=signal.decided_at,
        deployment=signal.deployment,
        stage=signal.stage.value,
        direction=signal.direction.value,
        tier=signal.tier.value,
        issued=signal.issued,
        held_back=signal.held_back,
        late=signal.late,
        probability_up=signal.probability_up,
        confidence=signal.confidence,
        price=signal.price,
        horizon_minutes=horizon_minutes,
        schema_name=signal.schema_name,
        schema_hash=signal.schema_hash,
        known_at=signal.known_at,
        recent=recent,
        market=signal.market,
        overridden=signal.overridden,
        challenger=signal.challenger,
    )


def _update_statuses(tx: LedgerTransaction, event: CandlesClosed, refusals: Sequence[SymbolRefusal]) -> None:
    """Announce when a symbol's outage begins and when it ends, but not at every cycle in between."""
    refused = {refusal.symbol: refusal for refusal in refusals}
    at = event.cycle_at
    for item in event.symbols:
        symbol = Symbol(item.symbol)
        before = tx.symbol_status(symbol)
        refusal = refused.get(symbol)
        if refusal is not None and before.stale_since is None:
            bars = tx.bars(_market_of(item, event), symbol, at, 1)
            newest_close = from_ms(int(bars.open_time_ms[-1]) + 60_000) if len(bars) else None
            tx.set_symbol_status(SymbolStatus(symbol, at, refusal.reason))
            tx.add_event(MarketDataStale(symbol=symbol, since=at, reason=refusal.reason, newest_close=newest_close), at)
        elif refusal is None and before.stale_since is not None:
            tx.set_symbol_status(SymbolStatus(symbol, None, None))
            tx.add_event(MarketDataRecovered(symbol=symbol, at=at, stale_since=before.stale_since), at)
