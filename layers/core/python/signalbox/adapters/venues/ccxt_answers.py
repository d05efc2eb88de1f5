"""Limits a venue's answers before ccxt reads them, and reads what ccxt does not report: the HTTP status and the requested pause.

A venue's answer comes from outside, and the venue decides how large, slow and strange it is. `bound` gives a client its limits:
bytes after unpacking, seconds in total, one JSON reader (`signalbox.wire`), and no redirects, because a redirect would send a
request, perhaps a signed order, to an address that nobody configured.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ContentDecodingError, ReadTimeout
from requests.exceptions import ConnectionError as ConnectionFailed
from typing_extensions import override
from urllib3.exceptions import DecodeError, ReadTimeoutError
from urllib3.exceptions import HTTPError as BrokenAnswerError

from signalbox.events import CollectionProblem
from signalbox.wire import WireError, parse

MAX_ANSWER_BYTES: Final = 32 * 2**20  # after unpacking; about twice the longest list of markets of a venue (Binance)
CHUNK: Final = 65_536
MOST_DECIMALS: Final = 36
LONGEST_PAUSE: Final = 86_400  # seconds; a venue that asks for a longer pause gets a day, and the next run asks it again
UNREADABLE: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)  # ccxt parses without checks
_TOO_MANY: Final = frozenset({418, 429})  # Binance answers 418 to a client that continues after a 429
_SERVER_FAULT: Final = 500
_VAST: Final = re.compile(r"\s*[+-]?[0-9._]*[eE][+-]?[0-9]{4,}\s*")
_MAY_HAVE_ONE: Final = re.compile(r"[0-9.][eE][+-]?[0-9]{4}|\\u")


class BoundedAdapter(HTTPAdapter):
    """Reads each answer completely, within a size and a time. Without it, requests restarts its timeout at every byte.

    inner: sends the request; tests replace it to answer without a network.
    """

    def __init__(
        self, seconds: float, *, inner: BaseAdapter | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._seconds, self._monotonic = seconds, monotonic
        self._inner = inner

    @override
    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Return the answer with its content. Raises requests.RequestException."""
        began = self._monotonic()
        options["stream"] = True
        answer = super().send(request, **options) if self._inner is None else self._inner.send(request, **options)
        try:
            answer._content = self._read(request, answer.raw, began)  # noqa: SLF001 - where requests keeps what was read
        except ReadTimeoutError as error:
            raise ConnectionFailed(error, request=request) from error
        except DecodeError as error:
            raise ContentDecodingError(error, request=request) from error
        except BrokenAnswerError as error:
            raise ChunkedEncodingError(error, request=request) from error
        finally:
            answer.close()
        return answer

    def _read(self, request: requests.PreparedRequest, raw: Any, began: float) -> bytes:
        found = bytearray()
        # read1 returns whatever has arrived; `read` would block until it has all requested bytes
        while piece := raw.read1(CHUNK, decode_content=True):
            found += piece
            if len(found) > MAX_ANSWER_BYTES:
                raise ContentDecodingError(f"expected at most {MAX_ANSWER_BYTES} bytes, got more", request=request)
            if self._monotonic() - began > self._seconds:
                raise ReadTimeout(f"expected the answer within {self._seconds} s", request=request)
        return bytes(found)


def bound(client: Any, seconds: float, *, inner: BaseAdapter | None = None) -> None:
    """Give a ccxt client limits on what it accepts from its venue."""
    adapter = BoundedAdapter(seconds, inner=inner)
    for scheme in ("https://", "http://"):
        client.session.mount(scheme, adapter)
    client.session.max_redirects = 0
    client.on_json_response = _read_json
    for name in ("parse_precision", "integer_precision_to_amount"):
        setattr(client, name, partial(_of_few_digits, getattr(client, name)))


def _read_json(text: str) -> Any:
    """Return the JSON value of an answer, with fractions as written. Raises WireError, which ccxt treats as "not JSON".

    A number, or a text of one, with an exponent of four digits is refused, because ccxt would write out all its zeros.
    """
    found = parse(text, max_bytes=MAX_ANSWER_BYTES, numbers=str)
    if _MAY_HAVE_ONE.search(text) is not None and (number := next(_vast_numbers(found), None)) is not None:
        raise WireError(f"expected numbers with an exponent of at most three digits, got {number[:80]}")
    return found


def _vast_numbers(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if _VAST.fullmatch(value) is not None:
            yield value
    elif isinstance(value, dict | list):  # of a bounded depth
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _vast_numbers(inner)


def _of_few_digits(read: Callable[[Any], Any], precision: Any) -> Any:
    """Return ccxt's result for a number of decimals. Raises ValueError for many, because ccxt writes them out as zeros."""
    if precision is not None and abs(int(precision)) > MOST_DECIMALS:
        raise ValueError(f"expected at most {MOST_DECIMALS} decimals, got {str(precision)[:80]}")
    return read(precision)


def http_status(error: BaseException | None) -> int | None:
    """Return the HTTP status of the answer that made ccxt raise, or None. Some venues refuse with a 200."""
    while error is not None:
        answer = getattr(error, "response", None)
        if answer is not None:
            return int(answer.status_code)
        error = error.__cause__ or error.__context__
    return None


def problem_of_status(status: int) -> CollectionProblem | None:
    """Return the problem that an HTTP status alone proves; None if the answer's text decides."""
    if status in _TOO_MANY:
        return CollectionProblem.VENUE_RATE_LIMITED
    return CollectionProblem.VENUE_UNAVAILABLE if status >= _SERVER_FAULT else None


def asked_pause(client: Any) -> int:
    """Return the pause in seconds that a venue asked for (Retry-After), at most LONGEST_PAUSE.

    Returns 0 without the header, for a date (which is rare), and for anything that is no number.
    """
    headers = {str(name).lower(): str(value) for name, value in dict(client.last_response_headers or {}).items()}
    wanted = headers.get("retry-after", "").strip()
    if not (wanted.isascii() and wanted.isdecimal()):
        return 0
    return LONGEST_PAUSE if len(wanted.lstrip("0")) > len(str(LONGEST_PAUSE)) else min(int(wanted[-18:]), LONGEST_PAUSE)


def all_at(url: str, addresses: Any) -> Any:
    """Return ccxt's addresses of a venue, each replaced by `url`.

    Some venues, such as Gate, have one address per kind of market.
    """
    return {name: all_at(url, inner) for name, inner in addresses.items()} if isinstance(addresses, dict) else url
