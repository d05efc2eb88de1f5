"""Translates the return codes of `order_send`: done, to be retried later, refused, or unknown.

Codes and their wording: https://www.mql5.com/en/docs/constants/errorswarnings/enum_trade_return_codes. After a code in UNKNOWN
the request may have been carried out; such an order is looked up and never sent again. After a code in LATER nothing was done,
and the same request may be sent again. A code that MetaQuotes added later counts as unknown, not as refused.
Without an answer (None), `last_error` says whether the request ever left this machine: RES_E_* of the package.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

from signalbox.orders.venue_port import INSUFFICIENT_FUNDS, NOT_SUPPORTED, PRECISION, REFUSED


class Retcode(IntEnum):
    """MetaTrader's TRADE_RETCODE_* constants."""

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
    INVALID_EXPIRATION = 10022
    ORDER_CHANGED = 10023
    TOO_MANY_REQUESTS = 10024
    NO_CHANGES = 10025
    SERVER_DISABLES_AT = 10026
    CLIENT_DISABLES_AT = 10027
    LOCKED = 10028
    FROZEN = 10029
    INVALID_FILL = 10030
    CONNECTION = 10031
    ONLY_REAL = 10032
    LIMIT_ORDERS = 10033
    LIMIT_VOLUME = 10034
    INVALID_ORDER = 10035
    POSITION_CLOSED = 10036
    INVALID_CLOSE_VOLUME = 10038
    CLOSE_ORDER_EXIST = 10039
    LIMIT_POSITIONS = 10040
    REJECT_CANCEL = 10041
    LONG_ONLY = 10042
    SHORT_ONLY = 10043
    CLOSE_ONLY = 10044
    FIFO_CLOSE = 10045
    HEDGE_PROHIBITED = 10046


class LastError(IntEnum):
    """The package's RES_* constants: why a call returned None."""

    OK = 1
    FAIL = -1
    INVALID_PARAMS = -2
    NO_MEMORY = -3
    NOT_FOUND = -4
    INVALID_VERSION = -5
    AUTH_FAILED = -6
    UNSUPPORTED = -7
    AUTO_TRADING_DISABLED = -8
    INTERNAL_FAIL = -10000
    INTERNAL_FAIL_SEND = -10001
    INTERNAL_FAIL_RECEIVE = -10002
    INTERNAL_FAIL_INIT = -10003
    INTERNAL_FAIL_CONNECT = -10004
    INTERNAL_FAIL_TIMEOUT = -10005


class Outcome(StrEnum):
    """The known result of a request."""

    DONE = "done"
    LATER = "later"
    REFUSED = "refused"
    UNKNOWN = "unknown"


DONE: Final = frozenset({Retcode.PLACED, Retcode.DONE, Retcode.DONE_PARTIAL, Retcode.NO_CHANGES})
UNKNOWN: Final = frozenset({Retcode.TIMEOUT, Retcode.ERROR})
PRICE_MOVED: Final = frozenset({Retcode.REQUOTE, Retcode.PRICE_CHANGED, Retcode.PRICE_OFF})  # try again at once, at the new price
LATER: Final = {  # seconds until the next try
    Retcode.REQUOTE: 1,
    Retcode.PRICE_CHANGED: 1,
    Retcode.PRICE_OFF: 1,
    Retcode.MARKET_CLOSED: 10,
    Retcode.ORDER_CHANGED: 1,
    Retcode.TOO_MANY_REQUESTS: 1,
    Retcode.LOCKED: 1,
    Retcode.FROZEN: 1,
    Retcode.CONNECTION: 5,
    Retcode.CLOSE_ORDER_EXIST: 1,
}
CODES: Final = {  # codes for VenueRefusedError; any other refusal is VENUE_REFUSED
    Retcode.INVALID_VOLUME: PRECISION,
    Retcode.INVALID_PRICE: "INVALID_PRICE",
    Retcode.INVALID_STOPS: "INVALID_STOPS",
    Retcode.TRADE_DISABLED: "TRADE_DISABLED",
    Retcode.NO_MONEY: INSUFFICIENT_FUNDS,
    Retcode.INVALID_EXPIRATION: "INVALID_EXPIRATION",
    Retcode.SERVER_DISABLES_AT: "AUTOTRADING_DISABLED",
    Retcode.CLIENT_DISABLES_AT: "AUTOTRADING_DISABLED",
    Retcode.INVALID_FILL: NOT_SUPPORTED,
    Retcode.LIMIT_ORDERS: "LIMIT_REACHED",
    Retcode.LIMIT_VOLUME: "LIMIT_REACHED",
    Retcode.LIMIT_POSITIONS: "LIMIT_REACHED",
    Retcode.POSITION_CLOSED: "POSITION_CLOSED",
    Retcode.INVALID_CLOSE_VOLUME: "POSITION_CLOSED",  # the position became smaller since it was read
    Retcode.LONG_ONLY: "TRADE_MODE",
    Retcode.SHORT_ONLY: "TRADE_MODE",
    Retcode.CLOSE_ONLY: "TRADE_MODE",
}
ALARMS: Final = frozenset({Retcode.TRADE_DISABLED, Retcode.SERVER_DISABLES_AT, Retcode.CLIENT_DISABLES_AT})  # a person must act
_CODES: Final = frozenset(map(int, Retcode))
_ERRORS: Final = frozenset(map(int, LastError))
_NEVER_LEFT: Final = {  # values of last_error after which the request certainly did not reach the trade server
    LastError.INVALID_PARAMS: Outcome.REFUSED,
    LastError.INVALID_VERSION: Outcome.REFUSED,
    LastError.UNSUPPORTED: Outcome.REFUSED,
    LastError.AUTO_TRADING_DISABLED: Outcome.REFUSED,
    LastError.AUTH_FAILED: Outcome.LATER,
    LastError.INTERNAL_FAIL_INIT: Outcome.LATER,
    LastError.INTERNAL_FAIL_CONNECT: Outcome.LATER,
}


def outcome_of(code: int) -> Outcome:
    """Return the outcome that a return code means."""
    if code in DONE:
        return Outcome.DONE
    if code in LATER:
        return Outcome.LATER
    if code in UNKNOWN or code not in _CODES:
        return Outcome.UNKNOWN
    return Outcome.REFUSED


def outcome_of_silence(last_error: int) -> Outcome:
    """Return the outcome of a request that `order_send` answered with None."""
    return _NEVER_LEFT.get(LastError(last_error), Outcome.UNKNOWN) if last_error in _ERRORS else Outcome.UNKNOWN


def code_of(code: int) -> str:
    """Return our refusal code for a return code."""
    return CODES.get(Retcode(code), REFUSED)
