"""Entries that an operator makes in an account's books: an adopted position, a deposit or withdrawal, a lot method.

A position or an amount is one entry under a natural key. A position is booked as a fill at its price: neither balance nor
equity moves at that price, and its cost comes out of the cash; coins that came from outside are booked as a deposit of their
value beside it. Money of a live account is keyed by the venue's own id of it, the same under which a view brings it
(venue_reports.compare), so that whichever comes first books it and the other finds it there. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replaced
from datetime import datetime, timedelta

from signalbox.portfolio.entries import Entry, Fill, Transfer
from signalbox.portfolio.lots import LotMethod, StandingOrder
from signalbox.trading.changes import NO_CHANGES, ChangeSet, RiskEvent, RiskEventKind, Transition
from signalbox.trading.draft import AccountDraft
from signalbox.trading.errors import CommandError
from signalbox.trading.monitoring import observe_now
from signalbox.trading.state import AccountState


def book(state: AccountState, entry: Fill | Transfer, at: datetime, entries: Sequence[Entry]) -> Transition:
    """Enter one entry in the books at `at`; one that is there changes nothing.

    entries: all of the account. Raises CommandError when its key is there with other data, when it is dated after `at`, or
    not after the account's first entry: what was there before is part of the capital.
    """
    known = next((one for one in entries if one.entry_id == entry.entry_id), None)
    if known is not None:
        if not _same(known, entry):
            raise CommandError(f"{entry.entry_id}: expected the entry that is booked, {known!r}, was {entry!r}")
        return state, NO_CHANGES
    first = min(one.at for one in entries)
    if not first < entry.at <= at:
        raise CommandError(
            f"at: expected after {first.isoformat()}, when the account began, and not after {at.isoformat()}, was {entry.at}"
        )
    draft = AccountDraft(state, at, entries)
    draft.book_entries([entry])
    observe_now(draft)  # somebody else opened it, if it is a position: no trading day of ours
    return draft.done()


def _same(known: Entry, entry: Fill | Transfer) -> bool:
    """Whether both are equal but for the instant, which a repeated command takes anew unless it names one."""
    return known == entry.model_copy(update={"at": known.at})


def choose_lots(
    state: AccountState, method: LotMethod, given_at: datetime, effective_from: datetime | None, at: datetime
) -> Transition:
    """Give a standing order of the tax lots. The method in force, or an order older than the newest, changes nothing.

    effective_from: None is right after the newest booked entry, and not before `at`. Raises CommandError for one that would
    change what is booked, or does not follow the newest one.
    """
    given, newest = state.books.standing_orders, state.books.newest
    if given and (given[-1].method is method or given_at <= given[-1].given_at):
        return state, NO_CHANGES
    earliest = at if newest is None else max(at, newest.at + timedelta.resolution)
    begins = earliest if effective_from is None else effective_from
    if begins < earliest:
        raise CommandError(f"effective_from: expected {earliest.isoformat()} or later, for what is booked stays, was {begins}")
    if given and begins <= given[-1].effective_from:
        raise CommandError(f"effective_from: expected after that of the newest, {given[-1].effective_from}, was {begins}")
    books = replaced(state.books, standing_orders=(*given, StandingOrder(method, given_at, begins)))
    line = RiskEvent(
        RiskEventKind.OVERRIDE, f"lots:{given_at.isoformat()}", at, method, detail=f"{method} from {begins.isoformat()}"
    )
    return replaced(state, books=books, at=at), ChangeSet(risk=(line,))
