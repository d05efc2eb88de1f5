"""A stand-in for the trade server behind a MetaTrader 5 terminal: one account with its orders, deals and positions in memory.

It is written from MetaQuotes' documentation of trade requests, return codes and symbol properties. It covers both margin modes
and what a server refuses: filling modes, steps and limits of volume, stops and freeze levels, trade modes, closed sessions,
requotes, closing more than a position holds. It can also act as another person at the account. The terminal itself is in mt5.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

from signalbox_mt5.retcodes import Retcode
from signalbox_mt5.terminal import (
    Action,
    DealEntry,
    DealKind,
    DealReason,
    ExpirationFlag,
    Filling,
    FillingFlag,
    Holding,
    MarginMode,
    OrderKind,
    OrderStatus,
    OrderTime,
    TradeExecution,
    TradeMode,
)

COMMISSION: Final = -3.5  # per lot and deal, with the terminal's sign
_BUYS: Final = frozenset({OrderKind.BUY, OrderKind.BUY_LIMIT, OrderKind.BUY_STOP})
_ABOVE: Final = frozenset({OrderKind.SELL_LIMIT, OrderKind.BUY_STOP})  # pending orders that rest above the price


@dataclass
class SymbolRules:
    """The properties that `symbol_info` returns for one symbol. Levels are in points of `tick`."""

    contract_size: float = 1.0
    volume_step: float = 0.01
    volume_min: float = 0.01
    volume_max: float = 100.0
    tick: float = 0.01
    trade_mode: int = TradeMode.FULL
    execution: int = TradeExecution.MARKET
    filling_mode: int = FillingFlag.FOK | FillingFlag.IOC
    expiration_mode: int = ExpirationFlag.GTC | ExpirationFlag.SPECIFIED
    stops_level: int = 0
    freeze_level: int = 0


class RefusedError(Exception):
    """The server refuses a request."""

    def __init__(self, code: Retcode) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass
class BrokerServer:
    """The trade server of a broker with one account. server_offset: the broker's clock minus UTC."""

    now: datetime
    prices: dict[str, tuple[float, float]]  # bid, ask by the broker's name
    server_offset: timedelta = timedelta(hours=3)
    margin_mode: int = MarginMode.HEDGING
    rules: dict[str, SymbolRules] = field(default_factory=dict)
    trading_allowed: bool = True  # for the account
    is_open: bool = True  # whether the session is open
    free_lots: float = 1e6  # lots that the free margin still allows
    deals_lag: bool = False  # new deals do not appear in the history yet
    copies_magic: bool = False  # a manual close carries the magic of its position, as on some servers
    _orders: list[Any] = field(default_factory=list)
    _past: list[Any] = field(default_factory=list)
    _deals: list[Any] = field(default_factory=list)
    _hidden: list[Any] = field(default_factory=list)
    _positions: list[Any] = field(default_factory=list)
    _tickets: int = 1000

    # Events at the broker, and actions of a person in the terminal

    def of(self, symbol: str) -> SymbolRules:
        """Return a symbol's rules, for reading or changing."""
        return self.rules.setdefault(symbol, SymbolRules())

    def deals(self) -> list[Any]:
        """Return every deal of the account, including those that the history does not show yet."""
        return [*self._deals, *self._hidden]

    def open_positions(self) -> list[Any]:
        """Return the open positions."""
        return list(self._positions)

    def all_orders(self) -> list[Any]:
        """Return every order that the server accepted."""
        return [*self._past, *self._orders]

    def trade(self, ticket: int, volume: float, price: float) -> int:
        """Fill a resting order with this volume, at most its rest. Return the deal's ticket."""
        return self._fill(self._resting(ticket), volume, price, None, DealReason.EXPERT)

    def expire(self, ticket: int) -> None:
        """End a resting order whose expiry has passed."""
        self._end(self._resting(ticket), OrderStatus.EXPIRED)

    def quote(self, symbol: str, bid: float, ask: float) -> None:
        """Change the price. Orders, stops and targets that it passes trade first."""
        self.prices[symbol] = (bid, ask)
        for position in [p for p in self._positions if p.symbol == symbol]:
            is_long = position.type == Holding.BUY
            price = bid if is_long else ask
            sign = 1 if is_long else -1
            for level, reason in ((position.sl, DealReason.SL), (position.tp, DealReason.TP)):
                is_past = (price - level) * sign <= 0 if reason is DealReason.SL else (price - level) * sign >= 0
                if level and is_past and position in self._positions:
                    self._close_by_server(position, price, reason)
        for order in [o for o in self._orders if o.symbol == symbol]:
            price = ask if order.type in _BUYS else bid
            if (price - order.price_open) * (1 if order.type in _ABOVE else -1) >= 0:
                self._fill(order, order.volume_current, price, None, DealReason.EXPERT)

    def person_trades(self, symbol: str, side: OrderKind, volume: float, magic: int = 0) -> int:
        """Trade by hand, or as another program with its own magic. Return the order's ticket."""
        order = self._new_order(
            {"symbol": symbol, "type": side, "volume": volume, "magic": magic, "price": self._price(symbol, side)}
        )
        self._orders.append(order)
        self._fill(order, volume, order.price_open, None, DealReason.CLIENT)
        return int(order.ticket)

    def person_closes(self, ticket: int, volume: float | None = None) -> None:
        """Close a position or part of it by hand."""
        position = next(p for p in self._positions if p.ticket == ticket)
        side = OrderKind.SELL if position.type == Holding.BUY else OrderKind.BUY
        amount = position.volume if volume is None else volume
        magic = position.magic if self.copies_magic else 0
        order = self._new_order(
            {
                "symbol": position.symbol,
                "type": side,
                "volume": amount,
                "magic": magic,
                "price": self._price(position.symbol, side),
            }
        )
        self._orders.append(order)
        self._fill(order, amount, order.price_open, position, DealReason.CLIENT)

    def person_rests(self, symbol: str, kind: OrderKind, volume: float, price: float) -> int:
        """Place a pending order by hand; return its ticket."""
        order = self._new_order({"symbol": symbol, "type": kind, "volume": volume, "magic": 0, "price": price})
        self._orders.append(order)
        return int(order.ticket)

    def person_moves(self, ticket: int, *, sl: float) -> None:
        """Move the stop of a position by hand."""
        next(p for p in self._positions if p.ticket == ticket).sl = sl

    def balance_operation(self, amount: float) -> int:
        """Book a deposit or a withdrawal, which is a deal but not a trade."""
        deal = SimpleNamespace(
            ticket=self._ticket(),
            type=int(DealKind.BALANCE),
            entry=int(DealEntry.IN),
            magic=0,
            order=0,
            position_id=0,
            reason=int(DealReason.CLIENT),
            profit=amount,
            symbol="",
            time_msc=self._server_ms(),
        )
        self._deals.append(deal)
        return int(deal.ticket)

    # The server

    def carry_out(self, request: Mapping[str, Any], *, half: bool) -> tuple[Retcode, int]:
        """Execute a trade request, with `half` only half of it, as in a thin market. Return the code and the ticket."""
        action = request["action"]
        if action == Action.REMOVE:
            return self._remove(request)
        if request.get("symbol") not in self.prices:
            raise RefusedError(Retcode.INVALID)
        rules = self.of(request["symbol"])
        if rules.trade_mode == TradeMode.DISABLED:
            raise RefusedError(Retcode.TRADE_DISABLED)
        if not self.is_open:
            raise RefusedError(Retcode.MARKET_CLOSED)
        if action == Action.SLTP:
            return self._set_levels(request)
        if action == Action.MODIFY:
            return self._modify(request)
        self._require_volume(request["volume"], rules)
        return self._pend(request, rules) if action == Action.PENDING else self._deal(request, rules, half=half)

    def _require_volume(self, volume: float, rules: SymbolRules) -> None:
        lots = Decimal(repr(volume))
        if not rules.volume_min <= volume <= rules.volume_max or lots % Decimal(repr(rules.volume_step)):
            raise RefusedError(Retcode.INVALID_VOLUME)

    def _require_levels(self, symbol: str, *, is_long: bool, sl: float, tp: float) -> None:
        """Check that the stop is on the losing side of the closing price, the target on the other, both `stops_level` away."""
        bid, ask = self.prices[symbol]
        price, sign = (bid, 1) if is_long else (ask, -1)
        near = self.of(symbol).stops_level * self.of(symbol).tick
        if (sl and (price - sl) * sign <= near) or (tp and (tp - price) * sign <= near):
            raise RefusedError(Retcode.INVALID_STOPS)

    def _require_unfrozen(self, symbol: str, level: float, price: float) -> None:
        frozen = self.of(symbol).freeze_level * self.of(symbol).tick
        if level and frozen and abs(price - level) <= frozen:
            raise RefusedError(Retcode.FROZEN)

    def _require_direction(self, kind: int, rules: SymbolRules) -> None:
        is_buy = kind in _BUYS
        if rules.trade_mode == TradeMode.CLOSE_ONLY:
            raise RefusedError(Retcode.CLOSE_ONLY)
        if rules.trade_mode == TradeMode.LONG_ONLY and not is_buy:
            raise RefusedError(Retcode.LONG_ONLY)
        if rules.trade_mode == TradeMode.SHORT_ONLY and is_buy:
            raise RefusedError(Retcode.SHORT_ONLY)

    def _require_filling(self, filling: int, rules: SymbolRules) -> None:
        if rules.execution in {TradeExecution.REQUEST, TradeExecution.INSTANT}:
            # this execution always fills or kills, whichever filling is named
            allowed = {Filling.FOK, Filling.IOC, Filling.RETURN}
        else:
            allowed = {
                f for f, flag in ((Filling.FOK, FillingFlag.FOK), (Filling.IOC, FillingFlag.IOC)) if rules.filling_mode & flag
            }
            if rules.execution == TradeExecution.EXCHANGE:
                allowed |= {Filling.RETURN}
        if filling not in allowed:
            raise RefusedError(Retcode.INVALID_FILL)

    def _deal(self, request: Mapping[str, Any], rules: SymbolRules, *, half: bool) -> tuple[Retcode, int]:
        self._require_filling(request["type_filling"], rules)
        kind, volume, symbol = OrderKind(request["type"]), request["volume"], request["symbol"]
        position = self._named_position(request)
        if position is None:
            closing = self._netted_against(symbol, kind)
            if closing < volume:
                self._require_direction(kind, rules)
            if volume - closing > self.free_lots:
                raise RefusedError(Retcode.NO_MONEY)
            self._require_levels(symbol, is_long=kind in _BUYS, sl=request.get("sl", 0.0), tp=request.get("tp", 0.0))
        price = self._price(symbol, kind)
        if rules.execution in {TradeExecution.INSTANT, TradeExecution.REQUEST} and request["price"] != price:
            raise RefusedError(Retcode.REQUOTE)
        order = self._new_order(request)
        if half and (
            request["type_filling"] == Filling.FOK or rules.execution in {TradeExecution.INSTANT, TradeExecution.REQUEST}
        ):
            order.state = int(OrderStatus.CANCELED)
            self._past.append(order)
            raise RefusedError(Retcode.REJECT)
        units = round(volume / rules.volume_step)
        filled = max(1, units // 2) * rules.volume_step if half else volume
        self._orders.append(order)
        self._fill(order, round(filled, 8), price, position, DealReason.EXPERT)
        if order in self._orders:  # an immediate order does not rest
            self._end(order, OrderStatus.CANCELED)
        return (Retcode.DONE_PARTIAL if order.volume_current else Retcode.DONE), int(order.ticket)

    def _named_position(self, request: Mapping[str, Any]) -> Any:
        ticket = request.get("position")
        if ticket is None:
            return None
        position = next((p for p in self._positions if p.ticket == ticket), None)
        if position is None:
            raise RefusedError(Retcode.POSITION_CLOSED)
        closes = OrderKind.SELL if position.type == Holding.BUY else OrderKind.BUY
        if request["type"] != closes or position.symbol != request["symbol"]:
            raise RefusedError(Retcode.INVALID)
        if request["volume"] > position.volume:
            raise RefusedError(Retcode.INVALID_CLOSE_VOLUME)
        return position

    def _netted_against(self, symbol: str, kind: OrderKind) -> float:
        if self.margin_mode == MarginMode.HEDGING:
            return 0.0
        against = Holding.SELL if kind in _BUYS else Holding.BUY
        return float(sum(p.volume for p in self._positions if p.symbol == symbol and p.type == against))

    def _pend(self, request: Mapping[str, Any], rules: SymbolRules) -> tuple[Retcode, int]:
        kind, symbol, price = OrderKind(request["type"]), request["symbol"], request["price"]
        self._require_direction(kind, rules)
        self._require_pending_price(kind, symbol, price)
        if request["type_time"] == OrderTime.SPECIFIED:
            if not rules.expiration_mode & ExpirationFlag.SPECIFIED or request["expiration"] * 1000 <= self._server_ms():
                raise RefusedError(Retcode.INVALID_EXPIRATION)
        elif not rules.expiration_mode & ExpirationFlag.GTC:
            raise RefusedError(Retcode.INVALID_EXPIRATION)
        order = self._new_order(request)
        self._orders.append(order)
        return Retcode.PLACED, int(order.ticket)

    def _require_pending_price(self, kind: OrderKind, symbol: str, price: float) -> None:
        bid, ask = self.prices[symbol]
        market = ask if kind in _BUYS else bid
        near = self.of(symbol).stops_level * self.of(symbol).tick
        if (price - market) * (1 if kind in _ABOVE else -1) <= near:
            raise RefusedError(Retcode.INVALID_PRICE)

    def _set_levels(self, request: Mapping[str, Any]) -> tuple[Retcode, int]:
        position = next((p for p in self._positions if p.ticket == request["position"]), None)
        if position is None:
            raise RefusedError(Retcode.POSITION_CLOSED)
        sl, tp = request.get("sl", 0.0), request.get("tp", 0.0)
        if (sl, tp) == (position.sl, position.tp):
            return Retcode.NO_CHANGES, 0
        bid, ask = self.prices[position.symbol]
        price = bid if position.type == Holding.BUY else ask
        self._require_unfrozen(position.symbol, position.sl, price)
        self._require_unfrozen(position.symbol, position.tp, price)
        self._require_levels(
            position.symbol,
            is_long=position.type == Holding.BUY,
            sl=sl if sl != position.sl else 0.0,
            tp=tp if tp != position.tp else 0.0,
        )
        position.sl, position.tp = sl, tp
        return Retcode.DONE, 0

    def _modify(self, request: Mapping[str, Any]) -> tuple[Retcode, int]:
        order = next((o for o in self._orders if o.ticket == request["order"]), None)
        if order is None:
            raise RefusedError(Retcode.INVALID)
        wanted = (request["price"], request.get("sl", 0.0), request.get("tp", 0.0))
        if wanted == (order.price_open, order.sl, order.tp):
            return Retcode.NO_CHANGES, int(order.ticket)
        bid, ask = self.prices[order.symbol]
        self._require_unfrozen(order.symbol, order.price_open, ask if order.type in _BUYS else bid)
        self._require_pending_price(OrderKind(order.type), order.symbol, request["price"])
        order.price_open, order.sl, order.tp = wanted
        return Retcode.DONE, int(order.ticket)

    def _remove(self, request: Mapping[str, Any]) -> tuple[Retcode, int]:
        order = next((o for o in self._orders if o.ticket == request["order"]), None)
        if order is None:
            raise RefusedError(Retcode.INVALID)
        bid, ask = self.prices[order.symbol]
        self._require_unfrozen(order.symbol, order.price_open, ask if order.type in _BUYS else bid)
        self._end(order, OrderStatus.CANCELED)
        return Retcode.DONE, int(order.ticket)

    # Orders, deals and positions

    def _close_by_server(self, position: Any, price: float, reason: DealReason) -> None:
        side = OrderKind.SELL if position.type == Holding.BUY else OrderKind.BUY
        order = self._new_order(
            {"symbol": position.symbol, "type": side, "volume": position.volume, "magic": position.magic, "price": price}
        )
        self._orders.append(order)
        self._fill(order, position.volume, price, position, reason)

    def _fill(self, order: Any, volume: float, price: float, position: Any, reason: DealReason) -> int:
        order.volume_current = round(order.volume_current - volume, 8)
        is_buy = order.type in _BUYS
        moved, entry = self._move(order, volume if is_buy else -volume, price, position)
        deal = SimpleNamespace(
            ticket=self._ticket(),
            order=order.ticket,
            magic=order.magic,
            symbol=order.symbol,
            type=int(DealKind.BUY if is_buy else DealKind.SELL),
            entry=int(entry),
            position_id=moved,
            reason=int(reason),
            volume=volume,
            price=price,
            commission=round(COMMISSION * volume, 4),
            fee=0.0,
            swap=0.0,
            profit=0.0,
            comment=order.comment,
            time_msc=self._server_ms(),
        )
        (self._hidden if self.deals_lag else self._deals).append(deal)
        if order.volume_current <= 0:
            self._end(order, OrderStatus.FILLED)
        return int(deal.ticket)

    def _move(self, order: Any, signed: float, price: float, position: Any) -> tuple[int, DealEntry]:
        """Change the position of a deal. Return its identifier and what the deal did to it."""
        found = position if position is not None else self._joined(order)
        if found is None:
            made = SimpleNamespace(
                ticket=order.ticket,
                identifier=order.ticket,
                magic=order.magic,
                symbol=order.symbol,
                type=int(Holding.BUY if signed > 0 else Holding.SELL),
                volume=abs(signed),
                price_open=price,
                sl=order.sl,
                tp=order.tp,
                comment=order.comment,
                time_msc=self._server_ms(),
            )
            self._positions.append(made)
            return int(made.identifier), DealEntry.IN
        before = found.volume if found.type == Holding.BUY else -found.volume
        total = round(before + signed, 8)
        if order.sl or order.tp:
            found.sl, found.tp = order.sl or found.sl, order.tp or found.tp
        found.type, found.volume = int(Holding.BUY if total > 0 else Holding.SELL), abs(total)
        if not total:
            self._positions.remove(found)
        if before * signed > 0:
            return int(found.identifier), DealEntry.IN
        return int(found.identifier), DealEntry.INOUT if before * total < 0 else DealEntry.OUT

    def _joined(self, order: Any) -> Any:
        """Return the position that an order's next deal changes: the symbol's one; when hedging, the order's own earlier one."""
        if self.margin_mode == MarginMode.HEDGING:
            return next((p for p in self._positions if p.identifier == order.ticket), None)
        return next((p for p in self._positions if p.symbol == order.symbol), None)

    def _resting(self, ticket: int) -> Any:
        return next(o for o in self._orders if o.ticket == ticket)

    def _end(self, order: Any, state: OrderStatus) -> None:
        order.state = int(state)
        self._orders.remove(order)
        self._past.append(order)

    def _new_order(self, request: Mapping[str, Any]) -> Any:
        return SimpleNamespace(
            ticket=self._ticket(),
            magic=request["magic"],
            symbol=request["symbol"],
            type=int(request["type"]),
            state=int(OrderStatus.PLACED),
            volume_initial=request["volume"],
            volume_current=request["volume"],
            price_open=request["price"],
            sl=request.get("sl", 0.0),
            tp=request.get("tp", 0.0),
            type_time=int(request.get("type_time", OrderTime.GTC)),
            time_expiration=request.get("expiration", 0),
            comment="broker's own",
            time_setup_msc=self._server_ms(),
        )

    def _price(self, symbol: str, side: OrderKind) -> float:
        bid, ask = self.prices[symbol]
        return ask if side in _BUYS else bid

    def _ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def _server_ms(self, at: datetime | None = None) -> int:
        return round(((at or self.now) + self.server_offset).timestamp() * 1000)

    def _within(self, at_ms: int, date_from: datetime, date_to: datetime) -> bool:
        return date_from.timestamp() * 1000 <= at_ms <= date_to.timestamp() * 1000
