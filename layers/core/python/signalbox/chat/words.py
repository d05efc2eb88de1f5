"""Formats numbers, instants, rules and lists for messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final
from zoneinfo import ZoneInfo

from signalbox.exact import exactly, plain

_CLOCK: Final = re.compile(r"\b(\d{4}-\d{2}-\d{2} \d{2}:\d{2}) UTC\b", re.ASCII)
BAR_BLOCKS: Final = 10
_FULL, _EMPTY = "▓", "░"
_CENT: Final = Decimal("0.01")
_RULES: Final[Mapping[str, str]] = {"max_daily_loss": "daily loss", "max_loss": "total loss"}


def price(value: Decimal) -> str:
    """Return a price with all its digits and thousands separators."""
    return f"{Decimal(plain(value)):,f}"


def money(value: Decimal) -> str:
    """Return an amount rounded to cents for display, half to even, whatever the caller's decimal context."""
    rounded = value.quantize(_CENT, rounding=ROUND_HALF_EVEN)
    return f"{rounded or abs(rounded):,f}"  # not -0.00


def clock(instant: datetime) -> str:
    """Return an instant in UTC, to the minute."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def in_zone(text: str, zone: ZoneInfo) -> str:
    """Return a text with each instant that `clock` wrote given in a zone, with its offset's name."""

    def zoned(found: re.Match[str]) -> str:
        try:
            return f"{datetime.fromisoformat(found[1]).replace(tzinfo=UTC).astimezone(zone):%Y-%m-%d %H:%M %Z}"
        except (ValueError, OverflowError):  # no instant: somebody typed it
            return found[0]

    return _CLOCK.sub(zoned, text)


@exactly
def share_bar(share: Decimal) -> str:
    """Return how much of a limit is used as a row of blocks; a part of a block counts as unused."""
    filled = int(min(max(share, Decimal(0)), Decimal(1)) * BAR_BLOCKS)
    return _FULL * filled + _EMPTY * (BAR_BLOCKS - filled)


def rule_name(rule: str) -> str:
    """Return the name that a person uses for a loss rule; an unknown rule keeps its own."""
    return _RULES.get(rule, rule)


def bullets(facts: Iterable[str]) -> str:
    """Return facts as a list, one a line."""
    return "\n".join(f"· {fact}" for fact in facts)


def counted(number: int, what: str) -> str:
    """Return a number of things: `1 trade`, `2 trades`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def signed(value: Decimal) -> str:
    """Return an amount with its sign, above 0 too."""
    return f"{'+' if value > 0 else ''}{money(value)}"


def span_of(span: timedelta) -> str:
    """Return a span in whole minutes, hours or, from two days on, days."""
    minutes = int(span.total_seconds() // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"
