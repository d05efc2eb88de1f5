"""The database role of each function: exactly the rights that its statements need.

The rights are declared here once, and migrations grant them. Tests check three things: a migrated database grants exactly what
is declared, every statement that a function really sends is allowed, and no right is left over. A migration that changes a table
changes its rights too; the test prints the missing lines.
Decision: docs/decisions/0072-a-database-role-a-function.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from signalbox.adapters.postgres import trading_tables
from signalbox.contracts import READER_DATABASE_USER, EventType, Function, database_user, emitted_by


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights of a role on a table. A column that `insert` does not name always gets its default."""

    select: bool = False
    insert: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    delete: bool = False

    def verbs(self) -> Iterator[str]:
        """Yield the rights as GRANT writes them."""
        if self.select:
            yield "SELECT"
        if self.insert:
            yield f"INSERT ({', '.join(self.insert)})"
        if self.update:
            yield f"UPDATE ({', '.join(self.update)})"
        if self.delete:
            yield "DELETE"


@dataclass(frozen=True, slots=True)
class DatabaseRole:
    """One login role. `emits`: event types it may put into the outbox and publish from there; None means all."""

    user: str
    tables: Mapping[str, Rights]
    sequences: Mapping[str, tuple[str, ...]]
    functions: tuple[str, ...] = ()
    emits: tuple[EventType, ...] | None = ()

    def grants(self) -> tuple[str, ...]:
        """Return the GRANT statements of this role."""
        found = [f"GRANT {', '.join(rights.verbs())} ON {table} TO {self.user};" for table, rights in sorted(self.tables.items())]
        found += [
            f"GRANT {', '.join(verbs)} ON SEQUENCE {name} TO {self.user};" for name, verbs in sorted(self.sequences.items())
        ]
        found += [f"GRANT EXECUTE ON FUNCTION {name} TO {self.user};" for name in self.functions]
        return tuple(found)


READ: Final = Rights(select=True)
OUTBOX: Final = Rights(
    select=True, insert=("event_id", "event_type", "detail", "created_at"), update=("published_at",)
)  # policies of the table limit this to the role's own event types


def _names(columns: str) -> tuple[str, ...]:
    return tuple(columns.split())


def _rows(table: trading_tables.LedgerTable, *, select: bool = True, delete: bool = False) -> Rights:
    """Return the right to write a table as trading_save does."""
    numbered = ("booked",) if table.is_numbered else ()
    return Rights(select=select, insert=(*table.columns, *numbered), update=table.replaced, delete=delete)


_ACCOUNT_STATE: Final = tuple(trading_tables.ACCOUNT_COLUMNS)
_STEPPED: Final = {  # what a step of an account reads and writes, in every function that takes steps
    "candles": READ,
    "accounts": Rights(select=True, update=_ACCOUNT_STATE),  # trigger accounts_halt keeps monitor_risk from making a halt milder
    "standing_orders": READ,
    "account_entries": READ,
    "venue_view_parts": READ,
    "order_events": _rows(trading_tables.ORDER_EVENTS),
    "orders": _rows(trading_tables.ORDERS),
    "fills": _rows(trading_tables.FILLS),
    "positions": _rows(trading_tables.POSITIONS),
    "lots": _rows(trading_tables.LOTS, delete=True),
    "disposals": _rows(trading_tables.DISPOSALS, delete=True),
    "trades": _rows(trading_tables.TRADES),
    "equity_snapshots": _rows(trading_tables.EQUITY_SNAPSHOTS, select=False),
    "day_baselines": _rows(trading_tables.DAY_BASELINES, select=False),
    "risk_events": _rows(trading_tables.RISK_EVENTS, select=False),
    "halts": _rows(trading_tables.HALTS, select=False),
    "locks": _rows(trading_tables.LOCKS, delete=True),
    "outbox": OUTBOX,
}
_FACTS_OF_REPORTS: Final = (
    "accounts",
    "account_entries",
    "candles",
    "day_baselines",
    "disposals",
    "equity_snapshots",
    "execution_quality",
    "fills",
    "halts",
    "order_events",
    "orders",
    "risk_events",
    "standing_orders",
    "trades",
)
_ASKED: Final = (  # what query_ledger answers from
    *("account_access", "accounts", "candles", "confirmations", "deployed_models", "equity_snapshots", "fills", "locks", "lots"),
    *("order_events", "orders", "positions", "risk_events", "signals", "standing_orders", "trades"),
)
_QUALITY: Final = _names(
    "client_order_id account venue symbol side leg state decided_at submitted_at closed_at decision_price arrival_mid end_mid"
    " market_vwap orders filled_orders trades trades_without_marks ordered filled value fees arrival_slippage_cost"
    " arrival_slippage_base effective_spread_cost effective_spread_base realised_spread_cost realised_spread_base"
    " price_impact_cost price_impact_base implementation_shortfall_cost implementation_shortfall_base vwap_slippage_cost"
    " vwap_slippage_base timed_orders first_fill_time timed_full_orders full_fill_time"
)
_DUMPED: Final = (  # every table: a dump that lacks one is none, and says so (adapters.postgres.dump)
    *("access_refusals", "account_access", "account_entries", "accounts", "candle_revisions", "candles", "confirmations"),
    *("cycle_parts", "cycles", "day_baselines", "dependencies", "deployed_models", "disposals", "entities", "equity_snapshots"),
    *("evaluations", "execution_quality", "fills", "halts", "locks", "lots", "order_events", "orders", "outbox", "positions"),
    *("published_reports", "refusals", "report_marks", "risk_events", "schema_migrations", "signals", "standing_orders"),
    *("deployment_events", "deployments", "symbol_status", "trades", "venue_view_parts", "version_decisions", "version_tags"),
    *("observation_events", "observations"),
    *("versions", "entity_revisions", "library_requests", "page_keys"),
)
_DEPLOYED: Final = _names(
    "deployment kind name number symbol_group ordinal stage state requested_at changed_at who why overridden evaluated_rate"
    " replaces restores request_id challenger"
)
_DEPLOYMENTS: Final = {  # what moves a deployment; a trigger keeps the events as they are
    "deployments": Rights(select=True, insert=_DEPLOYED, update=("state", "changed_at", "missed", "reason")),
    "deployment_events": Rights(
        select=True, insert=("deployment", "step", "state", "at", "who", "why", "missed_cycle", "request_id")
    ),
}
_VERSION: Final = _names("kind name number origin state created_at reason bundle_key sha256 manifest semantic description")
_REGISTERED: Final = {  # what adds a version
    "entities": Rights(insert=("kind", "name", "created_at")),
    "versions": Rights(select=True, insert=_VERSION),
    "evaluations": Rights(
        select=True,
        insert=(
            "kind",
            "name",
            "number",
            "source",
            "evaluated_at",
            "qualifies",
            "headline",
            "gates",
            "report",
            "period_start",
            "period_end",
        ),
    ),
    "dependencies": Rights(insert=("kind", "name", "number", "needs_kind", "needs_name", "needs_number")),
    "version_decisions": Rights(
        select=True,
        insert=("kind", "name", "number", "step", "state", "who", "at", "why", "request_id", "overridden"),
    ),
    "outbox": OUTBOX,
}
_SEQUENCES: Final = (
    *("account_access_sequence_seq", "bookings", "halts_sequence_seq", "order_events_sequence_seq"),
    *("outbox_sequence_seq", "risk_events_sequence_seq"),
)
_CANDLE_NUMBERS: Final = ("open", "high", "low", "close", "volume")
_BOOKINGS: Final = {"bookings": ("USAGE",)}  # the next number of a fact; setting it takes UPDATE

ROLES: Final[tuple[DatabaseRole, ...]] = (
    DatabaseRole(
        database_user(Function.GENERATE_SIGNALS),
        {
            "candles": Rights(  # trigger candles_keep_revision keeps the old version of a changed candle
                select=True,
                insert=("venue", "symbol", "open_time", *_CANDLE_NUMBERS, "announced_at"),
                update=(*_CANDLE_NUMBERS, "announced_at"),
            ),
            "cycles": Rights(select=True, insert=("venue", "cycle_at", "decided"), update=("decided",)),
            "cycle_parts": Rights(select=True, insert=("venue", "cycle_at", "parts", "part")),
            "signals": Rights(
                select=True,
                insert=(
                    "symbol", "decided_at", "deployment", "stage", "direction", "tier", "probability_up", "price", "late",
                    "schema_name", "schema_hash", "features", "held_back", "known_at", "market", "overridden",
                    "challenger",
                ),
            ),
            **_DEPLOYMENTS,
            "versions": READ,
            "version_decisions": READ,
            "deployed_models": Rights(insert=("deployment", "stage", "bundle", "gates", "first_decided_at")),
            "refusals": Rights(insert=("venue", "cycle_at", "symbol", "reason", "detail")),
            "symbol_status": Rights(
                select=True, insert=("symbol", "stale_since", "reason"), update=("stale_since", "reason")
            ),
            "outbox": OUTBOX,
        },
        {},
        functions=("ensure_candle_partitions(date[])",),
        emits=emitted_by(Function.GENERATE_SIGNALS),
    ),
    DatabaseRole(
        database_user(Function.MANAGE_ORDERS),
        {
            **_STEPPED,
            "accounts": Rights(
                select=True,
                insert=("account", "mode", "configuration", "opened_at", "opened_by", "cash", "transfers", "newest_entry"),
                update=_ACCOUNT_STATE,
            ),
            "standing_orders": _rows(trading_tables.STANDING_ORDERS),
            "account_entries": _rows(trading_tables.ACCOUNT_ENTRIES),
            "confirmations": _rows(trading_tables.CONFIRMATIONS),
            "risk_events": _rows(trading_tables.RISK_EVENTS),
            "signals": READ,
            "deployed_models": READ,
            "venue_view_parts": Rights(
                select=True, insert=("account", "view", "asked_at", "part", "parts", "payload"), delete=True
            ),
            "account_access": Rights(
                select=True, insert=("account", "principal", "request_id", "role", "who", "at")
            ),
            "access_refusals": Rights(insert=("account", "principal", "action", "minute", "needed", "held")),
        },
        _BOOKINGS,
        emits=emitted_by(Function.MANAGE_ORDERS),
    ),
    DatabaseRole(database_user(Function.MONITOR_RISK), _STEPPED, _BOOKINGS, emits=emitted_by(Function.MONITOR_RISK)),
    DatabaseRole(
        database_user(Function.RELAY_OUTBOX), {"outbox": Rights(select=True, update=("published_at",))}, {}, emits=None
    ),
    DatabaseRole(database_user(Function.COMPACT_CANDLES), {"candles": READ}, {}),
    DatabaseRole(
        database_user(Function.PUBLISH_REPORTS),
        {
            **dict.fromkeys(_FACTS_OF_REPORTS, READ),
            # FOR SHARE needs the right to update some column; `turn` exists only for that and holds nothing
            "accounts": Rights(select=True, update=("turn",)),
            "execution_quality": Rights(select=True, insert=_QUALITY, update=(*_QUALITY, "booked")),
            "published_reports": Rights(
                select=True,
                insert=("path", "account", "period", "kind", "sha256", "size", "published_at", "made_at", "made_from"),
                update=("sha256", "size", "published_at", "made_at", "made_from"),
            ),
            "report_marks": Rights(select=True, insert=("account", "booked", "at"), update=("booked", "at")),
            "outbox": OUTBOX,
        },
        {"bookings": ("USAGE", "SELECT")},
        emits=emitted_by(Function.PUBLISH_REPORTS),
    ),
    DatabaseRole(
        database_user(Function.REGISTER_MODEL),
        _REGISTERED,
        {},
        emits=emitted_by(Function.REGISTER_MODEL),
    ),
    DatabaseRole(
        database_user(Function.LIBRARY_API),
        {
            **_REGISTERED,
            **_DEPLOYMENTS,
            "dependencies": Rights(
                select=True, insert=("kind", "name", "number", "needs_kind", "needs_name", "needs_number")
            ),
            "version_tags": Rights(select=True, insert=("kind", "name", "number", "tag")),
            "observations": Rights(
                select=True, insert=("observation", "rules_sha256", "rules", "deployment", "bundle_sha256", "starts_at")
            ),
            "observation_events": Rights(
                select=True,
                insert=("observation", "step", "state", "at", "who", "why", "request_id", "verdict", "reasons"),
            ),
            "entities": Rights(select=True, insert=("kind", "name", "created_at")),
            "entity_revisions": Rights(
                select=True, insert=("kind", "name", "revision", "description", "archived", "at", "who", "why", "request_id")
            ),
            "library_requests": Rights(select=True, insert=("request_id", "digest", "verb", "at", "who", "why")),
            "page_keys": Rights(select=True, insert=("number", "secret")),
            "accounts": READ,
            "account_access": READ,
            "signals": READ,
            "candles": READ,
            "access_refusals": Rights(insert=("account", "principal", "action", "minute", "needed", "held")),
        },
        {},
        emits=emitted_by(Function.LIBRARY_API),
    ),
    DatabaseRole(
        database_user(Function.DUMP_DATABASE),
        dict.fromkeys(_DUMPED, READ),  # of the outbox too: it sees every type of event, by a policy of its own, and puts none
        dict.fromkeys(_SEQUENCES, ("SELECT",)),
    ),
    DatabaseRole(database_user(Function.QUERY_LEDGER), dict.fromkeys(_ASKED, READ), {}),
    DatabaseRole(
        database_user(Function.SCORE_SIGNALS), dict.fromkeys(("candles", "deployments", "versions"), READ), {}
    ),
    DatabaseRole(
        READER_DATABASE_USER,
        {
            **dict.fromkeys(_FACTS_OF_REPORTS, READ),
            **dict.fromkeys(("signals", "candle_revisions", "account_access", "access_refusals"), READ),
            **dict.fromkeys(("refusals", "observations", "observation_events"), READ),
        },
        {},
    ),
)  # fmt: skip
