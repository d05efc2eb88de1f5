"""The part of `report.html` about accounts: equity, trades, profit and loss, and how near the rules came."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from local.cloud.accounts import AccountRecord, summarise_account
from signalbox.portfolio.account import EquitySnapshot
from signalbox.reports.page import cards, section, table, text
from signalbox.trading.state import Trade

SHOWN_TRADES: Final = 300
PAPER_BADGE: Final = '<span class="badge shadow">paper: no money moved</span>'
_RULES: Final = {"max_daily_loss": "daily loss", "max_loss": "total loss"}


def account_sections(records: Sequence[AccountRecord]) -> list[str]:
    """Return the parts of the page, none without accounts."""
    return [part for record in records for part in _account(record)]


def _account(record: AccountRecord) -> list[str]:
    found = summarise_account(record)
    badge = PAPER_BADGE if found["mode"] != "live" else ""
    values = {
        "equity": _money(Decimal(found["equity"])),
        "realised, after fees": _money(Decimal(found["realised"])),
        "fees": _money(Decimal(found["fees"])),
        "trades opened / closed": f"{found['trades_opened']} / {found['trades_closed']}",
        "orders / fills": f"{found['orders']} / {found['fills']}",
        "refused / held back": f"{sum(found['refused'].values())} / {sum(found['held_back'].values())}",
    }
    return [
        f"<h2>Account {text(found['account'])} {badge}</h2>{cards(values)}",
        section("Equity", _equity_svg(record.facts.equity), "at every decided cycle, positions at the newest close"),
        section("Trades", _trades(record)),
        section("How near the rules came", _rules(found), "at the worst price of every minute, not only at the cycles"),
        section("Not traded", _reasons(found), "signals held back by the account's policy, and orders the checks refused"),
        section("Stops", _halts(found)),
    ]


def _trades(record: AccountRecord) -> str:
    rows = (_trade(record, trade) for trade in record.trades[-SHOWN_TRADES:][::-1])
    head = ["opened (UTC)", "symbol", "side", "quantity", "entry", "exit", "closed (UTC)", "by", "realised"]
    return table(head, rows, (3, 4, 5, 8))


def _trade(record: AccountRecord, trade: Trade) -> list[str]:
    entry = record.orders.get(trade.entry)
    exit_ = record.orders.get(trade.exit) if trade.exit is not None else None
    return [
        f"{trade.opened_at:%m-%d %H:%M}" if trade.opened_at else "-",
        text(trade.symbol),
        f'<span class="{text(trade.side)}">{text(trade.side)}</span>',
        f"{entry.filled:f}" if entry is not None else "-",
        _price(entry.average_price if entry is not None else None),
        _price(exit_.average_price if exit_ is not None else None),
        f"{trade.closed_at:%m-%d %H:%M}" if trade.closed_at else "open",
        text(trade.exit_leg.value) if trade.exit_leg is not None else "-",
        _money(trade.realised) if trade.realised is not None else "-",
    ]


def _rules(found: dict[str, Any]) -> str:
    rows = [
        [_RULES.get(rule, rule), _money(Decimal(item["used"])), _money(Decimal(item["limit"])), f"{Decimal(item['share']):.1%}"]
        for rule, item in found["worst_used"].items()
    ]
    return table(["rule", "most used", "limit", "share"], rows, (1, 2, 3))


def _reasons(found: dict[str, Any]) -> str:
    rows = [["held back", text(code), str(count)] for code, count in found["held_back"].items()]
    rows += [["refused", text(code), str(count)] for code, count in found["refused"].items()]
    return table(["", "why", "times"], rows, (2,))


def _halts(found: dict[str, Any]) -> str:
    rows = ([text(h["since"]), text(h["level"]), text(h["who"]), text(h["why"])] for h in found["halts"])
    return table(["since", "level", "by", "why"], rows)


def _equity_svg(points: Sequence[EquitySnapshot]) -> str:
    """Draw the equity as a line; a flat account is a flat line in the middle."""
    if len(points) < 2:
        return ""
    width, height, left = 1000.0, 160.0, 90.0
    values = [float(point.equity) for point in points]
    low, high = min(values), max(values)
    step = (width - left) / (len(values) - 1)
    line = " ".join(f"{left + i * step:.1f},{_height(value, low, high, height):.1f}" for i, value in enumerate(values))
    ticks = "".join(
        f'<text x="0" y="{max(_height(value, low, high, height), 10):.0f}">{value:,.2f}</text>' for value in sorted({low, high})
    )
    return (
        f'<svg role="img" aria-label="equity at each cycle" viewBox="0 0 {width:.0f} {height + 4:.0f}">{ticks}'
        f'<polyline points="{line}" fill="none" stroke="#3d6a99" stroke-width="1.6"/></svg>'
    )


def _height(value: float, low: float, high: float, height: float) -> float:
    return height / 2 if high == low else height - (value - low) / (high - low) * height


def _money(value: Decimal) -> str:
    return f"{value:,.2f}"


def _price(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
