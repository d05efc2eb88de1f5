from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal, Inexact
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from signalbox.adapters.aws.trading_metrics import counted
from signalbox.contracts import Metric
from signalbox.events import BusEvent, CycleDecided, MarketDataStale
from signalbox.market.candles import ONE_MINUTE
from signalbox.orders.events import OrderAccepted, OrderCanceled, OrderEvent, OrderFilled, OrderSubmitted
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, VenueViewReported, VenueViewRequested, ViewedTrade
from signalbox.orders.parts import in_parts
from signalbox.orders.terms import Side
from signalbox.orders.transitions import OrderState
from signalbox.portfolio.entries import Fill
from signalbox.portfolio.lots import LotMethod
from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.account import TradingAccount, TradingMode
from signalbox.trading.changes import NO_CHANGES, RiskEventKind
from signalbox.trading.commands import COMMANDS, AnyCommand
from signalbox.trading.errors import AccountError, CommandError, OrderUnknownError, UnpricedError
from signalbox.trading.readiness import LIVE_GATES
from signalbox.trading.service import NOT_READY, AccountOutcome, TradingService, UnexpectedEventError
from signalbox.trading.state import AccountState
from tests.fakes.memory_trading import AccountRows, MemoryTradingDatabase, MemoryTradingLedger
from tests.unit.trading.market import AT_VENUE, BTC, ETH, SOL, START, flat, paper, signal, wave

PAPER = "paper-100k"
LIVE = TradingAccount.model_validate(paper().model_dump() | {"account": "live-1", "mode": TradingMode.LIVE, "venue": "coinbase"})
KEY = "ab" * 16


def cycle(at: Any = START, venue: str = "coinbase") -> CycleDecided:
    return CycleDecided(venue=venue, cycle_at=at, symbols=(BTC, ETH, SOL), late=False)


def command(kind: str, at: Any = START, account: str = PAPER, **facts: object) -> AnyCommand:
    request_id = f"req-{kind}-{zlib.crc32(repr((at, facts)).encode())}"  # the same for the same command, and for no other
    return COMMANDS.validate_python({"kind": kind, "account": account, "request_id": request_id, "requested_at": at, **facts})


def order(at: Any = START, account: str = PAPER, **facts: object) -> AnyCommand:
    wanted = {"symbol": "SOL-USD", "side": "BUY", "type": "MARKET", "quantity": "1"}
    return command("submit", at, account, **(wanted | facts))


class Floor:
    """A trading service over a ledger in memory that holds six hours of bars of every symbol."""

    def __init__(self, *accounts: TradingAccount) -> None:
        self.database = MemoryTradingDatabase()
        for symbol in (BTC, ETH, SOL):
            self.database.add_candles("coinbase", wave(symbol, START - timedelta(hours=5), 8 * 60))
        ledger = MemoryTradingLedger(self.database)
        self.service = TradingService(ledger, market="coinbase")
        for account in accounts or (paper(),):
            ledger.open_account(account, START - ONE_MINUTE, "test")

    def deliver(self, *events: BusEvent) -> tuple[AccountOutcome, ...]:
        return tuple(one for event in events for one in self.service.on_event(event))

    def state(self, account: str = PAPER) -> AccountState:
        return self.rows(account).state

    def rows(self, account: str = PAPER) -> AccountRows:
        return self.database.accounts[account]


def test_a_command_of_an_earlier_instant_is_judged_on_the_prices_that_are_known() -> None:
    floor = Floor()
    floor.deliver(cycle(START + timedelta(minutes=5)))
    handled = floor.service.on_command(order(START + timedelta(minutes=1), request_id="req-late"), "ada")  # it waited in a queue
    assert handled.state.marks[SOL].at == START + timedelta(minutes=5)
    assert handled.order is not None
    assert handled.order.state is OrderState.ACCEPTED


def test_a_resume_releases_the_halt_that_was_looked_at_and_none_that_came_after_it() -> None:
    floor = Floor()
    looked = command("resume", START + timedelta(seconds=20), why="looked")
    floor.service.on_command(command("halt", START + timedelta(seconds=10), why="news"), "ada")
    assert floor.service.on_command(looked, "ada").state.halt is None
    floor.service.on_command(command("halt", START + timedelta(seconds=30), why="worse news"), "signalbox")
    with pytest.raises(CommandError, match="is newer than this resume"):
        floor.service.on_command(looked.model_copy(update={"request_id": "req-late"}), "ada")  # it waited somewhere
    assert floor.service.on_command(looked, "ada").changes == NO_CHANGES  # delivered a second time
    halt = floor.state().halt
    assert halt is not None
    assert halt.why == "worse news"


def with_two_bought() -> tuple[Floor, datetime]:
    """Return accounts of which one bought two SOL by hand, and the time of the newest cycle."""
    floor = Floor()
    floor.deliver(cycle())
    floor.service.on_command(order(request_id="req-buy-1", quantity="2"), "ada")
    minute = START + timedelta(minutes=5)
    floor.deliver(cycle(minute))
    return floor, minute


def test_flatten_closes_a_persons_position_although_an_order_rests_to_reduce_it() -> None:
    floor, minute = with_two_bought()
    assert floor.state().books.position(SOL).quantity == 2
    resting: dict[str, Any] = {"side": "SELL", "type": "LIMIT", "limit_price": "103", "quantity": "2", "reduce_only": True}
    kept = floor.service.on_command(order(minute, request_id="req-tp-1", **resting), "ada").order
    assert kept is not None
    assert kept.state is OrderState.ACCEPTED
    floor.service.on_command(command("halt", minute, why="out", level="FLATTEN"), "ada")
    for i in range(6, 12):
        floor.service.on_minute(START + timedelta(minutes=i))
    assert not floor.state().books.position(SOL).quantity
    fills = [e for e in floor.rows().entries.values() if isinstance(e, Fill)]
    assert [(f.side.value, f.quantity) for f in fills] == [("BUY", Decimal(2)), ("SELL", Decimal(2))]


def test_a_flatten_whose_order_the_venue_ended_is_retried_each_minute_until_flat() -> None:
    floor, minute = with_two_bought()
    floor.service.on_command(command("halt", minute, why="out", level="FLATTEN"), "ada")
    (first,) = [o for o in floor.state().orders.values() if o.terms.strategy == "kill-switch"]
    end = OrderCanceled(client_order_id=first.client_order_id, at=minute, reason="VENUE")  # the venue would not
    output = ExecutionReported(account=PAPER, client_order_id=first.client_order_id, reported_at=minute, events=(end,))
    floor.deliver(output)
    for i in range(5, 12):
        floor.service.on_minute(START + timedelta(minutes=i))
    assert not floor.state().books.position(SOL).quantity


def story(cycles: int) -> list[list[BusEvent]]:
    """What is told in each cycle: now and then a signal, always that it was decided."""
    found: list[list[BusEvent]] = []
    for i in range(cycles):
        at = START + timedelta(minutes=5 * i)
        reported: list[BusEvent] = [cycle(at)]
        if i % 4 == 0:
            reported.append(signal((BTC, ETH, SOL)[i // 4 % 3], at, "BUY" if i % 8 else "SELL"))
        found.append(reported)
    return found


def facts_of(rows: AccountRows) -> tuple[object, ...]:
    return (rows.order_events, rows.entries, rows.trades, rows.equity, rows.risk, rows.days, rows.state)


def test_a_signal_becomes_a_trade_that_opens_and_closes_as_the_cycles_go_on() -> None:
    floor = Floor()
    floor.deliver(signal(BTC))
    key = floor.state().trades[BTC].entry
    assert floor.state().orders[key].state is OrderState.ACCEPTED
    reported = [one for i in range(1, 15) for one in floor.deliver(cycle(START + timedelta(minutes=5 * i)))]
    assert {k: v for k, v in counted(tuple(reported)).items() if v} == {Metric.TRADES_OPENED: 1, Metric.TRADES_CLOSED: 1}
    assert not floor.state().trades


@given(st.lists(st.tuples(st.integers(0, 3), st.permutations(range(4))), min_size=20, max_size=20))
def test_duplicates_delays_and_reordering_within_a_cycle_give_the_same_account(
    disorder: list[tuple[int, list[int]]],
) -> None:
    disturbed = Floor()
    for reported, (again, order_of) in zip(story(20), disorder, strict=True):
        many = reported + reported[: again % (len(reported) + 1)]
        disturbed.deliver(*(many[i % len(many)] for i in [*order_of, *range(len(many))]))
    assert facts_of(disturbed.rows()) == facts_without_disorder()


@cache
def facts_without_disorder() -> tuple[object, ...]:
    plain = Floor()
    for reported in story(20):
        plain.deliver(*reported)
    return facts_of(plain.rows())


def test_the_monitor_at_every_minute_leaves_the_trades_that_the_cycles_leave() -> None:
    plain, monitored = Floor(), Floor()
    for reported in story(20):
        plain.deliver(*reported)
        monitored.deliver(*reported)
        monitored.service.on_minute(plain.state().at)  # type: ignore[arg-type]
        monitored.service.on_minute(plain.state().at)  # type: ignore[arg-type]
    assert facts_of(monitored.rows()) == facts_of(plain.rows())


class Torn(MemoryTradingLedger):
    """A ledger in memory where some accounts cannot be read; the others can."""

    def __init__(self, database: MemoryTradingDatabase, broken: dict[str, Exception]) -> None:
        super().__init__(database)
        self.broken = broken

    @override
    def transaction(self, account: str):  # type: ignore[no-untyped-def]
        if account in self.broken:
            raise self.broken[account]
        return super().transaction(account)


class AwayError(Exception):
    """What an adapter raises when the same may succeed later."""


@pytest.mark.parametrize("error", [AccountError("bad row"), Inexact(), ValueError("bad row"), AwayError()])
def test_what_is_wrong_with_one_account_keeps_no_other_from_its_turn(error: Exception) -> None:
    floor = Floor(paper("ftmo-2step-100k"), paper(), paper("paper-20k"))
    torn = TradingService(Torn(floor.database, {PAPER: error}), market="coinbase")
    for event in (signal(BTC), cycle(START + timedelta(minutes=5))):
        with pytest.raises(type(error)) as caught:
            torn.on_event(event)
        assert caught.value is error
        assert f"of account {PAPER}" in caught.value.__notes__
    with pytest.raises(type(error)):
        torn.on_minute(START + timedelta(minutes=6))
    assert floor.state("ftmo-2step-100k").at == floor.state("paper-20k").at == START + timedelta(minutes=6)
    assert floor.state("ftmo-2step-100k").trades.keys() == floor.state("paper-20k").trades.keys() == {BTC}
    assert not floor.state(PAPER).trades


@pytest.mark.parametrize("error", [AwayError(), UnpricedError("no price before the next bar")])
def test_of_several_errors_the_one_that_may_pass_is_raised(error: Exception) -> None:
    floor = Floor(paper("ftmo-2step-100k"), paper())
    torn = TradingService(Torn(floor.database, {"ftmo-2step-100k": AccountError("bad row"), PAPER: error}), market="coinbase")
    with pytest.raises(type(error)):
        torn.on_minute(START)


def test_time_never_runs_back_on_an_account() -> None:
    floor = Floor()
    floor.deliver(cycle(START + timedelta(minutes=10)))
    before = facts_of(floor.rows())
    floor.deliver(cycle(START))
    assert facts_of(floor.rows()) == before


def test_an_old_signal_is_held_back_and_the_reason_is_kept() -> None:
    floor = Floor()
    floor.deliver(cycle(START + timedelta(minutes=10)))
    (handled,) = floor.deliver(signal(BTC, START))
    assert [(line.kind, line.code) for line in handled.changes.risk] == [(RiskEventKind.SIGNAL_HELD_BACK, "EXPIRED")]


def test_accounts_of_another_market_do_not_hear_its_cycles() -> None:
    floor = Floor()
    assert floor.deliver(cycle(venue="kraken")) == ()


def test_an_event_nobody_listens_to_is_a_wrong_rule() -> None:
    with pytest.raises(UnexpectedEventError, match="MarketDataStale"):
        Floor().deliver(MarketDataStale(symbol="BTC-USD", since=START, reason="x", newest_close=None))


def test_a_failure_of_one_account_undoes_it_alone_and_the_event_may_come_again() -> None:
    floor = Floor(paper(), paper("paper-25k"))
    inner = floor.service.ledger.transaction

    class Failing(MemoryTradingLedger):
        @override
        def transaction(self, account: str) -> Any:
            if account == "paper-25k":
                raise ConnectionError("the ledger went away")
            return inner(account)

    with pytest.raises(ConnectionError):
        TradingService(Failing(floor.database), "coinbase").on_event(signal(BTC))
    assert (len(floor.rows().trades), len(floor.rows("paper-25k").trades)) == (1, 0)
    first = facts_of(floor.rows())
    floor.deliver(signal(BTC))
    assert facts_of(floor.rows()) == first
    assert len(floor.rows("paper-25k").trades) == 1


class TestCommands:
    def test_an_order_of_a_person_is_judged_sent_filled_and_written_down_with_who(self) -> None:
        floor = Floor()
        floor.deliver(cycle())
        handled = floor.service.on_command(order(), "arn:aws:iam::1:user/me")
        assert handled.order is not None
        assert handled.order.state is OrderState.ACCEPTED
        line = next(line for line in handled.changes.risk if line.kind is RiskEventKind.OVERRIDE)
        assert (line.who, line.detail, line.code) == ("arn:aws:iam::1:user/me", handled.order.client_order_id, "SUBMIT")
        floor.deliver(cycle(START + timedelta(minutes=5)))
        assert floor.state().books.position("SOL-USD").quantity == Decimal(1)

    def test_the_same_request_again_changes_nothing_and_gives_the_order_as_it_is_now(self) -> None:
        floor = Floor()
        floor.deliver(cycle())
        floor.service.on_command(order(), "me")
        floor.deliver(cycle(START + timedelta(minutes=5)))
        before = facts_of(floor.rows())[:-1]
        again = floor.service.on_command(order(), "me")
        assert (again.changes, again.order is not None and again.order.state) == (NO_CHANGES, OrderState.FILLED)
        assert facts_of(floor.rows())[:-1] == before

    def test_a_refusal_is_an_answer(self) -> None:
        floor = Floor()
        floor.deliver(cycle())
        handled = floor.service.on_command(order(quantity="100000"), "me")
        assert handled.order is not None
        assert handled.order.state is OrderState.DENIED
        assert counted((handled,))[Metric.ORDERS_REFUSED] == 1

    def test_a_halt_refuses_new_risk_until_somebody_resumes(self) -> None:
        floor = Floor()
        floor.deliver(cycle())
        halted = floor.service.on_command(command("halt", why="news"), "me")
        assert counted((halted,))[Metric.TRADING_HALTS] == 1
        assert floor.service.on_command(order(request_id="req-a"), "me").order.state is OrderState.DENIED  # type: ignore[union-attr]
        assert floor.deliver(signal(BTC))[0].state.orders
        assert not floor.state().trades
        floor.service.on_command(command("resume", why="looked"), "me")
        assert floor.service.on_command(order(request_id="req-b"), "me").order.state is OrderState.ACCEPTED  # type: ignore[union-attr]

    def test_the_same_halt_again_is_told_once(self) -> None:
        floor = Floor()
        floor.deliver(cycle())
        reported = [floor.service.on_command(command("halt", why="news"), "me") for _ in range(2)]
        assert counted(tuple(reported))[Metric.TRADING_HALTS] == 1

    def test_a_working_order_is_changed_and_taken_back_each_once(self) -> None:
        floor = Floor()
        floor.deliver(cycle())
        sent = floor.service.on_command(order(type="LIMIT", limit_price="99"), "me").order
        assert sent is not None
        about = {"client_order_id": sent.client_order_id}
        changes = [floor.service.on_command(command("replace", **about, quantity="2"), "me") for _ in range(2)]
        assert [one.changes == NO_CHANGES for one in changes] == [False, True]
        at = START + timedelta(minutes=5)
        floor.deliver(cycle(at))
        taken = [floor.service.on_command(command("cancel", at, **about), "me") for _ in range(2)]
        assert [one.changes == NO_CHANGES for one in taken] == [False, True]
        floor.deliver(cycle(at + timedelta(minutes=5)))
        assert floor.rows().state.orders[sent.client_order_id].state is OrderState.CANCELED

    @pytest.mark.parametrize("kind", ["cancel", "replace"])
    def test_an_order_that_the_account_does_not_have_is_refused_and_nothing_is_kept(self, kind: str) -> None:
        floor = Floor()
        before = facts_of(floor.rows())
        facts = {"quantity": "1"} if kind == "replace" else {}
        with pytest.raises(OrderUnknownError, match=KEY):
            floor.service.on_command(command(kind, client_order_id=KEY, **facts), "me")
        assert facts_of(floor.rows()) == before

    def test_accounts_are_opened_by_name_once_with_their_capital(self) -> None:
        floor = Floor()
        for _ in range(2):
            assert floor.service.on_command(command("open", account="ftmo-1step-50k"), "me").state.books.cash == Decimal(50_000)
        assert len(floor.rows("ftmo-1step-50k").entries) == 1
        with pytest.raises(AccountError, match="KIND-CAPITALk"):
            floor.service.on_command(command("open", account="nonsense"), "me")
        with pytest.raises(AccountError):
            floor.service.on_command(order(account="paper-1k"), "me")


def made_ready(floor: Floor) -> None:
    """Everything that a live account needs, as the ledger has it."""
    floor.database.add_model("starter-1", "active", dict.fromkeys(LIVE_GATES, "pass"), START - timedelta(days=1))
    floor.database.decided[START - timedelta(minutes=5), "starter-1"] = "active"
    floor.service.on_command(command("confirm", account="live-1", what="live"), "ops")
    compared(floor)


def compared(floor: Floor) -> None:
    rows = floor.rows("live-1")
    rows.state = replace(rows.state, compared_at=START, at_venue=AT_VENUE)


class TestLive:
    def test_what_nobody_can_say_counts_against_a_live_account(self) -> None:
        floor = Floor(LIVE)
        compared(floor)
        (handled,) = floor.deliver(signal(BTC))
        (line,) = handled.changes.risk
        assert (line.kind, line.code) == (RiskEventKind.SIGNAL_HELD_BACK, NOT_READY)
        assert "MODE_NOT_CONFIRMED" in line.detail
        assert not handled.state.orders
        with pytest.raises(CommandError, match="may not trade live"):
            floor.service.on_command(order(account="live-1"), "me")
        assert not any(isinstance(event, ExecutionRequested) for event in floor.database.outbox.values())

    def test_the_kill_switch_works_on_an_account_that_is_not_ready(self) -> None:
        floor = Floor(LIVE)
        floor.deliver(cycle())
        handled = floor.service.on_command(command("halt", account="live-1", level="FLATTEN", why="out"), "me")
        assert handled.state.halt is not None
        assert handled.state.halt.level is HaltLevel.FLATTEN

    def test_a_view_in_parts_from_a_clock_ahead_is_compared_once_and_dated_when_it_came(self) -> None:
        floor = Floor(LIVE)
        made_ready(floor)
        told_at, came = START + timedelta(seconds=25), START + timedelta(seconds=5)
        trades = tuple(
            ViewedTrade(
                trade_id=f"t{number}", client_order_id=None, symbol=BTC, side=Side.BUY, quantity=Decimal(1), price=Decimal(2),
                executed_at=START - timedelta(days=1),
            )
            for number in range(3)
        )  # fmt: skip
        view = VenueViewReported(account="live-1", requested_at=START, asked_at=told_at, orders=(), trades=trades, positions={})
        for number, part in enumerate(in_parts(view, limit=1)):
            floor.service.on_event(part, came + timedelta(milliseconds=number))
        rows = floor.rows("live-1")
        assert rows.state.compared_at == rows.state.at == came + timedelta(milliseconds=2)
        assert not rows.view_parts
        assert not [line for line in rows.risk.values() if line.kind is RiskEventKind.VIEW_INCOMPLETE]

    def test_a_ready_account_takes_the_venues_reports_in_any_order_and_number(self) -> None:
        reports: list[Sequence[int]] = [(0, 1, 2), (2, 1, 0), (0, 0, 1, 2, 2), (1, 2, 0, 1)]
        ends = []
        for deliveries in reports:
            floor = Floor(LIVE)
            made_ready(floor)
            floor.deliver(cycle(), signal(BTC))
            (request,) = (e for e in floor.database.outbox.values() if isinstance(e, ExecutionRequested))
            parts = _reports(request)
            for i in deliveries:
                floor.deliver(parts[i])
            rows = floor.rows("live-1")
            ends.append((rows.state.books.cash, rows.state.books.position(BTC), rows.state.orders[request.client_order_id].state))  # type: ignore[index]
        assert len({repr(end) for end in ends}) == 1
        assert ends[0][2] is OrderState.FILLED

    def test_the_venue_is_asked_every_five_minutes_and_once_an_instant(self) -> None:
        floor = Floor(LIVE)
        made_ready(floor)
        floor.deliver(cycle())
        for minute in (1, 5, 5, 6):
            floor.service.on_minute(START + ONE_MINUTE * minute)
        asked = [e.at for e in floor.database.outbox.values() if isinstance(e, VenueViewRequested)]
        assert asked == [START + ONE_MINUTE * 5, START + ONE_MINUTE * 6]

    def test_an_account_whose_venue_is_silent_while_it_holds_something_is_stopped(self) -> None:
        floor = Floor(LIVE)
        made_ready(floor)
        floor.deliver(cycle(), signal(BTC))
        for minute in range(1, 17):
            floor.service.on_minute(START + ONE_MINUTE * minute)
        halt = floor.state("live-1").halt
        assert halt is not None
        assert (halt.level, halt.who) == (HaltLevel.HALT, "monitor_risk")
        assert "not compared with coinbase" in halt.why


def _reports(request: ExecutionRequested) -> list[ExecutionReported]:
    """Sent and accepted; half of it; the other half. Each tells all that happened until then, as the edge does."""
    key, half = request.client_order_id, request.terms.quantity / 2
    events: list[OrderEvent] = [
        OrderSubmitted(client_order_id=key, at=START + timedelta(seconds=1)),
        OrderAccepted(client_order_id=key, at=START + timedelta(seconds=1), venue_order_id="V1"),
    ]
    found = [
        ExecutionReported(account="live-1", client_order_id=key, reported_at=START + timedelta(seconds=1), events=tuple(events))
    ]
    for i in (1, 2):
        at = START + timedelta(seconds=1 + i)
        events.append(
            OrderFilled(
                client_order_id=key, at=at, account="live-1", symbol=BTC, trade_id=f"t{i}", quantity=half, price=Decimal(60_000)
            )
        )
        found.append(ExecutionReported(account="live-1", client_order_id=key, reported_at=at, events=tuple(events)))
    return found


def test_a_symbol_that_stays_away_stops_an_account_that_holds_it() -> None:
    floor = Floor()
    floor.deliver(signal(BTC))
    for symbol in (BTC, ETH, SOL):
        rows = floor.database.candles["coinbase", symbol]
        for open_time in [t for t in rows if t >= START + timedelta(minutes=10)]:
            del rows[open_time]
    floor.database.add_candles("coinbase", flat(ETH, START + timedelta(minutes=10), 30, "3000"))
    for minute in range(1, 25):
        floor.service.on_minute(START + ONE_MINUTE * minute)
    halt = floor.state().halt
    assert halt is not None
    assert "STALE_DATA BTC-USD" in halt.why


def test_a_standing_lot_order_holds_for_later_closes_and_records_who_gave_it() -> None:
    floor = Floor()
    handled = floor.service.on_command(command("lots", method="HIFO"), "arn:aws:iam::1:user/ann")
    (given,) = handled.state.books.standing_orders
    assert (given.method, given.given_at) == (LotMethod.HIFO, START)
    (line,) = handled.changes.risk
    assert (line.kind, line.code, line.who) == (RiskEventKind.OVERRIDE, "HIFO", "arn:aws:iam::1:user/ann")
    at = START
    for number, side in enumerate(("BUY", "BUY", "SELL")):
        floor.service.on_command(order(at, request_id=f"lot-{number}", side=side), "ann")
        at += 30 * ONE_MINUTE
        handled = floor.service.on_event(cycle(at))[0]
    state = floor.service.query(PAPER, at)
    (left,) = state.books.lots["SOL-USD"]
    first, second, _ = (entry for entry in floor.rows().entries.values() if isinstance(entry, Fill))
    assert first.price != second.price
    assert left.price == min(first.price, second.price)  # the dearer one was closed


def test_standing_order_again_or_older_than_the_newest_changes_nothing() -> None:
    floor = Floor()
    floor.service.on_command(command("lots", START + ONE_MINUTE, method="HIFO"), "ann")
    for again in (command("lots", START + 2 * ONE_MINUTE, method="HIFO"), command("lots", START, method="LIFO")):
        handled = floor.service.on_command(again, "ann")
        assert [line.key for line in handled.changes.risk] == [f"lots:{again.request_id}"]  # who said it, and no more
    assert [o.method for o in floor.service.query(PAPER, START + 2 * ONE_MINUTE).books.standing_orders] == [LotMethod.HIFO]


def test_standing_order_never_reaches_into_the_past() -> None:
    floor = Floor()
    with pytest.raises(CommandError, match="after all booked entries"):
        floor.service.on_command(command("lots", method="LIFO", effective_from=START - timedelta(days=1)), "ann")
    floor.service.on_command(command("lots", method="LIFO", effective_from=START + timedelta(days=2)), "ann")
    with pytest.raises(CommandError, match="the start of the newest method"):
        floor.service.on_command(
            command("lots", START + ONE_MINUTE, method="HIFO", effective_from=START + timedelta(days=1)), "ann"
        )
