"""What trading refuses.

TradingError
├── AccountError        an account whose configuration cannot be, or that does not exist
│   ├── AccountNameError        a name that can be no account's, or that describes none
│   ├── AccountUnreadableError  its row in the ledger cannot be read; the others can, and go on
│   ├── AccountDiffersError     it exists, and is another than the one that is to be opened
│   └── UnpricedError           what it is worth is not known until the next bar: an open position has no price yet
├── CommandError        a command that cannot be carried out as it is: of another time, or with nothing to change
│   └── OrderUnknownError   it names an order that the account does not have
├── AccessRefusedError  somebody asks for what they have no role for
├── RowRefusedError     the ledger takes no such row: a value that fits no column, which no repetition mends
├── BarsNotAppliedError     a decision on bars that were not applied yet
└── RebookNeededError   a fill older than the newest booked entry; call the step again with all entries of the account
"""

from __future__ import annotations

from signalbox.access import Refusal
from signalbox.errors import SignalboxError


class TradingError(SignalboxError):
    """The root of this package's errors."""


class AccountError(TradingError):
    """An account that does not exist, or whose configuration contradicts itself."""


def no_account(account: str) -> AccountError:
    """Return the error of an account that does not exist."""
    return AccountError(f"account {account!r} does not exist; `open_account` makes it")


class AccountNameError(AccountError):
    """A name that no account can have, or that does not describe the one to be opened."""


class AccountUnreadableError(AccountError):
    """What the ledger says an account is cannot be read: nothing is done for it until somebody mends the row or the code."""


class AccountDiffersError(AccountError):
    """An account of this name exists and is another; what exists stays as it is."""


class UnpricedError(AccountError):
    """An open position of the account has no price yet; the symbol's next bar brings one."""


class CommandError(TradingError):
    """A command that cannot be carried out as it is."""


class OrderUnknownError(CommandError):
    """A command about an order that the account does not have."""


class AccessRefusedError(TradingError):
    """Somebody asks for what they have no role for. The message tells nothing of an account that they may not see."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(
            f"{refusal.action} needs the role {refusal.needed}, {refusal.principal} has "
            f"{'none' if refusal.held is None else refusal.held} on {refusal.account or 'any account'}"
        )
        self.refusal = refusal


class RowRefusedError(TradingError):
    """The ledger refuses what a step would write, today and tomorrow; nothing of it was written."""


class BarsNotAppliedError(TradingError):
    """A signal reached an account before the bars it was decided on. Apply those bars first."""


class RebookNeededError(TradingError):
    """A fill happened before the newest booked entry. Nothing was changed: call the step again with `entries=`."""
