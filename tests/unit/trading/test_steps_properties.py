"""Whatever the deliveries look like, the account comes out the same, its books agree, and no limit is passed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache

from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.exact import exactly
from signalbox.market.candles import ONE_MINUTE, Candle, Symbol
from signalbox.orders.events import OrderEvent, OrderFilled, OrderInitialized
from signalbox.orders.lifecycle import replay
from signalbox.portfolio.account import book
from signalbox.portfolio.entries import Fill
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading import halts, operator_orders
from signalbox.trading.account import DIR60_STANDARD
from signalbox.trading.bars import apply_bars
from signalbox.trading.changes import NO_CHANGES, ChangeSet
from signalbox.trading.entries import enter
from signalbox.trading.memory import ProtectionMemory
from signalbox.trading.snapshot import equity_of
from signalbox.trading.state import AccountState, opening_transfer
from tests.examples import examples
from tests.unit.trading.market import BASE, BTC, ETH, SOL, START, bar, history, manual_terms, paper, signal, since, state_at

LENGTH = 130
WITH_TARGET = DIR60_STANDARD.model_copy(update={"target_volatilities": Decimal(2), "version": "with-target.1"})


@dataclass(frozen=True)
class Story:
    """A market by the moves of each symbol (in basis points, over and over), and signals: (minute, symbol, direction)."""

    moves: tuple[tuple[int, ...], ...]
    signals: tuple[tuple[int, Symbol, str], ...]

    @property
    def market(self) -> dict[Symbol, list[Candle]]:
        return market_of(self.moves)


@lru_cache(maxsize=8)
def market_of(moves: tuple[tuple[int, ...], ...]) -> dict[Symbol, list[Candle]]:
    market: dict[Symbol, list[Candle]] = {}
    for symbol, own in zip((BTC, ETH, SOL), moves, strict=True):
        price, bars = BASE[symbol], []
        for i in range(LENGTH):
            move = own[i % len(own)] + (i * 7919 % 11) - 5
            after = (price * (Decimal(10_000 + move) / 10_000)).quantize(Decimal("0.01"))
            low, high = min(price, after) * Decimal("0.9995"), max(price, after) * Decimal("1.0005")
            bars.append(bar(symbol, START + ONE_MINUTE * i, price, close=after, low=low, high=high))
            price = after
        market[symbol] = bars
    return market


@st.composite
def stories(draw: st.DrawFn) -> Story:
    moves = st.lists(st.integers(-40, 40), min_size=12, max_size=12).map(tuple)
    when = st.tuples(st.integers(0, LENGTH - 70), st.sampled_from((BTC, ETH, SOL)), st.sampled_from(("BUY", "SELL")))
    signals = draw(st.lists(when, min_size=1, max_size=6, unique_by=lambda s: s[:2]))
    return Story(draw(st.tuples(moves, moves, moves)), tuple(sorted(signals)))


def followed(
    state: AccountState, story: Story, stops: set[int], *, twice: bool = False, backwards: bool = False
) -> tuple[AccountState, ChangeSet]:
    """Bring a story to an account state; `stops` are minutes at which bars are applied besides those of the signals."""
    changes = NO_CHANGES
    for minute in sorted({*stops, *(s[0] for s in story.signals), LENGTH}):
        at = START + ONE_MINUTE * minute
        for _ in range(2 if twice else 1):
            state, more = apply_bars(state, since(story.market, state.watched_until, at), at)
            changes += more
        due = [s for s in story.signals if s[0] == minute]
        for _minute, symbol, direction in reversed(due) if backwards else due:
            price = state.marks[symbol].price
            for _ in range(2 if twice else 1):
                found = signal(symbol, at, direction, price=price)
                state, more = enter(state, found, history(symbol, at), at)
                changes += more
    return state, changes


@settings(max_examples=examples(40), deadline=None)
@given(
    story=stories(), stops=st.sets(st.integers(1, LENGTH), max_size=30), kind=st.sampled_from(("paper-100k", "ftmo-1step-100k"))
)
def test_splitting_repeating_and_reordering_deliveries_gives_the_same_desk(story: Story, stops: set[int], kind: str) -> None:
    begin = state_at(paper(kind, WITH_TARGET))
    plain, changes = followed(begin, story, set())
    every, more = followed(begin, story, set(range(1, LENGTH)))
    other, again = followed(begin, story, stops, twice=True, backwards=True)
    assert plain == every == other
    assert sorted(e.event_id for e in changes.order_events) == sorted(e.event_id for e in more.order_events)
    assert sorted(e.event_id for e in changes.order_events) == sorted(e.event_id for e in again.order_events)
    assert {e.event_id for e in changes.events} == {e.event_id for e in more.events}
    assert {(r.kind, r.key) for r in changes.risk} == {(r.kind, r.key) for r in more.risk}


@settings(max_examples=examples(40), deadline=None)
@given(story=stories())
def test_books_orders_and_facts_agree_to_the_last_digit(story: Story) -> None:
    account = paper("paper-100k", WITH_TARGET)
    state, changes = followed(state_at(account), story, set())
    capital = opening_transfer(account, START - timedelta(hours=1))
    booked = book(account.account, [capital, *changes.entries])
    assert booked.books == state.books
    assert booked.disposals == changes.disposals
    _agree(state)
    for events in by_order(changes.order_events).values():
        order = replay(events)
        assert state.orders.get(order.client_order_id, order) == order
    assert ProtectionMemory.from_text(state.memory.to_text()) == state.memory


@exactly
def _agree(state: AccountState) -> None:
    prices = {symbol: mark.price for symbol, mark in state.marks.items()}
    holdings = sum((p.quantity * prices[Symbol(s)] for s, p in state.books.positions.items() if p.quantity), Decimal(0))
    assert state.books.cash + holdings == equity_of(state)
    for symbol, position in state.books.positions.items():
        assert sum((lot.quantity for lot in state.books.lots.get(symbol, ())), Decimal(0)) == position.quantity


def by_order(events: tuple[OrderEvent, ...]) -> dict[str, list[OrderEvent]]:
    found: dict[str, list[OrderEvent]] = {}
    for event in events:
        found.setdefault(event.client_order_id, []).append(event)
    return found


@settings(max_examples=examples(40), deadline=None)
@given(story=stories(), flatten_at=st.none() | st.integers(1, LENGTH))
def test_exits_never_turn_a_position_and_a_flattened_account_ends_flat(story: Story, flatten_at: int | None) -> None:
    state = state_at(paper("paper-100k", WITH_TARGET))
    entries = []
    for minute in range(1, LENGTH + 1):
        at = START + ONE_MINUTE * minute
        state, changes = apply_bars(state, since(story.market, state.watched_until, at), at)
        entries += list(changes.entries)
        for _minute, symbol, direction in (s for s in story.signals if s[0] == minute):
            found = signal(symbol, at, direction, price=state.marks[symbol].price)
            state, changes = enter(state, found, history(symbol, at), at)
        if minute == flatten_at:
            state, changes = halts.halt(state, HaltLevel.FLATTEN, "anna", "enough", at)
    position: dict[str, Decimal] = {}
    for fill in entries:
        assert isinstance(fill, Fill)
        before = position.get(fill.symbol, Decimal(0))
        after = before + fill.signed_quantity
        assert before * after >= 0
        assert not before or abs(after) < abs(before)
        position[fill.symbol] = after
    if flatten_at is not None and flatten_at < LENGTH:
        assert state.is_idle


@settings(max_examples=examples(25), deadline=None)
@given(story=stories(), orders=st.lists(st.tuples(st.sampled_from((BTC, ETH, SOL)), st.integers(1, 400)), max_size=8))
def test_no_approved_sequence_passes_the_exposure_limits(story: Story, orders: list[tuple[Symbol, int]]) -> None:
    account = paper("paper-100k", WITH_TARGET)
    state = state_at(account)
    terms = [manual_terms(account, i, symbol, hundreds) for i, (symbol, hundreds) in enumerate(orders)]
    state, changes = operator_orders.submit(state, terms, START)
    again, nothing = operator_orders.submit(state, terms, START)
    assert (again, nothing) == (state, NO_CHANGES)
    state, _ = followed(state, Story(story.moves, ()), {1})
    fills = [e for e in changes.order_events if isinstance(e, OrderInitialized | OrderFilled)]
    assert len(fills) == len({t.client_order_id for t in terms})
    worth = {s: abs(p.quantity) * BASE[Symbol(s)] for s, p in state.books.positions.items()}
    limits, slack = account.limits, Decimal("1.01")  # the market has moved a little since
    assert all(value <= account.capital * limits.max_symbol_exposure_fraction * slack for value in worth.values())
    assert sum(worth.values(), Decimal(0)) <= account.capital * limits.max_account_exposure_fraction * slack
