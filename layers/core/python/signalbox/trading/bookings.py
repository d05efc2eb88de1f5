"""Bookings that an operator makes in an account's books: an adopted position, a deposit or withdrawal, a lot method.

Each position or amount is one entry under a natural key. A position is booked as a fill at its price: its cost comes out of
cash, and balance and equity do not change at that price. For coins that came from outside, book a deposit of their value too.
Money of a live account is keyed by the venue's own id, the same id that a view reports (venue_reports.compare). Whichever
arrives first books the money, and the other changes nothing. Pure.
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
    """Book one entry at `at`. An entry that is already booked changes nothing.

    entries: all entries of the account. Raises CommandError if the key is booked with other data, if the entry is dated after
    `at`, or if it is not dated after the account's first entry: anything older is part of the initial capital.
    """
    known = next((one for one in entries if one.entry_id == entry.entry_id), None)
    if known is not None:
        if not _same(known, entry):
            raise CommandError(f"{entry.entry_id}: conflicting duplicate: {known!r} is booked, got {entry!r}")
        return state, NO_CHANGES
    first = min(one.at for one in entries)
    if not first < entry.at <= at:
        raise CommandError(
            f"at: expected a time after {first.isoformat()} (account start) and up to {at.isoformat()} (now), got {entry.at}"
        )
    draft = AccountDraft(state, at, entries)
    draft.book_entries([entry])
    observe_now(draft)  # by hand, so an adopted position does not count as a trading day
    return draft.done()


def _same(known: Entry, entry: Fill | Transfer) -> bool:
    """Whether both are equal apart from `at`, which a repeated command sets anew unless it names a time."""
    return known == entry.model_copy(update={"at": known.at})


def choose_lots(
    state: AccountState, method: LotMethod, given_at: datetime, effective_from: datetime | None, at: datetime
) -> Transition:
    """Book a standing order for tax lots. It changes nothing if its method is in force already, or if a newer order exists.

    effective_from: None means right after the newest booked entry, but not before `at`. Raises CommandError for a time that would
    change what is booked, or that is not after the newest standing order's.
    """
    given, newest = state.books.standing_orders, state.books.newest
    if given and (given[-1].method is method or given_at <= given[-1].given_at):
        return state, NO_CHANGES
    earliest = at if newest is None else max(at, newest.at + timedelta.resolution)
    begins = earliest if effective_from is None else effective_from
    if begins < earliest:
        raise CommandError(f"effective_from: expected {earliest.isoformat()} or later, after all booked entries, got {begins}")
    if given and begins <= given[-1].effective_from:
        raise CommandError(
            f"effective_from: expected a time after {given[-1].effective_from}, the start of the newest method, got {begins}"
        )
    books = replaced(state.books, standing_orders=(*given, StandingOrder(method, given_at, begins)))
    line = RiskEvent(
        RiskEventKind.OVERRIDE, f"lots:{given_at.isoformat()}", at, method, detail=f"{method} from {begins.isoformat()}"
    )
    return replaced(state, books=books, at=at), ChangeSet(risk=(line,))
