"""Events of an account as alerts. Amounts are in the account's currency, as recorded in the ledger."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TypeAlias, assert_never

from signalbox.alerts.alert import Alert, trade_thread
from signalbox.alerts.catalogue import Words
from signalbox.alerts.kinds import AlertKind
from signalbox.alerts.settings import ChatSettings
from signalbox.chat.styled import StyledText, joined, plain_text
from signalbox.trading.events import (
    AccountExhausted,
    ExitFailed,
    OrderRefused,
    RiskWarning,
    RuleBreached,
    StopPassed,
    TargetReached,
    TradeClosed,
    TradeOpened,
    TradingHalted,
    TradingResumed,
    VenueRefused,
)

AccountEvent: TypeAlias = (
    OrderRefused
    | VenueRefused
    | TradeOpened
    | TradeClosed
    | ExitFailed
    | StopPassed
    | RiskWarning
    | AccountExhausted
    | TradingHalted
    | TradingResumed
    | RuleBreached
    | TargetReached
)


def account_alert(event: AccountEvent) -> Alert:
    """Return the alert of an event about an account."""

    def write(words: Words, _settings: ChatSettings) -> StyledText:
        return joined(_lines(event, words))

    thread = trade_thread(event.entry) if isinstance(event, TradeOpened) else None
    reply_to = trade_thread(event.entry) if isinstance(event, TradeClosed | StopPassed) else None
    return Alert(alert_id=event.event_id, kind=_kind(event), write=write, thread=thread, reply_to=reply_to)


def _kind(event: AccountEvent) -> AlertKind:  # noqa: C901, PLR0911 - one case per event; mypy checks that none is missing
    match event:
        case OrderRefused() | VenueRefused():
            return AlertKind.ORDER_REFUSED
        case TradeOpened():
            return AlertKind.TRADE_OPENED
        case TradeClosed():
            return AlertKind.TRADE_CLOSED
        case ExitFailed():
            return AlertKind.EXIT_FAILED
        case StopPassed():
            return AlertKind.STOP_PASSED
        case RiskWarning():
            return AlertKind.RISK_NOTICE if event.level == "ALERT" else AlertKind.RISK_WARNING
        case AccountExhausted():
            return AlertKind.ACCOUNT_EXHAUSTED
        case TradingHalted():
            return AlertKind.TRADING_HALTED
        case TradingResumed():
            return AlertKind.TRADING_RESUMED
        case RuleBreached():
            return AlertKind.RULE_BREACHED
        case TargetReached():
            return AlertKind.TARGET_REACHED
        case _:
            assert_never(event)


def _lines(event: AccountEvent, words: Words) -> tuple[StyledText, ...]:  # noqa: PLR0911 - as _kind
    match event:
        case OrderRefused() | VenueRefused():
            return _refusal(event, words)
        case TradeOpened() | TradeClosed():
            return _trade(event, words)
        case ExitFailed() | StopPassed():
            return _exit_trouble(event, words)
        case RiskWarning() | AccountExhausted() | RuleBreached():
            return _limit(event, words)
        case TradingHalted():
            until = words.say("risk.halted_open") if event.until is None else _at("risk.halted_until", event.until, words)
            level = words.name("level_of_halt", event.level.value)
            headline = words.headline("⛔", "risk.halted", account=event.account, level=level, who=event.who)
            return headline, plain_text(event.why), until, _at("order.at", event.at, words)
        case TradingResumed():
            headline = words.headline("▶️", "risk.resumed", account=event.account, who=event.who)
            return headline, plain_text(event.why), _at("order.at", event.at, words)
        case TargetReached():
            headline = words.headline("🏁", "risk.target", account=event.account, phase=event.phase)
            return headline, words.say("risk.balance", balance=words.money(event.balance)), _at("order.at", event.at, words)
        case _:
            assert_never(event)


def _refusal(event: OrderRefused | VenueRefused, words: Words) -> tuple[StyledText, ...]:
    side = words.name("side", event.side.value)
    if isinstance(event, OrderRefused):
        headline = words.headline("🚫", "order.refused", account=event.account, side=side, symbol=event.symbol)
        return headline, plain_text(event.message), _at("order.at", event.at, words)
    headline = words.headline(
        "🚫", "order.venue_refused", account=event.account, venue=event.venue, side=side, symbol=event.symbol
    )
    reason = f"{event.reason}: {' '.join(event.detail.split())}" if event.detail else event.reason
    what = words.say("order.refused_what", what=words.say(f"order.{event.what}").text, reason=reason)
    return headline, what, _at("order.at", event.at, words)


def _trade(event: TradeOpened | TradeClosed, words: Words) -> tuple[StyledText, ...]:
    account, side = _account(event.account, event.mode), words.name("side", event.side.value)
    if isinstance(event, TradeOpened):
        target = words.say("trade.no_target").text if event.take_profit is None else words.price(event.take_profit)
        return (
            words.headline(
                "📈",
                "trade.opened",
                account=account,
                side=side,
                quantity=words.quantity(event.quantity),
                symbol=event.symbol,
                price=words.price(event.price),
            ),
            words.say("trade.levels", stop=words.price(event.stop_loss), target=target),
            _at("trade.until", event.deadline, words),
        )
    return (
        words.headline(
            "✅" if event.realised >= 0 else "🔻",
            "trade.closed",
            account=account,
            side=side,
            symbol=event.symbol,
            by=words.name("closed_by", event.leg.value),
            price=words.price(event.price),
        ),
        words.say("trade.result", realised=words.money(event.realised, signed=True), balance=words.money(event.balance)),
    )


def _exit_trouble(event: ExitFailed | StopPassed, words: Words) -> tuple[StyledText, ...]:
    if isinstance(event, StopPassed):
        return (
            words.headline("⚠️", "trade.stop_passed", account=event.account, symbol=event.symbol),
            words.say(
                "trade.stop_passed_at",
                price=words.price(event.price),
                side=words.name("side", event.side.value),
                stop=words.price(event.stop_loss),
            ),
            _at("order.at", event.at, words),
        )
    again = event.retry_at
    return (
        words.headline(
            "🆘",
            "trade.still_open",
            account=_account(event.account, event.mode),
            quantity=words.quantity(event.quantity),
            symbol=event.symbol,
        ),
        words.say(
            "trade.still_open_since",
            by=words.name("closed_by", event.leg.value),
            time=words.time(event.since),
            attempts=str(event.attempts),
        ),
        plain_text(event.reason),
        words.say("trade.still_open_tried") if again is None else _at("trade.still_open_next", again, words),
    )


def _limit(event: RiskWarning | AccountExhausted | RuleBreached, words: Words) -> tuple[StyledText, ...]:
    rule = words.name("rule", event.rule)
    match event:
        case RiskWarning():
            share = event.used / event.amount if event.amount else Decimal(1)
            percent = words.percent(share)
            effect = words.name("risk", event.level)
            return (
                words.headline("⚠️", "risk.warning", account=event.account, share=percent, rule=rule),
                words.say("risk.bar", bar=words.bar(share), share=percent),
                plain_text(effect),
                StyledText() if event.counts_from is None else _at("risk.counts_from", event.counts_from, words),
                words.say("risk.figures", equity=words.money(event.equity), limit=words.money(event.limit)),
                _at("order.at", event.at, words),
            )
        case AccountExhausted():
            until = (
                words.say("risk.exhausted_for_good") if event.until is None else _at("risk.exhausted_until", event.until, words)
            )
            return (
                words.headline("🪫", "risk.exhausted", account=event.account),
                words.say(
                    "risk.exhausted_figures",
                    left=words.money(event.left),
                    rule=rule,
                    least=words.money(event.least_loss),
                    balance=words.money(event.balance),
                ),
                until,
                _at("order.at", event.at, words),
            )
        case RuleBreached():
            return (
                words.headline("❌", "risk.breached", account=event.account, rule=rule),
                words.say("risk.bar", bar=words.bar(Decimal(1)), share=words.percent(Decimal(1))),
                words.say("risk.breached_figures", equity=words.money(event.equity), limit=words.money(event.limit)),
                _at("order.at", event.at, words),
            )
        case _:
            assert_never(event)


def _at(key: str, instant: datetime, words: Words) -> StyledText:
    return words.say(key, time=words.time(instant))


def _account(account: str, mode: str) -> str:
    return account if mode == "live" else f"{account} ({mode})"
