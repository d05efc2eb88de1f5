"""The identity of an order: a pure function of why the order exists, so that a retry makes the same order and never a second.

An id is 32 lowercase hexadecimal characters: 128 bits of SHA-256. All venues that we know accept it (they allow letters and
digits, 32 to 36 characters). A terminal whose comments are shorter keeps its own mapping to these ids.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NewType

from signalbox.frozen import quoted_ascii
from signalbox.orders.errors import OrderTermsError

ClientOrderId = NewType("ClientOrderId", str)
CLIENT_ORDER_ID_LENGTH: Final = 32


@lru_cache(maxsize=4096)  # called several times per order with the same natural key
def client_order_id(
    *, account: str, strategy: str, symbol: str, decided_at: datetime, leg: str, attempt: int = 0
) -> ClientOrderId:
    """Return the id of the order that `strategy` decided at that instant for that leg.

    attempt: 0 for the first order. When an exit is refused, rejected or lost, the next one gets the next number, so that a retry
    is a new order and a redelivery of the same attempt is not.

    The deployment is not part of the id: an account follows only one deployment's decision per symbol and instant
    (trading.account.TradingAccount.followed), so two models that decide at once cannot make two orders.

    The parts are hashed as a JSON list, so that no separator inside a part can make two different orders collide. The same
    instant in another time zone gives the same order. Raises OrderTermsError for an empty part, an attempt below 0 or a naive
    instant.
    """
    if decided_at.tzinfo is None:
        raise OrderTermsError(f"expected a decided_at with a time zone, got {decided_at.isoformat()}")
    parts = (account, strategy, symbol, decided_at.astimezone(UTC).isoformat(timespec="microseconds"), leg)
    if attempt < 0 or not all(parts):
        raise OrderTermsError(
            f"expected an id from non-empty parts and an attempt of 0 or more, got {parts} and attempt {attempt}"
        )
    return _digest((*parts, attempt) if attempt else parts)


def replacement_id(original: str, request_id: str) -> ClientOrderId:
    """Return the venue-side id of the order that replaces another one, for venues that cannot change an order."""
    return _digest(("replacement", original, request_id))


def _digest(parts: tuple[str | int, ...]) -> ClientOrderId:
    texts = [str(part) if isinstance(part, int) else quoted_ascii(part) for part in parts]  # as json.dumps writes them
    digest = hashlib.sha256(f"[{', '.join(texts)}]".encode()).hexdigest()
    return ClientOrderId(digest[:CLIENT_ORDER_ID_LENGTH])
