"""Seals the ledger's requests to venues with a signature, and sets how long a seal is valid."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from signalbox.contracts import SIGNED_REPORTS, SIGNED_REQUESTS
from signalbox.events import BusEvent
from signalbox.frozen import instant_text, quoted_ascii
from signalbox.orders.messages import ExecutionRequested
from signalbox.orders.terms import OrderTerms
from signalbox.signing import SigningKey, sealed, signed, unsigned_seal

REQUEST_LIFE: Final = timedelta(hours=1)  # validity of a request's seal; longer than its queue retries it and than a bus outage
REQUEST_TYPES: Final = frozenset(SIGNED_REQUESTS)
MAY_REPORT: Final = frozenset(SIGNED_REPORTS)


class RequestSealer:
    """Seals requests with the ledger's key.

    key: returns the current key, or raises KeyUnavailableError; then the request is not committed and comes again. clock:
    returns the real time, because an executor checks the seal's end by it; a request's own instants may be those of old bars.
    """

    def __init__(self, key: Callable[[], SigningKey], clock: Callable[[], datetime]) -> None:
        self._key, self._clock = key, clock

    def detail(self, event: BusEvent, sequence: int) -> str:
        """Return the JSON text of a request, sealed with the account's sequence number."""
        end, key = self._clock() + REQUEST_LIFE, self._key()
        if isinstance(event, ExecutionRequested):
            return signed(event.type, _request_text(event, unsigned_seal(key, sequence, end)), key)
        return sealed(event.type.value, event.to_detail(), key, sequence=sequence, expires_at=end)


# Signed JSON has sorted keys. Orders are written out by hand, because sorting pydantic's output takes three times as long.


def _request_text(request: ExecutionRequested, seal: str) -> str:
    return (
        f'{{"account":{quoted_ascii(request.account)}'
        f',"at":"{instant_text(request.at)}"'
        f',"client_order_id":{quoted_ascii(request.client_order_id)}'
        f',"entry":{_optional(request.entry)}'
        f',"event_id":{quoted_ascii(request.event_id)}'
        f',"instruction":"{request.instruction}"'
        f',"limit_price":{_amount(request.limit_price)}'
        f',"quantity":{_amount(request.quantity)}'
        f',"request_id":{_optional(request.request_id)}'
        f',"seal":{seal}'
        f',"snapshot_id":{_optional(request.snapshot_id)}'
        f',"stop_loss":{_amount(request.stop_loss)}'
        f',"stop_price":{_amount(request.stop_price)}'
        f',"take_profit":{_amount(request.take_profit)}'
        f',"terms":{_terms_text(request.terms)}'
        f',"venue":{quoted_ascii(request.venue)}'
        f',"venue_order_id":{_optional(request.venue_order_id)}}}'
    )


def _terms_text(terms: OrderTerms) -> str:
    expires = "null" if terms.expires_at is None else f'"{instant_text(terms.expires_at)}"'
    return (
        f'{{"account":{quoted_ascii(terms.account)}'
        f',"attempt":{terms.attempt}'
        f',"decided_at":"{instant_text(terms.decided_at)}"'
        f',"expires_at":{expires}'
        f',"leg":"{terms.leg}"'
        f',"limit_price":{_amount(terms.limit_price)}'
        f',"quantity":"{terms.quantity!s}"'
        f',"reduce_only":{"true" if terms.reduce_only else "false"}'
        f',"send_before":"{instant_text(terms.send_before)}"'
        f',"side":"{terms.side}"'
        f',"stop_price":{_amount(terms.stop_price)}'
        f',"strategy":{quoted_ascii(terms.strategy)}'
        f',"symbol":{quoted_ascii(terms.symbol)}'
        f',"time_in_force":"{terms.time_in_force}"'
        f',"type":"{terms.type}"}}'
    )


def _amount(amount: Decimal | None) -> str:
    return "null" if amount is None else f'"{amount!s}"'


def _optional(text: str | None) -> str:
    return "null" if text is None else quoted_ascii(text)
