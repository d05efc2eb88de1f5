"""Reads Coinbase Exchange's answers exactly: orders, trades, instruments, balances, and what its errors mean for an order."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from ccxt.base import errors as ccxt_errors
from pydantic import TypeAdapter

from signalbox.adapters.venues.ccxt_answers import UNREADABLE, asked_pause, http_status
from signalbox.exact import ZERO, Amount, PositiveAmount, exactly
from signalbox.orders.events import Liquidity
from signalbox.orders.identity import CLIENT_ORDER_ID_LENGTH
from signalbox.orders.messages import ViewedInstrument, ViewedOrder, ViewedTrade
from signalbox.orders.terms import Side
from signalbox.orders.venue_port import (
    CLOCK_SKEW,
    CREDENTIALS,
    INSUFFICIENT_FUNDS,
    NOT_SUPPORTED,
    REFUSED,
    ExecutionError,
    VenueBusyError,
    VenueRefusedError,
    VenueSilentError,
    VenueUnknownOrderError,
)
from signalbox.orders.venue_view import VenueInstrument, VenueOrder, VenueStatus, VenueTrade

VENUE: Final = "coinbase"
RETRY_AFTER: Final = 1  # seconds, if the exchange names no pause
DETAIL_LENGTH: Final = 500
_OPEN: Final = frozenset({"received", "pending", "active", "open", "canceling"})
_LIQUIDITY: Final = {"M": Liquidity.MAKER, "T": Liquidity.TAKER}
_AMOUNT: Final[TypeAdapter[Decimal]] = TypeAdapter(Amount)
_POSITIVE: Final[TypeAdapter[Decimal]] = TypeAdapter(PositiveAmount)


@exactly
def order_of(row: Mapping[str, Any]) -> VenueOrder:
    """Return an order as the exchange shows it."""
    quantity, filled = Decimal(row["size"]), Decimal(row["filled_size"])
    stop = row.get("stop_price")
    is_limit = row["type"] == "limit" and stop is None  # a stop's limit is our allowance and not part of the order's terms
    found = ViewedOrder(
        client_order_id=our_name(row.get("client_oid")),
        venue_order_id=str(row["id"]),
        symbol=row["product_id"],
        status=_status(row, complete=filled >= quantity),
        quantity=quantity,
        filled=filled,
        limit_price=Decimal(row["price"]) if is_limit else None,
        stop_price=None if stop is None else Decimal(stop),
        detail=" ".join(str(row[key]) for key in ("done_reason", "reject_reason") if row.get(key))[:DETAIL_LENGTH],
        side=Side(row["side"].upper()),
    )
    return found.as_order()


def trade_of(row: Mapping[str, Any], client_order_id: str | None, now: datetime) -> VenueTrade:
    """Return a trade as the exchange shows it. The exchange gives only its own order id, so the caller passes ours.

    now: the latest instant the trade may have, because the exchange cannot list a future trade.
    """
    found = ViewedTrade(
        trade_id=str(row["trade_id"]),
        client_order_id=client_order_id,
        symbol=row["product_id"],
        side=Side(row["side"].upper()),
        quantity=Decimal(row["size"]),
        price=Decimal(row["price"]),
        executed_at=min(instant_of(row["created_at"]), now),
        fee=Decimal(row["fee"]),  # in quote currency, as this exchange charges it
        liquidity=_LIQUIDITY.get(row["liquidity"], Liquidity.UNKNOWN),
    )
    return found.as_trade()


@exactly
def instrument_of(symbol: str, market: Mapping[str, Any]) -> VenueInstrument:
    """Return the rules for orders in a symbol. A market that now accepts no market orders cannot open a position."""
    row, step = market["info"], Decimal(market["precision"]["amount"])
    closed = any(row.get(key) for key in ("trading_disabled", "cancel_only", "post_only", "limit_only"))
    found = ViewedInstrument(
        symbol=symbol,
        tick=Decimal(market["precision"]["price"]),
        step=step,
        min_quantity=_above_zero(row.get("base_min_size")) or step,
        max_quantity=_above_zero(row.get("base_max_size")),
        min_notional=_above_zero(row.get("min_market_funds")) or ZERO,
        max_notional=_above_zero(row.get("max_market_funds")),
        can_open=bool(market["active"]) and not closed,
    )
    return found.as_instrument()


def positions_of(accounts: list[dict[str, Any]], symbols: tuple[str, ...]) -> dict[str, Decimal]:
    """Return the non-zero balance of each symbol's base currency. Raises VenueRefusedError if two symbols share one."""
    bases = [symbol.split("-")[0] for symbol in symbols]
    if len(set(bases)) != len(bases):
        raise VenueRefusedError(
            NOT_SUPPORTED,
            f"{VENUE}: two of {', '.join(symbols)} have the same base currency, so they share a balance; configure one of them",
        )
    totals = {one["currency"]: amount_of(one["balance"]) for one in accounts if one["currency"] in bases}
    return {symbol: totals[base] for symbol, base in zip(symbols, bases, strict=True) if totals.get(base)}


def amount_of(text: Any) -> Decimal:
    """Return a number that fits our messages. Raises pydantic.ValidationError."""
    return _AMOUNT.validate_python(text)


def positive(text: Any) -> Decimal:
    """Return a number above 0 that fits our messages. Raises pydantic.ValidationError."""
    return _POSITIVE.validate_python(text)


def _above_zero(text: Any) -> Decimal | None:
    value = amount_of(text) if text else ZERO
    return value if value > 0 else None


def instant_of(text: str) -> datetime:
    """Return an instant in the exchange's format, such as `2022-12-21 00:48:45.477503+00`."""
    return datetime.fromisoformat(text).astimezone(UTC)


def id_in(answer: Any) -> str | None:
    """Return the exchange's order id from its answer to a cancel, which is the id as text, or an order."""
    found = answer.get("id") or answer.get("info") if isinstance(answer, dict) else answer
    return found.strip('"') if isinstance(found, str) and found.strip('"') else None


def pair_of(symbol: str) -> str:
    """Return ccxt's name of a symbol."""
    return symbol.replace("-", "/")


def venue_name(client_order_id: str) -> str:
    """Return our id as the UUID that the exchange requires."""
    return str(uuid.UUID(hex=client_order_id))


def our_name(client_oid: str | None) -> str | None:
    """Return the id that we gave an order, None for an order that we did not send."""
    name = (client_oid or "").replace("-", "").lower()
    return name if len(name) == CLIENT_ORDER_ID_LENGTH else None


def _status(row: Mapping[str, Any], *, complete: bool) -> VenueStatus:
    if row["status"] in _OPEN:
        return VenueStatus.OPEN
    if row["status"] == "rejected" or row.get("done_reason") == "rejected":
        return VenueStatus.REJECTED
    if row["status"] == "done":
        return VenueStatus.FILLED if complete else VenueStatus.CANCELED
    raise ValueError(f"unknown order status {row['status']!r}")


def unfilled(status: VenueStatus) -> VenueStatus:
    """Return the status to report while the trades are unknown. An end is reported later, together with its trades."""
    return status if status in {VenueStatus.OPEN, VenueStatus.REJECTED} else VenueStatus.OPEN


@contextmanager
def reading(client: Any) -> Iterator[None]:
    """Translate the errors of a request that only reads."""
    try:
        yield
    except ExecutionError:
        raise
    except ccxt_errors.OrderNotFound as error:
        raise VenueUnknownOrderError(_described(error)) from error
    except (ccxt_errors.BaseError, *UNREADABLE) as error:
        raise _named(error, client) from error


@contextmanager
def writing(client: Any) -> Iterator[None]:
    """Translate the errors of a request that changes something, and that may have been carried out in spite of the error."""
    try:
        yield
    except ExecutionError:
        raise
    except (ccxt_errors.BaseError, *UNREADABLE) as error:
        raise _named(error, client) from error


def _named(error: Exception, client: Any) -> ExecutionError:
    message = _described(error)
    if isinstance(error, (ccxt_errors.RateLimitExceeded, ccxt_errors.DDoSProtection)):
        return VenueBusyError(message, max(asked_pause(client), RETRY_AFTER))
    if isinstance(error, ccxt_errors.NetworkError) or not isinstance(error, ccxt_errors.BaseError):
        return VenueSilentError(message)  # timeouts, 5xx, broken connections, or an unreadable answer
    status = http_status(error)
    if type(error) is ccxt_errors.ExchangeError and (status is None or not 400 <= status < 500):
        return VenueSilentError(message)  # ccxt has no class for what happened, so the outcome is unknown
    return VenueRefusedError(_code(error, message), message)


def _code(error: Exception, message: str) -> str:
    if "timestamp" in message:
        return CLOCK_SKEW
    if isinstance(error, (ccxt_errors.AuthenticationError, ccxt_errors.PermissionDenied)):
        return CREDENTIALS
    return INSUFFICIENT_FUNDS if isinstance(error, ccxt_errors.InsufficientFunds) else REFUSED


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
