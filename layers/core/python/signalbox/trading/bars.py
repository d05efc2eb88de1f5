"""Applies the bars that closed since an account's last step, before anything else happens to the account. Pure.

Every caller of a step applies bars first, so the outcome does not depend on which event arrives first. What one minute does to
an account is in monitoring.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from signalbox.portfolio.entries import Entry
from signalbox.trading.changes import Transition
from signalbox.trading.draft import AccountDraft
from signalbox.trading.monitoring import Candles, apply_closed_bars
from signalbox.trading.state import AccountState

STALE_AFTER: Final = timedelta(minutes=10)  # time without a bar of a held symbol


def apply_bars(
    state: AccountState, candles: Candles, at: datetime, *, stale_after: timedelta = STALE_AFTER, entries: Sequence[Entry] = ()
) -> Transition:
    """Apply the bars with watched_until < close_time <= at, minute by minute: fills, marks, loss rules, exits that fall due.

    candles: bars by symbol, oldest first; bars that were applied before are skipped. For an account that `is_idle` the newest bar
    of each symbol is enough. Writes one equity snapshot at `at`, the first time it is called for that instant. Raises
    RebookNeededError when a fill is dated before money that is already booked: call again with all `entries` of the account.
    """
    draft = AccountDraft(state, at, entries)
    apply_closed_bars(draft, candles, stale_after)
    if state.at is None or at > state.at:
        draft.value(at)
    return draft.done()
