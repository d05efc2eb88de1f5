"""A stand-in for the private REST API of Coinbase Exchange: orders, fills and accounts, with its real request signing.

Authentication: base64(HMAC-SHA256(base64-decoded secret, timestamp + method + path with query + body)), a passphrase, and a
timestamp within 30 seconds. Shapes follow https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api. As there, an order
that was cancelled without a fill is no longer known; orders cannot be changed; a resting order holds what it would spend, and no
other order can spend that; lists come in pages of 100 with cursors; private requests have a limit of their own, 15 per second
with bursts of 30; a fill is recorded first, and settled with its credit to the balances later.

Behaviour that users report and the documentation leaves open is a setting. For `visible_after` a new order is "not found" (also
for a cancel) and in no list. For `fills_after` a fill is in no list although its order counts it. For `holds_after` a cancelled
order still holds what it held.

The market has one price per product: that of the newest bar, or the one given to `set_price`. A market order trades at it at
once, up to `depth`. A limit order rests at its own price. A stop becomes a limit order when the price touches it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from typing_extensions import override

from local.stand_ins.exchange import BarFeed, Bucket, ExchangeStandIn
from local.stand_ins.faults import Fault, Faults, TradingFault
from local.stand_ins.server import SILENCE, Reply, Request
from local.stand_ins.trading_rows import (
    StandInFill,
    StandInOrder,
    StandInTransfer,
    account_id,
    decimal_text,
    fill_json,
    instant_text,
    order_json,
    page_of,
    transfer_json,
)
from signalbox.exact import ZERO, exactly, to_places
from signalbox.market.candles import ONE_MINUTE, Symbol

API_KEY: Final = "stand-in-key"
API_SECRET: Final = base64.b64encode(b"worth nothing anywhere else").decode()
PASSPHRASE: Final = "stand-in-passphrase"  # noqa: S105 - only for the stand-in
TIMESTAMP_WINDOW: Final = timedelta(seconds=30)
TAKER: Final = Decimal("0.006")
MAKER: Final = Decimal("0.004")
STEP: Final = {"price": Decimal("0.01"), "size": Decimal("0.00000001")}
PRIVATE_REQUESTS_PER_SECOND: Final = 15.0  # per profile
PRIVATE_BURST: Final = 30.0
_ONE_ORDER: Final = re.compile(r"^/orders/.*")
_DROP: Final = Reply(0, b"", drop=True)


class _RefusedError(Exception):
    """An answer with an error body."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.reply = Reply(status, json.dumps({"message": message}).encode())


class TradingStandIn(ExchangeStandIn):
    """The exchange with one funded profile. The scope of `trading_faults` is the request: POST /orders, GET /orders/ID."""

    def __init__(
        self,
        feed: BarFeed,
        symbols: tuple[Symbol, ...],
        now: datetime,
        port: int = 0,
        *,
        balances: Mapping[str, Decimal] | None = None,
        requests_per_second: float = 10.0,
        burst: float = 15.0,
    ) -> None:
        self.trading_faults: Faults[TradingFault] = Faults()
        self.skew = timedelta(0)  # the exchange's clock minus real time
        self.depth: Decimal | None = None  # how much of a market or crossing order trades at once; None means all
        self.visible_after = timedelta(0)  # delay from the send until an order is visible
        self.fills_after = timedelta(0)  # delay from a trade until it is listed
        self.settles_after = timedelta(0)  # delay from a trade until it is settled and in the balances
        self.holds_after = timedelta(0)  # delay from the end of an order until what it held is free
        self.limits: dict[str, dict[str, str | bool]] = {}  # by product; overrides the values of /products
        self._then: list[tuple[str, Callable[[], object]]] = []
        self._transfers: list[StandInTransfer] = []
        self._private_bucket = Bucket(PRIVATE_REQUESTS_PER_SECOND, PRIVATE_BURST, PRIVATE_BURST, time.monotonic())
        self._trading = threading.RLock()
        self._orders: dict[str, StandInOrder] = {}
        self._fills: list[StandInFill] = []
        self._prices: dict[str, Decimal] = {}
        self._balances: dict[str, Decimal] = dict(balances or {"USD": Decimal(100_000)})
        self.signed_requests: list[str] = []  # "METHOD path" of each authenticated request
        super().__init__(feed, symbols, now, port, requests_per_second=requests_per_second, burst=burst)

    # Actions of a test or an operator

    @property
    def orders(self) -> tuple[StandInOrder, ...]:
        """Every accepted order, oldest first."""
        with self._trading:
            return tuple(self._orders.values())

    def set_price(self, product: str, price: Decimal) -> None:
        """Change the price. Resting orders that it crosses trade, and stops that it touches trigger."""
        with self._trading:
            self._prices[product] = price
            for order in [o for o in self._orders.values() if o.status == "open" and o.product == product]:
                self._match(order, liquidity="M")

    def fill(self, order_id: str, size: Decimal, price: Decimal) -> int:
        """Fill an order whatever its state, such as after its cancel or beyond its size."""
        with self._trading:
            order = self._orders[order_id]
            return self._trade(order, size, price, "M")

    def rewrite_trade(self, trade_id: int, *, price: Decimal) -> None:
        """Change the data of a trade under the same id, which no exchange should do."""
        with self._trading:
            next(f for f in self._fills if f.trade_id == trade_id).price = price

    def repeat_trade(self, trade_id: int) -> None:
        """List a trade a second time."""
        with self._trading:
            self._fills.append(next(f for f in self._fills if f.trade_id == trade_id))

    def then(self, request: str, do: Callable[[], object]) -> None:
        """Call `do` right after the next answer to a request such as `GET /orders`, as if the venue changed in between."""
        self._then.append((request, do))

    def move_money(self, kind: str, currency: str, amount: Decimal, *, completed: bool = True) -> str:
        """Deposit or withdraw money or coins and return the id. A transfer that is not completed changes no balance."""
        with self._trading:
            name = str(uuid.uuid5(uuid.NAMESPACE_OID, f"transfer {len(self._transfers)}"))
            done_at = self.now if completed else None
            self._transfers.append(StandInTransfer(name, kind, currency, amount, self.now, done_at))
            if completed:
                sign = 1 if kind.endswith("deposit") else -1
                self._balances[currency] = self._balances.get(currency, ZERO) + sign * amount
            return name

    # Requests of a client

    @override
    def product(self, symbol: str) -> dict[str, Any]:
        return super().product(symbol) | self.limits.get(symbol, {})

    @override
    def answer(self, request: Request) -> Reply:
        path = request.path
        if path == "/time":
            at = self.now + self.skew
            return _json({"iso": instant_text(at), "epoch": at.timestamp()})
        if not re.fullmatch(r"/(orders|fills|accounts|transfers)(/.*)?", path):
            return super().answer(request)
        if not self._private_bucket.take():
            return _message(429, "Private rate limit exceeded")
        refusal = self._unauthorised(request)
        if refusal is not None:
            return refusal
        return self._faulty(request)

    def _unauthorised(self, request: Request) -> Reply | None:
        found = {name: request.headers.get(f"cb-access-{name}", "") for name in ("key", "sign", "timestamp", "passphrase")}
        if found["key"] != API_KEY:
            return _message(401, "Invalid API Key")
        if found["passphrase"] != PASSPHRASE:
            return _message(401, "Invalid Passphrase")
        try:
            age = abs((self.now + self.skew).timestamp() - float(found["timestamp"]))
        except ValueError:
            return _message(400, "invalid timestamp")
        if age > TIMESTAMP_WINDOW.total_seconds():
            return _message(400, "request timestamp expired")
        content = (found["timestamp"] + request.method + request.target).encode() + request.body
        expected = base64.b64encode(hmac.new(base64.b64decode(API_SECRET), content, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(expected, found["sign"]):
            return _message(401, "invalid signature")
        return None

    def _faulty(self, request: Request) -> Reply:
        kind = f"{request.method} {_ONE_ORDER.sub('/orders/ID', request.path)}"
        self.signed_requests.append(kind)
        for fault in self.trading_faults.take(kind):
            before = _BEFORE.get(fault.kind)
            if before is not None:
                return before(fault)
            self._private(request)
            return _AFTER[fault.kind]
        answer = self._private(request)
        due = next((one for one in self._then if one[0] == kind), None)
        if due is not None:
            self._then.remove(due)
            due[1]()
        return answer

    def _private(self, request: Request) -> Reply:
        try:
            with self._trading:
                return self._route(request)
        except _RefusedError as refused:
            return refused.reply
        except (KeyError, ValueError, InvalidOperation, AttributeError) as error:
            return _message(400, f"Invalid request: {error}")

    def _route(self, request: Request) -> Reply:
        method, path = request.method, request.path
        if (method, path) == ("POST", "/orders"):
            return _json(order_json(self._place(json.loads(request.body))))
        if (method, path) == ("GET", "/orders"):
            return self._listed(request.query)
        if (method, path) == ("GET", "/fills"):
            return self._fills_of(request.query)
        if (method, path) == ("GET", "/accounts"):
            return _json([self._account(c) for c in sorted({*self._balances, *(p for s in self._symbols for p in s.split("-"))})])
        if (method, path) == ("GET", "/transfers"):
            return self._transfers_listed(request.query)
        if not path.startswith("/orders/") or method not in {"GET", "DELETE"}:
            raise _RefusedError(405, "Method Not Allowed")
        order = self._found(path.removeprefix("/orders/"), method)
        return _json(order_json(order)) if method == "GET" else self._cancel(order)

    def _found(self, name: str, method: str) -> StandInOrder:
        if name.startswith("client:"):
            wanted = name.removeprefix("client:")
            order = next((o for o in self._orders.values() if o.client_oid == wanted), None)
        else:
            order = self._orders.get(name)
        if order is None or not self._is_shown(order) or (order.done_reason == "canceled" and not order.filled):
            raise _RefusedError(404, "NotFound" if method == "GET" else "order not found")
        return order

    def _place(self, asked: Mapping[str, Any]) -> StandInOrder:
        client_oid = asked.get("client_oid")
        if client_oid is not None and str(uuid.UUID(client_oid)) != client_oid:
            raise _RefusedError(400, "Invalid client_oid")
        if asked["product_id"] not in self._symbols:
            raise _RefusedError(404, "Product not found")
        order = StandInOrder(
            id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{len(self._orders)} {client_oid}")),
            client_oid=client_oid,
            product=asked["product_id"],
            side=_one_of(asked["side"], "buy", "sell"),
            type=_one_of(asked["type"], "limit", "market"),
            size=_step("size", asked["size"]),
            price=_step("price", asked["price"]) if asked["type"] == "limit" else None,
            time_in_force=_one_of(asked.get("time_in_force", "GTC"), "GTC", "IOC", "FOK"),
            created_at=self.now,
            stop=_one_of(asked["stop"], "loss", "entry") if "stop" in asked else None,
            stop_price=_step("price", asked["stop_price"]) if "stop" in asked else None,
        )
        if order.stop is not None and (order.side == "sell") != (order.stop == "loss"):
            raise _RefusedError(400, "stop loss is for sells, stop entry for buys")
        self._require_funds(order)
        self._orders[order.id] = order
        self._match(order, liquidity="T")
        immediate = order.type == "market" or order.time_in_force in {"IOC", "FOK"}
        if order.status == "open" and immediate and (order.stop is None or order.triggered):
            self._end(order, "canceled")
        return order

    def _is_shown(self, order: StandInOrder) -> bool:
        return self.now >= order.created_at + self.visible_after

    @exactly
    def _needs(self, order: StandInOrder) -> tuple[str, Decimal]:
        """Return the currency, and how much of it, that the rest of an order would spend."""
        base, quote = order.product.split("-")
        price = order.price or self._price(order.product)
        return (base, order.leaves) if order.side == "sell" else (quote, order.leaves * price * (1 + TAKER))

    @exactly
    def _held(self, currency: str) -> Decimal:
        """Return how much of a currency orders hold: resting ones and, for `holds_after`, ended ones."""
        holding = [
            self._needs(order)
            for order in self._orders.values()
            if order.status == "open" or (order.done_at is not None and self.now < order.done_at + self.holds_after)
        ]
        return sum((amount for of, amount in holding if of == currency), ZERO)

    @exactly
    def _require_funds(self, order: StandInOrder) -> None:
        currency, needed = self._needs(order)
        if needed > self._balance(currency) - self._held(currency):
            raise _RefusedError(400, "Insufficient funds")

    @exactly
    def _balance(self, currency: str) -> Decimal:
        """Return a balance as it is shown, without unsettled trades."""
        found = self._balances.get(currency, ZERO)
        for fill in self._fills:
            if self.now < fill.at + self.settles_after:
                base, quote = fill.order.product.split("-")
                sign = 1 if fill.order.side == "buy" else -1
                if currency == base:
                    found -= sign * fill.size
                elif currency == quote:
                    found += sign * fill.size * fill.price + fill.fee
        return found

    def _match(self, order: StandInOrder, *, liquidity: str) -> None:
        price = self._price(order.product)
        if order.stop_price is not None and not order.triggered:
            order.triggered = price <= order.stop_price if order.stop == "loss" else price >= order.stop_price
            if not order.triggered:
                return
        crosses = order.price is None or (price <= order.price if order.side == "buy" else price >= order.price)
        if not crosses:
            return
        size = order.leaves if self.depth is None else min(order.leaves, self.depth)
        if order.time_in_force == "FOK" and size < order.leaves:
            return
        if size > 0:
            resting = liquidity == "M" and order.stop is None and order.price is not None
            self._trade(order, size, order.price if resting and order.price is not None else price, liquidity)

    @exactly
    def _trade(self, order: StandInOrder, size: Decimal, price: Decimal, liquidity: str) -> int:
        fee = to_places(size * price * (TAKER if liquidity == "T" else MAKER), 16)
        trade_id = 1000 + len(self._fills)
        self._fills.append(StandInFill(trade_id, order, size, price, fee, liquidity, self.now))
        base, quote = order.product.split("-")
        sign = 1 if order.side == "buy" else -1
        self._balances[base] = self._balances.get(base, ZERO) + sign * size
        self._balances[quote] = self._balances.get(quote, ZERO) - sign * size * price - fee
        order.filled += size
        if order.leaves <= 0 and order.status == "open":
            self._end(order, "filled")
        return trade_id

    def _end(self, order: StandInOrder, reason: str) -> None:
        order.status, order.done_reason, order.done_at = "done", reason, self.now

    def _cancel(self, order: StandInOrder) -> Reply:
        if order.status == "done":
            raise _RefusedError(400, "Order already done")
        self._end(order, "canceled")
        return _json(order.id)

    def _listed(self, query: Mapping[str, str]) -> Reply:
        product = query.get("product_id")
        found = [
            (number, o)
            for number, o in enumerate(self._orders.values())
            if o.status == "open" and product in {None, o.product} and self._is_shown(o)
        ]
        return page_of([(number, order_json(o)) for number, o in reversed(found)], query)

    def _transfers_listed(self, query: Mapping[str, str]) -> Reply:
        return page_of([(n, transfer_json(one)) for n, one in reversed(list(enumerate(self._transfers)))], query)

    def _fills_of(self, query: Mapping[str, str]) -> Reply:
        if "order_id" not in query and "product_id" not in query:
            raise _RefusedError(400, "product_id or order_id is required")
        found = [
            f
            for f in reversed(self._fills)
            if query.get("order_id") in {None, f.order.id}
            and query.get("product_id") in {None, f.order.product}
            and self.now >= f.at + self.fills_after
        ]
        return page_of([(f.trade_id, fill_json(f, settled=self.now >= f.at + self.settles_after)) for f in found], query)

    def _account(self, currency: str) -> dict[str, str]:
        balance, held = self._balance(currency), self._held(currency)
        return {
            "id": account_id(currency),
            "currency": currency,
            "balance": decimal_text(balance),
            "available": decimal_text(balance - held),
            "hold": decimal_text(held),
            "profile_id": str(uuid.uuid5(uuid.NAMESPACE_OID, "profile")),
        }

    def _price(self, product: str) -> Decimal:
        if product in self._prices:
            return self._prices[product]
        rows = self._rows(Symbol(product), self.now - 300 * ONE_MINUTE, self.now)
        if not rows:
            raise _RefusedError(400, "Trading pair not available")
        return to_places(Decimal(str(rows[0][4])), 2)

    @override
    def close(self) -> None:
        self.trading_faults.clear()
        super().close()


def _step(name: str, value: object) -> Decimal:
    number = Decimal(str(value))
    if not number.is_finite() or number <= 0:
        raise _RefusedError(400, f"{name} is too small")
    if number % STEP[name]:
        raise _RefusedError(400, f"{name} too precise")
    return number


def _one_of(value: str, *allowed: str) -> str:
    if value not in allowed:
        raise _RefusedError(400, f"Invalid value {value}")
    return value


def _json(value: Any) -> Reply:
    return Reply(200, json.dumps(value, allow_nan=False).encode())


def _message(status: int, message: str) -> Reply:
    return Reply(status, json.dumps({"message": message}).encode())


def _limited(fault: Fault[TradingFault]) -> Reply:
    body = json.dumps({"message": "Private rate limit exceeded"}).encode()
    return Reply(429, body, headers={"Retry-After": str(fault.retry_after)})


_BEFORE: Final[dict[TradingFault, Callable[[Fault[TradingFault]], Reply]]] = {
    TradingFault.SERVER_ERROR: lambda _: _message(500, "Internal server error"),
    TradingFault.DROPPED: lambda _: _DROP,
    TradingFault.RATE_LIMITED: _limited,
}
_AFTER: Final[dict[TradingFault, Reply]] = {
    TradingFault.SERVER_ERROR_AFTER: _message(500, "Internal server error"),
    TradingFault.LOST_ACKNOWLEDGEMENT: _DROP,
    TradingFault.TIMEOUT_AFTER: SILENCE,
    TradingFault.MALFORMED_AFTER: Reply(200, b"<html><body>upstream error</body></html>", "text/html"),
}
