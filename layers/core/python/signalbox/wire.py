"""JSON that comes from outside, read in one place: within limits of size, depth and text, or refused with one error.

Everything that another machine wrote passes here before it is a value: a queue's message, an HTTP body, an event of the bus,
an agent's envelope, a messenger's answer. Refused are text that is too large or nested too deep, a key twice in one object,
numbers that are no numbers or absurdly long, and characters that a database or a person's screen cannot take: NUL and other
control characters but tab and line breaks, and halves of surrogate pairs. Why: decision 0005.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator

from signalbox.errors import SignalboxError

MAX_BYTES: Final = 1_048_576  # the most a queue carries; the bus, the gateway's body and an envelope are below it
MAX_DEPTH: Final = 24  # the deepest of our own events has 7 levels, inside an envelope 10
MAX_DIGITS: Final = 64  # of an integer; amounts travel as text and are bounded where they are parsed
_SHOWN: Final = 80  # of a text in a message
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_IN_A_LINE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MAY_HIDE_ONE: Final = re.compile(r"\\u|[\x7f-\x9f\ud800-\udfff]")  # a raw control character below is refused by JSON itself


class WireError(SignalboxError, ValueError):
    """What came from outside cannot be read, and will not be the next time. The message quotes little of it."""


def parse(text: str | bytes, *, max_bytes: int = MAX_BYTES, numbers: Callable[[str], Any] = float) -> Any:
    """Return the JSON value of a text. Raises WireError, and nothing else, whatever the text.

    numbers: what becomes of a number with a fraction or an exponent; `str` keeps it as it was written.
    """
    size = len(text) if isinstance(text, bytes) else len(text.encode(errors="surrogatepass"))
    if size > max_bytes:
        raise WireError(f"expected at most {max_bytes} bytes of JSON, was {size}")
    try:
        readable = text if isinstance(text, str) else text.decode()
        found = json.loads(
            readable,
            parse_float=_fraction if numbers is float else numbers,
            parse_int=_integer,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except WireError:
        raise
    except RecursionError:
        raise WireError(f"expected at most {MAX_DEPTH} levels, was deeper than can be read") from None
    except ValueError as error:  # of json, and UnicodeDecodeError
        raise WireError(f"expected JSON, was not: {_shortened(str(error))}") from None
    return _checked(found, look=_MAY_HIDE_ONE.search(readable) is not None)


def parse_object(text: str | bytes, *, max_bytes: int = MAX_BYTES, numbers: Callable[[str], Any] = float) -> dict[str, Any]:
    """Return the JSON object of a text. Raises WireError, also for any other value."""
    found = parse(text, max_bytes=max_bytes, numbers=numbers)
    if not isinstance(found, dict):
        raise WireError(f"expected a JSON object, was {type(found).__name__}")
    return found


def checked(value: Any) -> Any:
    """Return a value that was read elsewhere (a path, a query) if its texts and depth pass. Raises WireError."""
    return _checked(value, look=True)


def one_line(text: str) -> str:
    """Return a text that people wrote on one line. Raises ValueError at what would break a line, a log or a direction."""
    if (found := _NOT_IN_A_LINE.search(text)) is not None:
        raise ValueError(f"expected one line of text, was U+{ord(found[0]):04X} at {found.start()}")
    return text


def in_one_line(text: str) -> str:
    r"""Return a text of others for a terminal: what would break its line, its direction or the screen is written as `\u000a`."""
    return _NOT_IN_A_LINE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def readable(text: str) -> str:
    """Return a text with a mark for each character that `parse` would refuse: somebody's words that must not be lost for one."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def cut(longest: int) -> BeforeValidator:
    """Return a validator that makes a foreign text readable and keeps its beginning: words must not refuse what happened."""
    return BeforeValidator(lambda value: readable(value)[:longest] if isinstance(value, str) else value)


OneLine = Annotated[str, AfterValidator(one_line)]


def _checked(value: Any, *, look: bool) -> Any:
    """Return the value after a walk without recursion; texts are looked at only where one may hide something."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        if look:
            for text in _texts(level):
                if (found := _FORBIDDEN.search(text)) is not None:
                    raise WireError(f"expected readable text, was U+{ord(found[0]):04X} in {_shortened(ascii(text))}")
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return value
    raise WireError(f"expected at most {MAX_DEPTH} levels, was deeper")


def _texts(level: list[Any]) -> Iterator[str]:
    for value in level:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from (key for key in value if isinstance(key, str))


def _inside(value: Any) -> Iterator[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (one for one in inner if isinstance(one, str | dict | list))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise WireError("expected each key of an object once, was one twice")
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise WireError(f"expected a number of at most {MAX_DIGITS} digits, was {len(text)}")
    return int(text)


def _fraction(text: str) -> float:
    found = float(text)
    if found in {float("inf"), float("-inf")}:
        raise WireError(f"expected a finite number, was {_shortened(text)}")
    return found


def _constant(name: str) -> Any:
    raise WireError(f"expected a finite number, was {name}")


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
