"""Orders at a MetaTrader 5 terminal, on netting and on hedging accounts.

An order is looked up before and after it is sent: the terminal's history is the truth, not the answer of `order_send`. An order
of the ledger is one or several orders of the terminal with the same magic number (book.py), or a level of a position (levels.py).
The ledger nets its holdings of a symbol; a hedging account does not. A market order therefore first closes our positions on the
other side, each by its ticket and as few as possible; the rest opens a position. An order that only reduces opens nothing: it
closes positions of the entry it names, or any of ours if it names none; a missing quantity is not closed. Every close names its
position, on both kinds of accounts, so the broker refuses a close that would reverse it.
An order that opens risk is checked before it is sent: symbol, size, price, and that the price is current. An order that reduces
is not: it is rounded down to what can be traded and sent, however old the newest price is. Nothing is done or reported while the
terminal is disconnected or logged in to another account. After an instruction was sent, a later refusal by the terminal makes its
outcome unknown, never refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from signalbox.exact import ZERO
from signalbox.orders.execution import require_portable, view_report
from signalbox.orders.messages import ExecutionRequested, VenueViewRequested
from signalbox.orders.terms import OrderTerms, OrderType, Side, TimeInForce
from signalbox.orders.venue_port import (
    NOT_SUPPORTED,
    SETTLE,
    OrderStatusReport,
    VenueBusyError,
    VenueRefusedError,
    VenueSilentError,
    VenueUnknownOrderError,
)
from signalbox.orders.venue_view import VenueStatus, VenueView
from signalbox_mt5.account_view import AccountViewQuery
from signalbox_mt5.book import TerminalBook, magic_of
from signalbox_mt5.bounded_terminal import BoundedTerminal
from signalbox_mt5.broker_clock import BrokerClock
from signalbox_mt5.contracts import BELOW_MINIMUM, Contract
from signalbox_mt5.journal import Journal
from signalbox_mt5.levels import REDUCE_ONLY, PositionLevels, Wanted, kind_of
from signalbox_mt5.retcodes import Outcome
from signalbox_mt5.sending import ask, ask_at_price
from signalbox_mt5.terminal import Action, Filling, Holding, OrderKind, OrderTime, Terminal

logger = logging.getLogger("signalbox.mt5_agent")
COMMENT_LENGTH: Final = 31
READY_RETRY: Final = 5  # seconds, while the terminal is closed, disconnected or logged in to another account
SETTLING_RETRY: Final = 1
PARTLY_CLOSED: Final = "PARTLY_CLOSED"
_UNREADABLE: Final = (ValueError, TypeError, LookupError, ArithmeticError)  # pydantic's ValidationError is a ValueError
_PENDING: Final = {
    (OrderType.LIMIT, Side.BUY): OrderKind.BUY_LIMIT,
    (OrderType.LIMIT, Side.SELL): OrderKind.SELL_LIMIT,
    (OrderType.STOP, Side.BUY): OrderKind.BUY_STOP,
    (OrderType.STOP, Side.SELL): OrderKind.SELL_STOP,
}


P = ParamSpec("P")
R = TypeVar("R")


def _silent_if_unreadable(method: Callable[P, R]) -> Callable[P, R]:
    """Take what no code here can read, or no report can carry, for silence: an instruction may have been carried out."""

    @wraps(method)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            found = method(*args, **kwargs)
            if isinstance(found, OrderStatusReport):
                require_portable(found)
        except _UNREADABLE as error:
            logger.exception("the terminal's answer cannot be read")
            raise VenueSilentError(f"the terminal's answer cannot be read: {type(error).__name__}: {error}") from error
        return found

    return asked


class TerminalVenue:
    """Venue over a terminal, for one account in one thread.

    symbols: the broker's name by ours, {"BTC-USD": "BTCUSD"}. login: the account's number at the terminal. While the terminal is
    logged in to another account, every call raises VenueBusyError.
    """

    def __init__(
        self, terminal: Terminal, *, login: int, symbols: Mapping[str, str], journal: Journal, clock: Callable[[], datetime]
    ) -> None:
        self._terminal, self._login, self._symbols, self._journal = BoundedTerminal(terminal), login, symbols, journal
        self._clock = clock
        self._broker = BrokerClock(self._terminal, symbols.values(), journal, clock)
        self._levels = PositionLevels(self._terminal, journal)
        self._doubts: dict[str, datetime] = {}  # market orders of which a part is unknown, and since when

    @property
    def forgets_unfilled(self) -> bool:
        return False

    @_silent_if_unreadable
    def prepare(self, request: ExecutionRequested) -> None:
        terms = request.terms
        contract = self._contract(terms.symbol)
        for price in (terms.limit_price, terms.stop_price):
            contract.require_price(price)
        if terms.reduce_only:
            return
        contract.require_openable(terms)
        for price in (request.stop_loss, request.take_profit):
            contract.require_price(price)
        if terms.type is OrderType.MARKET:
            contract.immediate(terms.time_in_force)
        else:
            contract.require_expiry(terms)
        self._broker.now(contract.name)

    @_silent_if_unreadable
    def submit(self, request: ExecutionRequested) -> OrderStatusReport:
        terms = request.terms
        contract = self._contract(terms.symbol)
        if kind_of(terms) is not None:
            return self._submit_level(request, contract)
        try:
            found = self._query(request, contract)
        except VenueSilentError as error:  # nothing was sent yet
            raise VenueBusyError(str(error), SETTLING_RETRY) from error
        if found is not None and (found.trades or found.order.status is not VenueStatus.REJECTED):
            return found  # the journal was lost, or the command was delivered twice
        if terms.type is OrderType.MARKET:
            why = self._trade_now(request, contract)
        else:
            ask(self._terminal, self._pending(request, contract)).require_taken(request.client_order_id)
            why = ""
        status_report = self._found_after(request)
        if not why:
            return status_report
        return OrderStatusReport(replace(status_report.order, detail=why), status_report.trades, PARTLY_CLOSED)

    @_silent_if_unreadable
    def find(self, request: ExecutionRequested) -> OrderStatusReport:
        contract = self._contract(request.terms.symbol)
        if kind_of(request.terms) is None:
            found = self._query(request, contract)
        else:
            book = self._book()
            protection = self._levels.known(Wanted.by(request), book, contract)
            found = None if protection is None else self._levels.status_report(protection, book, contract)
        if found is None:
            raise VenueUnknownOrderError(f"{request.client_order_id}: no such order is open or in the terminal's history")
        return found

    @_silent_if_unreadable
    def cancel(self, request: ExecutionRequested) -> OrderStatusReport:
        contract = self._contract(request.terms.symbol)
        status_report = self._found_before(request)
        if status_report.order.status is not VenueStatus.OPEN:
            return status_report
        if kind_of(request.terms) is not None:
            protection = self._journal.protections[request.client_order_id]
            self._levels.take_away(protection, self._book())
            return self._found_after(request)
        for order in self._book().orders_of(request.client_order_id)[0]:
            reply = ask(self._terminal, {"action": Action.REMOVE, "order": order.ticket, "symbol": contract.name})
            if reply.outcome is Outcome.UNKNOWN or reply.outcome is Outcome.LATER:
                reply.require_taken(request.client_order_id)
        return self._found_after(request)  # done or refused, the order itself shows its state

    @_silent_if_unreadable
    def replace(self, request: ExecutionRequested) -> OrderStatusReport:
        contract = self._contract(request.terms.symbol)
        for price in (request.limit_price, request.stop_price):
            contract.require_price(price)
        if request.quantity is not None and kind_of(request.terms) is None:
            contract.require_openable(request.terms.model_copy(update={"quantity": request.quantity}))
        status_report = self._found_before(request)
        if status_report.order.status is not VenueStatus.OPEN:
            return status_report
        if kind_of(request.terms) is not None:
            self._move_level(request, contract)
        else:
            self._modify(request, contract, status_report)
        return self._found_after(request)

    @_silent_if_unreadable
    def view(self, request: VenueViewRequested) -> VenueView:
        account, asked_at = self._ready(), self._clock()
        contracts = self._contracts(request.symbols)
        try:
            found = AccountViewQuery(
                self._book(), self._levels, self._journal, self._broker, contracts, request, asked_at, self._doubtful()
            ).view(account)
            view_report(request, found)  # raises if a product is more than a report can carry
            return found  # noqa: TRY300 - both steps may fail alike
        except VenueSilentError as error:  # nothing was sent, so the query can be repeated
            raise VenueBusyError(str(error), SETTLING_RETRY) from error

    # Orders

    def _submit_level(self, request: ExecutionRequested, contract: Contract) -> OrderStatusReport:
        wanted = Wanted.by(request)
        try:
            book = self._book()
            if self._levels.known(wanted, book, contract) is None:
                self._levels.put(wanted, book, contract)
        except VenueSilentError as error:
            raise VenueBusyError(str(error), SETTLING_RETRY) from error
        except VenueRefusedError as error:
            if error.code != "POSITION_CLOSED":
                raise
            self._levels.put(wanted, self._book(), contract)  # the position was closed meanwhile, perhaps by this level
        return self._found_after(request)

    def _move_level(self, request: ExecutionRequested, contract: Contract) -> None:
        protection = self._journal.protections[request.client_order_id]
        wanted = Wanted(
            protection.client_order_id,
            protection.entry,
            protection.kind,
            request.stop_price or request.limit_price or protection.price,
            request.quantity or protection.quantity,
        )
        self._levels.put(wanted, self._book(), contract)

    def _modify(self, request: ExecutionRequested, contract: Contract, status_report: OrderStatusReport) -> None:
        """Change a resting order and keep its levels and expiry. MT5 cannot change a volume, so a new order replaces it."""
        price = request.limit_price or request.stop_price
        for order in self._book().orders_of(request.client_order_id)[0]:
            wanted = {
                "symbol": contract.name,
                "price": order.price_open if price is None else float(price),
                "sl": order.sl,
                "tp": order.tp,
                "type_time": order.type_time,
                "expiration": order.time_expiration,
            }
            if request.quantity in {None, status_report.order.quantity}:
                ask(self._terminal, wanted | {"action": Action.MODIFY, "order": order.ticket}).require_taken(
                    request.client_order_id
                )
            else:
                ask(self._terminal, {"action": Action.REMOVE, "order": order.ticket, "symbol": contract.name}).require_taken(
                    request.client_order_id
                )
                self._succeed(request, contract, wanted | {"type": order.type})

    def _succeed(self, request: ExecutionRequested, contract: Contract, wanted: dict[str, Any]) -> None:
        """Place a new order for the rest of one that was removed to change its size. From then on a failure means unknown."""
        try:
            done = self.find(request)
            if done.order.status is VenueStatus.OPEN:
                raise VenueSilentError(f"{request.client_order_id}: still open after it was removed")
            rest = contract.lots((request.quantity or done.order.quantity) - done.order.filled)
            if rest > 0:
                asked = self._named(request, contract, rest) | wanted | {"action": Action.PENDING, "type_filling": Filling.RETURN}
                ask(self._terminal, asked).require_taken(request.client_order_id)
        except (VenueRefusedError, VenueBusyError, VenueUnknownOrderError) as error:
            raise VenueSilentError(f"{request.client_order_id}: removed, but its replacement was not placed: {error}") from error

    def _trade_now(self, request: ExecutionRequested, contract: Contract) -> str:
        """Close our positions on the other side, then open the rest. Return why not all of it was sent, or an empty string."""
        terms = request.terms
        wanted = contract.lots(terms.quantity)
        self._journal.ask(request.client_order_id, terms.quantity)
        try:
            closes = self._closes(request, contract, wanted)
        except VenueSilentError as error:
            raise VenueBusyError(str(error), SETTLING_RETRY) from error
        if terms.reduce_only and not closes:
            raise self._nothing_to_close(terms, contract, wanted)
        orders = [(position, part) for position, lots in closes for part in _parts(lots, contract.largest)]
        rest = ZERO if terms.reduce_only else wanted - sum((lots for _, lots in closes), ZERO)
        try:
            sent, refused = self._deals(request, contract, [*orders, (None, rest)] if rest else orders)
        except VenueSilentError:
            self._doubts[request.client_order_id] = self._clock()
            raise
        if refused is not None and not sent:
            raise refused
        if refused is not None:
            return str(refused)
        is_whole = contract.base(sent) == terms.quantity
        return "" if is_whole else f"{contract.base(sent)} of {terms.quantity} was sent"

    def _deals(
        self, request: ExecutionRequested, contract: Contract, orders: Sequence[tuple[Any, Decimal]]
    ) -> tuple[Decimal, VenueRefusedError | VenueBusyError | None]:
        """Send the orders one after the other. Return the lots that were accepted, and the first refusal."""
        sent, refused = ZERO, None
        for position, lots in orders:
            if position is None and refused is not None:
                break  # do not open a position beside one that could not be closed
            try:
                self._deal(request, contract, lots, position)
            except (VenueRefusedError, VenueBusyError) as error:
                refused = refused or error
            else:
                sent += lots
        return sent, refused

    def _deal(self, request: ExecutionRequested, contract: Contract, lots: Decimal, position: Any) -> None:
        terms = request.terms
        asked = self._named(request, contract, lots) | {
            "action": Action.DEAL,
            "type": OrderKind.BUY if terms.side is Side.BUY else OrderKind.SELL,
            "type_filling": contract.immediate(TimeInForce.IOC if terms.reduce_only else terms.time_in_force),
            "type_time": OrderTime.GTC,
        }
        asked |= {"position": position.ticket} if position is not None else self._levels_of_entry(request, contract)
        reply = ask_at_price(
            self._terminal, asked, lambda: self._price(terms, contract), clock=self._clock, before=terms.send_before
        )
        reply.require_taken(request.client_order_id)

    def _closes(self, request: ExecutionRequested, contract: Contract, wanted: Decimal) -> list[tuple[Any, Decimal]]:
        """Return the positions that a market order closes, and how many lots of each."""
        terms, book = request.terms, self._book()
        if not terms.reduce_only and not book.is_hedging:
            return []  # netting account: the broker nets the one position
        against = Holding.BUY if terms.side is Side.SELL else Holding.SELL
        if request.entry is not None:
            open_ = book.positions_of_entry(request.entry, contract.name)
        else:
            open_ = [position for position in book.positions() if position.symbol == contract.name]
        own = {p.ticket: book.own_lots(p) for p in open_ if p.type == against}
        mine = [(p, own[p.ticket]) for p in open_ if own.get(p.ticket)]
        guarded = {i for p in self._journal.protections.values() if not p.is_released for i in p.positions}
        free = [(p, lots) for p, lots in mine if p.identifier not in guarded]
        enough = request.entry is None and sum((lots for _, lots in free), ZERO) >= wanted
        return _fewest(free if enough else mine, wanted)

    def _nothing_to_close(self, terms: OrderTerms, contract: Contract, wanted: Decimal) -> VenueRefusedError:
        if not wanted:
            return VenueRefusedError(
                BELOW_MINIMUM, f"{terms.symbol}: {terms.quantity} is less than one step of {contract.base(contract.step)}"
            )
        return VenueRefusedError(REDUCE_ONLY, f"{terms.symbol}: we have no open position that a {terms.side} reduces")

    def _pending(self, request: ExecutionRequested, contract: Contract) -> dict[str, Any]:
        terms = request.terms
        price = terms.limit_price if terms.limit_price is not None else terms.stop_price
        asked = self._named(request, contract, contract.lots(terms.quantity)) | self._levels_of_entry(request, contract)
        asked |= {
            "action": Action.PENDING,
            "type": _PENDING[terms.type, terms.side],
            "type_filling": Filling.RETURN,
            "type_time": OrderTime.GTC,
            "price": float(price or ZERO),
        }
        if terms.expires_at is not None:
            ends = terms.expires_at + self._broker.now(contract.name)
            asked |= {"type_time": OrderTime.SPECIFIED, "expiration": int(ends.timestamp())}
        return asked

    def _named(self, request: ExecutionRequested, contract: Contract, lots: Decimal) -> dict[str, Any]:
        return {
            "symbol": contract.name,
            "volume": float(lots),
            "magic": magic_of(request.client_order_id),
            "comment": request.client_order_id[:COMMENT_LENGTH],
        }

    def _levels_of_entry(self, request: ExecutionRequested, contract: Contract) -> dict[str, float]:
        """Return stop and target of an entry; none if a netted position exists already, because they would apply to all of it."""
        levels = {"sl": request.stop_loss, "tp": request.take_profit}
        book = self._book()
        if not book.is_hedging and any(p.symbol == contract.name for p in book.positions()):
            return {}
        return {name: float(price) for name, price in levels.items() if price is not None}

    def _price(self, terms: OrderTerms, contract: Contract) -> float:
        tick = self._terminal.symbol_info_tick(contract.name)
        if tick is None:
            raise VenueBusyError(f"{terms.symbol}: the terminal has no price", READY_RETRY)
        try:
            return float(tick.ask if terms.side is Side.BUY else tick.bid)
        except VenueSilentError as error:  # nothing was sent yet
            raise VenueBusyError(f"{terms.symbol}: {error}", READY_RETRY) from error

    def _query(self, request: ExecutionRequested, contract: Contract) -> OrderStatusReport | None:
        book = self._book()
        live, past = book.orders_of(request.client_order_id)
        if not live and not past:
            return None
        asked = request.terms.quantity if request.terms.type is OrderType.MARKET else None
        trades = tuple(book.trade(deal, request.client_order_id, contract) for deal in book.deals_of(request.client_order_id))
        order = book.order(request.client_order_id, [*live, *past], contract, asked)
        if request.client_order_id in self._doubtful() and order.filled < order.quantity:
            raise VenueSilentError(
                f"{request.client_order_id}: {order.filled} of {order.quantity} is filled; the result of the rest is unknown yet"
            )
        return OrderStatusReport(order, trades)

    def _doubtful(self) -> set[str]:
        """Return the market orders of which a part was sent without an answer and may not show in the history yet."""
        self._doubts = {name: since for name, since in self._doubts.items() if self._clock() < since + SETTLE}
        return set(self._doubts)

    def _found_before(self, request: ExecutionRequested) -> OrderStatusReport:
        """Look up an order before changing it. If the terminal does not answer, nothing was done yet."""
        try:
            return self.find(request)
        except VenueSilentError as error:
            raise VenueBusyError(str(error), SETTLING_RETRY) from error

    def _found_after(self, request: ExecutionRequested) -> OrderStatusReport:
        """Look up an order after an instruction was sent. A failure here does not mean that the instruction was refused."""
        try:
            return self.find(request)
        except (VenueRefusedError, VenueBusyError, VenueUnknownOrderError) as error:  # the history may be a moment late
            raise VenueSilentError(
                f"{request.client_order_id}: the instruction was sent, but its result cannot be read: {error}"
            ) from error

    # The terminal

    def _book(self) -> TerminalBook:
        return TerminalBook(self._terminal, self._broker, self._clock, self._ready().margin_mode)

    def _contract(self, symbol: str) -> Contract:
        """Return a symbol's contract. Raises VenueBusyError until the terminal shows all of it, as before it is loaded."""
        account = self._ready()
        name = self._symbols.get(symbol)
        if name is None:
            raise VenueRefusedError(NOT_SUPPORTED, f"{symbol}: not in the agent's symbols ({', '.join(self._symbols)})")
        self._terminal.symbol_select(name, True)  # noqa: FBT003 - the package's signature
        info = self._terminal.symbol_info(name)
        if info is None:
            raise VenueRefusedError(NOT_SUPPORTED, f"{symbol}: the terminal has no {name}: {self._terminal.last_error()}")
        if account.currency != symbol.split("-")[1]:
            raise VenueRefusedError(
                NOT_SUPPORTED, f"{symbol}: expected an account in the quote currency, got one in {account.currency}"
            )
        try:
            contract = Contract.of(symbol, name, info)
        except ValueError as error:  # a mode that this code does not know
            raise VenueRefusedError(NOT_SUPPORTED, f"{symbol}: {error}") from error
        except VenueSilentError as error:  # nothing was sent yet
            raise VenueBusyError(f"{symbol}: {error}", READY_RETRY) from error
        if not contract.size or not contract.step:
            raise VenueBusyError(f"{symbol}: the terminal shows a contract size or a volume step of zero", READY_RETRY)
        return contract

    def _contracts(self, symbols: Sequence[str]) -> dict[str, Contract]:
        """Return the contracts for a view, by the broker's names. Symbols that are not traded here are left out."""
        found = {}
        for symbol in symbols:
            try:
                contract = self._contract(symbol)
            except VenueRefusedError as error:
                logger.info("symbol left out of the view: %s", error)
            else:
                found[contract.name] = contract
        return found

    def _ready(self) -> Any:
        """Return the terminal's account. Raises VenueBusyError while there is none, or another account is logged in.

        A disconnected terminal shows outdated data, and a person may log in to another account and back.
        """
        terminal = self._terminal.terminal_info()
        if terminal is None or not terminal.connected:
            found = "is not running" if terminal is None else "has no connection to its server"
            raise VenueBusyError(f"the terminal {found} (last error {self._terminal.last_error()})", READY_RETRY)
        account = self._terminal.account_info()
        if account is None or account.login != self._login:
            found = "nobody" if account is None else account.login
            raise VenueBusyError(f"expected the terminal to be logged in as {self._login}, got {found}", READY_RETRY)
        return account


def _fewest(positions: Sequence[tuple[Any, Decimal]], wanted: Decimal) -> list[tuple[Any, Decimal]]:
    """Return the fewest positions that together hold `wanted` lots, and the lots of each; all of them if they hold less."""
    large = sorted(positions, key=lambda one: (one[1], one[0].ticket))
    single = next((one for one in large if one[1] >= wanted), None)
    chosen: list[tuple[Any, Decimal]] = []
    left = wanted
    for position, lots in [single] if single is not None else reversed(large):
        if left > 0:
            chosen.append((position, min(lots, left)))
            left -= lots
    return chosen


def _parts(lots: Decimal, largest: Decimal) -> list[Decimal]:
    """Return the lots split into parts that a single order may have."""
    parts: list[Decimal] = []
    while largest and lots > largest:
        parts.append(largest)
        lots -= largest
    return [*parts, lots]
