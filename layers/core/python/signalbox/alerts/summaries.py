"""Summaries of accounts as alerts, with the equity of the period as a picture. Amounts are in the account's currency."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final

from signalbox.alerts.alert import Alert, ProfitChart
from signalbox.alerts.catalogue import Words
from signalbox.alerts.kinds import AlertKind
from signalbox.alerts.settings import ChatSettings
from signalbox.chat.styled import StyledText, joined
from signalbox.exact import exactly, ratio
from signalbox.trading.events import AccountSummarised

LIFETIME: Final = timedelta(hours=20)  # the next day has its own


def summary_alert(event: AccountSummarised) -> Alert:
    """Return the alert of a summary."""
    return Alert(
        alert_id=event.event_id,
        kind=AlertKind.SUMMARY,
        lifetime=LIFETIME,
        write=lambda words, _settings: joined(_lines(event, words)),
        chart=lambda words, settings: _chart(event, words, settings),
    )


def _lines(event: AccountSummarised, words: Words) -> tuple[StyledText, ...]:
    mark = "📈" if event.net > 0 else "📉" if event.net < 0 else "⚪"
    share = _share(event.net, event.opening_equity)
    opened = str(event.opened)
    closed = (
        words.say("summary.trades", closed=str(event.closed), won=str(event.won), opened=opened)
        if event.closed
        else words.say("summary.trades_none", opened=opened)
    )
    return (
        words.headline(
            mark,
            f"summary.{event.span}",
            account=_account(event),
            day=words.date(event.first),
            profit=words.money(event.net, signed=True),
        ),
        words.say(
            "summary.equity",
            equity=words.money(event.equity),
            currency=event.currency,
            share=words.percent(share, 2, signed=True),
            start=words.time(event.start),
        ),
        closed,
        words.say("summary.costs", fees=words.money(-event.fees, signed=True), funding=words.money(event.funding, signed=True)),
        _fall(event, words),
        words.say("summary.transfers", amount=words.money(event.transfers, signed=True)) if event.transfers else StyledText(),
        StyledText() if event.halt is None else words.say("summary.halted", level=words.name("level_of_halt", event.halt.value)),
    )


@exactly
def _share(net: Decimal, opening: Decimal) -> Decimal:
    return ratio(net, opening, 6) if opening > 0 else Decimal(0)


def _fall(event: AccountSummarised, words: Words) -> StyledText:
    if event.fall is None or event.fall_at is None:
        return words.say("summary.no_fall")
    return words.say("summary.deepest", fall=words.money(-event.fall, signed=True), time=words.time(event.fall_at))


def _account(event: AccountSummarised) -> str:
    return event.account if event.mode == "live" else f"{event.account} ({event.mode})"


def _chart(event: AccountSummarised, words: Words, settings: ChatSettings) -> ProfitChart | None:
    if len(event.curve) < 2:
        return None
    return ProfitChart(
        title=words.say("summary.chart_title", account=_account(event), day=words.date(event.first)).text,
        zone=settings.zone,
        start=event.start,
        points=event.curve,
        signs=words.signs,
    )
