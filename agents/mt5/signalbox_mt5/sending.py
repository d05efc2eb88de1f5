"""Sends one request to the terminal and reports the outcome with the terminal's text."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from signalbox.orders.venue_port import VenueBusyError, VenueRefusedError, VenueSilentError
from signalbox_mt5.retcodes import (
    ALARMS,
    LATER,
    PRICE_MOVED,
    LastError,
    Outcome,
    Retcode,
    code_of,
    outcome_of,
    outcome_of_silence,
)
from signalbox_mt5.terminal import Terminal

PRICE_TRIES: Final = 3
SILENCE_RETRY: Final = 5  # seconds
WORDS_LENGTH: Final = 400  # longest message of the terminal, so that it fits an order event's detail with its subject
logger = logging.getLogger("signalbox.mt5_agent")


@dataclass(frozen=True, slots=True)
class TerminalReply:
    """The terminal's answer to one request."""

    outcome: Outcome
    code: Retcode | None
    words: str
    reason: str  # refusal code
    retry_after: int = SILENCE_RETRY

    def require_taken(self, name: str) -> None:
        """Raise the matching error unless the request was carried out. Every error contains the terminal's text."""
        match self.outcome:
            case Outcome.DONE:
                return
            case Outcome.LATER:
                raise VenueBusyError(f"{name}: {self.words}", self.retry_after)
            case Outcome.UNKNOWN:
                raise VenueSilentError(f"{name}: {self.words}; the request may have been carried out")
            case Outcome.REFUSED:
                raise VenueRefusedError(self.reason, f"{name}: {self.words}")


def ask(terminal: Terminal, request: Mapping[str, Any]) -> TerminalReply:
    """Send a request once."""
    answer = terminal.order_send(request)
    if answer is None:
        number, text = terminal.last_error()
        outcome = outcome_of_silence(number)
        reason = "AUTOTRADING_DISABLED" if number == LastError.AUTO_TRADING_DISABLED else "VENUE_REFUSED"
        reply = TerminalReply(outcome, None, f"no answer, last error {number} {text}"[:WORDS_LENGTH], reason)
    else:
        number = int(answer.retcode)
        known = Retcode(number) if number in set(map(int, Retcode)) else None
        words = f"{number} {known.name if known else 'unknown'}: {answer.comment}"[:WORDS_LENGTH]
        retry = LATER.get(known, SILENCE_RETRY) if known is not None else SILENCE_RETRY
        reply = TerminalReply(outcome_of(number), known, words, code_of(known) if known else "VENUE_REFUSED", retry)
    if reply.code in ALARMS or reply.reason == "AUTOTRADING_DISABLED":
        logger.error("the terminal is not allowed to trade: %s; a person must switch trading on", reply.words)
    elif reply.outcome is not Outcome.DONE:
        logger.warning("the terminal answered %s; the request was %s", reply.words, dict(request))
    return reply


def ask_at_price(
    terminal: Terminal, request: Mapping[str, Any], price: Callable[[], float], *, clock: Callable[[], datetime], before: datetime
) -> TerminalReply:
    """Send a market order at the current price.

    Retry at once if the broker says that the price has changed and nothing was done.
    """
    reply = ask(terminal, {**request, "price": price()})
    for _ in range(PRICE_TRIES - 1):
        if reply.code not in PRICE_MOVED or clock() >= before:
            break
        reply = ask(terminal, {**request, "price": price()})
    return reply
