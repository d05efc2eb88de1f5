"""Gathers what an observation found from the ledger: slots, checks of every decision, outcomes, and the cost of paper fills.

Everything is derived from rows again at each report, so anyone can repeat a report and nothing is kept that could be reset.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from local.cli.features.verification import FindOfVenue, by_market, revisions_of
from signalbox.adapters.postgres.reading import LedgerReader
from signalbox.adapters.postgres.trading_reading import TradingReader
from signalbox.features import with_hash
from signalbox.inference.ensemble import Ensemble
from signalbox.market.candles import ONE_MINUTE, Bars, Candle, Symbol, from_ms
from signalbox.market.clock import cycles_between, newest_closed_open_time
from signalbox.market.revisions import BarRevision
from signalbox.observation.clusters import SettledSignal
from signalbox.observation.findings import NOT_CHECKED, CheckedCount, ExecutionCost, ObservationFindings, ObservedDay
from signalbox.observation.ports import ObservationState, RecordedObservation
from signalbox.observation.rules import ObservationRules
from signalbox.orders.order import Order
from signalbox.orders.quality import Cost
from signalbox.reports.measurement import Unmeasured, bars_needed, measure
from signalbox.signals.rows import IncompleteRows, newest_rows
from signalbox.signals.signal import Direction, Signal, Thresholds, classify, was_right
from signalbox.signals.verification import MismatchCode, SignalVerification, bars_seen, verify_signals
from signalbox.trading.account import TradingMode

_UNCHECKED: Final = frozenset({MismatchCode.BARS_MISSING, MismatchCode.SCHEMA_UNKNOWN})
_BPS: Final = 10_000.0
LATE: Final = "DECIDED_LATE"  # beside the reasons of refusals
NO_RECORD: Final = "NOTHING_RECORDED"


@dataclass(frozen=True, slots=True)
class ObservedLedger:
    """Where the facts come from.

    find: independent bars; None: the ledger's own. scorer: the bundle, or None if it cannot be had; then its parity is unchecked.
    """

    reader: LedgerReader
    trading: TradingReader
    venue: str
    find: FindOfVenue | None
    own_bars: bool
    scorer: Ensemble | None


def gather(
    rules: ObservationRules,
    until: datetime,
    ledger: ObservedLedger,
    *,
    earlier: Sequence[RecordedObservation] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> ObservationFindings:
    """Return what was found from the start of the observation to `until`, or to its last day."""
    end = min(until, rules.last_at)
    every = _signals(ledger, rules, rules.starts_at, end)
    signals = [one for one in every if not one.late]
    features, parity, freshness = NOT_CHECKED, NOT_CHECKED, NOT_CHECKED
    for day, own in _by_day(signals):
        progress(f"verifying {len(own)} decisions of {day}")
        of_day = _verified(own, ledger, rules)
        features, parity, freshness = features + of_day[0], parity + of_day[1], freshness + of_day[2]
    due, settled = _settled(signals, end, ledger, rules)
    before: list[SettledSignal] = []
    for one in earlier:
        last = one.steps[-1]
        stop = min(last.at if last.state is ObservationState.ENDED else rules.starts_at, rules.starts_at)
        own = [s for s in _signals(ledger, one.rules, one.rules.starts_at, stop) if not s.late]
        # settled by now, not by this start: who starts again within a horizon would leave out what was going wrong
        before += _settled(own, end, ledger, one.rules)[1]
    return ObservationFindings(
        until=end,
        days=_days(rules, end, signals, settled),
        refusals=_refusals(rules, end, every, ledger),
        features=features,
        parity=parity,
        freshness=freshness,
        settled=tuple(settled),
        due=due,
        execution=_execution(signals, ledger, rules, end),
        before=tuple(before),
        earlier=len(earlier),
    )


def _signals(ledger: ObservedLedger, rules: ObservationRules, start: datetime, end: datetime) -> list[Signal]:
    names = frozenset(rules.model.symbols)
    return [one for one in ledger.reader.signals(start, end) if one.deployment == rules.model.deployment and one.symbol in names]


def _by_day(signals: Sequence[Signal]) -> Iterator[tuple[date, list[Signal]]]:
    found: defaultdict[date, list[Signal]] = defaultdict(list)
    for one in signals:
        found[_day(one.decided_at)].append(one)
    yield from sorted(found.items())


def _day(instant: datetime) -> date:
    return instant.astimezone(UTC).date()


def _days(
    rules: ObservationRules, end: datetime, signals: Sequence[Signal], settled: Sequence[SettledSignal]
) -> tuple[ObservedDay, ...]:
    due = Counter(_day(cycle) for cycle in cycles_between(rules.starts_at, end))
    decided = Counter(_day(one.decided_at) for one in signals)
    issued = Counter(_day(one.decided_at) for one in signals if one.direction is not Direction.HOLD)
    outcomes: defaultdict[date, list[SettledSignal]] = defaultdict(list)
    for one in settled:
        outcomes[_day(one.decided_at)].append(one)
    return tuple(
        ObservedDay(
            day,
            cycles * len(rules.model.symbols),
            decided[day],
            issued[day],
            len(outcomes[day]),
            sum(one.is_right for one in outcomes[day]),
            math.fsum(one.net_bps for one in outcomes[day]),
        )
        for day, cycles in sorted(due.items())
    )


def _refusals(rules: ObservationRules, end: datetime, every: Sequence[Signal], ledger: ObservedLedger) -> Mapping[str, int]:
    """Return the lost slots by reason; a slot with neither a decision nor a refusal has a reason too."""
    names = frozenset(rules.model.symbols)
    known = {(one.symbol, one.decided_at) for one in every}
    found = Counter({LATE: sum(one.late for one in every)})
    for one in ledger.reader.refusals(ledger.venue, rules.starts_at, end):
        if one.symbol in names and (one.symbol, one.cycle_at) not in known:
            known.add((one.symbol, one.cycle_at))
            found[one.reason] += 1
    found[NO_RECORD] = rules.slots(end) - len(known)
    return {reason: count for reason, count in found.items() if count}


def _verified(
    signals: Sequence[Signal], ledger: ObservedLedger, rules: ObservationRules
) -> tuple[CheckedCount, CheckedCount, CheckedCount]:
    features, parity, freshness = NOT_CHECKED, NOT_CHECKED, NOT_CHECKED
    own_bars = ledger.reader if ledger.own_bars else None
    for market, own, bars in by_market(signals, ledger.venue, ledger.find, own_bars):
        revisions = revisions_of(ledger.reader, market, own)
        for one in verify_signals(own, bars, revisions=revisions):
            features += _checked(one, frozenset(MismatchCode) - _UNCHECKED - {MismatchCode.PRICE_DIFFERS})
            freshness += _checked(one, frozenset({MismatchCode.PRICE_DIFFERS}))
        parity += _parity(own, bars, revisions, ledger.scorer, rules)
    return features, parity, freshness


def _checked(one: SignalVerification, codes: frozenset[MismatchCode]) -> CheckedCount:
    if any(mismatch.code in _UNCHECKED for mismatch in one.mismatches):
        return CheckedCount(0, 0, 1)
    wrong = next((mismatch for mismatch in one.mismatches if mismatch.code in codes), None)
    if wrong is None:
        return CheckedCount(1, 0, 0)
    what = wrong.feature or wrong.code.value
    where = f"{one.signal.symbol} {one.signal.decided_at:%Y-%m-%d %H:%M} {what}"
    return CheckedCount(0, 1, 0, f"{where}: recorded {wrong.stored[:24]}, computed {wrong.derived[:24]}")


def _parity(
    signals: Sequence[Signal],
    bars: Mapping[Symbol, Bars],
    revisions: Sequence[BarRevision],
    scorer: Ensemble | None,
    rules: ObservationRules,
) -> CheckedCount:
    """Run the bundle's graphs on the recorded features again; a window's older rows are computed from the bars it saw."""
    if scorer is None:
        return CheckedCount(0, 0, len(signals))
    rows, scored, unchecked = list[NDArray[np.float64]](), list[Signal](), 0
    for one in signals:
        window = _window(one, bars_seen(bars, revisions, one.decided_at), scorer)
        if window is None:
            unchecked += 1
        else:
            rows.append(window)
            scored.append(one)
    if not scored:
        return CheckedCount(0, 0, unchecked)
    again = scorer.predict(np.stack(rows)).tolist()
    thresholds = Thresholds(scorer.issue_margin, scorer.high_margin)
    wrong = list[str]()
    for one, value in zip(scored, again, strict=True):
        where = f"{one.symbol} {one.decided_at:%Y-%m-%d %H:%M}"
        # the side follows from the recorded probability: last bits of another processor must not move it over a margin
        side = classify(one.probability_up, thresholds)
        if not abs(one.probability_up - value) <= rules.operation.parity:
            wrong.append(f"{where}: recorded {one.probability_up:.6f}, again {value:.6f}")
        elif side != (one.direction, one.tier):
            recorded, again_ = f"{one.direction} {one.tier}", f"{side[0]} {side[1]}"
            wrong.append(f"{where}: recorded {recorded}, by the margins of the bundle {again_}")
    worst = wrong[0] if wrong else None
    return CheckedCount(len(scored) - len(wrong), len(wrong), unchecked, worst)


def _window(one: Signal, bars: Mapping[Symbol, Bars], scorer: Ensemble) -> NDArray[np.float64] | None:
    schema = scorer.schema
    if with_hash(schema, one.schema_hash) is None or len(one.features) != len(schema.names):
        return None
    newest = np.array(one.features, dtype=np.float64)[None]
    if scorer.window_bars == 1:
        return newest if np.isfinite(newest).all() else None
    if one.symbol not in bars:
        return None
    own = bars[one.symbol].until(one.decided_at).last(scorer.history_bars)
    reference = None
    if schema.reference_symbol is not None:
        if schema.reference_symbol not in bars:
            return None
        reference = bars[schema.reference_symbol].until(one.decided_at).last(scorer.history_bars)
    rows = newest_rows(scorer, own, reference)
    return None if isinstance(rows, IncompleteRows) else np.concatenate((rows[:-1], newest))


def _settled(
    signals: Sequence[Signal], end: datetime, ledger: ObservedLedger, rules: ObservationRules
) -> tuple[int, list[SettledSignal]]:
    """Return how many issued signals are due by `end`, and those whose closing bar is recorded."""
    due = [one for one in signals if one.issued and one.decided_at + rules.horizon <= end]
    minutes: defaultdict[str, set[tuple[Symbol, datetime]]] = defaultdict(set)
    for one in due:
        minutes[one.market or ledger.venue].add((one.symbol, newest_closed_open_time(one.decided_at + rules.horizon)))
    closes = {venue: ledger.reader.closes(venue, keys) for venue, keys in minutes.items()}
    found = []
    for one in due:
        key = (one.symbol, newest_closed_open_time(one.decided_at + rules.horizon))
        close = closes[one.market or ledger.venue].get(key)
        if close is not None:
            move = close - one.price
            side = 1 if one.direction is Direction.BUY else -1
            net = side * float(move / one.price) * _BPS - 2 * rules.money.cost_bps
            found.append(SettledSignal(one.symbol, one.decided_at, was_right(one.direction, move), net))
    return len(due), found


def _execution(signals: Sequence[Signal], ledger: ObservedLedger, rules: ObservationRules, end: datetime) -> ExecutionCost:
    """Return slippage against the mid at sending, and fees, over all paper orders of these signals."""
    decided = {(one.symbol, one.decided_at) for one in signals if one.issued}
    start = rules.starts_at
    orders = [
        order
        for account in ledger.trading.accounts()
        if account.mode is TradingMode.PAPER
        for order in ledger.trading.orders(account.account, start, end)
        if (order.terms.symbol, order.terms.decided_at) in decided and order.trades
    ]
    bars = {symbol: _candles(ledger, symbol, orders) for symbol in {Symbol(one.terms.symbol) for one in orders}}
    total, fills, unmeasured, fees, value = Cost(), 0, 0, Decimal(0), Decimal(0)
    for order in orders:
        if not order.state.is_closed:
            continue
        first, last = bars_needed(order)
        near = bars[Symbol(order.terms.symbol)]
        low, high = (bisect_left(near, edge, key=lambda one: one.open_time) for edge in (first, last))
        measured = measure(order, ledger.venue, near[low:high])
        if isinstance(measured, Unmeasured):
            unmeasured += 1
            continue
        total += measured.quality.arrival_slippage
        fills += measured.quality.trades
        fees, value = fees + measured.quality.fees, value + measured.quality.value
    cost = float((total.cost + fees) / value) * _BPS if value else None
    return ExecutionCost(fills, cost, unmeasured)


def _candles(ledger: ObservedLedger, symbol: Symbol, orders: Sequence[Order]) -> list[Candle]:
    spans = [bars_needed(one) for one in orders if one.terms.symbol == symbol]
    start, end = min(first for first, _ in spans), max(last for _, last in spans)
    bars = ledger.reader.bars(ledger.venue, symbol, start.replace(second=0, microsecond=0), end + ONE_MINUTE)
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return [
        Candle(symbol, from_ms(at), *(Decimal(repr(value)) for value in row))
        for at, *row in zip(bars.open_time_ms.tolist(), *(column.tolist() for column in columns), strict=True)
    ]
