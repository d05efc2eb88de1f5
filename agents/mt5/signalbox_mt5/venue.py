"""Orders at a MetaTrader 5 terminal. An order is found again by its magic number: the first 60 bits of our client order id.

The comment has 31 characters, one too few for our id, and a broker may write its own there; it holds the first 31 for people.
A send is looked for before and after: the history of the terminal is the truth, not the answer of `order_send`.

Netting and hedging accounts both work. Where several positions of a symbol may exist (hedging), an order that reduces closes
one position, and is refused when no single one is large enough; resting orders that reduce do not exist there.
Quantities of ours are in base currency; lots are that divided by the contract size. Swaps are not fills and are not reported.

Nothing is done, and nothing is told, while the terminal is logged in as somebody else than the account's own login. Once an
instruction went out, whatever the terminal refuses afterwards leaves it unknown, never refused. The broker's time zone is read
from prices that move; while none does it is the one of before, which the journal keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from signalbox.exact import ZERO, exactly
from signalbox.orders.messages import ExecutionRequested, VenueViewRequested
from signalbox.orders.terms import OrderTerms, OrderType, Side, TimeInForce
from signalbox.orders.venue_port import (
    CLOCK_SKEW,
    INSUFFICIENT_FUNDS,
    NOT_SUPPORTED,
    PRECISION,
    REFUSED,
    Standing,
    VenueBusyError,
    VenueRefusedError,
    VenueSilentError,
    VenueUnknownOrderError,
)
from signalbox.orders.venue_view import VenueOrder, VenueStatus, VenueTrade, VenueView
from signalbox_mt5.journal import Journal
from signalbox_mt5.terminal import (
    DEAL_BUY,
    DEAL_SELL,
    HEDGING,
    LATER,
    PRICE_MOVED,
    TOOK_IT,
    UNKNOWN,
    Action,
    Filling,
    OrderKind,
    OrderStatus,
    OrderTime,
    Retcode,
    Terminal,
    exact,
)

MAGIC_DIGITS: Final = 15  # hexadecimal: 60 bits, which fits the terminal's unsigned 64
COMMENT_LENGTH: Final = 31
PRICE_TRIES: Final = 3
ZONE_STEP: Final = timedelta(minutes=30)  # a broker's clock is a whole number of these from UTC
ZONES: Final = (timedelta(hours=-12), timedelta(hours=14))  # from UTC, on this earth; what is beyond is an old price
CLOCK_TOLERANCE: Final = timedelta(minutes=2)
LOGIN_RETRY: Final = 5  # seconds
HISTORY_MARGIN: Final = timedelta(days=2)  # around what is asked of the history, whatever zone the broker has
_STATUS: Final = {
    OrderStatus.CANCELED: VenueStatus.CANCELED,
    OrderStatus.FILLED: VenueStatus.FILLED,
    OrderStatus.REJECTED: VenueStatus.REJECTED,
    OrderStatus.EXPIRED: VenueStatus.EXPIRED,
}
_PENDING: Final = {
    (OrderType.LIMIT, Side.BUY): OrderKind.BUY_LIMIT,
    (OrderType.LIMIT, Side.SELL): OrderKind.SELL_LIMIT,
    (OrderType.STOP, Side.BUY): OrderKind.BUY_STOP,
    (OrderType.STOP, Side.SELL): OrderKind.SELL_STOP,
}
_LIMITS: Final = frozenset({OrderKind.BUY_LIMIT, OrderKind.SELL_LIMIT})
_STOPS: Final = frozenset({OrderKind.BUY_STOP, OrderKind.SELL_STOP})
_CODES: Final = {
    Retcode.NO_MONEY: INSUFFICIENT_FUNDS,
    Retcode.MARKET_CLOSED: "MARKET_CLOSED",
    Retcode.INVALID_VOLUME: PRECISION,
    Retcode.INVALID_PRICE: PRECISION,
}


def magic_of(client_order_id: str) -> int:
    """Return the magic number of an order of ours."""
    return int(client_order_id[:MAGIC_DIGITS], 16)


@dataclass(frozen=True, slots=True)
class _Contract:
    """How the terminal trades one symbol of ours."""

    ours: str
    name: str
    size: Decimal  # base currency of one lot
    step: Decimal  # of lots
    smallest: Decimal  # lots
    tick: Decimal


class TerminalVenue:
    """Venue over a terminal. symbols: the broker's name by ours, {"BTC-USD": "BTCUSD"}. One account, one thread.

    login: the terminal's own number of the account. While another one is logged in every call raises VenueBusyError.
    """

    def __init__(
        self, terminal: Terminal, *, login: int, symbols: Mapping[str, str], journal: Journal, clock: Callable[[], datetime]
    ) -> None:
        self._terminal, self._login, self._symbols, self._journal = terminal, login, symbols, journal
        self._clock = clock
        self._newest_price: int | None = None  # milliseconds of the broker's clock, as last looked at

    @property
    def forgets_unfilled(self) -> bool:
        return False

    def prepare(self, request: ExecutionRequested) -> None:
        terms = request.terms
        contract = self._contract(terms.symbol)
        self._require_exact(terms, contract)
        if terms.time_in_force is TimeInForce.IOC and terms.type is not OrderType.MARKET:
            raise VenueRefusedError(NOT_SUPPORTED, "a terminal has no resting order that trades at once or not at all")
        if terms.reduce_only and terms.type is not OrderType.MARKET and self._is_hedging():
            raise VenueRefusedError(NOT_SUPPORTED, "on a hedging account a resting order opens a position; reduce at the market")
        self._offset(contract)

    def submit(self, request: ExecutionRequested) -> Standing:
        found = self._look(request.client_order_id, request.terms.symbol)
        if found is not None:  # the journal was lost, or somebody handed the command on twice
            return found
        code = self._sent(request)
        for _ in range(PRICE_TRIES - 1):
            if code not in PRICE_MOVED or self._clock() >= request.terms.send_before:
                break
            code = self._sent(request)  # the broker says that it was not carried out at that price
        self._require_taken(code, request.client_order_id)
        return self._found_after(request)

    def find(self, request: ExecutionRequested) -> Standing:
        found = self._look(request.client_order_id, request.terms.symbol)
        if found is None:
            raise VenueUnknownOrderError(f"{request.client_order_id}: neither open nor in the history")
        return found

    def cancel(self, request: ExecutionRequested) -> Standing:
        standing = self.find(request)
        if standing.order.status is not VenueStatus.OPEN:
            return standing
        answer = self._terminal.order_send({"action": Action.REMOVE, "order": int(standing.order.venue_order_id)})
        if answer is None or answer.retcode in UNKNOWN:
            raise VenueSilentError(f"{request.client_order_id}: a cancel without an answer")
        return self._found_after(request)  # refused or done: the order itself says what it is

    def replace(self, request: ExecutionRequested) -> Standing:
        raise VenueRefusedError(NOT_SUPPORTED, f"{request.client_order_id}: cancel it and send another order")

    def view(self, request: VenueViewRequested) -> VenueView:
        asked_at = self._clock()
        contracts = {contract.name: contract for contract in map(self._contract, request.symbols)}
        self._require_login()  # also where no symbol was asked about
        names = {magic_of(name): name for name in (*self._journal.orders(request.account), *request.orders)}
        orders: dict[int, VenueOrder] = {}
        since = min(request.since, asked_at)
        live = self._listed(self._terminal.orders_get())
        past = self._history_orders(since - HISTORY_MARGIN)
        wanted = {magic_of(name) for name in request.orders}
        deals = [d for d in self._history_deals(since - HISTORY_MARGIN) if d.type in {DEAL_BUY, DEAL_SELL}]
        for order in live:
            orders[order.ticket] = self._order(order, self._of(contracts, order.symbol), names, open_=True)
        for order in past:
            if order.magic in wanted:
                orders[order.ticket] = self._order(order, self._of(contracts, order.symbol), names, open_=False)
        zone = self._zone_of_the_past() if deals else timedelta(0)
        trades = [self._trade(deal, self._of(contracts, deal.symbol), names, zone) for deal in deals]
        return VenueView(
            asked_at,
            tuple(orders.values()),
            tuple(trade for trade in trades if trade.executed_at >= request.since),
            self._positions(contracts),
        )

    def _found_after(self, request: ExecutionRequested) -> Standing:
        """Find an order that an instruction went out for. A refusal to tell is no refusal of what was asked before."""
        try:
            return self.find(request)
        except (VenueRefusedError, VenueBusyError) as error:
            raise VenueSilentError(f"{request.client_order_id}: sent, and then: {error}") from error

    def _look(self, name: str, symbol: str) -> Standing | None:
        contract, magic = self._contract(symbol), magic_of(name)
        since = self._clock() - timedelta(days=90)
        names = {magic: name}
        deals = [deal for deal in self._history_deals(since) if deal.magic == magic and deal.type in {DEAL_BUY, DEAL_SELL}]
        zone = self._zone_of_the_past() if deals else timedelta(0)
        trades = tuple(self._trade(deal, contract, names, zone) for deal in deals)
        for order in self._listed(self._terminal.orders_get()):
            if order.magic == magic:
                return Standing(self._order(order, contract, names, open_=True), trades)
        past = [order for order in self._history_orders(since) if order.magic == magic]
        if not past:
            return None
        return Standing(self._order(past[-1], contract, names, open_=False), trades, reason="")

    def _sent(self, request: ExecutionRequested) -> int | None:
        """Send once; return the return code, None for no answer."""
        asked = self._request(request)
        if request.terms.type is OrderType.MARKET:
            asked["price"] = self._market_price(request.terms)
        answer = self._terminal.order_send(asked)
        return None if answer is None else int(answer.retcode)

    def _request(self, request: ExecutionRequested) -> dict[str, Any]:
        terms, contract = request.terms, self._contract(request.terms.symbol)
        asked: dict[str, Any] = {
            "symbol": contract.name,
            "volume": float(_divided(terms.quantity, contract.size)),
            "magic": magic_of(request.client_order_id),
            "comment": request.client_order_id[:COMMENT_LENGTH],
            "type_time": OrderTime.GTC,
        }
        if terms.type is OrderType.MARKET:
            fok = terms.time_in_force is TimeInForce.FOK
            kind = OrderKind.BUY if terms.side is Side.BUY else OrderKind.SELL
            asked |= {"action": Action.DEAL, "type": kind, "type_filling": Filling.FOK if fok else Filling.IOC}
            if terms.reduce_only:
                asked |= self._reduced(terms, contract)
            return asked
        price = terms.limit_price if terms.limit_price is not None else terms.stop_price
        asked |= {"action": Action.PENDING, "type": _PENDING[terms.type, terms.side], "type_filling": Filling.RETURN}
        asked["price"] = float(price or ZERO)
        if terms.expires_at is not None:
            ends = terms.expires_at + self._offset(contract)
            asked |= {"type_time": OrderTime.SPECIFIED, "expiration": int(ends.timestamp())}
        return asked

    @exactly
    def _reduced(self, terms: OrderTerms, contract: _Contract) -> dict[str, Any]:
        """Return what ties an order to a position; a reduction larger than what is open is refused, never turned around."""
        side = 1 if terms.side is Side.BUY else 0  # POSITION_TYPE_BUY is 0: a sell reduces a long one
        fitting = [p for p in self._listed(self._terminal.positions_get()) if p.symbol == contract.name and p.type == side]
        large = [p for p in fitting if exact(p.volume) * contract.size >= terms.quantity]
        if not large:
            raise VenueRefusedError(
                "REDUCE_ONLY",
                f"{terms.symbol}: expected one open position of at least {terms.quantity}, was {len(fitting)} smaller",
            )
        return {"position": large[0].ticket} if self._is_hedging() else {}

    def _market_price(self, terms: OrderTerms) -> float:
        tick = self._terminal.symbol_info_tick(self._contract(terms.symbol).name)
        if tick is None:
            raise VenueRefusedError("NO_PRICE", f"{terms.symbol}: the terminal has no price")
        return float(tick.ask if terms.side is Side.BUY else tick.bid)

    def _require_taken(self, code: int | None, name: str) -> None:
        if code in TOOK_IT:
            return
        if code is None or code in UNKNOWN:
            raise VenueSilentError(f"{name}: return code {code}: it may have been carried out")
        if code in LATER:
            raise VenueBusyError(f"{name}: return code {code}", 1)
        known = {int(c) for c in Retcode}
        label = Retcode(code).name if code in known else str(code)
        raise VenueRefusedError(_CODES.get(Retcode(code), REFUSED) if code in known else REFUSED, f"{name}: {label}")

    @exactly
    def _require_exact(self, terms: OrderTerms, contract: _Contract) -> None:
        lots = _divided(terms.quantity, contract.size)
        if lots % contract.step or lots < contract.smallest:
            raise VenueRefusedError(
                PRECISION, f"{terms.symbol}: expected lots of {contract.step} from {contract.smallest}, was {lots}"
            )
        for price in (terms.limit_price, terms.stop_price):
            if price is not None and price % contract.tick:
                raise VenueRefusedError(PRECISION, f"{terms.symbol}: expected a price in steps of {contract.tick}, was {price}")

    def _contract(self, symbol: str) -> _Contract:
        name = self._symbols.get(symbol)
        if name is None:
            raise VenueRefusedError(NOT_SUPPORTED, f"{symbol}: not among the agent's symbols ({', '.join(self._symbols)})")
        account = self._require_login()
        self._terminal.symbol_select(name, True)  # noqa: FBT003 - the package's signature
        info = self._terminal.symbol_info(name)
        if info is None:
            raise VenueRefusedError(NOT_SUPPORTED, f"{symbol}: the terminal has no {name}")
        if account.currency != symbol.split("-")[1]:
            raise VenueRefusedError(NOT_SUPPORTED, f"{symbol}: the account is in {account.currency}, so fees would be too")
        return _Contract(
            symbol,
            name,
            exact(info.trade_contract_size),
            exact(info.volume_step),
            exact(info.volume_min),
            exact(info.trade_tick_size),
        )

    def _require_login(self) -> Any:
        """Return what the terminal says of the account. Raises VenueBusyError while it is not ours: a person may switch back."""
        account = self._terminal.account_info()
        if account is None or account.login != self._login:
            found = "nobody" if account is None else account.login
            raise VenueBusyError(f"expected the terminal logged in as {self._login}, was {found}", LOGIN_RETRY)
        return account

    def _of(self, contracts: Mapping[str, _Contract], name: str) -> _Contract:
        """Return the contract of something that is there; what nobody asked about is shown under the broker's name."""
        return contracts.get(name) or _Contract(name, name, Decimal(1), ZERO, ZERO, ZERO)

    def _offset(self, contract: _Contract) -> timedelta:
        """Return the broker's clock minus UTC. Raises VenueRefusedError unless the symbol has a price of now."""
        tick = self._terminal.symbol_info_tick(contract.name)
        if tick is None:
            raise VenueRefusedError("NO_PRICE", f"{contract.ours}: the terminal has no price")
        ahead, zone = self._ahead(tick.time_msc), self._zone()
        if zone is None or abs(ahead - zone) > CLOCK_TOLERANCE:
            raise VenueRefusedError(
                CLOCK_SKEW,
                f"{contract.ours}: the newest price is not of now in any time zone of the broker's: the market is closed, the"
                " terminal lost its connection, or this machine's clock is wrong",
            )
        return zone

    def _ahead(self, broker_ms: int) -> timedelta:
        return datetime.fromtimestamp(broker_ms / 1000, UTC) - self._clock()

    def _zone(self) -> timedelta | None:
        """Return the broker's clock minus UTC: what the newest price of all symbols says, else what one said before, else None.

        A price that stands still looks like a zone further west every half hour, so a zone behind the known one is believed
        only of a price that moved since the last look, as when the broker's summer ends.
        """
        ticks = (self._terminal.symbol_info_tick(name) for name in self._symbols.values())
        newest = max((int(tick.time_msc) for tick in ticks if tick is not None), default=None)
        known = self._journal.zone
        if newest is None:
            return known
        moved = self._newest_price is not None and newest > self._newest_price
        self._newest_price = newest
        ahead = self._ahead(newest)
        said = ZONE_STEP * round(ahead / ZONE_STEP)
        if abs(ahead - said) > CLOCK_TOLERANCE or not ZONES[0] <= said <= ZONES[1]:
            return known
        if known is not None and said < known and not moved:
            return known
        self._journal.keep_zone(said)
        return said

    def _zone_of_the_past(self) -> timedelta:
        """Return the zone that the times of deals are in. Raises VenueSilentError where no price has ever told it."""
        zone = self._zone()
        if zone is None:
            raise VenueSilentError(
                "no price is of now and none was before: the broker's time zone, so when deals were, is unknown"
            )
        return zone

    def _is_hedging(self) -> bool:
        account = self._terminal.account_info()
        return account is None or account.margin_mode == HEDGING

    @exactly
    def _order(self, order: Any, contract: _Contract, names: Mapping[int, str], *, open_: bool) -> VenueOrder:
        price = exact(order.price_open)
        left = exact(order.volume_current)  # of the order itself: its deals may come into the history later
        status = VenueStatus.OPEN if open_ else _STATUS.get(order.state, VenueStatus.CANCELED)
        return VenueOrder(
            client_order_id=names.get(order.magic),
            venue_order_id=str(order.ticket),
            symbol=contract.ours,
            status=VenueStatus.CANCELED if status is VenueStatus.FILLED and left else status,
            quantity=exact(order.volume_initial) * contract.size,
            filled=(exact(order.volume_initial) - left) * contract.size,
            limit_price=price if order.type in _LIMITS else None,
            stop_price=price if order.type in _STOPS else None,
        )

    @exactly
    def _trade(self, deal: Any, contract: _Contract, names: Mapping[int, str], zone: timedelta) -> VenueTrade:
        return VenueTrade(
            trade_id=str(deal.ticket),
            client_order_id=names.get(deal.magic),
            symbol=contract.ours,
            side=Side.BUY if deal.type == DEAL_BUY else Side.SELL,
            quantity=exact(deal.volume) * contract.size,
            price=exact(deal.price),
            executed_at=datetime.fromtimestamp(deal.time_msc / 1000, UTC) - zone,
            fee=-(exact(deal.commission) + exact(deal.fee)),  # the terminal writes costs as negative amounts
        )

    @exactly
    def _positions(self, contracts: Mapping[str, _Contract]) -> dict[str, Decimal]:
        found: dict[str, Decimal] = {}
        for position in self._listed(self._terminal.positions_get()):
            contract = self._of(contracts, position.symbol)
            signed = exact(position.volume) * contract.size * (1 if position.type == 0 else -1)
            found[contract.ours] = found.get(contract.ours, ZERO) + signed
        return {symbol: amount for symbol, amount in found.items() if amount}

    def _history_orders(self, since: datetime) -> list[Any]:
        return self._listed(self._terminal.history_orders_get(since, self._clock() + HISTORY_MARGIN))

    def _history_deals(self, since: datetime) -> list[Any]:
        return self._listed(self._terminal.history_deals_get(since, self._clock() + HISTORY_MARGIN))

    def _listed(self, found: Any) -> list[Any]:
        if found is None:
            raise VenueSilentError(f"the terminal does not answer: {self._terminal.last_error()}")
        return list(found)


def _divided(quantity: Decimal, size: Decimal) -> Decimal:
    """Return quantity / size where that is exact, else VenueRefusedError."""
    lots = (quantity / size).normalize()
    if lots * size != quantity:
        raise VenueRefusedError(PRECISION, f"expected a multiple of the contract size {size}, was {quantity}")
    return lots
