"""Looking at an account again within seconds, for something that is due: an event that comes back to it delayed."""

from __future__ import annotations

from datetime import datetime

from signalbox.trading.account import TradingMode
from signalbox.trading.events import AccountReviewDue
from signalbox.trading.state import AccountState


def with_review(state: AccountState, at: datetime, due: datetime | None) -> tuple[AccountState, tuple[AccountReviewDue, ...]]:
    """Have a live account looked at again when something is due, unless a review that was asked for is still to come.

    due: None: nothing is. A review that comes too early asks for the next one.
    """
    is_coming = state.review_at is not None and at < state.review_at
    if due is None or is_coming or state.account.mode is not TradingMode.LIVE:
        return state, ()
    asked = AccountReviewDue(account=state.account.account, at=at, due=max(due, at))
    return state.after(review_at=asked.comes_at), (asked,)
