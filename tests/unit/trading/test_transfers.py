"""Money that comes or goes at any instant, the open of a bar included, never keeps an account from being watched."""

from __future__ import annotations

from dataclasses import replace as replaced
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.market.candles import ONE_MINUTE
from signalbox.portfolio.account import Books, book, record
from signalbox.portfolio.entries import Entry, Transfer
from signalbox.trading.account import TradingAccount
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import ChangeSet
from signalbox.trading.entries import enter
from signalbox.trading.errors import RebookNeededError
from signalbox.trading.state import AccountState, opened, opening_transfer
from tests.examples import examples
from tests.unit.trading.market import BTC, START, bar, history, paper, signal, since, state_at, wave
from tests.unit.trading.test_service import Floor, cycle
from tests.unit.trading.test_steps_properties import LENGTH, WITH_TARGET, Story, stories


def moved(account: TradingAccount, after: timedelta, amount: str = "1000") -> Transfer:
    """Money that moves a while after START."""
    return Transfer(account=account.account, key=f"m-{after}", at=START + after, amount=Decimal(amount))


def with_transfer(state: AccountState, transfer: Transfer) -> AccountState:
    """The account state once a transfer was booked by whoever took it."""
    return replaced(state, books=record(state.books, transfer).books)


def test_money_moved_at_the_open_of_a_bar_is_there_before_a_trade_at_that_open() -> None:
    state, _ = enter(state_at(paper()), signal(BTC), history(), START)
    state = with_transfer(state, moved(state.account, timedelta(0)))
    after, changes = apply_bars(state, {BTC: [bar(BTC, START, "60000")]}, START + ONE_MINUTE)
    (fill,) = changes.entries
    assert (fill.at, fill.kind, after.books.newest) == (START, "Fill", fill)


def test_an_account_that_is_opened_before_its_bars_arrive_can_watch_them() -> None:
    account = paper()
    state, _ = apply_bars(opened(account, START), {}, START)  # its capital came as the bar opened, and no bar is here yet
    state, _ = apply_bars(state, {BTC: [bar(BTC, START - ONE_MINUTE, "60000")]}, START)
    state, _ = enter(state, signal(BTC), history(), START)
    _, changes = apply_bars(state, {BTC: [bar(BTC, START, "60000")]}, START + ONE_MINUTE)
    assert [entry.at for entry in changes.entries] == [START]


def test_bars_older_than_a_transfer_are_applied_with_the_whole_history() -> None:
    floor = Floor()
    floor.deliver(signal(BTC))
    account, rows = paper(), floor.rows()
    late = moved(account, timedelta(minutes=4, seconds=30))
    rows.entries[late.entry_id] = late
    rows.state = with_transfer(rows.state, late)
    bars = {BTC: wave(BTC, START, 5)}
    with pytest.raises(RebookNeededError):
        apply_bars(rows.state, bars, START + timedelta(minutes=5))
    floor.deliver(cycle(START + timedelta(minutes=5)))
    assert floor.state().books == book(account.account, list(floor.rows().entries.values())).books
    assert floor.state().books.position(BTC).quantity


def _watched(state: AccountState, story: Story, at_minute: int, entries: list[Entry]) -> tuple[AccountState, ChangeSet]:
    at = START + ONE_MINUTE * at_minute
    bars = since(story.market, state.watched_until, at)
    try:
        return apply_bars(state, bars, at)
    except RebookNeededError:
        return apply_bars(state, bars, at, entries=entries)


@settings(max_examples=examples(40), deadline=None)
@given(
    story=stories(),
    stops=st.sets(st.integers(1, LENGTH), max_size=30),
    transfers=st.lists(st.tuples(st.integers(0, LENGTH), st.integers(-600, 600), st.integers(-900, 900)), max_size=6),
)
def test_whenever_money_moves_the_books_equal_those_of_all_entries(
    story: Story, stops: set[int], transfers: list[tuple[int, int, int]]
) -> None:
    account = paper("paper-100k", WITH_TARGET)
    state = state_at(account)
    entries: list[Entry] = [opening_transfer(account, START - timedelta(hours=1))]
    for minute in sorted({*stops, *(s[0] for s in story.signals), *(t[0] for t in transfers), LENGTH}):
        state, changes = _watched(state, story, minute, entries)
        entries += changes.entries
        at = START + ONE_MINUTE * minute
        for _minute, symbol, direction in (s for s in story.signals if s[0] == minute):
            found = signal(symbol, at, direction, price=state.marks[symbol].price)
            state, changes = enter(state, found, history(symbol, at), at)
        for number, (_, seconds, amount) in enumerate(t for t in transfers if t[0] == minute):
            # a whole minute is the open of a bar: of one that was watched, of the next, or of one still to come
            when = at + timedelta(seconds=seconds // 60 * 60 if number % 2 else seconds)
            entries.append(Transfer(account=account.account, key=f"{minute}-{number}", at=when, amount=Decimal(amount)))
            state = replaced(state, books=_booked(account, entries))
    assert state.books == _booked(account, entries)


def _booked(account: TradingAccount, entries: list[Entry]) -> Books:
    return book(account.account, entries).books
