"""An alert before it is put into words: of which event, how it may come, and what belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from signalbox.alerts.catalogue import Words
from signalbox.alerts.kinds import CRITICAL, LIFETIME, AlertKind
from signalbox.alerts.settings import ChatSettings
from signalbox.chat.styled import StyledText
from signalbox.events import RecentCandles
from signalbox.frozen import FrozenModel

Shown: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SignalChart(FrozenModel):
    """What the picture of a signal shows: the bars before it, and its levels, named in the chat's language.

    levels: label, price and role of each line. labels of the time axis are in `zone`. signs: of decimals and
    thousands.
    """

    title: str
    zone: str
    decided_at: AwareDatetime
    expires_at: AwareDatetime
    candles: RecentCandles
    signs: tuple[str, str] = (".", ",")
    levels: tuple[tuple[str, Shown, Literal["entry", "stop", "target"]], ...]


class ProfitChart(FrozenModel):
    """What the picture of a summary shows: profit over a period.

    points: minutes after `start` and the profit then, oldest first, at least two. zone, signs: as in SignalChart.
    """

    title: str
    zone: str
    start: AwareDatetime
    points: tuple[tuple[int, float], ...]
    signs: tuple[str, str] = (".", ",")


AlertChart: TypeAlias = SignalChart | ProfitChart


@dataclass(frozen=True, slots=True)
class Alert:
    """A message to people about one event; alert_id is the event's id, so each chat gets one message however often it comes.

    write: puts it into the words of a chat. chart: what to draw for a chat. thread: what later messages reply to this one by.
    reply_to: the thread of the message that this one replies to, in a chat that got one.
    """

    alert_id: str
    kind: AlertKind
    write: Callable[[Words, ChatSettings], StyledText]
    lifetime: timedelta = LIFETIME
    tier: str | None = None
    thread: str | None = None
    reply_to: str | None = None
    chart: Callable[[Words, ChatSettings], AlertChart | None] | None = field(default=None)

    @property
    def is_critical(self) -> bool:
        """Whether no setting may switch it off or delay it."""
        return self.kind in CRITICAL


def signal_thread(symbol: str, decided_at: datetime, deployment: str) -> str:
    """Return the thread of a signal: its natural key."""
    return f"signal:{symbol}:{decided_at.isoformat()}:{deployment}"


def trade_thread(entry: str) -> str:
    """Return the thread of a trade: its entry order."""
    return f"trade:{entry}"


def shown(value: Decimal) -> float:
    """Return a price as a number to draw."""
    return float(value)
