"""A stand-in for a MetaTrader 5 terminal: the functions of its Python package that the agent calls, over one account in memory.

Return codes, order states, floats, and a broker's clock that is not UTC, as in https://www.mql5.com/en/docs/python_metatrader5.
A request that reduces a position on a hedging account names it; on a netting account volumes of a symbol add up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, Final

from signalbox_mt5.terminal import HEDGING, Action, Filling, OrderKind, OrderStatus, Retcode

COMMISSION: Final = -3.5  # a lot and deal, as the terminal writes it


class TerminalFault(StrEnum):
    """What the next `order_send` does instead."""

    REQUOTE = "REQUOTE"  # 10004, nothing done
    MARKET_CLOSED = "MARKET_CLOSED"
    NO_MONEY = "NO_MONEY"
    TOO_MANY = "TOO_MANY"
    TIMEOUT = "TIMEOUT"  # 10012, nothing done
    TIMEOUT_AFTER = "TIMEOUT_AFTER"  # done, then 10012
    NOTHING_AFTER = "NOTHING_AFTER"  # done, then None
    LOGOUT_AFTER = "LOGOUT_AFTER"  # done, then the terminal is logged in as nobody
    PARTIAL = "PARTIAL"  # half is filled, 10010


_REFUSALS: Final = {
    TerminalFault.REQUOTE: Retcode.REQUOTE,
    TerminalFault.MARKET_CLOSED: Retcode.MARKET_CLOSED,
    TerminalFault.NO_MONEY: Retcode.NO_MONEY,
    TerminalFault.TOO_MANY: Retcode.TOO_MANY_REQUESTS,
    TerminalFault.TIMEOUT: Retcode.TIMEOUT,
}


@dataclass
class TerminalStandIn:
    """One terminal, logged in. `server_offset`: the broker's clock minus UTC."""

    now: datetime
    prices: dict[str, tuple[float, float]]  # bid, ask by the broker's name
    server_offset: timedelta = timedelta(hours=3)
    margin_mode: int = HEDGING
    contract_size: float = 1.0
    faults: deque[TerminalFault] = field(default_factory=deque)
    sends: list[Mapping[str, Any]] = field(default_factory=list)
    login: int | None = 1  # None: nobody is logged in
    ticks_at: datetime | None = None  # of the newest price, where the market stands still
    silent: bool = False  # lists are None
    deals_lag: bool = False  # deals are not in the history yet
    _orders: list[Any] = field(default_factory=list)
    _past: list[Any] = field(default_factory=list)
    _deals: list[Any] = field(default_factory=list)
    _positions: list[Any] = field(default_factory=list)
    _tickets: int = 1000

    def account_info(self) -> Any:
        if self.login is None:
            return None
        return SimpleNamespace(login=self.login, currency="USD", margin_mode=self.margin_mode, equity=100_000.0)

    def symbol_select(self, symbol: str, enable: bool) -> bool:  # noqa: FBT001 - the package's signature
        return enable and symbol in self.prices

    def symbol_info(self, symbol: str) -> Any:
        if symbol not in self.prices:
            return None
        return SimpleNamespace(trade_contract_size=self.contract_size, volume_step=0.01, volume_min=0.01, trade_tick_size=0.01)

    def symbol_info_tick(self, symbol: str) -> Any:
        if symbol not in self.prices:
            return None
        bid, ask = self.prices[symbol]
        return SimpleNamespace(bid=bid, ask=ask, time_msc=self._server_ms(self.ticks_at))

    def order_send(self, request: Mapping[str, Any]) -> Any:
        self.sends.append(dict(request))
        fault = self.faults.popleft() if self.faults else None
        if fault in _REFUSALS:
            return SimpleNamespace(retcode=int(_REFUSALS[fault]), order=0, deal=0)
        if fault is TerminalFault.LOGOUT_AFTER:
            self.login = None
        if request["action"] == Action.REMOVE:
            return self._remove(request["order"])
        order = self._new_order(request)
        if request["action"] == Action.PENDING:
            self._orders.append(order)
            code = Retcode.PLACED
        else:
            code = self._deal(order, request, half=fault is TerminalFault.PARTIAL)
        if fault is TerminalFault.TIMEOUT_AFTER:
            return SimpleNamespace(retcode=int(Retcode.TIMEOUT), order=0, deal=0)
        return None if fault is TerminalFault.NOTHING_AFTER else SimpleNamespace(retcode=int(code), order=order.ticket)

    def orders_get(self) -> Sequence[Any] | None:
        return None if self.silent else tuple(self._orders)

    def positions_get(self) -> Sequence[Any] | None:
        return None if self.silent else tuple(self._positions)

    def history_orders_get(self, date_from: datetime, date_to: datetime) -> Sequence[Any] | None:
        return None if self.silent else tuple(o for o in self._past if self._within(o.time_setup_msc, date_from, date_to))

    def history_deals_get(self, date_from: datetime, date_to: datetime) -> Sequence[Any] | None:
        found = [] if self.deals_lag else self._deals
        return None if self.silent else tuple(d for d in found if self._within(d.time_msc, date_from, date_to))

    def last_error(self) -> Any:
        return (-10001, "IPC send failed") if self.silent else (1, "Success")

    def trade(self, ticket: int, volume: float, price: float) -> int:
        """Fill a resting order, in part or as far as it goes; return the deal's ticket."""
        order = next(o for o in self._orders if o.ticket == ticket)
        return self._fill(order, volume, price, position=None)

    def balance_operation(self, amount: float) -> None:
        """Book a deposit: a deal that is no trade."""
        self._deals.append(
            SimpleNamespace(ticket=self._ticket(), type=2, magic=0, order=0, profit=amount, time_msc=self._server_ms())
        )

    def _deal(self, order: Any, request: Mapping[str, Any], *, half: bool) -> Retcode:
        volume = round(order.volume_initial / 2, 2) if half else order.volume_initial
        if half and request["type_filling"] == Filling.FOK:
            order.state = int(OrderStatus.CANCELED)
            self._past.append(order)
            return Retcode.REJECT
        self._orders.append(order)
        self._fill(order, volume, request["price"], position=request.get("position"))
        if order in self._orders:  # an immediate order does not rest
            self._end(order, OrderStatus.CANCELED)
        return Retcode.DONE_PARTIAL if half else Retcode.DONE

    def _fill(self, order: Any, volume: float, price: float, *, position: int | None) -> int:
        order.volume_current = round(order.volume_current - volume, 8)
        buys = order.type in {OrderKind.BUY, OrderKind.BUY_LIMIT, OrderKind.BUY_STOP}
        deal = SimpleNamespace(
            ticket=self._ticket(),
            order=order.ticket,
            magic=order.magic,
            symbol=order.symbol,
            type=0 if buys else 1,
            volume=volume,
            price=price,
            commission=round(COMMISSION * volume, 2),
            fee=0.0,
            swap=0.0,
            profit=0.0,
            time_msc=self._server_ms(),
        )
        self._deals.append(deal)
        self._move(order.symbol, volume if buys else -volume, position)
        if order.volume_current <= 0:
            self._end(order, OrderStatus.FILLED)
        return int(deal.ticket)

    def _move(self, symbol: str, signed: float, ticket: int | None) -> None:
        if self.margin_mode == HEDGING and ticket is None:
            found = None
        else:
            found = next((p for p in self._positions if ticket in {None, p.ticket} and p.symbol == symbol), None)
        if found is None:
            side = 0 if signed > 0 else 1
            self._positions.append(SimpleNamespace(ticket=self._ticket(), symbol=symbol, type=side, volume=abs(signed)))
            return
        total = round((found.volume if found.type == 0 else -found.volume) + signed, 8)
        found.type, found.volume = (0 if total > 0 else 1), abs(total)
        if not total:
            self._positions.remove(found)

    def _remove(self, ticket: int) -> Any:
        order = next((o for o in self._orders if o.ticket == ticket), None)
        if order is None:
            return SimpleNamespace(retcode=int(Retcode.INVALID), order=ticket)
        self._end(order, OrderStatus.CANCELED)
        return SimpleNamespace(retcode=int(Retcode.DONE), order=ticket)

    def _end(self, order: Any, state: OrderStatus) -> None:
        order.state = int(state)
        self._orders.remove(order)
        self._past.append(order)

    def _new_order(self, request: Mapping[str, Any]) -> Any:
        if len(request["comment"]) > 31:
            raise ValueError("expected a comment of at most 31 characters")
        return SimpleNamespace(
            ticket=self._ticket(),
            magic=request["magic"],
            symbol=request["symbol"],
            type=int(request["type"]),
            state=int(OrderStatus.PLACED),
            volume_initial=request["volume"],
            volume_current=request["volume"],
            price_open=request["price"],
            comment="broker's own",
            time_setup_msc=self._server_ms(),
        )

    def _ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def _server_ms(self, at: datetime | None = None) -> int:
        return round(((at or self.now) + self.server_offset).timestamp() * 1000)

    def _within(self, at_ms: int, date_from: datetime, date_to: datetime) -> bool:
        return date_from.timestamp() * 1000 <= at_ms <= date_to.timestamp() * 1000
