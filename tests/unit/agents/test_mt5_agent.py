"""Commands from the cloud's side of the mailbox, through the agent, to a terminal's stand-in, and the reports back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.stand_ins.mt5 import TerminalFault
from signalbox.adapters.venues.mt5_mailbox import MailboxDirection, open_envelope
from signalbox.orders.events import OrderCancelRequested
from signalbox.orders.messages import ExecutionReported, OrderInstruction
from signalbox.orders.reconciliation import reconcile
from signalbox.orders.terms import OrderTerms, TimeInForce
from signalbox.orders.transitions import OrderState
from signalbox.orders.venue_view import LocalView
from signalbox_mt5.__main__ import main
from signalbox_mt5.book import magic_of
from signalbox_mt5.config import read_config
from signalbox_mt5.journal import Journal, JournalError
from signalbox_mt5.terminal import MarginMode, OrderKind, TerminalError, TradeMode, exact, open_terminal
from tests.builders import BTC, NOON
from tests.unit.agents.world import ACCOUNT, KEY, World, asked, exit_of, kinds, of_account, reasons, released, viewed
from tests.unit.orders.samples import applied

MARKET = of_account()
LIMIT = of_account(price="49000")
BOTH_MODES = pytest.mark.parametrize("mode", [MarginMode.NETTING, MarginMode.EXCHANGE, MarginMode.HEDGING])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.journal.close()


class TestOrders:
    def test_a_market_order_fills_at_the_terminals_price_with_its_commission_in_utc(self, world: World) -> None:
        order = applied(released(MARKET), *world.report(asked(MARKET)).events)
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
        order = applied(released(MARKET), *world.report(asked(MARKET)).events)
        assert (order.state, order.filled) == (OrderState.CANCELED, Decimal("0.05"))

    def test_deals_that_come_late_are_waited_for(self, world: World) -> None:
        world.terminal.deals_lag = True
        report = world.report(asked(MARKET))
        assert kinds(report) == ["OrderSubmitted", "OrderAccepted"]
        world.terminal.deals_lag = False
        assert kinds(world.report(asked(MARKET)))[-1] == "OrderFilled"

    def test_a_requote_is_asked_again_at_the_new_price_and_not_for_ever(self, world: World) -> None:
        world.terminal.faults.extend([TerminalFault.REQUOTE] * 2)
        assert kinds(world.report(asked(MARKET)))[-1] == "OrderFilled"
        world.terminal.faults.extend([TerminalFault.REQUOTE] * 3)
        second = of_account(strategy="second")
        world.wait(asked(second))
        assert len(world.terminal.sends) == 6
        world.pass_time(1)
        world.agent.step()
        assert kinds(world.last())[-1] == "OrderFilled"

    @pytest.mark.parametrize(
        ("fault", "reason"), [(TerminalFault.REJECT, "VENUE_REFUSED"), (TerminalFault.NO_MONEY, "INSUFFICIENT_FUNDS")]
    )
    def test_a_refusal_has_its_reason(self, world: World, fault: TerminalFault, reason: str) -> None:
        world.terminal.faults.append(fault)
        assert reasons(world.report(asked(MARKET))) == [None, reason]

    @pytest.mark.parametrize("fault", [TerminalFault.TIMEOUT_AFTER, TerminalFault.NOTHING_AFTER])
    def test_a_timeout_after_the_deal_is_found_in_the_history(self, world: World, fault: TerminalFault) -> None:
        world.terminal.faults.append(fault)
        assert kinds(world.report(asked(MARKET))) == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]
        assert len(world.terminal.sends) == 1

    def test_a_timeout_without_a_trace_is_unknown_and_never_sent_again(self, world: World) -> None:
        world.terminal.faults.append(TerminalFault.TIMEOUT)
        for _ in range(3):
            assert kinds(world.report(asked(MARKET))) == ["OrderSubmitted", "OrderUnconfirmed"]
        assert len(world.terminal.sends) == 1

    def test_nothing_is_sent_at_or_after_send_before(self, world: World) -> None:
        world.clock.now = MARKET.send_before
        assert reasons(world.report(asked(MARKET))) == ["SEND_TOO_LATE"]
        assert world.terminal.sends == []

    @pytest.mark.parametrize(
        ("of", "code"),
        [
            (of_account(quantity="0.105"), "PRECISION"),
            (of_account(quantity="0.001"), "BELOW_MINIMUM"),
            (of_account(quantity="100.01"), "ABOVE_MAXIMUM"),
            (of_account(price="49000.001"), "PRECISION"),
            (of_account(symbol="ETH-USD"), "NOT_SUPPORTED"),
            (of_account(price="49000", time_in_force=TimeInForce.IOC), "NOT_SUPPORTED"),
            (of_account(price="49000", time_in_force=TimeInForce.FOK), "NOT_SUPPORTED"),
        ],
    )
    def test_what_cannot_be_done_exactly_is_refused(self, world: World, of: OrderTerms, code: str) -> None:
        assert reasons(world.report(asked(of))) == [code]
        assert world.terminal.sends == []

    def test_an_entry_needs_a_price_of_now_and_leaving_does_not(self, world: World) -> None:
        """An MT5 price 3 minutes old ended a trade's exit; the age of a price must never refuse a reduction."""
        world.report(asked(MARKET))
        world.pass_time(180, prices_move=False)
        late = of_account(strategy="late")
        assert reasons(world.report(asked(late))) == ["CLOCK_SKEW"]
        assert kinds(world.report(asked(exit_of(MARKET))))[-1] == "OrderFilled"
        assert world.terminal.open_positions() == []

    def test_lots_are_base_currency_divided_by_the_contract(self, world: World) -> None:
        world.terminal.of("BTCUSD").contract_size = 10.0
        order = applied(released(MARKET), *world.report(asked(MARKET)).events)
        assert world.terminal.sends[0]["volume"] == 0.01
        assert (order.state, order.filled) == (OrderState.FILLED, Decimal("0.1"))

    @BOTH_MODES
    def test_a_reduction_closes_the_position_and_never_turns_it(self, tmp_path: Path, mode: int) -> None:
        world = World(tmp_path, margin_mode=mode)
        world.report(asked(MARKET))
        assert kinds(world.report(asked(exit_of(MARKET))))[-1] == "OrderFilled"
        assert world.view().positions == {}
        assert reasons(world.report(asked(exit_of(MARKET, attempt=1)))) == [None, "REDUCE_ONLY"]
        assert [send.get("position") for send in world.terminal.sends] == [None, 1001]
        world.journal.close()

    def test_an_existing_order_is_not_rejected_because_the_terminal_was_logged_out(self, world: World) -> None:
        world.terminal.faults.append(TerminalFault.LOGOUT_AFTER)
        assert kinds(world.report(asked(MARKET))) == ["OrderSubmitted", "OrderUnconfirmed"]
        world.terminal.login = 1
        order = applied(released(MARKET), *world.report(asked(MARKET)).events)
        assert (order.state, len(world.terminal.sends)) == (OrderState.FILLED, 1)

    def test_a_sent_cancel_is_not_refused_because_the_terminal_was_logged_out(self, world: World) -> None:
        world.report(asked(LIMIT))
        world.terminal.faults.append(TerminalFault.LOGOUT_AFTER)
        assert kinds(world.report(asked(LIMIT, OrderInstruction.CANCEL))) == ["OrderUnconfirmed"]
        world.terminal.login = 1
        assert kinds(world.report(asked(LIMIT, OrderInstruction.CANCEL))) == ["OrderAccepted", "OrderCanceled"]

    def test_a_cancel_takes_a_resting_order_out(self, world: World) -> None:
        order = applied(released(LIMIT), *world.report(asked(LIMIT)).events)
        order = applied(order, OrderCancelRequested(client_order_id=LIMIT.client_order_id, at=NOON, request_id="r1"))
        order = applied(order, *world.report(asked(LIMIT, OrderInstruction.CANCEL)).events)
        assert order.state is OrderState.CANCELED


class TestBrokersClock:
    @given(minutes=st.integers(0, 24 * 60))
    def test_a_trade_keeps_its_time_however_long_the_market_has_been_closed(
        self, tmp_path_factory: pytest.TempPathFactory, minutes: int
    ) -> None:
        world = World(tmp_path_factory.mktemp("agent"))
        world.report(asked(MARKET))
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
        world.report(asked(MARKET))
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
        world.report(asked(MARKET))
        world.restart(lose_journal=True)
        world.terminal.ticks_at = NOON - age
        world.wait(viewed())

    def test_a_price_of_half_an_hour_ago_is_not_a_price_of_now_in_another_zone(self, world: World) -> None:
        world.report(asked(MARKET))
        world.terminal.ticks_at = NOON
        world.clock.now = NOON + timedelta(minutes=30)
        late = of_account(strategy="late", decided_at=world.clock.now, send_before=world.clock.now + timedelta(minutes=5))
        assert reasons(world.report(asked(late))) == ["CLOCK_SKEW"]
        assert len(world.terminal.sends) == 1


class TestRestarts:
    @pytest.mark.parametrize("lose_journal", [False, True])
    def test_a_power_cut_between_send_and_report_sends_nothing_twice(self, world: World, lose_journal: bool) -> None:
        world.box.dies_at_report = True
        world.command(asked(MARKET))
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
        assert kinds(world.report(asked(MARKET))) == ["OrderSubmitted", "OrderUnconfirmed"]
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
        world.report(asked(LIMIT, OrderInstruction.CANCEL))
        world.box.waiting.append(old)
        count = len(world.box.reports)
        world.agent.step()
        assert (world.box.waiting, len(world.box.reports)) == ([], count)

    def test_what_is_not_signed_for_this_account_is_not_carried_out(self, world: World) -> None:
        other = asked(of_account(account="other-1"))
        for forged in (
            {"event": asked(MARKET), "key": b"x" * 32},
            {"event": asked(MARKET), "account": "other-1"},
            {"event": other},
        ):
            world.box.waiting.clear()
            world.command(forged.pop("event"), **forged)  # type: ignore[arg-type]
            world.agent.step()
            assert len(world.box.waiting) == 1  # it comes again and ends with the dead letters
        assert (world.terminal.sends, world.box.reports) == ([], [])

    def test_a_silent_terminal_claims_nothing(self, world: World) -> None:
        world.terminal.silent = True
        world.wait(viewed())


class TestViews:
    def test_ledger_and_terminal_agree(self, world: World) -> None:
        world.terminal.balance_operation(100_000.0)
        filled = applied(released(MARKET), *world.report(asked(MARKET)).events)
        limit = of_account(price="49000", strategy="second")
        open_ = applied(released(limit), *world.report(asked(limit)).events)
        local = LocalView(ACCOUNT, (filled, open_), {BTC: Decimal("0.1")})
        view = world.view(MARKET, limit)
        assert reconcile(local, view, settle=timedelta(0)).actions == ()

    @BOTH_MODES
    def test_what_a_person_did_in_the_terminal_is_told_apart_from_ours(self, tmp_path: Path, mode: int) -> None:
        world = World(tmp_path, margin_mode=mode)
        world.report(asked(MARKET))
        world.terminal.person_trades("BTCUSD", OrderKind.BUY, 0.2)
        rested = world.terminal.person_rests("BTCUSD", OrderKind.SELL_LIMIT, 0.3, 51_000.0)
        view = world.view(MARKET)
        assert (view.positions, view.others) == ({BTC: Decimal("0.3")}, {BTC: Decimal("0.2")})
        assert [(o.venue_order_id, o.client_order_id) for o in view.orders if o.client_order_id is None] == [(str(rested), None)]
        filled = applied(released(MARKET), *world.report(asked(MARKET)).events)
        found = reconcile(LocalView(ACCOUNT, (filled,), {BTC: Decimal("0.1")}), view, settle=timedelta(0))
        assert {str(getattr(a, "difference", None)) for a in found.actions} == {
            "ORDER_UNKNOWN",
            "TRADE_UNKNOWN",
            "POSITION_DIFFERS",
        }
        world.journal.close()

    def test_a_symbol_that_the_agent_does_not_trade_keeps_nothing_else_out_of_a_view(self, world: World) -> None:
        world.report(asked(MARKET))
        view = world.view(MARKET, symbols=(BTC, "ETH-USD"))
        assert (view.positions, [one.symbol for one in view.instruments]) == ({BTC: Decimal("0.1")}, [BTC])

    def test_the_brokers_rules_money_and_equity_are_told(self, world: World) -> None:
        world.report(asked(MARKET))  # tells the zone
        rules = world.terminal.of("BTCUSD")
        rules.contract_size, rules.volume_step, rules.volume_min, rules.volume_max = 10.0, 0.1, 0.2, 50.0
        before = world.terminal.balance_operation(100_000.0)
        world.pass_time(7200)
        key = world.terminal.balance_operation(-2_500.5)
        view = world.view(since=world.clock.now - timedelta(hours=1))
        (instrument,) = view.instruments
        assert (instrument.step, instrument.min_quantity, instrument.max_quantity) == (Decimal(1), Decimal(2), Decimal(500))
        assert (instrument.tick, instrument.can_open, view.equity) == (Decimal("0.01"), True, Decimal(100_000))
        assert [(t.key, t.amount, t.at) for t in view.transfers] == [(str(key), Decimal("-2500.5"), world.clock.now)]
        assert before != key

    @pytest.mark.parametrize("mode", [TradeMode.CLOSE_ONLY, TradeMode.DISABLED])
    def test_a_symbol_that_may_not_be_opened_says_so_and_can_be_left(self, world: World, mode: TradeMode) -> None:
        world.report(asked(MARKET))
        world.terminal.of("BTCUSD").trade_mode = mode
        assert [one.can_open for one in world.view().instruments] == [False]
        assert reasons(world.report(asked(of_account(strategy="second")))) == ["TRADE_MODE"]
        left = world.report(asked(exit_of(MARKET)))
        assert kinds(left)[-1] == ("OrderFilled" if mode is TradeMode.CLOSE_ONLY else "OrderRejected")


class TestStart:
    def test_without_the_package_it_says_what_to_install(self) -> None:
        with pytest.raises(TerminalError, match=r"only on Windows, where requirements\.lock"):
            open_terminal()

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
    world.command(asked(MARKET))
    for cut, lost in zip(cuts, losses, strict=False):
        world.box.dies_at_report = cut
        try:
            world.agent.step()
        except SystemExit:
            world.restart(lose_journal=lost)
    assert len(world.terminal._past) + len(world.terminal._orders) <= 1
    order = released(MARKET)
    for text in world.box.reports:
        report = open_envelope(text, key=KEY, direction=MailboxDirection.REPORT).event()
        assert isinstance(report, ExecutionReported)
        order = applied(order, *report.events)
    world.journal.close()
