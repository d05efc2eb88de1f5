"""The one place that reads JSON from outside. Input above the limits of size, depth or text raises WireError.

Everything that another machine wrote passes through here first: a queue's message, an HTTP body, an event of the bus, an agent's
envelope, a messenger's answer. It refuses text that is too large or nested too deeply, an object with the same key twice, numbers
that are not finite or are absurdly long, and characters that a database or a screen cannot take: NUL and other control characters
except tab and line breaks, and unpaired surrogates. Why: decision 0005.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator

from signalbox.errors import SignalboxError

MAX_BYTES: Final = 1_048_576  # the largest queue message; the limits of bus, API gateway and envelopes are lower
MAX_DEPTH: Final = 24  # our own deepest event has 7 levels, 10 inside an envelope
MAX_DIGITS: Final = 64  # of an integer; amounts travel as text and are bounded where they are parsed
_SHOWN: Final = 80  # how many characters of a text an error message quotes
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_IN_A_LINE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ALIKE: Final = bytes.maketrans(b"123456789E", b"000000000e")  # every digit, and both letters of an exponent
_FAR: Final = (b"e000", b"e+000", b"0" * MAX_DIGITS)  # whatever number is not finite, or too long, has one of these
_MAY_HIDE_ONE: Final = re.compile(r"\\u|[\x7f-\x9f\ud800-\udfff]")  # json itself refuses raw control characters below U+0020


class WireError(SignalboxError, ValueError):
    """Input from outside cannot be read, and delivering it again does not help. The message quotes little of it."""


def parse(text: str | bytes, *, max_bytes: int = MAX_BYTES, numbers: Callable[[str], Any] = float) -> Any:
    """Return the JSON value of a text. Raises WireError and nothing else, whatever the text.

    numbers: converts the text of a number with a fraction or an exponent; `str` keeps it as written.
    """
    size = len(text) if isinstance(text, bytes) else len(text.encode(errors="surrogatepass"))
    if size > max_bytes:
        raise WireError(f"expected at most {max_bytes} bytes of JSON, got {size}")
    try:
        readable = text if isinstance(text, str) else text.decode()
        far = _may_be_far(readable)
        found = json.loads(
            readable,
            parse_float=numbers if numbers is not float else _fraction if far else None,
            parse_int=_integer if far else None,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except WireError:
        raise
    except RecursionError:
        raise WireError(f"expected JSON of at most {MAX_DEPTH} levels, got JSON that is nested too deeply to parse") from None
    except ValueError as error:  # of json, and UnicodeDecodeError
        raise WireError(f"text is not JSON: {_shortened(str(error))}") from None
    return _checked(found, checks_text=_may_hide_one(readable))


def parse_object(text: str | bytes, *, max_bytes: int = MAX_BYTES, numbers: Callable[[str], Any] = float) -> dict[str, Any]:
    """Return the JSON object of a text. Raises WireError, also if the text is another JSON value."""
    found = parse(text, max_bytes=max_bytes, numbers=numbers)
    if not isinstance(found, dict):
        raise WireError(f"expected a JSON object, got {type(found).__name__}")
    return found


def checked(value: Any) -> Any:
    """Return a value that was parsed elsewhere (a path, a query) if its texts and depth pass. Raises WireError."""
    return _checked(value, checks_text=True)


def one_line(text: str) -> str:
    """Return a person's text if it is a single line. Raises ValueError for characters that break a line or change direction."""
    if (found := _NOT_IN_A_LINE.search(text)) is not None:
        raise ValueError(f"expected a single line of text, but character {found.start()} is U+{ord(found[0]):04X}")
    return text


def in_one_line(text: str) -> str:
    r"""Return a foreign text for one line of a terminal: control characters and changes of direction are escaped (`\u000a`)."""
    return _NOT_IN_A_LINE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def readable(text: str) -> str:
    """Return a text with U+FFFD for each character that `parse` would refuse, so that the rest of the message is not lost."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def cut(longest: int) -> BeforeValidator:
    """Return a validator that makes a foreign text readable and keeps its first `longest` characters.

    A strange text must not make us refuse the fact that it comes with.
    """
    return BeforeValidator(lambda value: readable(value)[:longest] if isinstance(value, str) else value)


OneLine = Annotated[str, AfterValidator(one_line)]


def _may_be_far(text: str) -> bool:
    """Return whether a number may be too long or not finite. If none is, json's own conversion gives the same, and faster."""
    alike = text.encode(errors="surrogatepass").translate(_ALIKE)
    return any(mark in alike for mark in _FAR)


def _may_hide_one(text: str) -> bool:
    """Return whether a text may hold a forbidden character; most texts are ASCII, which is known without reading them."""
    return ("\\u" in text or "\x7f" in text or not text.isascii()) and _MAY_HIDE_ONE.search(text) is not None


def _checked(value: Any, *, checks_text: bool) -> Any:
    """Return the value after a check without recursion. checks_text: false if no text can hide a character."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        if checks_text:
            for text in _texts(level):
                if (found := _FORBIDDEN.search(text)) is not None:
                    raise WireError(f"text contains the forbidden character U+{ord(found[0]):04X}: {_shortened(ascii(text))}")
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return value
    raise WireError(f"expected JSON of at most {MAX_DEPTH} levels, got deeper")


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
        raise WireError("a JSON object has the same key twice")
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise WireError(f"expected an integer of at most {MAX_DIGITS} digits, got one of {len(text)}")
    return int(text)


def _fraction(text: str) -> float:
    found = float(text)
    if found in {float("inf"), float("-inf")}:
        raise WireError(f"expected a finite number, got {_shortened(text)}")
    return found


def _constant(name: str) -> Any:
    raise WireError(f"expected a finite number, got {name}")


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
