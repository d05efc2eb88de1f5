"""The identity of an order: a pure function of why it exists, so that a retry makes the same order and never a second one.

32 lowercase hexadecimal characters, 128 bits of SHA-256. That is within what the venues we know accept (letters and
digits, 32 to 36 characters); a terminal with shorter comments keeps its own mapping to it.
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


@lru_cache(maxsize=4096)  # a pure function of natural keys, asked for several times an order
def client_order_id(
    *, account: str, strategy: str, symbol: str, decided_at: datetime, leg: str, attempt: int = 0
) -> ClientOrderId:
    """Return the id of the order that `strategy` decided at that instant for that leg.

    attempt: 0 for the first; an exit that was refused, rejected or lost is followed by another under the next number, so that
    a retry is an order of its own and a redelivery of the same attempt is not.

    The deployment is no part of it: an account follows one deployment's decision of a symbol and instant and no other
    (trading.account.TradingAccount.followed), so that two models that decide at once cannot make two orders of it.

    The parts are hashed as a JSON list, so no choice of separators inside them can make two different orders collide.
    The same instant in another zone is the same order. Raises OrderTermsError for an empty part, an attempt
    below 0 or a naive instant.
    """
    if decided_at.tzinfo is None:
        raise OrderTermsError(f"expected an aware decided_at, was {decided_at.isoformat()}")
    parts = (account, strategy, symbol, decided_at.astimezone(UTC).isoformat(timespec="microseconds"), leg)
    if attempt < 0 or not all(parts):
        raise OrderTermsError(f"expected no empty part of an identity, was {parts} {attempt}")
    return _digest((*parts, attempt) if attempt else parts)


def replacement_id(original: str, request_id: str) -> ClientOrderId:
    """Return the id at the venue of what replaces an order on that request, where the venue itself changes none."""
    return _digest(("replacement", original, request_id))


def _digest(parts: tuple[str | int, ...]) -> ClientOrderId:
    texts = [str(part) if isinstance(part, int) else quoted_ascii(part) for part in parts]  # as json.dumps writes them
    digest = hashlib.sha256(f"[{', '.join(texts)}]".encode()).hexdigest()
    return ClientOrderId(digest[:CLIENT_ORDER_ID_LENGTH])
