"""What a terminal shows is bounded: nothing of it ends the agent, reaches the terminal again, or is reported as a fact."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signalbox.orders.venue_port import VenueSilentError
from signalbox_mt5.bounded_terminal import MOST_AT_ONCE, BoundedTerminal, Record
from signalbox_mt5.broker_clock import BrokerClock
from signalbox_mt5.terminal import OrderKind
from tests.builders import NOON
from tests.examples import examples
from tests.unit.agents.world import World, asked, details, entry, exit_of, kinds, stop_of, viewed

OTHER = "ETHUSD"
FIELDS = {
    "positions_get": "ticket identifier magic type symbol volume sl",
    "orders_get": "ticket magic type symbol volume_initial volume_current price_open state",
    "history_orders_get": "ticket magic type symbol volume_initial volume_current price_open state",
    "history_deals_get": "ticket magic type symbol volume price time_msc entry reason position_id commission swap fee profit",
    "symbol_info": "trade_contract_size volume_step volume_min volume_max trade_tick_size trade_mode filling_mode",
    "symbol_info_tick": "time_msc bid ask",
    "account_info": "login currency margin_mode equity",
    "order_send": "retcode comment",
    "terminal_info": "connected",
}
PLACES = [(function, name) for function, names in FIELDS.items() for name in names.split()]
ABSURD = [
    math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-300, 1e11, 0, -1, 10**18, 2**80, 10**4000, "", "x", "y" * 2_000_000,
    "two\nlines", "\u202e", "\x00", None, [], True,
]  # fmt: skip


class Lying:
    """A terminal whose records of one function have another value in one field, all or those of one symbol."""

    def __init__(self, terminal: Any, function: str, name: str, value: Any, symbol: str | None = None) -> None:
        self._terminal, self._function, self._changes, self._symbol = terminal, function, {name: value}, symbol

    def __getattr__(self, name: str) -> Any:
        honest = getattr(self._terminal, name)
        if name != self._function:
            return honest

        def answer(*args: Any, **options: Any) -> Any:
            found = honest(*args, **options)
            if isinstance(found, tuple):
                return tuple(self._changed(one) for one in found)
            return None if found is None else self._changed(found)

        return answer

    def _changed(self, record: Any) -> Any:
        if self._symbol is not None and record.symbol != self._symbol:
            return record
        return SimpleNamespace(**vars(record) | self._changes)


def lies(world: World, function: str, name: str, value: Any, symbol: str | None = None) -> Callable[[], None]:
    """Give the agent a terminal that lies; return what makes it honest again."""
    honest = world.terminal
    lying: Any = Lying(honest, function, name, value, symbol)  # it has the same functions
    world.terminal = lying
    world.restart()

    def again() -> None:
        world.terminal = honest
        world.restart()
        world.pass_time(30)

    return again


def held(world: World) -> None:
    """A position with its stop, a resting order of a person, and a position of another symbol."""
    world.terminal.quote(OTHER, 2_000.0, 2_001.0)
    world.submit(entry())
    world.submit(stop_of(entry()))
    world.terminal.person_rests("BTCUSD", OrderKind.BUY_LIMIT, 0.1, 40_000.0)
    world.terminal.person_trades(OTHER, OrderKind.BUY, 1.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.journal.close()


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=st.sampled_from(ABSURD), leaves=st.booleans())
def test_no_value_of_the_terminal_ends_the_agent(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[str, str], value: Any, *, leaves: bool
) -> None:
    world = World(tmp_path_factory.mktemp("world"))
    held(world)
    count = len(world.terminal.sends)
    restore_truth = lies(world, *place, value)
    world.command(asked(exit_of(entry())) if leaves else viewed(entry(), stop_of(entry())))
    world.agent.step()
    world.agent.step()
    restore_truth()
    sent = [number for request in world.terminal.sends[count:] for number in request.values() if isinstance(number, float)]
    assert all(map(math.isfinite, sent))
    world.agent.step()
    view = world.view(entry())
    assert view.equity == 100_000
    assert set(view.positions) <= {"BTC-USD", OTHER}
    world.journal.close()


@pytest.mark.parametrize("value", [math.nan, 1e300, -1.0, 1e-300, "x", None])
def test_absurd_position_of_another_symbol_stops_the_view_and_no_exit(world: World, value: Any) -> None:
    held(world)
    restore_truth = lies(world, "positions_get", "volume", value, OTHER)
    world.wait(viewed(entry()))
    assert kinds(world.submit(exit_of(entry())))[-1] == "OrderFilled"
    restore_truth()
    assert world.view(entry()).positions == {OTHER: Decimal(1)}


@pytest.mark.parametrize(("function", "name"), [("symbol_info", "trade_contract_size"), ("symbol_info", "volume_step")])
@pytest.mark.parametrize("value", [0.0, math.nan, 1e300])
def test_exit_waits_for_a_symbol_that_is_not_loaded_yet(world: World, function: str, name: str, value: float) -> None:
    held(world)
    restore_truth = lies(world, function, name, value)
    world.wait(asked(exit_of(entry())))
    restore_truth()
    world.agent.step()
    assert kinds(world.last())[-1] == "OrderFilled"


def test_product_that_no_report_can_carry_is_silence(world: World) -> None:
    held(world)
    restore_truth = lies(world, "symbol_info", "trade_contract_size", 1e-17)
    world.wait(viewed(entry()))
    restore_truth()
    assert world.view(entry()).positions["BTC-USD"] == Decimal("0.1")


@pytest.mark.parametrize("ahead", [timedelta(seconds=1), timedelta(days=30), timedelta(days=36_000)])
def test_deal_that_the_server_stamps_ahead_is_of_now(world: World, ahead: timedelta) -> None:
    """In a view of one part or of many: the ledger cannot change a part, which its digest covers."""
    held(world)
    world.terminal.balance_operation(50.0)
    at_ms = int((NOON + timedelta(days=1) + ahead).timestamp() * 1000)
    lies(world, "history_deals_get", "time_msc", at_ms)
    view = world.view(entry())
    assert len(view.trades) == 2
    assert {trade.executed_at for trade in view.trades} | {transfer.at for transfer in view.transfers} == {world.clock()}


def test_price_of_the_future_hides_no_other_symbol_s_clock(world: World) -> None:
    class Memory:
        zone: timedelta | None = None

        def keep_zone(self, zone: timedelta) -> None:
            self.zone = zone

    world.terminal.quote(OTHER, 2_000.0, 2_001.0)
    honest = BoundedTerminal(world.terminal)
    zone = BrokerClock(honest, ("BTCUSD",), Memory(), world.clock).zone()
    assert zone is not None

    class Ahead:
        def symbol_info_tick(self, name: str) -> Any:
            tick = world.terminal.symbol_info_tick(name)
            return tick if name != OTHER else SimpleNamespace(bid=1.0, ask=1.0, time_msc=4_000_000_000_000)

    terminal: Any = Ahead()
    assert BrokerClock(BoundedTerminal(terminal), ("BTCUSD", OTHER), Memory(), world.clock).zone() == zone


def test_words_of_megabytes_are_cut_and_kept_in_a_line(world: World) -> None:
    lies(world, "order_send", "comment", "no\n\x00" * 1_000_000)
    report = world.submit(entry())
    assert kinds(report)[-1] == "OrderFilled"
    terminal: Any = SimpleNamespace(order_send=lambda _: SimpleNamespace(comment="no\n\x00" * 1_000_000))
    answer = BoundedTerminal(terminal).order_send({})
    assert (len(answer.comment) < 2_500, "\n" in answer.comment) == (True, False)
    assert len(details(report)) < 1_000


def test_lists_without_end_are_silence(world: World) -> None:
    held(world)
    position = world.terminal.open_positions()[-1]
    terminal: Any = SimpleNamespace(positions_get=lambda: (position,) * (MOST_AT_ONCE + 1))
    with pytest.raises(VenueSilentError, match="10001 positions, expected at most 10000"):
        BoundedTerminal(terminal).positions_get()


def test_field_without_declared_limits_is_not_read() -> None:
    with pytest.raises(AttributeError, match="no limits are declared"):
        _ = Record(SimpleNamespace(external_id="x")).external_id
