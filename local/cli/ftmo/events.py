"""Account events from a JSONL file: one event per line, exact numbers, and every fault reported with its line.

Numbers are JSON numbers or strings, read as Decimal, never as float. Consecutive marks at one instant that name different
symbols happen at once; a second mark of the same symbol is a later moment. Blank lines are skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NoReturn

from local.errors import AccountFileError
from signalbox.market.candles import Symbol
from signalbox.orders.terms import Side
from signalbox.risk import RiskError
from signalbox.risk.ftmo import Closed, FtmoEvent, Marked, Opened, PositionId, Swapped

YEARS: Final = range(1970, 2200)
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
_SHOWN: Final = 60  # characters shown of a bad value


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event and its line (for a group of marks, the first line)."""

    number: int
    event: FtmoEvent


def read_events(path: Path) -> Iterator[EventLine]:
    """Yield the events of a file, marks of one instant together. Raises AccountFileError with the line."""
    try:
        with path.open("rb") as file:
            yield from group_marks(_lines(file))
    except OSError as error:
        raise AccountFileError(f"{path}: cannot be read ({error.strerror or error})") from error


def group_marks(lines: Iterable[EventLine]) -> Iterator[EventLine]:
    """Join consecutive marks of one instant and different symbols into one event."""
    held: EventLine | None = None
    prices: dict[Symbol, Decimal] = {}
    for line in lines:
        event = line.event
        if held is not None:
            if isinstance(event, Marked) and event.time == held.event.time and not event.prices.keys() & prices.keys():
                prices.update(event.prices)
                continue
            yield EventLine(held.number, Marked(held.event.time, prices))
            held = None
        if isinstance(event, Marked):
            held, prices = line, dict(event.prices)
        else:
            yield line
    if held is not None:
        yield EventLine(held.number, Marked(held.event.time, prices))


def _lines(file: Iterable[bytes]) -> Iterator[EventLine]:
    for number, raw in enumerate(file, start=1):
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if text:
                yield EventLine(number, parse_event(text))
        except UnicodeDecodeError as error:
            raise AccountFileError(f"line {number}: expected UTF-8 text") from error
        except (AccountFileError, RiskError) as error:
            raise AccountFileError(f"line {number}: {error}") from error


def parse_event(text: str) -> FtmoEvent:
    """Return the event of one line. Raises AccountFileError or RiskError, without the line's number."""
    try:
        fields = json.loads(
            text, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_unique
        )
    except (ValueError, RecursionError, ArithmeticError) as error:  # a Decimal cannot have an exponent of twenty digits
        raise AccountFileError(f"expected one JSON object, got {_shown(text)}") from error
    if not isinstance(fields, dict):
        raise AccountFileError(f"expected one JSON object, got {_shown(text)}")
    kind = fields.pop("type", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise AccountFileError(f"expected one of the types {', '.join(_KINDS)}, got {_shown(kind)}")
    names, build = _KINDS[kind]
    missing = [name for name in names if name not in fields]
    unknown = sorted(set(fields) - set(names))
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"has unknown {', '.join(map(_shown, unknown))}"
        raise AccountFileError(f"{kind} needs exactly {', '.join(names)}; it {what}")
    return build(fields)


def _opened(fields: dict[str, Any]) -> Opened:
    side = fields["side"]
    if not isinstance(side, str) or side not in _SIDES:
        raise AccountFileError(f"side: expected buy or sell, got {_shown(side)}")
    return Opened(
        time=_time(fields["time"]),
        position=PositionId(_name(fields, "position")),
        symbol=Symbol(_name(fields, "symbol")),
        side=_SIDES[side],
        quantity=_number(fields, "quantity"),
        price=_number(fields, "price"),
        commission=_number(fields, "commission"),
    )


def _closed(fields: dict[str, Any]) -> Closed:
    position = PositionId(_name(fields, "position"))
    return Closed(_time(fields["time"]), position, _number(fields, "price"), _number(fields, "commission"))


def _marked(fields: dict[str, Any]) -> Marked:
    return Marked(_time(fields["time"]), {Symbol(_name(fields, "symbol")): _number(fields, "price")})


def _swapped(fields: dict[str, Any]) -> Swapped:
    return Swapped(_time(fields["time"]), PositionId(_name(fields, "position")), _number(fields, "amount"))


_KINDS: Final[dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], FtmoEvent]]]] = {
    "open": (("time", "position", "symbol", "side", "quantity", "price", "commission"), _opened),
    "close": (("time", "position", "price", "commission"), _closed),
    "mark": (("time", "symbol", "price"), _marked),
    "swap": (("time", "position", "amount"), _swapped),
}


def number_of(text: str) -> Decimal | None:
    """Return a plain number, or None for NaN, infinity or separators."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _number(fields: dict[str, Any], name: str) -> Decimal:
    value = fields[name]
    number = value if isinstance(value, Decimal) else number_of(value) if isinstance(value, str) else None
    if number is None:
        raise AccountFileError(f"{name}: expected a number, got {_shown(value)}")
    return number


def _name(fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    text = str(value) if isinstance(value, Decimal) else value  # a terminal's tickets are numbers
    if not isinstance(text, str) or not text.strip():
        raise AccountFileError(f"{name}: expected a name, got {_shown(value)}")
    return text


def _time(value: object) -> datetime:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.utcoffset() is None or instant.year not in YEARS:
        raise AccountFileError(f"time: expected ISO 8601 with an offset, such as 2024-03-05T10:00:00+01:00, got {_shown(value)}")
    return instant


def _refuse_constant(name: str) -> NoReturn:
    raise AccountFileError(f"expected a number, got {name}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise AccountFileError("a field appears twice; give each field once")
    return fields


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
