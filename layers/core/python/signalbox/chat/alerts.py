"""Events as short messages. An alert's id is its event's id, so each chat gets one message per event, even if it comes twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

from signalbox.chat.library_alerts import LibraryEvent, render_library
from signalbox.chat.trading_alerts import TradingEvent, render_trading
from signalbox.chat.words import clock, price
from signalbox.events import (
    Event,
    MarketDataRecovered,
    MarketDataStale,
    ModelRefused,
    SignalGenerated,
)

_ARROWS: Final = {"BUY": "🟢 BUY", "SELL": "🔴 SELL", "HOLD": "⚪ HOLD"}
_REASONS: Final = {
    "STALE_DATA": "the newest bar is missing",
    "INSUFFICIENT_HISTORY": "not enough history yet",
    "GAP_IN_WINDOW": "bars of the last hour are missing",
    "TOO_MANY_EMPTY": "too many minutes without a trade",
    "NO_MODEL": "no model is loaded",
    "NO_CANDLES": "the exchange returned nothing",
    "CANDLES_REFUSED": "the exchange returned bars that cannot be right",
    "VENUE_TIMEOUT": "the exchange did not answer in time",
    "VENUE_RATE_LIMITED": "the exchange limits our requests",
    "VENUE_UNAVAILABLE": "the exchange has an outage",
    "VENUE_REFUSED": "the exchange refused the request",
    "ANSWER_MALFORMED": "the exchange's answer could not be read",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """A message to people: plain text, at most a few lines."""

    alert_id: str
    text: str


def render_alert(event: Event) -> Alert | None:
    """Return the message of an event, or None if nobody needs to be alerted."""
    if isinstance(event, get_args(TradingEvent)):
        return Alert(event.event_id, render_trading(event))
    if isinstance(event, get_args(LibraryEvent)):
        return Alert(event.event_id, render_library(event))
    text = _text(event)
    return Alert(event.event_id, text) if text is not None else None


def _text(event: Event) -> str | None:
    match event:
        case SignalGenerated():
            return _signal(event) if event.issued and not event.late else None
        case MarketDataStale():
            why = _REASONS.get(event.reason, event.reason)
            newest = f", newest bar closed {clock(event.newest_close)}" if event.newest_close else ""
            return f"⚠️ {event.symbol} has no signals since {clock(event.since)}: {why}{newest}."
        case MarketDataRecovered():
            minutes = int((event.at - event.stale_since).total_seconds() // 60)
            return f"✅ {event.symbol} has signals again at {clock(event.at)}, after {minutes} minutes."
        case ModelRefused():
            kept = f"{event.kept} stays in use" if event.kept else "no model is in use, so no signals are made"
            return f"⛔ Model {event.deployment} was refused: {event.reason} ({kept})."
        case _:
            return None


def _signal(event: SignalGenerated) -> str:
    badge = "" if event.stage == "active" else "\nSHADOW: this model has not passed its gates. Recorded, not for trading."
    market = "" if event.market is None else f"\nPrices of {event.market}: the usual venue does not answer."
    return (
        f"{_ARROWS[event.direction]} {event.symbol} at {price(event.price)}\n"
        f"{event.confidence:.1%} for the next {event.horizon_minutes} minutes, tier {event.tier}, {clock(event.decided_at)}"
        f"{market}{badge}"
    )
