"""A stand-in for a MetaTrader 5 terminal, connected to the stand-in of a broker's server.

It has the functions of the MetaTrader5 package that the agent calls.

As in https://www.mql5.com/en/docs/python_metatrader5 it uses floats, a broker's clock that is not UTC, and `None` with a
`last_error`. A closed terminal answers None to everything. A disconnected one shows its last data and sends nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, Final

from local.stand_ins.mt5_server import BrokerServer, RefusedError
from signalbox_mt5.retcodes import LastError, Retcode

COMMENT_LENGTH: Final = 31


class TerminalFault(StrEnum):
    """A fault: what the next `order_send` does instead of its normal work."""

    NONE = "NONE"  # no fault
    REQUOTE = "REQUOTE"  # 10004, nothing done
    PRICE_OFF = "PRICE_OFF"
    MARKET_CLOSED = "MARKET_CLOSED"
    NO_MONEY = "NO_MONEY"
    TOO_MANY = "TOO_MANY"
    FROZEN = "FROZEN"
    REJECT = "REJECT"
    TIMEOUT = "TIMEOUT"  # 10012, nothing done
    TIMEOUT_AFTER = "TIMEOUT_AFTER"  # done, then 10012
    NOTHING_AFTER = "NOTHING_AFTER"  # done, then None
    LOGOUT_AFTER = "LOGOUT_AFTER"  # done, then the terminal is logged in as nobody
    PARTIAL = "PARTIAL"  # half is filled, 10010


_REFUSALS: Final = {
    TerminalFault.REQUOTE: Retcode.REQUOTE,
    TerminalFault.PRICE_OFF: Retcode.PRICE_OFF,
    TerminalFault.MARKET_CLOSED: Retcode.MARKET_CLOSED,
    TerminalFault.NO_MONEY: Retcode.NO_MONEY,
    TerminalFault.TOO_MANY: Retcode.TOO_MANY_REQUESTS,
    TerminalFault.FROZEN: Retcode.FROZEN,
    TerminalFault.REJECT: Retcode.REJECT,
    TerminalFault.TIMEOUT: Retcode.TIMEOUT,
}


@dataclass
class TerminalStandIn(BrokerServer):
    """One terminal, logged in at its broker's server."""

    faults: deque[TerminalFault] = field(default_factory=deque)
    sends: list[Mapping[str, Any]] = field(default_factory=list)
    login: int | None = 1  # None: nobody is logged in
    is_running: bool = True
    is_connected: bool = True
    algo_trading: bool = True  # the terminal's own switch
    ticks_at: datetime | None = None  # time of the newest price, if the market stands still
    silent: bool = False  # lists are None
    last: tuple[int, str] = (LastError.OK, "Success")

    # Functions of the package

    def terminal_info(self) -> Any:
        if not self._answers():
            return None
        return SimpleNamespace(connected=self.is_connected, trade_allowed=self.algo_trading, ping_last=20_000, build=5000)

    def account_info(self) -> Any:
        if not self._answers() or self.login is None:
            return None
        return SimpleNamespace(
            login=self.login,
            currency="USD",
            margin_mode=int(self.margin_mode),
            equity=100_000.0,
            trade_allowed=self.trading_allowed,
            trade_expert=True,
            server="Stand-In",
        )

    def symbol_select(self, symbol: str, enable: bool) -> bool:  # noqa: FBT001 - the package's signature
        return enable and symbol in self.prices

    def symbol_info(self, symbol: str) -> Any:
        if not self._answers() or symbol not in self.prices:
            return None
        rules = self.of(symbol)
        return SimpleNamespace(
            trade_contract_size=rules.contract_size,
            volume_step=rules.volume_step,
            volume_min=rules.volume_min,
            volume_max=rules.volume_max,
            trade_tick_size=rules.tick,
            point=rules.tick,
            trade_mode=int(rules.trade_mode),
            trade_exemode=int(rules.execution),
            filling_mode=int(rules.filling_mode),
            expiration_mode=int(rules.expiration_mode),
            trade_stops_level=rules.stops_level,
            trade_freeze_level=rules.freeze_level,
        )

    def symbol_info_tick(self, symbol: str) -> Any:
        if not self._answers() or symbol not in self.prices:
            return None
        bid, ask = self.prices[symbol]
        return SimpleNamespace(bid=bid, ask=ask, time_msc=self._server_ms(self.ticks_at))

    def order_send(self, request: Mapping[str, Any]) -> Any:
        if not self._answers():
            return None
        self.sends.append(dict(request))
        if len(request.get("comment", "")) > COMMENT_LENGTH:
            self.last = (LastError.INVALID_PARAMS, 'Invalid "comment" argument')
            return None
        fault = self.faults.popleft() if self.faults else None
        try:
            self._require_server(fault)
            code, ticket = self.carry_out(request, half=fault is TerminalFault.PARTIAL)
        except RefusedError as refused:
            code, ticket = refused.code, 0
        if fault is TerminalFault.LOGOUT_AFTER:
            self.login = None
        if fault is TerminalFault.TIMEOUT_AFTER:
            code, ticket = Retcode.TIMEOUT, 0
        if fault is TerminalFault.NOTHING_AFTER:
            self.last = (LastError.INTERNAL_FAIL_TIMEOUT, "Timeout")
            return None
        return SimpleNamespace(retcode=int(code), order=ticket, deal=0, comment=code.name.replace("_", " ").capitalize())

    def orders_get(self) -> Sequence[Any] | None:
        return self._copies(self._orders)

    def positions_get(self) -> Sequence[Any] | None:
        return self._copies(self._positions)

    def history_orders_get(self, date_from: datetime, date_to: datetime) -> Sequence[Any] | None:
        return self._copies([o for o in self._past if self._within(o.time_setup_msc, date_from, date_to)])

    def history_deals_get(
        self, date_from: datetime | None = None, date_to: datetime | None = None, *, position: int | None = None
    ) -> Sequence[Any] | None:
        if not self.deals_lag:
            self._deals += self._hidden
            self._hidden.clear()
        if position is not None:
            return self._copies([d for d in self._deals if d.position_id == position])
        if date_from is None or date_to is None:
            return None
        return self._copies([d for d in self._deals if self._within(d.time_msc, date_from, date_to)])

    def last_error(self) -> tuple[int, str]:
        return (LastError.INTERNAL_FAIL_SEND, "IPC send failed") if self.silent else self.last

    # Implementation

    def _answers(self) -> bool:
        self.last = (LastError.OK, "Success") if self.is_running else (LastError.INTERNAL_FAIL_CONNECT, "No IPC connection")
        return self.is_running

    def _require_server(self, fault: TerminalFault | None) -> None:
        if not self.algo_trading:
            raise RefusedError(Retcode.CLIENT_DISABLES_AT)
        if not self.is_connected or self.login is None:
            raise RefusedError(Retcode.CONNECTION)
        if not self.trading_allowed:
            raise RefusedError(Retcode.TRADE_DISABLED)
        if fault in _REFUSALS:
            raise RefusedError(_REFUSALS[fault])

    def _copies(self, found: Sequence[Any]) -> Sequence[Any] | None:
        return None if self.silent or not self.is_running else tuple(SimpleNamespace(**vars(one)) for one in found)
