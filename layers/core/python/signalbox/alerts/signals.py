"""Signals and their outcomes as alerts.

A signal is not an order: each account that follows it sets its own stop and target when it enters. The levels shown are those of
one policy, by the volatility that an account would measure too (trading/entry_plan.py). Without enough bars no level is made up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

import numpy as np

from signalbox.alerts.alert import Alert, SignalChart, shown, signal_thread
from signalbox.alerts.catalogue import Words
from signalbox.alerts.kinds import AlertKind
from signalbox.alerts.settings import ChatSettings
from signalbox.chat.styled import StyledText, joined
from signalbox.events import RecentCandles, SignalGenerated, SignalResolved
from signalbox.exact import exactly, ratio, to_step
from signalbox.market.candles import MINUTE_MS, Bars, Symbol, to_ms
from signalbox.orders.terms import Side
from signalbox.trading.account import EntryPolicy
from signalbox.trading.entry_plan import volatility

CHART_MINUTES: Final = 5  # of a candle in the chart; the bars come a minute each
_MARKS: Final = {"BUY": "🟢", "SELL": "🔴"}


@dataclass(frozen=True, slots=True)
class SignalLevels:
    """Stop and target of a policy at a signal's price. target None: the policy has none."""

    stop: Decimal
    target: Decimal | None


@exactly
def levels_of(signal: SignalGenerated, policy: EntryPolicy) -> SignalLevels | None:
    """Return the levels, rounded to the digits of the price, or None if the volatility is unknown."""
    move = None if signal.recent is None else _volatility(signal, signal.recent)
    if not move:
        return None
    step = Decimal(1).scaleb(min(int(signal.price.as_tuple().exponent), 0))
    sign = Side(signal.direction).sign
    stop = to_step(signal.price - sign * signal.price * move * policy.stop_volatilities, step, upwards=sign < 0)
    if stop <= 0:
        return None
    if policy.target_volatilities is None:
        return SignalLevels(stop, None)
    target = to_step(signal.price + sign * signal.price * move * policy.target_volatilities, step, upwards=sign > 0)
    return SignalLevels(stop, target if target > 0 else None)


def _volatility(signal: SignalGenerated, recent: RecentCandles) -> Decimal | None:
    first = to_ms(recent.first)
    rows = np.array(recent.rows, dtype=np.float64).reshape(len(recent.rows), 5)
    times = first + rows[:, 0].astype(np.int64) * MINUTE_MS
    bars = Bars(Symbol(signal.symbol), times, rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 4], np.zeros(len(rows)))
    return volatility(bars, signal.decided_at, signal.horizon_minutes)


def signal_alert(signal: SignalGenerated) -> Alert | None:
    """Return the alert of an issued signal, None for any other. Nobody follows a challenger's who does not name it."""
    if signal.challenger or not signal.issued or signal.late or signal.direction == "HOLD":
        return None
    return Alert(
        alert_id=signal.event_id,
        kind=AlertKind.SIGNAL,
        lifetime=timedelta(minutes=signal.horizon_minutes),  # later it says nothing that can be acted on
        write=lambda words, settings: _signal_text(signal, words, settings),
        tier=signal.tier,
        thread=signal_thread(signal.symbol, signal.decided_at, signal.deployment),
        chart=lambda words, settings: _chart(signal, words, settings),
    )


def _signal_text(signal: SignalGenerated, words: Words, settings: ChatSettings) -> StyledText:
    expires = signal.decided_at + timedelta(minutes=signal.horizon_minutes)
    return joined(
        (
            words.headline(
                _MARKS[signal.direction],
                "signal.headline",
                side=words.name("side", signal.direction),
                symbol=signal.symbol,
                price=words.price(signal.price),
            ),
            words.say("signal.confidence", confidence=words.percent(Decimal(repr(signal.confidence)), 1), tier=signal.tier),
            _levels_text(signal, words, settings),
            words.say("signal.expires", time=words.time(expires), minutes=str(signal.horizon_minutes)),
            words.say("signal.model", model=signal.deployment, stage=words.name("stage", signal.stage)),
            StyledText() if signal.market is None else words.say("signal.market", market=signal.market),
            StyledText() if signal.stage == "active" else words.say("signal.shadow"),
            words.say("signal.overridden") if signal.overridden else StyledText(),
            words.say("signal.no_candles") if signal.recent is None else StyledText(),
        )
    )


def _levels_text(signal: SignalGenerated, words: Words, settings: ChatSettings) -> StyledText:
    policy = settings.levels_policy()
    levels = levels_of(signal, policy)
    if levels is None:
        return words.say("signal.no_levels")
    target = words.say("signal.no_target").text if levels.target is None else words.price(levels.target)
    return joined(
        (
            words.say("signal.levels", entry=words.price(signal.price), stop=words.price(levels.stop), target=target),
            words.say("signal.levels_by", policy=policy.version),
        )
    )


def _chart(signal: SignalGenerated, words: Words, settings: ChatSettings) -> SignalChart | None:
    if signal.recent is None or not signal.recent.rows:
        return None
    levels = levels_of(signal, settings.levels_policy())
    hours = (signal.recent.rows[-1][0] + 1) / 60
    prices = {"entry": signal.price} if levels is None else {"entry": signal.price, "stop": levels.stop, "target": levels.target}
    lines = [
        (f"{words.say(f'level.{role}').text} {words.price(price)}", shown(price), role)
        for role, price in prices.items()
        if price is not None
    ]
    return SignalChart.model_validate(
        {
            "title": words.say("signal.chart_title", symbol=signal.symbol, hours=f"{hours:.0f}", minutes=str(CHART_MINUTES)).text,
            "zone": settings.zone,
            "signs": words.signs,
            "decided_at": signal.decided_at,
            "expires_at": signal.decided_at + timedelta(minutes=signal.horizon_minutes),
            "candles": signal.recent,
            "levels": tuple(lines),
        }
    )


def outcome_alert(outcome: SignalResolved) -> Alert | None:
    """Return the alert of a signal's outcome, which replies to the signal; None for a challenger's, which had no alert."""
    if outcome.challenger:
        return None

    def write(words: Words, _settings: ChatSettings) -> StyledText:
        move = ratio(outcome.close - outcome.price, outcome.price, 6)
        return joined(
            (
                words.headline(
                    "✅" if outcome.right else "🔻",
                    "signal.right" if outcome.right else "signal.wrong",
                    side=words.name("side", outcome.direction),
                    symbol=outcome.symbol,
                    move=words.percent(move, 2, signed=True),
                    minutes=str(outcome.horizon_minutes),
                ),
                words.say("signal.resolved", price=words.price(outcome.price), close=words.price(outcome.close)),
            )
        )

    return Alert(
        alert_id=outcome.event_id,
        kind=AlertKind.SIGNAL_OUTCOME,
        write=write,
        tier=outcome.tier,
        reply_to=signal_thread(outcome.symbol, outcome.decided_at, outcome.deployment),
    )
