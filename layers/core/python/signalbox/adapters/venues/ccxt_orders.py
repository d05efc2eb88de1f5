"""Orders at Coinbase Exchange through ccxt: exact numbers, our client order id, and unknown outcomes reported as unknown.

How ccxt 4.5 behaves (read in its source and seen in tests), and what this module does about it. Its unified orders and trades
lose fields (stop price, fee) when numbers are Decimal, so the exchange's own answer, which is text, is read. Its precision
helpers round silently, so steps are checked and nothing is rounded. `createOrder` drops the `stop` field, so it is passed
separately. `cancelOrder` with a symbol sends ccxt's symbol as product id, so no symbol is passed. An unknown HTTP status
becomes a plain ExchangeError, so the status decides whether an order may exist. ccxt does not retry unless told to.

Coinbase has no market stop: a stop is sent as a stop-limit order whose limit is `stop_allowance` worse than the stop. Client ids
must be UUIDs, which our 128-bit hexadecimal ids are. Coinbase forgets an order that was cancelled without a fill, and may not
show a new order at first, so "not found" proves nothing. Its REST interface cannot change an order.
Decision: docs/decisions/0051-an-order-is-sent-once.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from ccxt.base import errors as ccxt_errors
from ccxt.coinbaseexchange import coinbaseexchange
from requests.adapters import BaseAdapter
from typing_extensions import override

from signalbox.adapters.venues.ccxt_answers import all_at, bound
from signalbox.adapters.venues.coinbase_answers import (
    VENUE,
    amount_of,
    id_in,
    instant_of,
    instrument_of,
    order_of,
    our_name,
    pair_of,
    positions_of,
    positive,
    reading,
    trade_of,
    unfilled,
    venue_name,
    writing,
)
from signalbox.exact import ZERO, exactly, to_step
from signalbox.orders.messages import ExecutionRequested, VenueViewRequested, ViewedTransfer
from signalbox.orders.terms import OrderTerms, OrderType, Side, TimeInForce
from signalbox.orders.venue_port import (
    CLOCK_SKEW,
    NOT_SUPPORTED,
    PRECISION,
    REFUSED,
    ExecutionError,
    OrderStatusReport,
    VenueNoAmendError,
    VenueRefusedError,
    VenueSilentError,
    VenueUnknownOrderError,
)
from signalbox.orders.venue_view import VenueInstrument, VenueOrder, VenueStatus, VenueTrade, VenueTransfer, VenueView

TIMEOUT_SECONDS: Final = 5.0
MINIMUM_INTERVAL_MS: Final = 200  # between requests of one client; two functions may run at once, and the limit is 15 a second
# For new risk. The exchange tolerates 30 s, but a wrong clock makes every deadline wrong.
SKEW_LIMIT: Final = timedelta(seconds=5)
TOLERATED_SKEW: Final = timedelta(seconds=25)  # for anything else; the exchange refuses requests signed more than 30 s off
MARKETS_KEPT_FOR: Final = timedelta(hours=1)
STOP_ALLOWANCE: Final = Decimal("0.05")
PAGE: Final = 100
TRANSFER_TAKES: Final = timedelta(days=14)  # longest time from the start of a transfer to its completion that is searched
MAX_PAGES: Final = 50
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CoinbaseCredentials:
    """An API key with only the permissions view and trade, of a profile that only this account uses."""

    api_key: str
    api_secret: str
    passphrase: str
    sandbox: bool = False

    @override
    def __repr__(self) -> str:
        return f"CoinbaseCredentials(sandbox={self.sandbox})"


class CcxtVenue:
    """Venue over Coinbase Exchange. One account, one client, one thread at a time.

    url: replaces the exchange's address (test server). clock: the machine's time, which signs requests and is checked for skew.
    """

    def __init__(
        self,
        credentials: CoinbaseCredentials,
        *,
        url: str = "",
        clock: Callable[[], datetime],
        timeout_seconds: float = TIMEOUT_SECONDS,
        minimum_interval_ms: int = MINIMUM_INTERVAL_MS,
        skew_limit: timedelta = SKEW_LIMIT,
        stop_allowance: Decimal = STOP_ALLOWANCE,
        monotonic: Callable[[], float] = time.monotonic,
        transport: BaseAdapter | None = None,
    ) -> None:
        client = coinbaseexchange(
            {
                "apiKey": credentials.api_key,
                "secret": credentials.api_secret,
                "password": credentials.passphrase,
                "timeout": round(timeout_seconds * 1000),
                "enableRateLimit": minimum_interval_ms > 0,
                "rateLimit": minimum_interval_ms,
                "number": str,
            }
        )
        client.set_sandbox_mode(credentials.sandbox)
        bound(client, 2 * timeout_seconds, inner=transport)
        if url:
            client.urls["api"] = all_at(url, client.urls["api"])
        client.nonce = lambda: int(clock().timestamp())
        self._client: Any = client
        self._clock, self._monotonic = clock, monotonic
        self._skew_limit, self._stop_allowance = skew_limit, stop_allowance
        self._markets_good_until = float("-inf")
        self._names: dict[str, str | None] = {}  # our id by venue order id

    @property
    def forgets_unfilled(self) -> bool:
        return True

    def prepare(self, request: ExecutionRequested) -> None:
        terms = request.terms
        with reading(self._client):
            self._require_clock(TOLERATED_SKEW if terms.reduce_only else self._skew_limit)
            self._require_market(terms.symbol)
        self._require_supported(terms)
        self._require_steps(terms)

    def submit(self, request: ExecutionRequested) -> OrderStatusReport:
        terms = request.terms
        params: dict[str, Any] = {"clientOrderId": venue_name(request.client_order_id)}
        kind, price = ("market", None) if terms.type is OrderType.MARKET else ("limit", terms.limit_price)
        if terms.stop_price is not None:
            params |= {"stop": "loss" if terms.side is Side.SELL else "entry", "stopPrice": f"{terms.stop_price:f}"}
            price = self._worst_price(terms.symbol, terms.side, terms.stop_price)
        if kind == "limit":
            params["timeInForce"] = terms.time_in_force.value
        with writing(self._client):
            answer = self._client.create_order(
                pair_of(terms.symbol),
                kind,
                terms.side.value.lower(),
                f"{terms.quantity:f}",
                None if price is None else f"{price:f}",
                params,
            )
            taken = self._order(answer)
        try:
            return self.find(request)  # a send is answered with "pending", so query for immediate trades
        except ExecutionError:
            return OrderStatusReport(
                replace(taken, client_order_id=request.client_order_id, filled=ZERO, status=unfilled(taken.status))
            )

    def find(self, request: ExecutionRequested) -> OrderStatusReport:
        return self._status_report(request.client_order_id, request.terms.symbol)

    def cancel(self, request: ExecutionRequested) -> OrderStatusReport:
        name = venue_name(request.client_order_id)
        with writing(self._client):
            answer = None
            try:
                answer = self._client.cancel_order(None, None, {"clientOrderId": name})
                done = True
            except ccxt_errors.OrderNotFound:  # also means "already done"; the order itself shows which
                done = False
        try:
            return self.find(request)
        except VenueUnknownOrderError:
            if not done:
                raise
        except VenueRefusedError as error:  # querying the order failed, not the cancel
            raise VenueSilentError(
                f"{VENUE}: {request.client_order_id} was cancelled, but its state cannot be read: {error}"
            ) from error
        return self._forgotten(request, request.venue_order_id or id_in(answer) or name)

    @exactly
    def _forgotten(self, request: ExecutionRequested, venue_order_id: str) -> OrderStatusReport:
        """Return an order that the venue cancelled and no longer shows, with the fills it lists; usually none."""
        terms = request.terms
        trades = tuple(
            replace(trade, client_order_id=request.client_order_id)
            for trade in self._trades(terms.symbol, order_id=venue_order_id, named=False)
        )
        filled = sum((trade.quantity for trade in trades), ZERO)
        prices = terms.limit_price, terms.stop_price
        return OrderStatusReport(
            VenueOrder(
                request.client_order_id, venue_order_id, terms.symbol, VenueStatus.CANCELED, terms.quantity, filled, *prices
            ),
            trades,
        )

    def replace(self, request: ExecutionRequested) -> OrderStatusReport:
        raise VenueNoAmendError(f"{VENUE}: {request.client_order_id}: the REST interface cannot change an order")

    def view(self, request: VenueViewRequested) -> VenueView:
        with reading(self._client):
            self._require_clock(TOLERATED_SKEW)
            self._load_markets()
            symbols = tuple(symbol for symbol in request.symbols if pair_of(symbol) in self._client.markets)
        asked_at = self._clock()
        orders = {order.venue_order_id: order for order in self._open_orders()}
        shown = {order.client_order_id for order in orders.values()}
        for name in request.orders:
            if name not in shown:
                try:
                    found = self._found(name)
                except VenueUnknownOrderError:
                    continue
                orders[found.venue_order_id] = found
        self._names |= {order.venue_order_id: order.client_order_id for order in orders.values()}
        trades = [trade for symbol in symbols for trade in self._trades(symbol, since=request.since)]
        listed = {(trade.symbol, trade.trade_id) for trade in trades}
        for order in orders.values():  # every trade of an order in the request counts, however old
            if order.filled and order.client_order_id in request.orders:
                older = self._trades(order.symbol, order_id=order.venue_order_id)
                trades += [trade for trade in older if (trade.symbol, trade.trade_id) not in listed]
        accounts = self._accounts()
        with reading(self._client):
            positions = positions_of(accounts, request.symbols)
        return VenueView(
            asked_at,
            tuple(orders.values()),
            tuple(trades),
            positions,
            instruments=self._instruments(symbols),
            transfers=self._transfers(accounts, symbols, request.since),
        )

    def _require_clock(self, limit: timedelta) -> None:
        """Compare clocks with the venue. New risk needs our own, tighter limit; exits and views need only the venue's.

        Runs before every send, because the request also tests the connection, which a frozen function may have lost.
        """
        before = self._clock()
        server_ms = self._client.fetch_time()
        after = self._clock()
        there = _EPOCH + timedelta(milliseconds=server_ms)  # fromtimestamp could raise OSError
        skew = max(before - there, there - after, timedelta(0))  # the skew that the duration of the request cannot explain
        if skew > limit:
            raise VenueRefusedError(
                CLOCK_SKEW, f"{VENUE}: our clock is {skew} off, expected at most {limit}; set this machine's clock"
            )

    def _load_markets(self) -> None:
        if self._monotonic() >= self._markets_good_until:
            self._client.load_markets(reload=True)
            self._markets_good_until = self._monotonic() + MARKETS_KEPT_FOR.total_seconds()

    def _require_market(self, symbol: str) -> None:
        self._load_markets()
        market = self._client.markets.get(pair_of(symbol))
        if market is None or not market["active"]:
            raise VenueRefusedError(NOT_SUPPORTED, f"{VENUE}: market {symbol} is not open")

    def _require_supported(self, terms: OrderTerms) -> None:
        if terms.time_in_force is TimeInForce.GTD:
            raise VenueRefusedError(NOT_SUPPORTED, f"{VENUE}: an order cannot expire by itself (GTD); cancel it instead")
        if terms.reduce_only and terms.side is Side.BUY:
            raise VenueRefusedError(
                NOT_SUPPORTED, f"{VENUE}: a spot account has no short position, so a buy cannot be reduce-only"
            )
        if terms.type is OrderType.STOP and terms.time_in_force is not TimeInForce.GTC:
            raise VenueRefusedError(NOT_SUPPORTED, f"{VENUE}: a stop must be GTC, got {terms.time_in_force}")

    @exactly
    def _require_steps(self, terms: OrderTerms) -> None:
        steps = {name: self._step(terms.symbol, name) for name in ("amount", "price")}
        for name, value, step in (
            ("quantity", terms.quantity, steps["amount"]),
            ("limit_price", terms.limit_price, steps["price"]),
            ("stop_price", terms.stop_price, steps["price"]),
        ):
            if value is not None and value % step:
                raise VenueRefusedError(PRECISION, f"{terms.symbol} {name}: expected a multiple of {step}, got {value}")

    @exactly
    def _worst_price(self, symbol: str, side: Side, stop: Decimal) -> Decimal:
        tick = self._step(symbol, "price")
        return to_step(stop * (1 + side.sign * self._stop_allowance), tick, upwards=side is Side.BUY)

    def _step(self, symbol: str, of: str) -> Decimal:
        """Return the step of an `amount` or `price`. Raises unless it is above zero, because then nothing may be sent."""
        with reading(self._client):
            return positive(self._client.markets[pair_of(symbol)]["precision"][of])

    def _status_report(self, name: str, symbol: str) -> OrderStatusReport:
        order = self._found(name)
        if order.symbol != symbol:
            raise VenueSilentError(f"{VENUE} was asked for order {name} of {symbol} and answered with one of {order.symbol}")
        self._names[order.venue_order_id] = name
        trades = self._trades(symbol, order_id=order.venue_order_id) if order.filled else []
        with reading(self._client):
            return OrderStatusReport(order, tuple(trades))

    def _found(self, name: str) -> VenueOrder:
        with reading(self._client):
            answer = self._client.fetch_order(None, None, {"clientOrderId": venue_name(name)})
            order = self._order(answer)
        if order.client_order_id not in {None, name}:
            raise VenueSilentError(f"{VENUE} was asked for order {name} and answered with {order.client_order_id}")
        return replace(order, client_order_id=name)

    def _open_orders(self) -> list[VenueOrder]:
        found: list[VenueOrder] = []
        for page in self._pages(lambda params: self._client.fetch_open_orders(None, None, PAGE, params)):
            found += [self._order(answer) for answer in page]
        return found

    def _trades(
        self, symbol: str, *, order_id: str | None = None, since: datetime | None = None, named: bool = True
    ) -> list[VenueTrade]:
        """Return the account's trades, newest first, exactly as the exchange lists them, including repeated ones.

        named=False: without our ids, which need a query for each unknown order.
        """
        bounds = {} if order_id is None else {"order_id": order_id}
        found: list[VenueTrade] = []
        for page in self._pages(lambda params: self._client.fetch_my_trades(pair_of(symbol), None, PAGE, bounds | params)):
            trades = [self._trade(answer, symbol, order_id, named=named) for answer in page]
            found += [trade for trade in trades if since is None or trade.executed_at >= since]
            if since is not None and any(trade.executed_at < since for trade in trades):
                break
        return found

    def _pages(self, ask: Callable[[dict[str, Any]], list[Any]]) -> Iterator[list[Any]]:
        params: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            with reading(self._client):
                page = ask(params)
                if not isinstance(page, list):
                    raise TypeError(f"expected a list, got {type(page).__name__}")
                after = self._client.last_response_headers.get("cb-after")
            yield page
            if len(page) < PAGE or after is None:
                return
            params = {"after": after}
        raise VenueRefusedError(REFUSED, f"{VENUE}: the answer has more than {MAX_PAGES} pages; request a later start")

    def _order(self, answer: Any) -> VenueOrder:
        with reading(self._client):
            return order_of(answer["info"])

    def _trade(self, answer: Any, symbol: str, order_id: str | None, *, named: bool) -> VenueTrade:
        with reading(self._client):
            row = answer["info"]
            of = row["product_id"], row["order_id"]
            if of != (symbol, order_id or of[1]):  # trades requested for an order are booked to that order
                raise ValueError(f"expected trades of {symbol} {order_id or ''}, got one of {of}")
            return trade_of(row, self._name_of(row["order_id"]) if named else None, self._clock())

    def _name_of(self, venue_order_id: str) -> str | None:
        """Return our id of an order, because fills name only the venue's id."""
        if venue_order_id not in self._names:
            try:
                with reading(self._client):
                    answer = self._client.fetch_order(venue_order_id)
                    self._names[venue_order_id] = our_name(answer["info"].get("client_oid"))
            except VenueUnknownOrderError:
                return None  # not stored, because it may be known next time
        return self._names[venue_order_id]

    def _accounts(self) -> list[dict[str, Any]]:
        """Return the exchange's accounts, one per currency."""
        with reading(self._client):
            found = [dict(one) for one in self._client.fetch_balance()["info"]]
            return [one | {name: str(one[name]) for name in ("id", "currency")} for one in found]

    def _instruments(self, symbols: tuple[str, ...]) -> tuple[VenueInstrument, ...]:
        with reading(self._client):
            return tuple(instrument_of(symbol, self._client.markets[pair_of(symbol)]) for symbol in symbols)

    def _transfers(self, accounts: list[dict[str, Any]], symbols: tuple[str, ...], since: datetime) -> tuple[VenueTransfer, ...]:
        """Return transfers of the symbols' quote currencies since an instant, newest first.

        The exchange lists transfers by their start, and money counts when it arrives, so transfers begun up to TRANSFER_TAKES
        earlier are searched too. Moved coins are not money: they show up as a position difference.
        """
        quotes = {symbol.split("-")[1] for symbol in symbols}
        currencies = {one["id"]: one["currency"] for one in accounts}
        found: list[VenueTransfer] = []
        for page in self._pages(lambda params: self._client.private_get_transfers({"limit": PAGE} | params)):
            with reading(self._client):
                for row in page:
                    currency = row.get("currency") or currencies.get(str(row.get("account_id")))
                    done_at = row.get("completed_at") or row.get("processed_at")
                    if row.get("canceled_at") or not done_at or currency not in quotes or instant_of(done_at) < since:
                        continue
                    sign = 1 if row["type"] in {"deposit", "internal_deposit"} else -1
                    at, amount = min(instant_of(done_at), self._clock()), sign * amount_of(row["amount"])
                    found.append(ViewedTransfer(key=str(row["id"]), at=at, amount=amount).as_transfer())
                if any(instant_of(row["created_at"]) < since - TRANSFER_TAKES for row in page):
                    break
        return tuple(found)
