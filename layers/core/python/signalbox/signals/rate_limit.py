"""Limits the signals issued per hour: in total, of tier HIGH, and of one symbol.

A burst of signals is either one market move seen several times or a model that has gone wrong; either way its signals are worth
less than they seem. A signal over the limit keeps its direction, tier and probability, and carries the reason why it was held
back. The hour before a decision at t is (t - 1 h, t]. Within one cycle the signal with the higher confidence goes first, and of
equals the one whose symbol sorts first, so that the outcome depends on the facts alone. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from signalbox.frozen import FrozenModel
from signalbox.market.candles import Symbol
from signalbox.signals.signal import Signal, Tier

WINDOW: Final = timedelta(hours=1)
Count = Annotated[int, Field(ge=0, le=1000)]


class HoldReason(StrEnum):
    """The rate limit that turned a signal into a HOLD. If several are reached, the one of the narrowest scope."""

    SYMBOL_HIGH_RATE = "SYMBOL_HIGH_RATE"
    SYMBOL_RATE = "SYMBOL_RATE"
    HIGH_RATE = "HIGH_RATE"
    RATE = "RATE"


class SignalLimits(FrozenModel):
    """Limits on issued signals per hour. `high_*` limit those of tier HIGH, which count towards the other limits too."""

    per_hour: Count = 10
    high_per_hour: Count = 5
    symbol_per_hour: Count = 10
    symbol_high_per_hour: Count = 5


@dataclass(frozen=True, slots=True)
class Issued:
    """A signal that was issued earlier."""

    symbol: Symbol
    decided_at: datetime
    tier: Tier


def limit_rate(signals: Sequence[Signal], before: Iterable[Issued], limits: SignalLimits) -> tuple[Signal, ...]:
    """Return the signals of one cycle in their order; those over a limit have `held_back` set.

    before: signals that the same deployment issued earlier. Those older than an hour or dated after the decision are ignored.
    """
    if not signals:
        return ()
    at = signals[0].decided_at
    counted = [one for one in before if at - WINDOW < one.decided_at <= at]
    reasons: dict[Symbol, HoldReason] = {}
    for signal in sorted((s for s in signals if s.issued), key=lambda s: (-s.confidence, s.symbol)):
        reason = _over(signal, counted, limits)
        if reason is None:
            counted.append(Issued(signal.symbol, signal.decided_at, signal.tier))
        else:
            reasons[signal.symbol] = reason
    return tuple(replace(s, held_back=reasons[s.symbol].value) if s.symbol in reasons else s for s in signals)


def _over(signal: Signal, counted: Sequence[Issued], limits: SignalLimits) -> HoldReason | None:
    own = [one for one in counted if one.symbol == signal.symbol]
    if signal.tier is Tier.HIGH:
        if _high(own) >= limits.symbol_high_per_hour:
            return HoldReason.SYMBOL_HIGH_RATE
        if _high(counted) >= limits.high_per_hour:
            return HoldReason.HIGH_RATE
    if len(own) >= limits.symbol_per_hour:
        return HoldReason.SYMBOL_RATE
    return HoldReason.RATE if len(counted) >= limits.per_hour else None


def _high(counted: Sequence[Issued]) -> int:
    return sum(one.tier is Tier.HIGH for one in counted)
