"""Commands from the cloud's side of the mailbox, through the agent, to a terminal's stand-in, and the reports back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.stand_ins.mt5 import TerminalFault, TerminalStandIn
from signalbox.adapters.venues.mt5_mailbox import Direction, open_envelope, seal
from signalbox.events import BusEvent
from signalbox.orders.events import OrderCancelRequested, OrderReleased
from signalbox.orders.messages import (
    ExecutionReported,
    ExecutionRequested,
    Instruction,
    VenueViewReported,
    VenueViewRequested,
)
from signalbox.orders.order import Order
from signalbox.orders.reconciliation import reconcile
from signalbox.orders.terms import OrderTerms, Side, TimeInForce
from signalbox.orders.transitions import OrderState
from signalbox.orders.venue_view import LocalView, VenueOrder, VenueTrade, VenueView
from signalbox_mt5.__main__ import main, read_config
from signalbox_mt5.agent import Agent, Delivery
from signalbox_mt5.journal import Journal, JournalError
from signalbox_mt5.terminal import TerminalError, exact, open_terminal
from signalbox_mt5.venue import TerminalVenue, magic_of
from tests.builders import BTC, NOON
from tests.fakes.venues import Clock
from tests.unit.orders.samples import applied, new, terms

ACCOUNT, KEY = "ftmo-1", b"k" * 32
NAMES = {BTC: "BTCUSD"}
NETTING = 0


def of_account(**changes: Any) -> OrderTerms:
    return terms(**{"account": ACCOUNT, "quantity": "0.1"} | changes)


MARKET = of_account()
LIMIT = of_account(price="49000")


def asked(of: OrderTerms = MARKET, instruction: Instruction = Instruction.SUBMIT) -> ExecutionRequested:
    return ExecutionRequested(
        account=of.account,
        venue="mt5",
        instruction=instruction,
        client_order_id=of.client_order_id,
        terms=of,
        at=NOON,
        request_id=None if instruction is Instruction.SUBMIT else "r1",
    )


def viewed(*orders: str) -> VenueViewRequested:
    return VenueViewRequested(
        account=ACCOUNT, venue="mt5", at=NOON, since=NOON - timedelta(hours=1), orders=orders, symbols=(BTC,)
    )


@dataclass
class Box:
    """Both queues in memory; `dies_at_report` stops the process as a power cut would."""

    waiting: list[str] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    postponed: list[int] = field(default_factory=list)
    dies_at_report: bool = False

    def receive(self) -> list[Delivery]:
        return [Delivery(self.waiting[0], "h")] if self.waiting else []

    def remove(self, delivery: Delivery) -> None:
        self.waiting.remove(delivery.text)

    def put_back(self, delivery: Delivery, seconds: int) -> None:
        self.postponed.append(seconds)

    def report(self, text: str, *, account: str, sequence: int) -> None:
        if self.dies_at_report:
            raise SystemExit
        self.reports.append(text)


class World:
    """A terminal, a mailbox, a journal file, and an agent that can be started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.terminal = TerminalStandIn(NOON, {"BTCUSD": (49_990.0, 50_010.5)})
        self.box = Box()
        self.clock = Clock(NOON)
        self.sequence = 0
        self.restart()

    def restart(self, *, lose_journal: bool = False) -> None:
        path = self.folder / "journal"
        if hasattr(self, "journal"):
            self.journal.close()
        if lose_journal:
            path.unlink()
        self.journal = Journal(path)
        venue = TerminalVenue(self.terminal, login=1, symbols=NAMES, journal=self.journal, clock=self.clock)
        self.agent = Agent(venue, self.journal, self.box, account=ACCOUNT, key=KEY, clock=self.clock)

    def command(self, event: BusEvent, *, key: bytes = KEY, account: str = ACCOUNT, sequence: int | None = None) -> str:
        self.sequence += 1
        text = seal(
            event,
            key=key,
            direction=Direction.COMMAND,
            account=account,
            sequence=sequence or self.sequence,
            sent_at=self.clock(),
        )
        self.box.waiting.append(text)
        return text

    def carry_out(self, event: BusEvent) -> BusEvent:
        self.command(event)
        self.agent.step()
        return self.last()

    def last(self) -> BusEvent:
        return open_envelope(self.box.reports[-1], key=KEY, direction=Direction.REPORT, account=ACCOUNT).event()

    def report(self, event: BusEvent) -> ExecutionReported:
        found = self.carry_out(event)
        assert isinstance(found, ExecutionReported)
        return found

    def view(self, *orders: str) -> VenueView:
        found = self.carry_out(viewed(*orders))
        assert isinstance(found, VenueViewReported)
        return VenueView(
            found.asked_at,
            tuple(VenueOrder(**o.model_dump()) for o in found.orders),
            tuple(VenueTrade(**t.model_dump()) for t in found.trades),
            found.positions,
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.journal.close()


def kinds(report: ExecutionReported) -> list[str]:
    return [event.kind for event in report.events]


def reasons(report: ExecutionReported) -> list[Any]:
    return [getattr(event, "reason", None) for event in report.events]


def released(of: OrderTerms = MARKET) -> Order:
    return applied(new(of), OrderReleased(client_order_id=of.client_order_id, at=NOON))


class TestOrders:
    def test_a_market_order_fills_at_the_terminals_price_with_its_commission_in_utc(self, world: World) -> None:
        order = applied(released(), *world.report(asked()).events)
        assert order.state is OrderState.FILLED
        (trade,) = order.trades
        assert (trade.price, trade.quantity, trade.fee, trade.at) == (
            Decimal("50010.5"),
            Decimal("0.1"),
            Decimal("0.35"),
            NOON,
        )
        (sent,) = world.terminal.sends
        assert sent["magic"] == magic_of(MARKET.client_order_id)
        assert sent["comment"] == MARKET.client_order_id[:31]

    @pytest.mark.parametrize(("kind", "type_"), [({"price": "49000"}, 2), ({"stop": "51000"}, 4)])
    def test_a_resting_order_fills_in_parts(self, world: World, kind: dict[str, str], type_: int) -> None:
        of = of_account(**kind)
        order = applied(released(of), *world.report(asked(of)).events)
        assert (order.state, world.terminal.sends[0]["type"]) == (OrderState.ACCEPTED, type_)
        world.terminal.trade(int(order.venue_order_id or 0), 0.04, 49_000.0)
        order = applied(order, *world.report(asked(of)).events)
        assert (order.state, order.filled) == (OrderState.PARTIALLY_FILLED, Decimal("0.04"))
        world.terminal.trade(int(order.venue_order_id or 0), 0.06, 49_000.0)
        assert applied(order, *world.report(asked(of)).events).state is OrderState.FILLED
        assert len(world.terminal.sends) == 1

    def test_a_partial_fill_of_an_immediate_order_is_the_end_of_the_rest(self, world: World) -> None:
        world.terminal.faults.append(TerminalFault.PARTIAL)
        order = applied(released(), *world.report(asked()).events)
        assert (order.state, order.filled) == (OrderState.CANCELED, Decimal("0.05"))

    def test_deals_that_come_late_are_waited_for(self, world: World) -> None:
        world.terminal.deals_lag = True
        report = world.report(asked())
        assert kinds(report) == ["OrderSubmitted", "OrderAccepted"]
        world.terminal.deals_lag = False
        assert kinds(world.report(asked()))[-1] == "OrderFilled"

    def test_a_requote_is_asked_again_at_the_new_price_and_not_for_ever(self, world: World) -> None:
        world.terminal.faults.extend([TerminalFault.REQUOTE] * 2)
        assert kinds(world.report(asked()))[-1] == "OrderFilled"
        world.terminal.faults.extend([TerminalFault.REQUOTE] * 3)
        second = of_account(strategy="second")
        assert reasons(world.report(asked(second))) == [None, "VENUE_REFUSED"]
        assert len(world.terminal.sends) == 6

    @pytest.mark.parametrize(
        ("fault", "reason"), [(TerminalFault.MARKET_CLOSED, "MARKET_CLOSED"), (TerminalFault.NO_MONEY, "INSUFFICIENT_FUNDS")]
    )
    def test_a_refusal_has_its_reason(self, world: World, fault: TerminalFault, reason: str) -> None:
        world.terminal.faults.append(fault)
        assert reasons(world.report(asked())) == [None, reason]

    @pytest.mark.parametrize("fault", [TerminalFault.TIMEOUT_AFTER, TerminalFault.NOTHING_AFTER])
    def test_a_timeout_after_the_deal_is_found_in_the_history(self, world: World, fault: TerminalFault) -> None:
        world.terminal.faults.append(fault)
        assert kinds(world.report(asked())) == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]
        assert len(world.terminal.sends) == 1

    def test_a_timeout_without_a_trace_is_unknown_and_never_sent_again(self, world: World) -> None:
        world.terminal.faults.append(TerminalFault.TIMEOUT)
        for _ in range(3):
            assert kinds(world.report(asked())) == ["OrderSubmitted", "OrderUnconfirmed"]
        assert len(world.terminal.sends) == 1

    def test_too_many_requests_is_tried_again_later(self, world: World) -> None:
        world.terminal.faults.append(TerminalFault.TOO_MANY)
        world.command(asked())
        world.agent.step()
        assert (world.box.postponed, world.box.reports) == ([1], [])
        world.agent.step()
        assert world.box.waiting == []
        assert isinstance(world.last(), ExecutionReported)

    def test_nothing_is_sent_at_or_after_send_before(self, world: World) -> None:
        world.clock.now = MARKET.send_before
        assert reasons(world.report(asked())) == ["SEND_TOO_LATE"]
        assert world.terminal.sends == []

    @pytest.mark.parametrize(
        ("of", "code"),
        [
            (of_account(quantity="0.105"), "PRECISION"),
            (of_account(quantity="0.001"), "PRECISION"),
            (of_account(price="49000.001"), "PRECISION"),
            (of_account(symbol="ETH-USD"), "NOT_SUPPORTED"),
            (of_account(price="49000", time_in_force=TimeInForce.IOC), "NOT_SUPPORTED"),
            (of_account(price="51000", side=Side.SELL, reduce_only=True), "NOT_SUPPORTED"),
        ],
    )
    def test_what_cannot_be_done_exactly_is_refused(self, world: World, of: OrderTerms, code: str) -> None:
        assert reasons(world.report(asked(of))) == [code]
        assert world.terminal.sends == []

    def test_prices_that_stand_still_stop_orders(self, world: World) -> None:
        world.clock.now = NOON + timedelta(minutes=4)
        assert reasons(world.report(asked())) == ["CLOCK_SKEW"]

    def test_lots_are_base_currency_divided_by_the_contract(self, world: World) -> None:
        world.terminal.contract_size = 10.0
        order = applied(released(), *world.report(asked()).events)
        assert world.terminal.sends[0]["volume"] == 0.01
        assert (order.state, order.filled) == (OrderState.FILLED, Decimal("0.1"))

    @pytest.mark.parametrize("mode", [NETTING, 2])
    def test_a_reduction_closes_the_position_and_never_turns_it(self, world: World, mode: int) -> None:
        world.terminal.margin_mode = mode
        world.report(asked())
        out = of_account(side=Side.SELL, reduce_only=True, strategy="out")
        assert kinds(world.report(asked(out)))[-1] == "OrderFilled"
        assert world.view().positions == {}
        again = of_account(side=Side.SELL, reduce_only=True, strategy="again")
        assert reasons(world.report(asked(again))) == [None, "REDUCE_ONLY"]

    @pytest.mark.parametrize("login", [None, 2])
    def test_nothing_is_sent_or_told_while_the_terminal_is_logged_in_as_another(self, world: World, login: int | None) -> None:
        world.terminal.login = login
        for command in (asked(), asked(LIMIT, Instruction.CANCEL), viewed()):
            world.box.waiting.clear()
            world.command(command)
            world.agent.step()
            assert len(world.box.waiting) == 1
        assert (world.terminal.sends, world.box.reports, world.box.postponed) == ([], [], [5, 5, 5])

    def test_an_order_that_is_there_is_not_called_rejected_because_the_terminal_was_logged_out(self, world: World) -> None:
        world.terminal.faults.append(TerminalFault.LOGOUT_AFTER)
        assert kinds(world.report(asked())) == ["OrderSubmitted", "OrderUnconfirmed"]
        world.terminal.login = 1
        order = applied(released(), *world.report(asked()).events)
        assert (order.state, len(world.terminal.sends)) == (OrderState.FILLED, 1)

    def test_a_cancel_that_went_out_is_not_called_refused_because_the_terminal_was_logged_out(self, world: World) -> None:
        world.report(asked(LIMIT))
        world.terminal.faults.append(TerminalFault.LOGOUT_AFTER)
        assert kinds(world.report(asked(LIMIT, Instruction.CANCEL))) == ["OrderUnconfirmed"]
        world.terminal.login = 1
        assert kinds(world.report(asked(LIMIT, Instruction.CANCEL))) == ["OrderAccepted", "OrderCanceled"]

    def test_a_cancel_takes_a_resting_order_out(self, world: World) -> None:
        order = applied(released(LIMIT), *world.report(asked(LIMIT)).events)
        order = applied(order, OrderCancelRequested(client_order_id=LIMIT.client_order_id, at=NOON, request_id="r1"))
        order = applied(order, *world.report(asked(LIMIT, Instruction.CANCEL)).events)
        assert order.state is OrderState.CANCELED


class TestBrokersClock:
    @given(minutes=st.integers(0, 4 * 24 * 60))
    def test_a_trade_keeps_its_time_however_long_the_market_has_been_closed(
        self, tmp_path_factory: pytest.TempPathFactory, minutes: int
    ) -> None:
        world = World(tmp_path_factory.mktemp("agent"))
        world.report(asked())
        world.terminal.ticks_at = NOON
        for passed in range(0, minutes, 30):
            world.clock.now = NOON + timedelta(minutes=passed)
            assert [trade.executed_at for trade in world.view().trades] == [NOON]
        world.restart()
        world.clock.now = world.terminal.now = NOON + timedelta(minutes=minutes)
        assert [trade.executed_at for trade in world.view().trades] == [NOON]
        world.journal.close()

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_a_change_of_the_brokers_summer_time_is_followed_by_prices_that_move(self, world: World, hours: int) -> None:
        world.report(asked())
        world.clock.now = world.terminal.now = NOON + timedelta(minutes=1)
        world.view()
        world.terminal.server_offset += timedelta(hours=hours)
        for passed in (61, 62):
            world.clock.now = world.terminal.now = NOON + timedelta(minutes=passed + 60)
            world.view()
        later = of_account(strategy="later", decided_at=world.clock.now, send_before=world.clock.now + timedelta(minutes=5))
        report = world.report(asked(later))
        assert report.events[-1].at == world.clock.now

    @pytest.mark.parametrize("age", [timedelta(minutes=7), timedelta(hours=30)])
    def test_without_any_price_of_now_the_times_of_deals_are_unknown_and_nothing_is_told(
        self, world: World, age: timedelta
    ) -> None:
        world.report(asked())
        world.restart(lose_journal=True)
        world.terminal.ticks_at = NOON - age
        world.command(viewed())
        count = len(world.box.reports)
        world.agent.step()
        assert (len(world.box.reports), world.box.postponed) == (count, [5])

    def test_a_price_of_half_an_hour_ago_is_not_a_price_of_now_in_another_zone(self, world: World) -> None:
        world.report(asked())
        world.terminal.ticks_at = NOON
        world.clock.now = NOON + timedelta(minutes=30)
        late = of_account(strategy="late", decided_at=world.clock.now, send_before=world.clock.now + timedelta(minutes=5))
        assert reasons(world.report(asked(late))) == ["CLOCK_SKEW"]
        assert len(world.terminal.sends) == 1


class TestRestarts:
    @pytest.mark.parametrize("lose_journal", [False, True])
    def test_a_power_cut_between_send_and_report_sends_nothing_twice(self, world: World, lose_journal: bool) -> None:
        world.box.dies_at_report = True
        world.command(asked())
        with pytest.raises(SystemExit):
            world.agent.step()
        world.box.dies_at_report = False
        world.restart(lose_journal=lose_journal)
        world.agent.step()
        assert world.box.waiting == []
        report = world.last()
        assert isinstance(report, ExecutionReported)
        assert kinds(report) == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]
        assert len(world.terminal.sends) == 1

    def test_a_power_cut_between_journal_and_send_is_unknown(self, world: World) -> None:
        world.journal.begin(ACCOUNT, MARKET.client_order_id, NOON)
        world.restart()
        assert kinds(world.report(asked())) == ["OrderSubmitted", "OrderUnconfirmed"]
        assert world.terminal.sends == []

    def test_half_a_line_is_dropped_and_other_damage_stops(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        journal = Journal(path)
        journal.begin("a", "one", NOON)
        journal.close()
        whole = path.read_bytes()
        path.write_bytes(whole + b'{"did":"begin","acc')
        journal = Journal(path)
        assert journal.read("a", "one") is not None
        assert journal.begin("a", "two", NOON)
        journal.close()
        again = Journal(path)
        assert again.orders("a") == ("one", "two")
        again.close()
        path.write_bytes(b"garbage\n" + whole)
        with pytest.raises(JournalError, match="line 1"):
            Journal(path)

    def test_a_second_agent_on_the_same_journal_does_not_start(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "journal")
        with pytest.raises(JournalError, match="another agent"):
            Journal(tmp_path / "journal")
        journal.close()
        Journal(tmp_path / "journal").close()

    def test_reports_count_upwards_across_restarts_and_a_lost_journal(self, world: World) -> None:
        found = [world.journal.next_report(NOON) for _ in range(3)]
        world.restart()
        found.append(world.journal.next_report(NOON))
        world.restart(lose_journal=True)
        found.append(world.journal.next_report(NOON + timedelta(seconds=1)))
        assert found == sorted(set(found))


class TestProtocol:
    def test_a_replay_is_refused_and_taken_out(self, world: World) -> None:
        old = world.command(asked(LIMIT))
        world.agent.step()
        world.report(asked(LIMIT, Instruction.CANCEL))
        world.box.waiting.append(old)
        count = len(world.box.reports)
        world.agent.step()
        assert (world.box.waiting, len(world.box.reports)) == ([], count)

    def test_what_is_not_signed_for_this_account_is_not_carried_out(self, world: World) -> None:
        other = asked(of_account(account="other-1"))
        for forged in (
            {"event": asked(), "key": b"x" * 32},
            {"event": asked(), "account": "other-1"},
            {"event": other},
        ):
            world.box.waiting.clear()
            world.command(forged.pop("event"), **forged)  # type: ignore[arg-type]
            world.agent.step()
            assert len(world.box.waiting) == 1  # it comes again and ends with the dead letters
        assert (world.terminal.sends, world.box.reports) == ([], [])

    def test_a_silent_terminal_claims_nothing(self, world: World) -> None:
        world.terminal.silent = True
        world.command(viewed())
        world.agent.step()
        assert (world.box.postponed, world.box.reports) == ([5], [])


class TestViews:
    def test_ledger_and_terminal_agree(self, world: World) -> None:
        world.terminal.balance_operation(100_000.0)
        filled = applied(released(), *world.report(asked()).events)
        limit = of_account(price="49000", strategy="second")
        open_ = applied(released(limit), *world.report(asked(limit)).events)
        local = LocalView(ACCOUNT, (filled, open_), {BTC: Decimal("0.1")})
        view = world.view(filled.client_order_id, open_.client_order_id)
        assert reconcile(local, view, settle=timedelta(0)).actions == ()

    def test_what_a_person_did_in_the_terminal_is_told(self, world: World) -> None:
        world.terminal.order_send(
            {
                "action": 1,
                "symbol": "BTCUSD",
                "volume": 0.2,
                "type": 0,
                "price": 5.0,
                "magic": 0,
                "comment": "",
                "type_filling": 1,
            }
        )
        found = reconcile(LocalView(ACCOUNT, (), {}), world.view(), settle=timedelta(0))
        assert [getattr(a, "difference", None) for a in found.actions] == ["TRADE_UNKNOWN", "POSITION_DIFFERS"]


class TestStart:
    def test_without_the_package_it_says_what_to_install(self) -> None:
        with pytest.raises(TerminalError, match="pip install MetaTrader5"):
            open_terminal(1)

    def test_the_configuration_is_read_and_a_wrong_one_is_one_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "agent.toml"
        path.write_text(
            'account = "ftmo-1"\nlogin = 7\nregion = "eu-central-1"\ncommands_queue_url = "c"\nreports_queue_url = "r"\n'
            'key_file = "key"\njournal = "journal"\n[symbols]\nBTC-USD = "BTCUSD"\n'
        )
        assert read_config(path).key_file == tmp_path / "key"
        assert main([str(path)]) == 2
        (tmp_path / "key").write_text("short")
        assert main([str(path)]) == 2
        assert "at least 32" in capsys.readouterr().err


@given(st.floats(min_value=1e-6, max_value=1e9, allow_nan=False))
def test_floats_of_the_terminal_become_the_decimal_that_was_shown(value: float) -> None:
    assert float(exact(value)) == value


@given(
    faults=st.lists(st.sampled_from(TerminalFault), max_size=5),
    cuts=st.lists(st.booleans(), min_size=1, max_size=4),
    losses=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_however_often_it_is_cut_off_at_most_one_order_of_an_id_is_at_the_terminal(
    tmp_path_factory: pytest.TempPathFactory, faults: list[TerminalFault], cuts: list[bool], losses: list[bool]
) -> None:
    world = World(tmp_path_factory.mktemp("agent"))
    world.terminal.faults.extend(faults)
    world.command(asked())
    for cut, lost in zip(cuts, losses, strict=False):
        world.box.dies_at_report = cut
        try:
            world.agent.step()
        except SystemExit:
            world.restart(lose_journal=lost)
    assert len(world.terminal._past) + len(world.terminal._orders) <= 1
    order = released()
    for text in world.box.reports:
        report = open_envelope(text, key=KEY, direction=Direction.REPORT).event()
        assert isinstance(report, ExecutionReported)
        order = applied(order, *report.events)
    world.journal.close()
