"""What a challenger decides of a cycle that is committed already: signals of its own, which nobody follows who does not name it.

It sees exactly the bars that the cycle saw, because those are bars closed at or before the cycle, and the feature rows of the
model that served if it has the same schema and window. A symbol that was refused for its data has no decision of a challenger
either. Its reads and writes are transactions of its own: they take no lock that a cycle waits for.
"""

from __future__ import annotations

from datetime import datetime

from signalbox.events import CandlesClosed
from signalbox.signals.cycle import (
    CycleOutcome,
    CycleRows,
    ReadySymbol,
    RefusalReason,
    RowsKey,
    announcement,
    judged,
    resolve_signals,
    rows_key,
    score_ready,
)
from signalbox.signals.model import DeployedModel, Scorer
from signalbox.signals.ports import Ledger, SymbolRefusal
from signalbox.signals.rate_limit import WINDOW, SignalLimits, limit_rate
from signalbox.signals.signal import Signal


class SharedRows:
    """Feature rows of one cycle, computed once for each schema and window."""

    def __init__(self, event: CandlesClosed, outcome: CycleOutcome, ledger: Ledger) -> None:
        rows = outcome.rows or CycleRows(None, (), late=False, known_at=None)
        self._event, self._ledger = event, ledger
        self.late, self.known_at = rows.late, rows.known_at
        self._found: dict[RowsKey, tuple[ReadySymbol, ...]] = {} if rows.key is None else {rows.key: rows.ready}

    def of(self, scorer: Scorer) -> tuple[ReadySymbol, ...]:
        """Return the rows of the symbols that can be decided. Raises LedgerError."""
        key = rows_key(scorer)
        if key not in self._found:
            with self._ledger.transaction() as tx:
                found = [judged(tx, self._event, item, scorer) for item in self._event.symbols]
            self._found[key] = tuple(one for one in found if isinstance(one, ReadySymbol))
        return self._found[key]


def scored_beside(
    rows: SharedRows, ready: tuple[ReadySymbol, ...], at: datetime, model: DeployedModel
) -> tuple[tuple[Signal, ...], SymbolRefusal | None]:
    """Return a challenger's decisions, and the first symbol that it could not score."""
    if not ready:
        return (), None
    signals, failed = score_ready(ready, at, model, late=rows.late, known_at=rows.known_at)
    return signals, next((one for one in failed if one.reason == RefusalReason.MODEL_FAILED), None)


def record_beside(
    signals: tuple[Signal, ...], event: CandlesClosed, model: DeployedModel, *, ledger: Ledger, limits: SignalLimits
) -> tuple[Signal, ...]:
    """Commit a challenger's signals and the outcomes of its earlier ones; return the signals. Raises LedgerError."""
    at = event.cycle_at
    with ledger.transaction() as tx:
        tx.add_deployed_model(model, at)
        limited = limit_rate(signals, tx.issued_signals(model.deployment, at - WINDOW, at), limits)
        recorded = []
        for signal in limited:
            if tx.add_signal(signal):
                recorded.append(signal)
                tx.add_event(announcement(signal, model.horizon_minutes), at)
        resolve_signals(tx, event.venue, at, model)
    return tuple(recorded)
