"""The compliance report: the use of every limit of the account, and everything that the pre-trade checks did, in time order.

Loss rules are reported per day: a day's highest use is at its lowest equity, which is watched at the worst price of every minute.
Limits of the pre-trade checks are reported with the number of orders refused for them, and with their highest measured use if
snapshots show it. Only finished days count; the current day appears in the record of events alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import Final

from signalbox.exact import CONTEXT, ratio
from signalbox.reports.csv_text import Cell, CsvTable
from signalbox.reports.page import Table
from signalbox.reports.report import Report, ReportKind, Section, account_row, headline, money, number, percent, rows_table, when
from signalbox.reports.source import AccountPeriod
from signalbox.risk.codes import MEANINGS
from signalbox.risk.ftmo.headroom import SEVERITY, Limits, RuleHeadroom, StopLevel, headroom_of
from signalbox.risk.ftmo.rules import FtmoRules, LossReference
from signalbox.risk.snapshot import HaltLevel, LossRule
from signalbox.trading.changes import RiskEvent, RiskEventKind

COLUMNS: Final = (
    "account",
    "row",  # limit, loss or event
    "at",
    "day",
    "kind",
    "code",
    "symbol",
    "limit",
    "value",
    "share",
    "level",
    "count",
    "who",
    "detail",
    "snapshot_id",
    "key",
)
ACCOUNT_EXPOSURE: Final = "max_account_exposure_fraction"
# How the page names the limits of `RiskLimits`; the CSV keeps their field names. A test asks for every field.
LIMIT_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "version": "preset",
        "funding": "how positions are paid for",
        "loss_floors_required": "orders need known loss limits",
        "max_account_age_seconds": "oldest balances and positions, s",
        "max_price_age_seconds": "oldest price, s",
        "max_price_deviation_fraction": "limit price away from the market, share of the price",
        "market_slippage_fraction": "assumed slippage of a market order, share of the price",
        "stop_slippage_fraction": "assumed slippage of a stop, share of the price",
        "worst_move_fraction": "assumed worst move of a position without a stop, share of the price",
        "max_symbol_exposure_fraction": "exposure of a symbol, times equity",
        "max_group_exposure_fraction": "exposure of a correlated group, times equity",
        "max_account_exposure_fraction": "exposure of the account, times equity",
        "max_funding_use_fraction": "margin or cash in use, share of what there is",
        "midnight_guard_minutes": "before midnight the next day's limits count too, minutes",
        "throttle_window_seconds": "time over which orders are counted, s",
        "max_orders_per_window": "orders in that time",
        "reserved_for_reducing": "further orders in that time, to reduce positions",
    }
)
RULE_NAMES: Final[Mapping[LossRule, str]] = MappingProxyType(
    {LossRule.MAX_DAILY_LOSS: "daily loss", LossRule.MAX_LOSS: "total loss"}
)


@dataclass(frozen=True, slots=True)
class LimitUse:
    """One limit of the pre-trade checks: its configured value, orders refused for it, and the highest measured use."""

    name: str
    limit: Cell
    refusals: int
    used: Decimal | None = None
    share: Decimal | None = None


@dataclass(frozen=True, slots=True)
class LossUse:
    """The highest use of a loss rule on one day. share: loss / allowed loss, 4 places; at 1 the rule itself is reached."""

    day: date
    rule: RuleHeadroom

    @property
    def share(self) -> Decimal:
        """The loss divided by the allowed loss."""
        return ratio(self.rule.used, self.rule.amount, 4)


def limit_uses(data: AccountPeriod) -> tuple[LimitUse, ...]:
    """Return the limits of the account's preset, in the preset's order."""
    refused = Counter(event.code for event in data.risk_events if event.kind is RiskEventKind.ORDER_REFUSED)
    exposure = data.curve.exposure
    found = []
    for name, value in data.account.limits.model_dump(mode="python").items():
        refusals = sum(refused[code] for code, meaning in MEANINGS.items() if f"`{name}`" in meaning.limit)
        limit: Cell = (
            ("no", "yes")[value] if isinstance(value, bool) else value if isinstance(value, (Decimal, int, str)) else str(value)
        )
        used = exposure.share if exposure is not None and name == ACCOUNT_EXPOSURE else None
        share = ratio(used, value, 4) if used is not None else None
        found.append(LimitUse(name, limit, refusals, used, share))
    return tuple(found)


def loss_uses(data: AccountPeriod) -> tuple[LossUse, ...]:
    """Return the highest use of both loss rules on each finished day of the period; empty if the account has no loss rules."""
    rules = data.account.rules
    if rules is None:
        return ()
    found = []
    highest = data.account.capital
    with localcontext(CONTEXT):
        for day in sorted(data.days, key=lambda d: d.date):
            highest = max(highest, day.baseline)
            if day.date in data.period:
                limits = _limits(data, rules, day.baseline, day.baseline - day.daily_limit, highest)
                used = headroom_of(
                    rules.stops,
                    equity=day.worst_equity,
                    today=limits,
                    tomorrow=limits,
                    day_start=None,  # no floors are needed
                    next_midnight=data.until,
                    following_midnight=None,
                    broken=frozenset(),
                )
                found += [LossUse(day.date, rule) for rule in used.rules]
    return tuple(found)


def level_of(use: LossUse) -> StopLevel:
    """Return the stop level that the use reached; BREACHED if equity was below the limit."""
    return StopLevel.BREACHED if use.rule.remaining < 0 else use.rule.level


def compliance_report(data: AccountPeriod) -> Report:
    """Return the compliance report of an account and period."""
    limits, losses = limit_uses(data), loss_uses(data)
    events = sorted(data.risk_events, key=lambda event: event.at)  # a stable sort: events of one instant stay in recorded order
    counts = Counter(event.kind for event in events)
    worst = max((level_of(use) for use in losses), key=SEVERITY.__getitem__, default=StopLevel.CLEAR)
    halt = HaltLevel.NONE if data.halt is None else data.halt.level_at(data.until)
    figures = {
        "highest level of a loss rule": worst.value if losses else "no finished day" if data.account.rules else "no loss rules",
        "highest use": percent(max((use.share for use in losses), default=None)),
        "orders refused": counts[RiskEventKind.ORDER_REFUSED],
        "signals held back": counts[RiskEventKind.SIGNAL_HELD_BACK],
        "halts": counts[RiskEventKind.HALTED],
        "differences to the venue": counts[RiskEventKind.DIFFERENCE],
        "kill switch at the end": halt.value,
    }
    rows = [_limit_row(data, use) for use in limits]
    rows += [_loss_row(data, use) for use in losses]
    rows += [_event_row(data, event) for event in events]
    note = ", ".join(f"{kind.value} {counts[kind]}" for kind in RiskEventKind if counts[kind])
    return Report(
        kind=ReportKind.COMPLIANCE,
        account=data.account.account,
        period=data.period,
        title="Compliance",
        headline=headline(data, "Limits and compliance events"),
        is_empty=not events and not losses,
        table=CsvTable(COLUMNS, tuple(rows)),
        figures=figures,
        sections=(
            Section("Loss rules by day", _loss_table(losses), _rules_note(data)),
            Section("Limits of the pre-trade checks", _limit_table(limits), f"Preset {data.account.limits.version}."),
            Section("Record", _event_table(events), note),
        ),
        closing=_kill_switch_text(data),
    )


def _kill_switch_text(data: AccountPeriod) -> str:
    halt = data.halt
    if halt is None:
        return ""
    ends = "" if halt.until is None else f", until {when(halt.until)} UTC"
    return f"The kill switch was set to {halt.level} by {halt.who} at {when(halt.since)} UTC{ends}: {halt.why}"


def _limits(data: AccountPeriod, rules: FtmoRules, baseline: Decimal, daily: Decimal, highest: Decimal) -> Limits:
    capital = data.account.capital
    return Limits(
        daily_reference=baseline,
        daily_amount=daily,
        max_reference=highest if rules.max_loss_reference is LossReference.TRAILING else capital,
        max_amount=rules.max_loss_fraction * capital,
    )


def _rules_note(data: AccountPeriod) -> str:
    rules = data.account.rules
    if rules is None:
        return f"Accounts of kind {data.account.kind} have no loss rules."
    return f"Rules {rules.name} {rules.version}; the use is measured at the day's lowest equity (days of {rules.time_zone})."


def _limit_row(data: AccountPeriod, use: LimitUse) -> tuple[Cell, ...]:
    cells: dict[str, Cell] = {"code": use.name, "limit": use.limit, "value": use.used, "share": use.share, "count": use.refusals}
    cells |= {"row": "limit", "kind": data.account.limits.version}
    return account_row(data, COLUMNS, cells)


def _loss_row(data: AccountPeriod, use: LossUse) -> tuple[Cell, ...]:
    cells: dict[str, Cell] = {
        "row": "loss",
        "day": use.day,
        "code": use.rule.rule.value,
        "limit": use.rule.amount,
        "value": use.rule.used,
        "share": use.share,
        "level": level_of(use).value,
    }
    return account_row(data, COLUMNS, cells)


def _event_row(data: AccountPeriod, event: RiskEvent) -> tuple[Cell, ...]:
    cells: dict[str, Cell] = {
        "row": "event",
        "at": event.at,
        "day": data.period.day_of(event.at),
        "kind": event.kind.value,
        "code": event.code,
        "symbol": event.symbol,
        "limit": event.limit,
        "value": event.value,
        "who": event.who,
        "detail": event.detail,
        "snapshot_id": event.snapshot_id,
        "key": event.key,
    }
    return account_row(data, COLUMNS, cells)


def _loss_table(losses: tuple[LossUse, ...]) -> Table:
    rows = (
        [
            use.day,
            RULE_NAMES[use.rule.rule],
            money(use.rule.reference),
            money(use.rule.limit),
            money(use.rule.used),
            money(use.rule.amount),
            percent(use.share),
            level_of(use).value,
        ]
        for use in losses
    )
    head = ["day", "rule", "measured from", "breach below", "highest loss", "of", "use", "level"]
    return rows_table(head, rows, (2, 3, 4, 5, 6))


def _limit_table(limits: tuple[LimitUse, ...]) -> Table:
    rows = ([LIMIT_NAMES[use.name], _shown(use.limit), number(use.used), percent(use.share), use.refusals] for use in limits)
    return rows_table(["limit", "value", "highest measured use", "share", "orders refused"], rows, (1, 2, 3, 4))


def _event_table(events: list[RiskEvent]) -> Table:
    rows = (
        [when(e.at), e.kind.value, e.code, e.symbol or "-", _shown(e.value), _shown(e.limit), e.who, e.detail] for e in events
    )
    return rows_table(["at (UTC)", "what", "code", "symbol", "value", "limit", "who", "why"], rows, (4, 5))


def _shown(value: Cell) -> str:
    return number(value) if isinstance(value, Decimal) else "-" if value is None else str(value)
