"""The part of the MetaTrader5 package that the agent uses, as a port: same names, same shapes, so that the module itself fits.

Prices, volumes and money are floats there; `exact` makes of each the shortest decimal that is that float. Times are seconds
of the broker's wall clock, not UTC. The package is for Windows only and is imported when the agent starts.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final, Protocol, cast

from signalbox.errors import SignalboxError


class TerminalError(SignalboxError):
    """The terminal is not there, not logged in, or not allowed to trade."""


class Action(IntEnum):
    """ENUM_TRADE_REQUEST_ACTIONS."""

    DEAL = 1
    PENDING = 5
    MODIFY = 7
    REMOVE = 8


class OrderKind(IntEnum):
    """ENUM_ORDER_TYPE."""

    BUY = 0
    SELL = 1
    BUY_LIMIT = 2
    SELL_LIMIT = 3
    BUY_STOP = 4
    SELL_STOP = 5


class Filling(IntEnum):
    """ENUM_ORDER_TYPE_FILLING."""

    FOK = 0
    IOC = 1
    RETURN = 2


class OrderTime(IntEnum):
    """ENUM_ORDER_TYPE_TIME."""

    GTC = 0
    SPECIFIED = 2


class OrderStatus(IntEnum):
    """ENUM_ORDER_STATE."""

    STARTED = 0
    PLACED = 1
    CANCELED = 2
    PARTIAL = 3
    FILLED = 4
    REJECTED = 5
    EXPIRED = 6
    REQUEST_ADD = 7
    REQUEST_MODIFY = 8
    REQUEST_CANCEL = 9


class Retcode(IntEnum):
    """TRADE_RETCODE_*: what became of a request."""

    REQUOTE = 10004
    REJECT = 10006
    CANCEL = 10007
    PLACED = 10008
    DONE = 10009
    DONE_PARTIAL = 10010
    ERROR = 10011
    TIMEOUT = 10012
    INVALID = 10013
    INVALID_VOLUME = 10014
    INVALID_PRICE = 10015
    INVALID_STOPS = 10016
    TRADE_DISABLED = 10017
    MARKET_CLOSED = 10018
    NO_MONEY = 10019
    PRICE_CHANGED = 10020
    PRICE_OFF = 10021
    TOO_MANY_REQUESTS = 10024
    NO_CHANGES = 10025
    SERVER_DISABLES_AT = 10026
    CLIENT_DISABLES_AT = 10027
    LOCKED = 10028
    FROZEN = 10029
    INVALID_FILL = 10030
    CONNECTION = 10031


TOOK_IT: Final = frozenset({Retcode.PLACED, Retcode.DONE, Retcode.DONE_PARTIAL, Retcode.NO_CHANGES})
UNKNOWN: Final = frozenset({Retcode.TIMEOUT, Retcode.CONNECTION, Retcode.ERROR})  # it may have been carried out
PRICE_MOVED: Final = frozenset({Retcode.REQUOTE, Retcode.PRICE_CHANGED, Retcode.PRICE_OFF})  # not carried out; ask again
LATER: Final = frozenset({Retcode.TOO_MANY_REQUESTS, Retcode.LOCKED})
HEDGING: Final = 2  # account_info().margin_mode: several positions of a symbol
ENTRY_OUT: Final = 1
DEAL_BUY: Final = 0
DEAL_SELL: Final = 1


class Terminal(Protocol):
    """Functions of the module `MetaTrader5`; lists are None where the terminal fails."""

    def account_info(self) -> Any: ...
    def symbol_select(self, symbol: str, enable: bool) -> bool: ...  # noqa: FBT001 - the package's signature
    def symbol_info(self, symbol: str) -> Any: ...
    def symbol_info_tick(self, symbol: str) -> Any: ...
    def order_send(self, request: Mapping[str, Any]) -> Any: ...
    def orders_get(self) -> Sequence[Any] | None: ...
    def positions_get(self) -> Sequence[Any] | None: ...
    def history_orders_get(self, date_from: datetime, date_to: datetime) -> Sequence[Any] | None: ...
    def history_deals_get(self, date_from: datetime, date_to: datetime) -> Sequence[Any] | None: ...
    def last_error(self) -> Any: ...


def exact(value: float) -> Decimal:
    """Return the shortest decimal text of a float as a number: what the broker showed."""
    return Decimal(repr(float(value)))


def open_terminal(login: int) -> Terminal:
    """Return the terminal that runs here, logged in as `login`. Raises TerminalError with what to mend."""
    try:
        module: Any = importlib.import_module("MetaTrader5")
    except ImportError as error:
        raise TerminalError(
            "the package MetaTrader5 is not installed here: it is for Windows, `pip install MetaTrader5`"
        ) from error
    if not module.initialize():
        raise TerminalError(f"no terminal answers: start MetaTrader 5 and log in ({module.last_error()})")
    account = module.account_info()
    if account is None or account.login != login:
        raise TerminalError(f"expected the terminal logged in as {login}, was {getattr(account, 'login', 'nobody')}")
    if not account.trade_allowed or not account.trade_expert or not module.terminal_info().trade_allowed:
        raise TerminalError("trading by programs is off: switch on Algo Trading in the terminal and at the account")
    return cast("Terminal", module)
