"""Collects the ledger's facts about a live account's readiness, and refuses new risk while there is any reason against it."""

from __future__ import annotations

from datetime import datetime, timedelta

from signalbox.trading.account import TradingMode
from signalbox.trading.errors import CommandError
from signalbox.trading.ports import TradingTransaction
from signalbox.trading.readiness import (
    Comparison,
    ReadinessFacts,
    ReadinessLimits,
    mode_set,
    readiness,
    rules_confirmed,
)
from signalbox.trading.state import AccountState


def live_facts(
    tx: TradingTransaction,
    state: AccountState,
    at: datetime,
    *,
    symbol: str | None = None,
    decided_by: tuple[str, str] | None = None,
) -> ReadinessFacts:
    """Return what the ledger knows about an account's readiness at `at`. Unknown facts are None and count against it.

    symbol: check the age of this symbol's newest bar; None means of any symbol's. decided_by: the deployment (name, stage) of a
    signal; None means the deployment that decided last. A recent comparison proves that the venue's credentials work.
    """
    marks = [mark.at for of, mark in state.marks.items() if symbol in {None, of}]
    confirmed = tx.confirmations()
    compared = None
    if state.compared_at is not None:
        doubted = (f"{one.difference} {one.subject}, in one view so far" for one in state.at_venue.open_doubts)
        compared = Comparison(state.compared_at, (*tx.differences(state.compared_at), *doubted))
    answered = compared is not None and timedelta(0) <= at - compared.at <= ReadinessLimits().comparison
    return ReadinessFacts(
        account=state.account,
        mode_set=mode_set(confirmed),
        model=tx.model_qualification(at, decided_by),
        halt=state.halt,
        compared=compared,
        secrets_present=True if answered else None,
        newest_bar_closed_at=max(marks, default=None),
        rules_confirmed=rules_confirmed(confirmed),
    )


def not_ready(
    tx: TradingTransaction, state: AccountState, at: datetime, *, symbol: str, decided_by: tuple[str, str] | None = None
) -> str:
    """Return the reasons why a live account may not take new risk in a symbol, "" if it may or the account is not live."""
    if state.account.mode is not TradingMode.LIVE:
        return ""
    facts = live_facts(tx, state, at, symbol=symbol, decided_by=decided_by)
    return " ".join(str(reason) for reason in readiness(facts, at).reasons)


def require_ready(tx: TradingTransaction, state: AccountState, at: datetime, symbol: str) -> None:
    """Check that an account may take new risk in a symbol. Raises CommandError with every reason against it."""
    if reasons := not_ready(tx, state, at, symbol=symbol):
        raise CommandError(f"{state.account.account} may not trade live now: {reasons}")
