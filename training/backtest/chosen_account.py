"""The account that a backtest trades, by its name and the phase of its rules: light, so that a command checks both first."""

from __future__ import annotations

from typing import Final

from signalbox.trading.account import DIR60_STANDARD, TradingAccount, account_named
from signalbox.trading.errors import AccountError

MARKET: Final = "coinbase"  # the venue for which the account is configured


def chosen_account(name: str, phase: str | None) -> TradingAccount:
    """Return the account of a name such as ftmo-2step-100k. phase: of its rules, None for the first. Raises AccountError."""
    try:
        account = account_named(name, market=MARKET, policy=DIR60_STANDARD)
    except AccountError as error:
        raise AccountError(f"--account: {error}") from error
    if phase is None:
        return account
    if account.rules is None or phase not in {one.name for one in account.rules.phases}:
        known = "none" if account.rules is None else ", ".join(one.name for one in account.rules.phases)
        raise AccountError(f"--phase: {account.account} has no phase {phase}; its phases: {known}")
    return TradingAccount.model_validate({**account.model_dump(), "ftmo_phase": phase})
