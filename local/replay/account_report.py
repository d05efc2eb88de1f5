"""The account part of `report.html`: equity, trades, profit and loss, and how much of each loss limit was used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from markupsafe import Markup

from local.cloud.accounts import AccountRecord, summarise_account
from signalbox.portfolio.account import EquitySnapshot
from signalbox.reports.drawing import hover_strips, line_through, picture, words
from signalbox.reports.page import Table, coloured
from signalbox.trading.state import Trade

SHOWN_TRADES: Final = 300
_RULES: Final = {"max_daily_loss": "daily loss", "max_loss": "total loss"}


@dataclass(frozen=True, slots=True)
class AccountView:
    """The data that the page shows for an account (templates/account.html.jinja)."""

    name: str
    is_paper: bool
    figures: Mapping[str, object]
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
        figures=figures,
        equity=_equity_svg(record.facts.equity),
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


def _equity_svg(points: Sequence[EquitySnapshot]) -> Markup:
    """Draw the equity as a line. A constant equity is a line in the middle."""
    if len(points) < 2:
        return Markup("")
    width, height, left = 1000.0, 160.0, 90.0
    values = [float(point.equity) for point in points]
    low, high = min(values), max(values)
    step = (width - left) / (len(values) - 1)
    across = [left + i * step for i in range(len(values))]
    return picture(
        "equity at each cycle",
        width,
        height + 4,
        *(words(0, max(_height(value, low, high, height), 10), f"{value:,.2f}") for value in sorted({low, high})),
        line_through(
            ((x, _height(value, low, high, height)) for x, value in zip(across, values, strict=True)),
            fill="none",
            stroke="#3d6a99",
            stroke_width="1.6",
        ),
        hover_strips(across, [f"{point.at:%m-%d %H:%M} UTC: {point.equity:,.2f}" for point in points], 0.0, height),
    )


def _height(value: float, low: float, high: float, height: float) -> float:
    return height / 2 if high == low else height - (value - low) / (high - low) * height


def _money(value: Decimal) -> str:
    return f"{value:,.2f}"


def _price(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
