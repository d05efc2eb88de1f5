"""The part of the MetaTrader5 package that the agent uses, as a port with the same names, shapes and constants.

Prices, volumes and money are floats in the package; `exact` turns each into the shortest decimal with that float value. Times are
seconds of the broker's wall clock, not UTC. The package exists only for Windows and is imported when the agent starts.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, IntFlag
from typing import Any, Protocol, cast

from signalbox.errors import SignalboxError


class TerminalError(SignalboxError):
    """The MetaTrader5 package is not installed."""


class Action(IntEnum):
    """ENUM_TRADE_REQUEST_ACTIONS."""

    DEAL = 1
    PENDING = 5
    SLTP = 6
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


class FillingFlag(IntFlag):
    """SYMBOL_FILLING_MODE: the fillings that a symbol allows; RETURN has no flag."""

    FOK = 1
    IOC = 2


class TradeExecution(IntEnum):
    """ENUM_SYMBOL_TRADE_EXECUTION, `trade_exemode` of a symbol."""

    REQUEST = 0
    INSTANT = 1
    MARKET = 2
    EXCHANGE = 3


class TradeMode(IntEnum):
    """ENUM_SYMBOL_TRADE_MODE, `trade_mode` of a symbol."""

    DISABLED = 0
    LONG_ONLY = 1
    SHORT_ONLY = 2
    CLOSE_ONLY = 3
    FULL = 4


class MarginMode(IntEnum):
    """ENUM_ACCOUNT_MARGIN_MODE. Only hedging accounts hold several positions of one symbol."""

    NETTING = 0
    EXCHANGE = 1
    HEDGING = 2


class OrderTime(IntEnum):
    """ENUM_ORDER_TYPE_TIME."""

    GTC = 0
    SPECIFIED = 2


class ExpirationFlag(IntFlag):
    """SYMBOL_EXPIRATION_MODE: how long a symbol's orders may rest."""

    GTC = 1
    SPECIFIED = 4


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


class DealKind(IntEnum):
    """ENUM_DEAL_TYPE, the part that is used."""

    BUY = 0
    SELL = 1
    BALANCE = 2


class DealEntry(IntEnum):
    """ENUM_DEAL_ENTRY: what a deal did to its position."""

    IN = 0
    OUT = 1
    INOUT = 2
    OUT_BY = 3


class DealReason(IntEnum):
    """ENUM_DEAL_REASON: who made a deal."""

    CLIENT = 0
    MOBILE = 1
    WEB = 2
    EXPERT = 3
    SL = 4
    TP = 5
    SO = 6
    ROLLOVER = 7
    VMARGIN = 8
    SPLIT = 9


class Holding(IntEnum):
    """ENUM_POSITION_TYPE."""

    BUY = 0
    SELL = 1


class Terminal(Protocol):
    """The functions of the module `MetaTrader5`. A result is None if the terminal fails; `last_error` then says why."""

    def terminal_info(self) -> Any: ...
    def account_info(self) -> Any: ...
    def symbol_select(self, symbol: str, enable: bool) -> bool: ...  # noqa: FBT001 - the package's signature
    def symbol_info(self, symbol: str) -> Any: ...
    def symbol_info_tick(self, symbol: str) -> Any: ...
    def order_send(self, request: Mapping[str, Any]) -> Any: ...
    def orders_get(self) -> Sequence[Any] | None: ...
    def positions_get(self) -> Sequence[Any] | None: ...
    def history_orders_get(self, date_from: datetime, date_to: datetime) -> Sequence[Any] | None: ...
    def history_deals_get(
        self, date_from: datetime | None = None, date_to: datetime | None = None, *, position: int | None = None
    ) -> Sequence[Any] | None: ...
    def last_error(self) -> Any: ...


def exact(value: float) -> Decimal:
    """Return the shortest decimal with this float value, which is the number that the broker shows."""
    return Decimal(repr(float(value)))


class DirectTerminal:
    """The package itself. If the terminal was closed, the next query starts it and connects again."""

    def __init__(self, module: Any, path: str | None) -> None:
        self._module, self._path = module, path

    def terminal_info(self) -> Any:
        found = self._module.terminal_info()
        if found is None and self.start():
            return self._module.terminal_info()
        return found

    def account_info(self) -> Any:
        return self._module.account_info()

    def symbol_select(self, symbol: str, enable: bool) -> bool:  # noqa: FBT001 - the package's signature
        return bool(self._module.symbol_select(symbol, enable))

    def symbol_info(self, symbol: str) -> Any:
        return self._module.symbol_info(symbol)

    def symbol_info_tick(self, symbol: str) -> Any:
        return self._module.symbol_info_tick(symbol)

    def order_send(self, request: Mapping[str, Any]) -> Any:
        plain = {name: int(value) if isinstance(value, IntEnum) else value for name, value in request.items()}
        return self._module.order_send(plain)

    def orders_get(self) -> Sequence[Any] | None:
        return cast("Sequence[Any] | None", self._module.orders_get())

    def positions_get(self) -> Sequence[Any] | None:
        return cast("Sequence[Any] | None", self._module.positions_get())

    def history_orders_get(self, date_from: datetime, date_to: datetime) -> Sequence[Any] | None:
        return cast("Sequence[Any] | None", self._module.history_orders_get(date_from, date_to))

    def history_deals_get(
        self, date_from: datetime | None = None, date_to: datetime | None = None, *, position: int | None = None
    ) -> Sequence[Any] | None:
        if position is not None:
            return cast("Sequence[Any] | None", self._module.history_deals_get(position=position))
        return cast("Sequence[Any] | None", self._module.history_deals_get(date_from, date_to))

    def last_error(self) -> Any:
        return self._module.last_error()

    def start(self) -> bool:
        """Connect to the terminal, and start it if it is not running."""
        return bool(self._module.initialize(self._path) if self._path else self._module.initialize())


def open_terminal(path: str | None = None) -> DirectTerminal:
    """Return the terminal of this machine, even if it does not answer. Raises TerminalError without the package.

    path: of terminal64.exe, if there are several. A terminal that is closed, logged out or not allowed to trade is not an error
    here: commands wait for it, and `--check` says what is wrong.
    """
    try:
        module: Any = importlib.import_module("MetaTrader5")
    except ImportError as error:
        raise TerminalError(
            "the package MetaTrader5 is not installed: it runs only on Windows, where requirements.lock installs it"
        ) from error
    found = DirectTerminal(module, path)
    found.start()
    return found
