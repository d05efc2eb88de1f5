"""The tables of trading accounts as the writer uses them: columns with types, keys, and what a newer state replaces.

Rows travel as one array per column, in PostgreSQL's text format: `{1.50,NULL}`, `{"a","b"}`. Numbers and instants stay text,
so nothing is rounded on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, Final, TypeAlias

from signalbox.adapters.postgres.arrays import text_array, value_array

Row: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class LedgerTable:
    """One table. `key`: the natural key. `replaced`: columns that an existing row takes from the new one; empty for facts."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    replaced: tuple[str, ...] = ()
    # JSON columns without line breaks: their texts are joined by line breaks and need no quotes.
    lines: frozenset[str] = frozenset()
    is_numbered: bool = False  # whether the table has the column `booked`

    def parameters(self, rows: Sequence[Row]) -> list[str]:
        """Return rows as the parameters of `insert` and `differing`: one array literal per column."""
        return [
            text_array([row[column] for row in rows]) if kind == "text" else value_array([row[column] for row in rows])
            for column, kind in self.columns.items()
        ]

    @cached_property
    def insert(self) -> bytes:
        """The statement that writes rows; `parameters` returns its parameters."""
        names = ", ".join(self.columns)
        taken = ", ".join(f"{column} = excluded.{column}" for column in self.replaced)
        action = f"({', '.join(self.key)}) DO UPDATE SET {taken}" if taken else "DO NOTHING"
        return f"INSERT INTO {self.name} ({names}) SELECT {names} FROM {self._offered} ON CONFLICT {action}".encode()  # noqa: S608 - constants of this module

    def offered(self, rows: Sequence[Row]) -> tuple[tuple[str, ...], list[bytes]]:
        """Return the columns that have a value in at least one row, and their parameters for `statement`.

        All rows belong to one account, which is a parameter of its own; every other column is an array.
        """
        names, values = [], []
        for column, found in zip(self.columns, zip(*map(self._values, rows), strict=True), strict=True):
            if column == "account":
                value = str(found[0])
            elif found[0] is None and found.count(None) == len(found):
                continue
            elif column in self.lines:
                value = "\n".join(found)
            else:
                value = text_array(found) if self.columns[column] == "text" else value_array(found)
            names.append(column)
            values.append(value.encode())
        return tuple(names), values

    def statement(self, names: tuple[str, ...], taken: tuple[str, ...] | None) -> bytes:
        """Return the statement that writes rows with these columns.

        taken: columns that an existing row takes from the new one, empty to keep the row; None means an existing row makes it
        fail.
        """
        known = self._statements.get((names, taken))
        if known is None:
            known = self._statements[names, taken] = self._written(names, taken)
        return known

    @cached_property
    def _values(self) -> Callable[[Row], tuple[Any, ...]]:
        return itemgetter(*self.columns)

    @cached_property
    def _statements(self) -> dict[tuple[tuple[str, ...], tuple[str, ...] | None], bytes]:
        return {}

    def _written(self, names: tuple[str, ...], taken: tuple[str, ...] | None) -> bytes:
        # In the SELECT list the arrays advance together row by row; in FROM each array would be materialised first.
        columns, values = list(names), [self._advancing(name) for name in names]
        if self.is_numbered:
            columns.append("booked")
            values.append("(SELECT nextval('bookings'))")  # once per statement, so that one commit has one number
        added = f"INSERT INTO {self.name} ({', '.join(columns)}) SELECT {', '.join(values)}"
        if taken is not None:
            new = ", ".join(f"{column} = excluded.{column}" for column in taken)
            added += f" ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {new}" if taken else " ON CONFLICT DO NOTHING"
        return added.encode()

    def _advancing(self, column: str) -> str:
        if column == "account":
            return "%s::text"
        return "unnest(string_to_array(%s, E'\\n'))" if column in self.lines else f"unnest(%s::{self.columns[column]}[])"

    @cached_property
    def differing(self) -> bytes:
        """The query for the keys of new facts that are stored with other data, or not stored at all."""
        same_key = " AND ".join(f"kept.{column} = offered.{column}" for column in self.key)
        kept = ", ".join(f"kept.{column}" for column in self.columns)
        offered = ", ".join(f"offered.{column}" for column in self.columns)
        keys = " || ' ' || ".join(f"offered.{column}" for column in self.key)
        return (
            f"SELECT {keys} FROM {self._offered} LEFT JOIN {self.name} AS kept ON {same_key}"  # noqa: S608 - constants of this module
            f" WHERE ({kept}) IS DISTINCT FROM ({offered})"
        ).encode()

    @property
    def _offered(self) -> str:
        arrays = ", ".join(f"%s::{kind}[]" for kind in self.columns.values())
        return f"unnest({arrays}) AS offered ({', '.join(self.columns)})"


def _columns(**kinds: str) -> dict[str, str]:
    """Return column types from groups: `text="a b"` means that columns a and b are text."""
    return {name: kind for kind, names in kinds.items() for name in names.split()}


ORDER_EVENTS: Final = LedgerTable(
    "order_events",
    _columns(text="event_id client_order_id account kind payload", timestamptz="at first_at"),
    ("event_id",),
    lines=frozenset({"payload"}),
    is_numbered=True,
)
ORDERS: Final = LedgerTable(
    "orders",
    _columns(
        text="client_order_id account strategy symbol leg side type time_in_force state venue_order_id pending reason detail",
        integer="attempt",
        timestamptz="decided_at expires_at send_before submitted_at accepted_at unconfirmed_since closed_at",
        boolean="reduce_only",
        numeric="quantity limit_price stop_price filled filled_value fees",
    ),
    ("client_order_id",),
    (
        "state",
        "quantity",
        "limit_price",
        "stop_price",
        "filled",
        "filled_value",
        "fees",
        "venue_order_id",
        "submitted_at",
        "accepted_at",
        "unconfirmed_since",
        "closed_at",
        "pending",
        "reason",
        "detail",
    ),
)
FILLS: Final = LedgerTable(
    "fills",
    _columns(text="account symbol trade_id client_order_id side", timestamptz="at", numeric="quantity price fee"),
    ("account", "symbol", "trade_id"),
    is_numbered=True,
)
ACCOUNT_ENTRIES: Final = LedgerTable(
    "account_entries", _columns(text="account kind key symbol", timestamptz="at", numeric="amount"), ("account", "kind", "key")
)
POSITIONS: Final = LedgerTable(
    "positions",
    _columns(text="account symbol", numeric="quantity cost realised fees funding volume"),
    ("account", "symbol"),
    ("quantity", "cost", "realised", "fees", "funding", "volume"),
)
LOTS: Final = LedgerTable(
    "lots",
    _columns(text="account lot_id symbol", timestamptz="opened_at", numeric="quantity price fee"),
    ("account", "lot_id"),
    ("quantity", "price", "fee"),
)
DISPOSALS: Final = LedgerTable(
    "disposals",
    _columns(
        text="account fill_id lot_id symbol method",
        integer="place",
        timestamptz="opened_at closed_at",
        numeric="quantity open_price close_price open_fee close_fee",
    ),
    ("account", "fill_id", "lot_id"),
)
STANDING_ORDERS: Final = LedgerTable(
    "standing_orders", _columns(text="account method", timestamptz="effective_from given_at"), ("account", "effective_from")
)
TRADES: Final = LedgerTable(
    "trades",
    _columns(
        text="account entry symbol side deployment stage state exit exit_leg progress",
        timestamptz="decided_at deadline opened_at closed_at",
        numeric="stop_loss take_profit realised",
    ),
    ("account", "entry"),
    ("state", "stop_loss", "take_profit", "deadline", "opened_at", "exit", "exit_leg", "closed_at", "realised", "progress"),
)
EQUITY_SNAPSHOTS: Final = LedgerTable(
    "equity_snapshots",
    _columns(
        text="account marks",
        timestamptz="at",
        numeric="cash balance unrealised equity exposure transfers realised fees funding",
    ),
    ("account", "at"),
)
DAY_BASELINES: Final = LedgerTable(
    "day_baselines",
    _columns(text="account", date="day", numeric="baseline daily_limit closing_balance worst_equity"),
    ("account", "day"),
)
RISK_EVENTS: Final = LedgerTable(
    "risk_events",
    _columns(
        text="account kind key code symbol limit_text value_text who detail snapshot_id",
        timestamptz="at",
        numeric="limit_amount value_amount",
    ),
    ("account", "kind", "key"),
)
HALTS: Final = LedgerTable(
    "halts", _columns(text="account level who why", timestamptz="since until"), ("account", "since", "level")
)
CONFIRMATIONS: Final = LedgerTable(
    "confirmations", _columns(text="account request_id what who", timestamptz="at"), ("account", "request_id")
)
LOCKS: Final = LedgerTable(
    "locks",
    _columns(text="account reason symbol", integer="place", timestamptz="since until", numeric="limit_amount value_amount"),
    ("account", "place"),
)
ACCOUNT_COLUMNS: Final = {  # columns of the account's own row that a step may change
    "cash": "numeric",
    "transfers": "numeric",
    "newest_entry": "text",
    "stepped_at": "timestamptz",
    "watched_until": "timestamptz",
    "loss_rules": "text",
    "halt": "text",
    "warned": "text[]",
    "memory": "text",
    "compared_at": "timestamptz",
    "closings": "text",
    "review_at": "timestamptz",
    "at_venue": "text",
    "request_sequence": "bigint",
}
