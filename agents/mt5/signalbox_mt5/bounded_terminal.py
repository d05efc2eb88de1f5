"""The terminal, with every value checked when it is read, because a broker's server or its bridge may return anything.

A field that cannot be what it claims (no number, a price of 1E+300, an instant of the year 60000, a symbol of a megabyte) raises
VenueSilentError: what the terminal has is then unknown, which is neither an absence nor a refusal. Values are judged one by
one and only when somebody needs them, so an absurd position of one symbol stops the account's view and no exit of another symbol.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from signalbox.exact import MAX_DIGITS
from signalbox.orders.venue_port import VenueSilentError
from signalbox.wire import in_one_line, one_line
from signalbox_mt5.terminal import Terminal, exact

MOST_AT_ONCE: Final = 10_000  # resting orders, or open positions; a broker allows some hundred
MOST_OF_HISTORY: Final = 200_000  # orders or deals of the months that are asked for
LARGEST: Final = 1e12  # of a price, a size and an amount of money; products of two are judged as they travel
LATEST_MS: Final = 7_258_118_400_000  # the year 2200
LONGEST_NAME: Final = 64  # of a symbol; MetaTrader's has 32 characters
LONGEST_WORDS: Final = 400
Judge: TypeAlias = Callable[[Any], Any]  # returns the value, or raises ValueError


def _whole(least: int, most: int) -> Judge:
    def judge(value: Any) -> int:
        if not isinstance(value, int) or not least <= value <= most:
            raise ValueError
        return int(value)

    return judge


def _number(least: float) -> Judge:
    def judge(value: Any) -> float:
        if not isinstance(value, int | float) or not math.isfinite(value) or not least <= value <= LARGEST:
            raise ValueError
        exponent = exact(value).as_tuple().exponent
        if not isinstance(exponent, int) or -exponent > MAX_DIGITS:
            raise ValueError
        return float(value)

    return judge


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise ValueError
    return one_line(value)


def _words(value: Any) -> str:
    return in_one_line(str(value)[:LONGEST_WORDS])  # cut before anything reads it; a text for people is never refused


def _flag(value: Any) -> bool:
    return bool(value)


def _of(judge: Judge, names: str) -> dict[str, Judge]:
    return dict.fromkeys(names.split(), judge)


_FIELDS: Final[Mapping[str, Judge]] = {
    **_of(_whole(0, 2**64 - 1), "ticket identifier position_id login"),
    **_of(_whole(-(2**63), 2**64 - 1), "magic"),
    **_of(_whole(-(2**31), 2**31 - 1), "type reason entry state type_time margin_mode retcode"),
    **_of(_whole(0, 2**31 - 1), "trade_mode trade_exemode filling_mode expiration_mode trade_stops_level trade_freeze_level"),
    **_of(_whole(0, LATEST_MS), "time_msc"),
    **_of(_whole(0, LATEST_MS // 1000), "time_expiration"),
    **_of(_number(0.0), "volume volume_initial volume_current volume_step volume_min volume_max"),
    **_of(_number(0.0), "price price_open sl tp bid ask trade_contract_size trade_tick_size"),
    **_of(_number(-LARGEST), "profit commission fee swap equity"),
    **_of(_name, "symbol currency"),
    **_of(_words, "comment"),
    **_of(_flag, "connected"),
}


class Record:
    """One record of the terminal, of any kind. Reading a field raises VenueSilentError if its value is impossible."""

    __slots__ = ("_found",)

    def __init__(self, found: Any) -> None:
        self._found = found

    def __getattr__(self, name: str) -> Any:
        judge = _FIELDS.get(name)
        if judge is None:
            raise AttributeError(f"no limits are declared for the field {name!r}")
        value = getattr(self._found, name, None)
        try:
            return judge(value)
        except (ValueError, TypeError, OverflowError):
            raise VenueSilentError(f"the terminal shows an impossible {name}: {_shown(value)}") from None


def _shown(value: Any) -> str:
    """Return a value for an error message, without writing out all of a large one."""
    if isinstance(value, str):
        return f"{len(value)} characters, {value[:40]!a}"
    if isinstance(value, int):
        return f"an integer of {value.bit_length()} bits"
    return repr(value) if isinstance(value, float) else type(value).__name__


class BoundedTerminal:
    """A wrapper with the functions of a terminal that checks their answers."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def terminal_info(self) -> Any:
        return _record(self._terminal.terminal_info())

    def account_info(self) -> Any:
        return _record(self._terminal.account_info())

    def symbol_select(self, symbol: str, enable: bool) -> bool:  # noqa: FBT001 - the package's signature
        return bool(self._terminal.symbol_select(symbol, enable))

    def symbol_info(self, symbol: str) -> Any:
        return _record(self._terminal.symbol_info(symbol))

    def symbol_info_tick(self, symbol: str) -> Any:
        return _record(self._terminal.symbol_info_tick(symbol))

    def order_send(self, request: Mapping[str, Any]) -> Any:
        return _record(self._terminal.order_send(request))

    def orders_get(self) -> Sequence[Any] | None:
        return _records("resting orders", self._terminal.orders_get(), MOST_AT_ONCE)

    def positions_get(self) -> Sequence[Any] | None:
        return _records("positions", self._terminal.positions_get(), MOST_AT_ONCE)

    def history_orders_get(self, date_from: datetime, date_to: datetime) -> Sequence[Any] | None:
        return _records("past orders", self._terminal.history_orders_get(date_from, date_to), MOST_OF_HISTORY)

    def history_deals_get(
        self, date_from: datetime | None = None, date_to: datetime | None = None, *, position: int | None = None
    ) -> Sequence[Any] | None:
        return _records("deals", self._terminal.history_deals_get(date_from, date_to, position=position), MOST_OF_HISTORY)

    def last_error(self) -> Any:
        try:
            number, text = self._terminal.last_error()
            return int(number), _words(text)
        except (ValueError, TypeError, OverflowError):
            return 0, "unreadable"


def _record(found: Any) -> Record | None:
    return None if found is None else Record(found)


def _records(what: str, found: Sequence[Any] | None, most: int) -> Sequence[Record] | None:
    if found is None:
        return None
    if len(found) > most:
        raise VenueSilentError(f"the terminal shows {len(found)} {what}, expected at most {most}")
    return tuple(map(Record, found))
