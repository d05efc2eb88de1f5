"""What ccxt got from a venue, read where ccxt does not tell: the status behind an error, the pause that was asked for."""

from __future__ import annotations

from typing import Any


def http_status(error: BaseException | None) -> int | None:
    """Return the status of the answer that made ccxt raise, None when there was none; a refusal may come with a 200 too."""
    while error is not None:
        answer = getattr(error, "response", None)
        if answer is not None:
            return int(answer.status_code)
        error = error.__cause__ or error.__context__
    return None


def asked_pause(client: Any) -> int:
    """Return the seconds that a venue asked to be left alone for (Retry-After); 0 for none, and for a date, which is rare."""
    headers = {str(name).lower(): str(value) for name, value in dict(client.last_response_headers or {}).items()}
    wanted = headers.get("retry-after", "")
    return int(wanted) if wanted.isdecimal() else 0


def all_at(url: str, addresses: Any) -> Any:
    """Return ccxt's addresses of a venue with `url` in place of each; Gate has them by kind of market."""
    return {name: all_at(url, inner) for name, inner in addresses.items()} if isinstance(addresses, dict) else url
