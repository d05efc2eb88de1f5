"""The exchange's stand-in, asked over real HTTP by the library that production uses."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from local.market.simulator import SimulatedSource
from local.stand_ins.faults import Fault, TradingFault
from local.stand_ins.trading import API_KEY, API_SECRET, PASSPHRASE, TradingStandIn
from signalbox.adapters.venues.ccxt_orders import CcxtVenue, CoinbaseCredentials
from signalbox.orders.errors import TradeConflictError
from signalbox.orders.events import OrderCancelRequested, OrderFilled, OrderRejected, OrderReleased, OrderUpdateRequested
from signalbox.orders.execution import execute, query
from signalbox.orders.lifecycle import apply
from signalbox.orders.messages import ExecutionReported, ExecutionRequested, OrderInstruction, VenueViewRequested
from signalbox.orders.order import Order
from signalbox.orders.reconciliation import reconcile
from signalbox.orders.terms import OrderTerms, Side, TimeInForce
from signalbox.orders.transitions import OrderState
from signalbox.orders.venue_port import VenueBusyError, VenueRefusedError, VenueSilentError
from signalbox.orders.venue_view import LocalView, VenueView
from tests.builders import BTC, ETH, NOON
from tests.fakes.venues import Clock, MemorySendLog
from tests.unit.orders.samples import ACCOUNT, applied, new, terms
from tests.unit.orders.samples import asked as request_of

KEY = CoinbaseCredentials(API_KEY, API_SECRET, PASSPHRASE)
PRICE = Decimal("50000.00")
MARKET = terms(quantity="0.1")
LIMIT = terms(quantity="0.1", price="49000")


@pytest.fixture
def exchange() -> Iterator[TradingStandIn]:
    stand_in = TradingStandIn(SimulatedSource(7), (BTC, ETH), NOON, requests_per_second=1000, burst=1000)
    stand_in.set_price(BTC, PRICE)
    yield stand_in
    stand_in.close()


def venue_at(exchange: TradingStandIn, credentials: CoinbaseCredentials = KEY, **options: Any) -> CcxtVenue:
    defaults: dict[str, Any] = {"clock": Clock(NOON), "minimum_interval_ms": 0, "timeout_seconds": 2.0}
    return CcxtVenue(credentials, url=exchange.url, **defaults | options)


@pytest.fixture
def venue(exchange: TradingStandIn) -> CcxtVenue:
    return venue_at(exchange)


@pytest.fixture
def log() -> MemorySendLog:
    return MemorySendLog()


def asked(of: OrderTerms = MARKET, instruction: OrderInstruction = OrderInstruction.SUBMIT, **changes: Any) -> ExecutionRequested:
    return request_of(of, instruction, **changes)


def run(venue: CcxtVenue, log: MemorySendLog, request: ExecutionRequested | None = None) -> ExecutionReported:
    return execute(request or asked(), venue, log, Clock(NOON), chains=log)


def kinds(report: ExecutionReported) -> list[str]:
    return [event.kind for event in report.events]


def released(of: OrderTerms = MARKET) -> Order:
    return applied(new(of), OrderReleased(client_order_id=of.client_order_id, at=NOON))


def cancelling(order: Order) -> Order:
    return applied(order, OrderCancelRequested(client_order_id=order.client_order_id, at=NOON, request_id="r1"))


def looked(venue: CcxtVenue, log: MemorySendLog, *orders: str, symbols: tuple[str, ...] = (BTC, ETH)) -> VenueView:
    wanted = VenueViewRequested(
        account=ACCOUNT, venue="coinbase", at=NOON, since=NOON - timedelta(hours=1), orders=orders, symbols=symbols
    )
    found = query(wanted, venue, log, chains=log)
    return found.as_view()


def partly_filled(exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog) -> Order:
    """Return a limit order of 0.1 of which the exchange has filled 0.04."""
    exchange.depth = Decimal("0.04")
    order = applied(released(LIMIT), *run(venue, log, asked(LIMIT)).events)
    exchange.set_price(BTC, Decimal(48999))
    return order


class TestSends:
    def test_a_market_order_fills_with_exact_price_quantity_and_fee(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        order = applied(released(), *run(venue, log).events)
        assert order.state is OrderState.FILLED
        (trade,) = order.trades
        assert (trade.price, trade.quantity, trade.fee) == (PRICE, Decimal("0.1"), Decimal("30"))
        (there,) = exchange.orders
        assert there.client_oid is not None
        assert there.client_oid.replace("-", "") == MARKET.client_order_id
        assert order.venue_order_id == there.id

    def test_a_limit_order_rests_at_its_exact_price(self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog) -> None:
        precise = terms(quantity="0.12345678", price="49000.01")
        order = applied(released(precise), *run(venue, log, asked(precise)).events)
        assert order.state is OrderState.ACCEPTED
        assert (exchange.orders[0].price, exchange.orders[0].size) == (Decimal("49000.01"), Decimal("0.12345678"))

    @pytest.mark.parametrize(
        ("side", "stop", "limit", "touch"), [(Side.SELL, "48000", "45600.00", "47999"), (Side.BUY, "52000", "54600.00", "52001")]
    )
    def test_a_stop_rests_until_it_is_touched_and_then_trades_at_the_market(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, side: Side, stop: str, limit: str, touch: str
    ) -> None:
        exchange._balances["BTC"] = Decimal(1)
        protect = terms(quantity="0.1", stop=stop, side=side)
        order = applied(released(protect), *run(venue, log, asked(protect)).events)
        assert order.state is OrderState.ACCEPTED
        (there,) = exchange.orders
        assert (there.stop_price, there.price) == (Decimal(stop), Decimal(limit))
        view = looked(venue, log, protect.client_order_id)
        assert (view.orders[0].limit_price, view.orders[0].stop_price) == (None, Decimal(stop))
        assert view.orders[0].side is protect.side
        exchange.set_price(BTC, Decimal(touch))
        order = applied(order, *run(venue, log, asked(protect)).events)
        assert (order.state, order.trades[0].price) == (OrderState.FILLED, Decimal(touch))

    def test_a_partial_fill_is_told_as_one(self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog) -> None:
        exchange.depth = Decimal("0.04")
        order = applied(released(LIMIT), *run(venue, log, asked(LIMIT)).events)
        exchange.set_price(BTC, Decimal("48999"))
        order = applied(order, *run(venue, log, asked(LIMIT)).events)
        assert (order.state, order.filled) == (OrderState.PARTIALLY_FILLED, Decimal("0.04"))
        exchange.set_price(BTC, Decimal("48998"))
        exchange.set_price(BTC, Decimal("48997"))
        order = applied(order, *run(venue, log, asked(LIMIT)).events)
        assert (order.state, len(order.trades)) == (OrderState.FILLED, 3)

    def test_an_immediate_order_that_finds_part_is_cancelled_for_the_rest(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        exchange.depth = Decimal("0.04")
        ioc = terms(quantity="0.1", price="50000", time_in_force=TimeInForce.IOC)
        order = applied(released(ioc), *run(venue, log, asked(ioc)).events)
        assert (order.state, order.filled) == (OrderState.CANCELED, Decimal("0.04"))

    def test_a_refusal_is_the_venues_with_a_code(self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog) -> None:
        rich = terms(quantity="100")
        report = run(venue, log, asked(rich))
        assert [getattr(e, "reason", None) for e in report.events] == [None, "INSUFFICIENT_FUNDS"]
        assert exchange.orders == ()

    @pytest.mark.parametrize(
        ("of", "code"),
        [
            (terms(quantity="0.123456789"), "PRECISION"),
            (terms(quantity="0.1", price="49000.001"), "PRECISION"),
            (terms(quantity="0.1", stop="49000.001"), "PRECISION"),
            (terms(quantity="0.1", symbol="XRP-USD"), "NOT_SUPPORTED"),
            (terms(quantity="0.1", reduce_only=True), "NOT_SUPPORTED"),
            (
                terms(quantity="0.1", price="1", time_in_force=TimeInForce.GTD, expires_at=NOON + timedelta(hours=1)),
                "NOT_SUPPORTED",
            ),
            (terms(quantity="0.1", stop="49000", time_in_force=TimeInForce.IOC), "NOT_SUPPORTED"),
        ],
    )
    def test_what_the_venue_cannot_do_exactly_is_refused_and_not_rounded(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, of: Any, code: str
    ) -> None:
        report = run(venue, log, asked(of))
        assert [(e.kind, getattr(e, "reason", None)) for e in report.events] == [("OrderRejected", code)]
        assert exchange.orders == ()
        assert "POST /orders" not in exchange.signed_requests


class TestFaults:
    @pytest.mark.parametrize(
        "kind",
        [
            TradingFault.SERVER_ERROR_AFTER,
            TradingFault.LOST_ACKNOWLEDGEMENT,
            TradingFault.TIMEOUT_AFTER,
            TradingFault.MALFORMED_AFTER,
        ],
    )
    def test_an_order_that_was_taken_without_an_answer_is_found_and_never_sent_again(
        self, exchange: TradingStandIn, log: MemorySendLog, kind: TradingFault
    ) -> None:
        venue = venue_at(exchange, timeout_seconds=0.5)
        exchange.trading_faults.add(Fault(kind, "POST /orders", times=1))
        order = applied(released(), *run(venue, log).events)
        assert order.state is OrderState.FILLED
        assert len(exchange.orders) == 1
        assert exchange.signed_requests.count("POST /orders") == 1

    @pytest.mark.parametrize("kind", [TradingFault.SERVER_ERROR, TradingFault.DROPPED])
    def test_an_order_that_left_no_trace_is_unknown_and_never_sent_again(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, kind: TradingFault
    ) -> None:
        exchange.trading_faults.add(Fault(kind, "POST /orders", times=1))
        assert kinds(run(venue, log)) == ["OrderSubmitted", "OrderUnconfirmed"]
        assert kinds(run(venue, log)) == ["OrderSubmitted", "OrderUnconfirmed"]
        assert exchange.signed_requests.count("POST /orders") == 1

    def test_while_the_venue_cannot_be_asked_nothing_is_claimed(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        exchange.trading_faults.add(Fault(TradingFault.LOST_ACKNOWLEDGEMENT, "POST /orders", times=1))
        blind = exchange.trading_faults.add(Fault(TradingFault.SERVER_ERROR, "GET /orders/ID"))
        assert kinds(run(venue, log)) == ["OrderSubmitted", "OrderUnconfirmed"]
        exchange.trading_faults.remove(blind)
        assert kinds(run(venue, log)) == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]
        assert len(exchange.orders) == 1

    def test_a_rate_limit_says_when_and_the_next_delivery_sends(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        exchange.trading_faults.add(Fault(TradingFault.RATE_LIMITED, "POST /orders", times=1, retry_after=7))
        with pytest.raises(VenueBusyError) as caught:
            run(venue, log)
        assert caught.value.retry_after == 7
        assert "OrderFilled" in kinds(run(venue, log))
        assert len(exchange.orders) == 1

    def test_a_killed_function_is_followed_by_one_that_asks(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        log.begin(ACCOUNT, MARKET.client_order_id, NOON)
        venue.prepare(asked())
        venue.submit(asked())  # and here the function was killed: nothing was reported
        report = run(venue_at(exchange), log)
        assert kinds(report) == ["OrderSubmitted", "OrderAccepted", "OrderFilled"]
        assert len(exchange.orders) == 1

    @pytest.mark.parametrize("skew", [timedelta(seconds=9), timedelta(seconds=-9)])
    def test_a_clock_that_is_off_stops_orders_before_they_are_signed(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, skew: timedelta
    ) -> None:
        exchange.skew = skew
        report = run(venue, log)
        assert [getattr(e, "reason", None) for e in report.events] == ["CLOCK_SKEW"]
        assert exchange.signed_requests == []

    def test_a_clock_that_jumps_after_the_check_is_named_by_the_venues_refusal(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        venue.prepare(asked())
        exchange.skew = timedelta(minutes=1)
        with pytest.raises(VenueRefusedError) as caught:
            venue.submit(asked())
        assert caught.value.code == "CLOCK_SKEW"
        assert exchange.orders == ()

    @pytest.mark.parametrize(
        "wrong",
        [
            CoinbaseCredentials("other", API_SECRET, PASSPHRASE),
            CoinbaseCredentials(API_KEY, base64.b64encode(b"other").decode(), PASSPHRASE),
            CoinbaseCredentials(API_KEY, API_SECRET, "other"),
        ],
    )
    def test_a_wrong_key_is_refused_and_never_shown(
        self, exchange: TradingStandIn, log: MemorySendLog, wrong: CoinbaseCredentials
    ) -> None:
        venue = venue_at(exchange, wrong)
        report = run(venue, log)
        assert [getattr(e, "reason", None) for e in report.events] == [None, "CREDENTIALS"]
        assert wrong.api_secret not in repr(wrong)
        with pytest.raises(VenueRefusedError) as caught:
            looked(venue, log)
        assert wrong.api_secret not in str(caught.value)

    def test_an_overfill_travels_as_it_is_and_is_recorded(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        order = applied(released(LIMIT), *run(venue, log, asked(LIMIT)).events)
        exchange.fill(exchange.orders[0].id, Decimal("0.2"), Decimal(49000))
        report = run(venue, log, asked(LIMIT))
        assert applied(order, *report.events).overfilled > 0

    def test_a_conflicting_duplicate_trade_is_passed_on_and_the_ledger_refuses_it(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        order = applied(released(), *run(venue, log).events)
        exchange.rewrite_trade(1000, price=Decimal(50001))
        (again,) = (e for e in run(venue, log).events if isinstance(e, OrderFilled))
        assert again.price == 50001
        with pytest.raises(TradeConflictError):
            apply(order, again)

    def test_a_trade_that_is_listed_twice_is_booked_once(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        order = partly_filled(exchange, venue, log)
        exchange.repeat_trade(1000)
        report = run(venue, log, asked(LIMIT))
        assert kinds(report).count("OrderFilled") == 2
        assert applied(order, *report.events).filled == Decimal("0.04")

    def test_an_accepted_order_whose_trades_cannot_be_read_is_accepted_and_ends_later(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        exchange.trading_faults.add(Fault(TradingFault.SERVER_ERROR, "GET /orders/ID", times=1))
        order = applied(released(), *run(venue, log).events)
        assert order.state is OrderState.ACCEPTED
        assert applied(order, *run(venue, log).events).state is OrderState.FILLED
        assert len(exchange.orders) == 1

    def test_a_cancel_with_a_wrong_key_is_refused_and_the_order_stays(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        order = cancelling(applied(released(LIMIT), *run(venue, log, asked(LIMIT)).events))
        wrong = venue_at(exchange, CoinbaseCredentials(API_KEY, API_SECRET, "other"))
        report = run(wrong, log, asked(LIMIT, OrderInstruction.CANCEL))
        assert [(e.kind, getattr(e, "reason", None)) for e in report.events] == [("OrderCancelRejected", "CREDENTIALS")]
        assert applied(order, *report.events).state is OrderState.ACCEPTED

    def test_a_status_nobody_knows_is_no_answer(self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog) -> None:
        run(venue, log, asked(LIMIT))
        exchange.orders[0].status = "frozen"
        assert kinds(run(venue, log, asked(LIMIT))) == ["OrderSubmitted", "OrderUnconfirmed"]

    def test_requests_keep_the_pace_that_the_exchange_allows(self, log: MemorySendLog) -> None:
        strict = TradingStandIn(SimulatedSource(7), (BTC,), NOON, requests_per_second=20, burst=1)
        strict.set_price(BTC, PRICE)
        try:
            paced = venue_at(strict, minimum_interval_ms=60)
            assert "OrderFilled" in kinds(run(paced, log))
            assert strict.limited == 0
            with pytest.raises(VenueBusyError):
                run(venue_at(strict), MemorySendLog(), asked(terms(quantity="0.1", strategy="second")))
        finally:
            strict.close()


class TestCancels:
    def test_a_cancelled_order_is_out_of_the_book(self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog) -> None:
        order = cancelling(applied(released(LIMIT), *run(venue, log, asked(LIMIT)).events))
        order = applied(order, *run(venue, log, asked(LIMIT, OrderInstruction.CANCEL)).events)
        assert order.state is OrderState.CANCELED
        assert exchange.orders[0].done_reason == "canceled"

    def test_a_cancel_whose_answer_was_lost_is_seen_in_the_order(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        run(venue, log, asked(LIMIT))
        exchange.trading_faults.add(Fault(TradingFault.LOST_ACKNOWLEDGEMENT, "DELETE /orders/ID", times=1))
        assert kinds(run(venue, log, asked(LIMIT, OrderInstruction.CANCEL))) == ["OrderUnconfirmed"]
        assert kinds(run(venue, log, asked(LIMIT, OrderInstruction.CANCEL))) == ["OrderUnconfirmed"]  # not known is not cancelled

    def test_a_cancel_that_was_done_is_not_refused_when_the_order_cannot_be_read(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        run(venue, log, asked(LIMIT))
        (order,) = exchange.orders
        jumping = venue_at(exchange, clock=lambda: NOON if order.done_reason is None else NOON + timedelta(hours=1))
        assert kinds(run(jumping, log, asked(LIMIT, OrderInstruction.CANCEL))) == ["OrderUnconfirmed"]
        assert order.done_reason == "canceled"

    def test_a_cancel_after_the_last_fill_brings_the_fills(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        order = cancelling(applied(released(LIMIT), *run(venue, log, asked(LIMIT)).events))
        exchange.set_price(BTC, Decimal(48000))
        order = applied(order, *run(venue, log, asked(LIMIT, OrderInstruction.CANCEL)).events)
        assert (order.state, order.filled) == (OrderState.FILLED, Decimal("0.1"))

    def test_a_fill_after_the_cancel_is_recorded_late(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        order = partly_filled(exchange, venue, log)
        order = applied(cancelling(order), *run(venue, log, asked(LIMIT, OrderInstruction.CANCEL)).events)
        assert (order.state, order.filled) == (OrderState.CANCELED, Decimal("0.04"))
        exchange.fill(exchange.orders[0].id, Decimal("0.01"), Decimal(49000))
        order = applied(order, *run(venue, log, asked(LIMIT)).events)
        assert (order.state, order.filled) == (OrderState.CANCELED, Decimal("0.05"))

    def test_a_cancel_of_an_order_not_shown_yet_cancels_nothing_and_claims_nothing(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        exchange.visible_after = timedelta(seconds=20)
        order = cancelling(applied(released(LIMIT), *run(venue, log, asked(LIMIT)).events))
        exchange.set_time(NOON + timedelta(seconds=10))
        order = applied(order, *run(venue, log, asked(LIMIT, OrderInstruction.CANCEL)).events)
        assert (order.state, exchange.orders[0].status) == (OrderState.PENDING_CANCEL, "open")

    def test_a_confirmed_cancel_of_what_is_not_shown_brings_the_fills_that_are_listed(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        exchange.depth = Decimal("0.04")
        order = cancelling(applied(released(LIMIT), *run(venue, log, asked(LIMIT)).events))
        exchange.set_price(BTC, Decimal(48999))

        def hide() -> None:
            exchange.visible_after = timedelta(hours=1)

        exchange.then("DELETE /orders/ID", hide)
        order = applied(order, *run(venue, log, asked(LIMIT, OrderInstruction.CANCEL)).events)
        assert (order.state, order.filled) == (OrderState.CANCELED, Decimal("0.04"))


STOP = terms(quantity="0.1", stop="48000", side=Side.SELL)


def updating(order: Order, request_id: str = "r1", **changes: Any) -> Order:
    event = OrderUpdateRequested(client_order_id=order.client_order_id, at=NOON, request_id=request_id, **changes)
    return applied(order, event)


def reported(venue: CcxtVenue, log: MemorySendLog, order: Order) -> Order:
    """The order once two views were compared."""
    view = looked(venue, log, order.client_order_id)
    local = LocalView(ACCOUNT, (order,), {})
    return reconcile(local, view, settle=timedelta(0), missed=(order.client_order_id,)).orders[0]


class TestReplaces:
    @pytest.fixture
    def stop(self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog) -> Order:
        exchange._balances["BTC"] = Decimal("0.3")
        return applied(released(STOP), *run(venue, log, asked(STOP)).events)

    def test_a_stop_grows_by_another_that_holds_all_of_it(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, stop: Order
    ) -> None:
        report = run(venue, log, asked(STOP, OrderInstruction.REPLACE, quantity="0.25"))
        order = applied(updating(stop, quantity="0.25"), *report.events)
        assert (order.state, order.quantity, order.stop_price) == (OrderState.ACCEPTED, Decimal("0.25"), Decimal(48000))
        assert [(o.status, o.size) for o in exchange.orders] == [("done", Decimal("0.1")), ("open", Decimal("0.25"))]
        assert order.venue_order_id == exchange.orders[1].id
        assert reported(venue, log, order) == order

    def test_what_was_filled_before_counts_and_fills_after_it_are_the_orders(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, stop: Order
    ) -> None:
        exchange.depth = Decimal("0.04")
        exchange.set_price(BTC, Decimal(47999))
        exchange.depth = Decimal(0)
        report = run(venue, log, asked(STOP, OrderInstruction.REPLACE, quantity="0.25"))
        order = applied(updating(stop, quantity="0.25"), *report.events)
        assert (order.filled, order.quantity, exchange.orders[1].size) == (Decimal("0.04"), Decimal("0.25"), Decimal("0.21"))
        exchange.depth = None
        exchange.set_price(BTC, Decimal(47000))
        assert reported(venue, log, order).state is OrderState.FILLED

    def test_a_second_replace_and_a_cancel_go_to_the_newest(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, stop: Order
    ) -> None:
        order = applied(
            updating(stop, quantity="0.2"), *run(venue, log, asked(STOP, OrderInstruction.REPLACE, quantity="0.2")).events
        )
        again = asked(STOP, OrderInstruction.REPLACE, request_id="r2", stop_price="47000")
        order = applied(updating(order, "r2", stop_price="47000"), *run(venue, log, again).events)
        assert (order.quantity, order.stop_price) == (Decimal("0.2"), Decimal(47000))
        order = applied(cancelling(order), *run(venue, log, asked(STOP, OrderInstruction.CANCEL)).events)
        assert order.state is OrderState.CANCELED
        assert {o.status for o in exchange.orders} == {"done"}

    def test_the_same_request_again_sends_nothing(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, stop: Order
    ) -> None:
        request = asked(STOP, OrderInstruction.REPLACE, quantity="0.2")
        order = applied(updating(stop, quantity="0.2"), *run(venue, log, request).events)
        assert applied(order, *run(venue_at(exchange), log, request).events) == order
        assert len(exchange.orders) == 2

    @pytest.mark.parametrize("where", ["POST /orders", "DELETE /orders/ID"])
    @pytest.mark.parametrize("kind", [TradingFault.RATE_LIMITED, TradingFault.LOST_ACKNOWLEDGEMENT, TradingFault.DROPPED])
    def test_whatever_breaks_on_the_way_there_is_one_stop_or_the_ledger_knows_of_none(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, stop: Order, where: str, kind: TradingFault
    ) -> None:
        exchange.trading_faults.add(Fault(kind, where, times=1))
        request, order = asked(STOP, OrderInstruction.REPLACE, quantity="0.2"), updating(stop, quantity="0.2")
        for _ in range(3):
            try:
                order = applied(order, *run(venue, log, request).events)
            except VenueBusyError:
                continue
        order = reported(venue, log, order)
        resting = [o for o in exchange.orders if o.status == "open"]
        assert len(resting) == (not order.state.is_closed)
        if resting:
            assert order.quantity == resting[0].size

    def test_a_replacement_that_the_venue_refuses_ends_the_order_and_says_why(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, stop: Order
    ) -> None:
        report = run(venue, log, asked(STOP, OrderInstruction.REPLACE, quantity="0.4"))  # more than there is
        order = applied(updating(stop, quantity="0.4"), *report.events)
        assert (order.state, order.reason) == (OrderState.CANCELED, "REPLACE_FAILED")
        assert "Insufficient funds" in order.detail

    def test_what_cannot_be_sent_leaves_the_old_stop_where_it_is(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, stop: Order
    ) -> None:
        report = run(venue, log, asked(STOP, OrderInstruction.REPLACE, stop_price="47000.001"))
        assert [(e.kind, getattr(e, "reason", "")) for e in report.events] == [("OrderUpdateRejected", "PRECISION")]
        assert [o.status for o in exchange.orders] == ["open"]

    def test_a_stop_that_fills_under_its_cancel_is_told_as_filled(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, stop: Order
    ) -> None:
        exchange.trading_faults.add(Fault(TradingFault.SERVER_ERROR, "DELETE /orders/ID", times=1))
        request = asked(STOP, OrderInstruction.REPLACE, quantity="0.2")
        order = applied(updating(stop, quantity="0.2"), *run(venue, log, request).events)
        exchange.set_price(BTC, Decimal(47000))
        order = applied(order, *run(venue, log, request).events)
        assert (order.filled, len(exchange.orders)) == (Decimal("0.1"), 1)

    def test_an_order_killed_between_cancel_and_send_goes_on_with_the_send(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog, stop: Order
    ) -> None:
        class Gone(BaseException):
            """The process is gone."""

        def kill() -> None:
            raise Gone

        request = asked(STOP, OrderInstruction.REPLACE, quantity="0.2")
        log.begin_hook = kill
        with pytest.raises(Gone):
            run(venue, log, request)
        log.begin_hook = None
        assert [o.status for o in exchange.orders] == ["done"]
        order = applied(updating(stop, quantity="0.2"), *run(venue_at(exchange), log, request).events)
        assert (order.state, order.quantity, len(exchange.orders)) == (OrderState.ACCEPTED, Decimal("0.2"), 2)


class TestViews:
    def test_the_ledger_and_the_venue_agree_after_a_day_of_orders(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        resting = terms(quantity="0.2", price="40000", decided_at=NOON - timedelta(minutes=5))
        filled = applied(released(), *run(venue, log).events)
        open_ = applied(released(resting), *run(venue, log, asked(resting)).events)
        view = looked(venue, log, filled.client_order_id, open_.client_order_id)
        local = LocalView(ACCOUNT, (filled, open_), {BTC: Decimal("0.1")})
        found = reconcile(local, view, settle=timedelta(seconds=30))
        assert found.actions == ()

    def test_an_unfilled_cancel_that_the_venue_forgot_is_still_answered(self, venue: CcxtVenue, log: MemorySendLog) -> None:
        order = applied(released(LIMIT), *run(venue, log, asked(LIMIT)).events)
        venue.cancel(asked(LIMIT, OrderInstruction.CANCEL))
        view = looked(venue, log, LIMIT.client_order_id)
        assert (view.orders, view.forgets_unfilled) == ((), True)
        found = reconcile(LocalView(ACCOUNT, (cancelling(order),), {}), view, settle=timedelta(0))
        assert [r.state for r in found.orders] == [OrderState.CANCELED]
        assert len(found.events) == len(found.actions)  # nothing but what is to be recorded

    def test_orders_and_trades_of_somebody_else_are_told_and_not_hidden(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        stranger = venue_at(exchange)
        run(stranger, MemorySendLog(), asked(terms(quantity="0.3", account="other-1")))
        run(stranger, MemorySendLog(), asked(terms(quantity="0.3", price="100", account="other-2")))
        found = reconcile(LocalView(ACCOUNT, (), {}), looked(venue, log), settle=timedelta(0))
        assert [getattr(a, "difference", None) for a in found.actions] == ["ORDER_UNKNOWN", "TRADE_UNKNOWN", "POSITION_DIFFERS"]

    def test_long_histories_are_read_page_by_page_and_only_as_far_as_asked(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        run(venue, log, asked(LIMIT))
        there = exchange.orders[0].id
        for _ in range(230):
            exchange.fill(there, Decimal("0.0001"), Decimal(49000))
        view = looked(venue, log, symbols=(BTC,))
        assert len({t.trade_id for t in view.trades}) == len(view.trades) == 230
        assert {t.client_order_id for t in view.trades} == {LIMIT.client_order_id}
        assert exchange.signed_requests.count("GET /fills") >= 3

    def test_a_view_tells_what_an_order_may_look_like(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        exchange.limits[BTC] = {"base_min_size": "0.000016", "base_max_size": "1500", "min_market_funds": "1"}
        exchange.limits[ETH] = {"cancel_only": True}
        btc, eth = looked(venue, log).instruments
        assert (btc.tick, btc.step, btc.min_quantity) == (Decimal("0.01"), Decimal("1E-8"), Decimal("0.000016"))
        assert (btc.max_quantity, btc.min_notional, btc.can_open, eth.can_open) == (Decimal(1500), Decimal(1), True, False)

    def test_money_that_moved_is_told_once_it_is_there_and_coins_are_no_money(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        paid = exchange.move_money("deposit", "USD", Decimal(500))
        exchange.move_money("deposit", "USD", Decimal(7), completed=False)
        exchange.move_money("deposit", "BTC", Decimal(1))
        taken = exchange.move_money("withdraw", "USD", Decimal(200))
        for _ in range(120):
            exchange.move_money("internal_deposit", "USD", Decimal(1))
        found = {one.key: (one.at, one.amount) for one in looked(venue, log).transfers}
        assert (found[paid], found[taken]) == ((NOON, Decimal(500)), (NOON, Decimal(-200)))
        assert len(found) == 122

    def test_a_stop_holds_what_it_would_sell_until_it_is_out(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        exchange._balances["BTC"] = Decimal("0.1")
        run(venue, log, asked(STOP))
        sale = terms(quantity="0.1", side=Side.SELL, strategy="out")
        (_, refused) = run(venue, log, asked(sale)).events
        assert isinstance(refused, OrderRejected)
        assert (refused.reason, "Insufficient funds" in refused.detail) == ("INSUFFICIENT_FUNDS", True)
        run(venue, log, asked(STOP, OrderInstruction.CANCEL))
        assert "OrderFilled" in kinds(run(venue, MemorySendLog(), asked(sale)))

    def test_a_market_order_not_shown_at_once_is_queried_until_its_fills_are_there(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        exchange.visible_after = exchange.fills_after = timedelta(seconds=1)
        waited: list[timedelta] = []

        def pause(wait: timedelta) -> None:
            waited.append(wait)
            exchange.set_time(exchange.now + wait)

        report = execute(asked(), venue, log, Clock(NOON), chains=log, pause=pause)
        assert applied(released(), *report.events).state is OrderState.FILLED
        assert sum(waited, timedelta()) < timedelta(seconds=3)

    def test_a_fill_that_is_listed_late_is_in_the_view_of_the_order_that_is_asked_about(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        exchange.depth = Decimal("0.04")
        order = applied(released(LIMIT), *run(venue, log, asked(LIMIT)).events)
        exchange.set_price(BTC, Decimal(48999))
        wanted = VenueViewRequested(
            account=ACCOUNT, venue="coinbase", at=NOON, since=NOON + timedelta(hours=1), orders=(order.client_order_id,),
            symbols=(BTC,),
        )  # fmt: skip
        (trade,) = query(wanted, venue, log, chains=log).trades
        assert (trade.client_order_id, trade.quantity) == (order.client_order_id, Decimal("0.04"))

    def test_two_symbols_of_one_balance_are_refused(self, venue: CcxtVenue, log: MemorySendLog) -> None:
        with pytest.raises(VenueRefusedError, match="share a balance"):
            looked(venue, log, symbols=("BTC-USD", "BTC-EUR"))

    def test_an_outage_is_silence_and_no_empty_account(
        self, exchange: TradingStandIn, venue: CcxtVenue, log: MemorySendLog
    ) -> None:
        exchange.trading_faults.add(Fault(TradingFault.SERVER_ERROR, "GET /accounts"))
        with pytest.raises(VenueSilentError):
            looked(venue, log)
