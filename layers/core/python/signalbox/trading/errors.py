"""Errors of trading.

TradingError
├── AccountError        the account does not exist, or its configuration is inconsistent
│   ├── AccountNameError        the name is invalid, or does not describe the account to open
│   ├── AccountUnreadableError  its row in the ledger cannot be read; the other accounts are not affected
│   ├── AccountDiffersError     an account of this name exists with another configuration
│   └── UnpricedError           an open position has no price yet; the symbol's next bar brings one
├── CommandError        the command cannot be carried out: outdated, conflicting, or with nothing to change
│   └── OrderUnknownError   it names an order that the account does not have
├── AccessRefusedError  the caller lacks the role for an action
├── RowRefusedError     the ledger rejects a row permanently: a value fits no column
├── BarsNotAppliedError     the bars that a signal was decided on are not applied yet
└── RebookNeededError   a fill is older than the newest booked entry; repeat the step with all entries of the account
"""

from __future__ import annotations

from signalbox.access import Refusal
from signalbox.errors import SignalboxError


class TradingError(SignalboxError):
    """The root of this package's errors."""


class AccountError(TradingError):
    """The account does not exist, or its configuration is inconsistent."""


def no_account(account: str) -> AccountError:
    """Return the error of an account that does not exist."""
    return AccountError(f"account {account!r} does not exist; open it first")


class AccountNameError(AccountError):
    """The name of an account is invalid, or does not describe the account to open."""


class AccountUnreadableError(AccountError):
    """The configuration of an account in the ledger cannot be read: it is skipped until the row or the code is repaired."""


class AccountDiffersError(AccountError):
    """An account of this name exists with another configuration; it is kept unchanged."""


class UnpricedError(AccountError):
    """An open position of the account has no price yet; the symbol's next bar brings one."""


class CommandError(TradingError):
    """The command cannot be carried out as it was given."""


class OrderUnknownError(CommandError):
    """The command names an order that the account does not have."""


class AccessRefusedError(TradingError):
    """The caller lacks the role for an action. The message reveals nothing about an account they may not see."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(
            f"{refusal.action} needs the role {refusal.needed}, {refusal.principal} has "
            f"{'none' if refusal.held is None else refusal.held} on {refusal.account or 'any account'}"
        )
        self.refusal = refusal


class RowRefusedError(TradingError):
    """The ledger rejects a row of this step permanently; nothing was written."""


class BarsNotAppliedError(TradingError):
    """A signal reached an account before the bars it was decided on. Apply those bars first."""


class RebookNeededError(TradingError):
    """A fill happened before the newest booked entry.

    Nothing was changed: repeat the step with all of the account's `entries`.
    """
