"""The account part of `report.html`: equity, trades, profit and loss, and how much of each loss limit was used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from markupsafe import Markup

from local.cloud.accounts import AccountRecord, summarise_account
from signalbox.exact import ZERO, exactly
from signalbox.portfolio.account import EquitySnapshot
from signalbox.reports.page import Table, coloured, gain_or_loss
from signalbox.reports.plane import Line, Tick, time_chart
from signalbox.trading.state import Trade

SHOWN_TRADES: Final = 300
_CENT: Final = Decimal("0.005")  # what is shown as 0.00 has no sign
_RULES: Final = {"max_daily_loss": "daily loss", "max_loss": "total loss"}


@dataclass(frozen=True, slots=True)
class AccountView:
    """The data that the page shows for an account (templates/account.html.jinja)."""

    name: str
    is_paper: bool
    lead: Mapping[str, object]
    figures: Table
    equity: Markup
    trades: Table
    rules: Table
    reasons: Table
    halts: Table


def account_view(record: AccountRecord) -> AccountView:
    """Return the data of the page for an account."""
    found = summarise_account(record)
    figures = {
        "equity": _money(Decimal(found["equity"])),
        "realised by closed trades, after their fees": _money(Decimal(found["realised"])),
        "fees of all fills, open trades included": _money(Decimal(found["fees"])),
        "trades opened / closed": f"{found['trades_opened']} / {found['trades_closed']}",
        "orders / fills": f"{found['orders']} / {found['fills']}",
        "refused / held back": f"{sum(found['refused'].values())} / {sum(found['held_back'].values())}",
    }
    return AccountView(
        name=found["account"],
        is_paper=found["mode"] != "live",
        lead=_lead(record, found),
        figures=Table(["", ""], figures.items()),
        equity=_equity_chart(record),
        trades=_trades(record),
        rules=_rules(found),
        reasons=_reasons(found),
        halts=_halts(found),
    )


def _trades(record: AccountRecord) -> Table:
    rows = (_trade(record, trade) for trade in record.trades[-SHOWN_TRADES:][::-1])
    head = ["opened (UTC)", "symbol", "side", "quantity", "entry", "exit", "closed (UTC)", "closed by", "realised"]
    return Table(head, rows, (3, 4, 5, 8))


def _trade(record: AccountRecord, trade: Trade) -> list[object]:
    entry = record.orders.get(trade.entry)
    exit_ = record.orders.get(trade.exit) if trade.exit is not None else None
    return [
        f"{trade.opened_at:%m-%d %H:%M}" if trade.opened_at else "-",
        trade.symbol,
        coloured(trade.side),
        f"{entry.filled:f}" if entry is not None else "-",
        _price(entry.average_price if entry is not None else None),
        _price(exit_.average_price if exit_ is not None else None),
        f"{trade.closed_at:%m-%d %H:%M}" if trade.closed_at else "open",
        trade.exit_leg.value if trade.exit_leg is not None else "-",
        _money(trade.realised) if trade.realised is not None else "-",
    ]


def _rules(found: dict[str, Any]) -> Table:
    rows = [
        [_RULES.get(rule, rule), _money(Decimal(item["used"])), _money(Decimal(item["limit"])), f"{Decimal(item['share']):.1%}"]
        for rule, item in found["worst_used"].items()
    ]
    return Table(["rule", "highest use", "limit", "share"], rows, (1, 2, 3))


def _reasons(found: dict[str, Any]) -> Table:
    rows = [["held back", code, str(count)] for code, count in found["held_back"].items()]
    rows += [["refused", code, str(count)] for code, count in found["refused"].items()]
    return Table(["", "reason", "times"], rows, (2,))


def _halts(found: dict[str, Any]) -> Table:
    rows = ([h["since"], h["level"], h["who"], h["why"]] for h in found["halts"])
    return Table(["since", "level", "by", "reason"], rows)


def _lead(record: AccountRecord, found: dict[str, Any]) -> dict[str, object]:
    """Return what a trader asks first: profit, trades, hit rate, drawdown, headroom."""
    currency = found["currency"]
    profits = _profits(record.facts.equity)
    profit = profits[-1] if profits else ZERO
    closed = [trade.realised for trade in record.trades if trade.realised is not None and trade.closed_at is not None]
    won = sum(realised > 0 for realised in closed)
    figures: dict[str, object] = {
        f"profit, {currency}": gain_or_loss(profit, _signed(profit)),
        "trades opened / closed": f"{found['trades_opened']} / {found['trades_closed']}",
        "hit rate, after fees": f"{won / len(closed):.0%}" if closed else "no trade closed",
        f"deepest drawdown at the cycles, {currency}": _money(_deepest(profits)),
    }
    monitor = record.monitor
    if monitor is not None and found["worst_used"]:
        least = min(monitor.headroom().rules, key=lambda rule: rule.remaining)
        figures[f"headroom at the end, {_RULES.get(least.rule.value, least.rule.value)}, {currency}"] = _money(least.remaining)
    figures[f"equity, {currency}"] = _money(Decimal(found["equity"]))
    return figures


@exactly
def _profits(points: Sequence[EquitySnapshot]) -> list[Decimal]:
    """Return the profit at each snapshot; money paid in or out is none."""
    return [point.equity - point.transfers for point in points]


@exactly
def _deepest(profits: Sequence[Decimal]) -> Decimal:
    """Return how far profit fell below its highest value, which is 0 at the start."""
    highest = deepest = ZERO
    for profit in profits:
        highest = max(highest, profit)
        deepest = max(deepest, highest - profit)
    return deepest


def _equity_chart(record: AccountRecord) -> Markup:
    """Draw the equity at each cycle over time, from the account's money at the start."""
    points = record.facts.equity
    if len(points) < 2:
        return Markup("")
    start = points[0].transfers
    line = Line("equity at each cycle", "c0", [(point.at.timestamp(), float(point.equity)) for point in points])
    unit = record.account.currency
    return time_chart("equity at each cycle", [line], unit=unit, start=Tick(float(start), "money paid in"))


def _money(value: Decimal) -> str:
    return f"{ZERO if abs(value) < _CENT else value:,.2f}"


def _signed(value: Decimal) -> str:
    return f"{ZERO if abs(value) < _CENT else value:+,.2f}"


def _price(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
