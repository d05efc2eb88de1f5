"""Schedules another step of an account within seconds: an event that returns to the account after a delay."""

from __future__ import annotations

from datetime import datetime

from signalbox.trading.account import TradingMode
from signalbox.trading.events import AccountReviewDue
from signalbox.trading.state import AccountState


def with_review(state: AccountState, at: datetime, due: datetime | None) -> tuple[AccountState, tuple[AccountReviewDue, ...]]:
    """Request another step of a live account at `due`, unless an earlier request is still on its way.

    due None means nothing is due. A review that arrives too early asks for the next one.
    """
    is_coming = state.review_at is not None and at < state.review_at
    if due is None or is_coming or state.account.mode is not TradingMode.LIVE:
        return state, ()
    asked = AccountReviewDue.trusted(account=state.account.account, at=at, due=max(due, at))
    return state.after(review_at=asked.comes_at), (asked,)
