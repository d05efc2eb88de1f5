"""Orders, fills and transfers of the stand-in's profile in Coinbase Exchange's JSON, in pages."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from local.stand_ins.server import Reply
from signalbox.exact import ZERO

PAGE_ROWS: Final = 100


@dataclass(slots=True)
class StandInOrder:
    """An order of the profile."""

    id: str
    client_oid: str | None
    product: str
    side: str
    type: str
    size: Decimal
    price: Decimal | None
    time_in_force: str
    created_at: datetime
    stop: str | None = None
    stop_price: Decimal | None = None
    triggered: bool = False
    filled: Decimal = ZERO
    status: str = "open"  # open, done
    done_reason: str | None = None  # filled, canceled
    done_at: datetime | None = None

    @property
    def leaves(self) -> Decimal:
        """The quantity that is not filled."""
        return self.size - self.filled


@dataclass(slots=True)
class StandInFill:
    """A trade of the profile."""

    trade_id: int
    order: StandInOrder
    size: Decimal
    price: Decimal
    fee: Decimal
    liquidity: str
    at: datetime


@dataclass(slots=True)
class StandInTransfer:
    """Money or coins that arrived (`deposit`, `internal_deposit`) or left."""

    id: str
    type: str
    currency: str
    amount: Decimal
    created_at: datetime
    completed_at: datetime | None


def order_json(order: StandInOrder) -> dict[str, Any]:
    """Return an order as JSON; fields without a value are left out."""
    answer: dict[str, Any] = {
        "id": order.id,
        "product_id": order.product,
        "side": order.side,
        "type": order.type,
        "size": decimal_text(order.size),
        "time_in_force": order.time_in_force,
        "post_only": False,
        "created_at": instant_text(order.created_at),
        "fill_fees": "0",
        "filled_size": decimal_text(order.filled),
        "executed_value": "0",
        "status": order.status if order.triggered or order.stop is None or order.status == "done" else "active",
        "settled": order.done_reason == "filled",
        "market_type": "spot",
    }
    optional = {
        "price": order.price,
        "client_oid": order.client_oid,
        "stop": order.stop,
        "stop_price": order.stop_price,
        "done_reason": order.done_reason,
        "done_at": None if order.done_at is None else instant_text(order.done_at),
    }
    return answer | {k: decimal_text(v) if isinstance(v, Decimal) else v for k, v in optional.items() if v is not None}


def account_id(currency: str) -> str:
    """Return the account id of a currency; it is always the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, currency))


def transfer_json(one: StandInTransfer) -> dict[str, Any]:
    """Return a transfer as JSON, with times in the format that the real API uses there."""
    done = None if one.completed_at is None else one.completed_at.isoformat(sep=" ").replace("+00:00", "+00")
    return {
        "id": one.id,
        "type": one.type,
        "created_at": one.created_at.isoformat(sep=" ").replace("+00:00", "+00"),
        "completed_at": done,
        "canceled_at": None,
        "processed_at": done,
        "account_id": account_id(one.currency),
        "amount": decimal_text(one.amount),
        "details": {},
        "user_nonce": None,
        "currency": one.currency,
    }


def fill_json(fill: StandInFill, *, settled: bool) -> dict[str, Any]:
    """Return a fill as JSON."""
    return {
        "trade_id": fill.trade_id,
        "product_id": fill.order.product,
        "order_id": fill.order.id,
        "side": fill.order.side,
        "size": decimal_text(fill.size),
        "price": decimal_text(fill.price),
        "fee": decimal_text(fill.fee),
        "liquidity": fill.liquidity,
        "created_at": instant_text(fill.at),
        "settled": settled,
    }


def page_of(rows: Sequence[tuple[int, Mapping[str, Any]]], query: Mapping[str, str]) -> Reply:
    """Return a page of rows, newest first, with cursors to the pages before and after. A cursor is the number of a row."""
    after = int(query["after"]) if "after" in query else None
    found = [row for row in rows if after is None or row[0] < after]
    page = found[: min(int(query.get("limit", PAGE_ROWS)), PAGE_ROWS)]
    headers = {"cb-before": str(page[0][0]), "cb-after": str(page[-1][0])} if page else {}
    return Reply(200, json.dumps([row for _, row in page]).encode(), headers=headers)


def decimal_text(value: Decimal) -> str:
    """Return a decimal in plain notation."""
    return f"{value:f}"


def instant_text(instant: datetime) -> str:
    """Return an instant as UTC text with microseconds."""
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")
