"""The questions about the ledger, each in a person's name, and their answer. The bot, the console and reports use the same ones.

A question names the person in whose name it is asked; `application.query_ledger` answers with what that person may see. Both
travel as JSON: amounts as text, instants as ISO 8601. Signals and candles belong to no account, so they need no role on one; who
may ask at all is decided by whoever invokes the function.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AwareDatetime, Field, TypeAdapter, model_validator

from signalbox.access import Principal
from signalbox.frozen import FrozenModel
from signalbox.orders.messages import AccountName
from signalbox.portfolio.account import EquitySnapshot
from signalbox.signals.signal import Signal
from signalbox.trading.errors import TradingError
from signalbox.trading.state import Trade

LONGEST: Final = timedelta(days=400)  # of a period: a year, and some days to compare it with
LONGEST_OF_BARS: Final = timedelta(days=8)  # 11,520 rows of one symbol: within what an answer of a function may weigh
_SYMBOL: Final = r"^[A-Z0-9]{2,12}-[A-Z]{2,6}$"

SIGNALS: Final[TypeAdapter[tuple[Signal, ...]]] = TypeAdapter(tuple[Signal, ...])
TRADES: Final[TypeAdapter[tuple[Trade, ...]]] = TypeAdapter(tuple[Trade, ...])
EQUITY: Final[TypeAdapter[tuple[EquitySnapshot, ...]]] = TypeAdapter(tuple[EquitySnapshot, ...])


class QuestionError(TradingError):
    """A question cannot be read, or asks for more than fits one answer."""


class _Question(FrozenModel):
    who: Principal


class _OfAccount(_Question):
    account: AccountName


class _OfPeriod(FrozenModel):
    """A period (start, end]."""

    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _bounded(self) -> _OfPeriod:
        if not timedelta() < self.end - self.start <= LONGEST:
            raise ValueError(f"expected a period above 0 and of at most {LONGEST.days} days, got {self.end - self.start}")
        return self


class AskAccounts(_Question):
    """Asks for the accounts that the person may see."""

    kind: Literal["accounts"] = "accounts"


class AskAccount(_OfAccount):
    """Asks for the current state of an account."""

    kind: Literal["account"] = "account"


class AskReadiness(_OfAccount):
    """Asks whether an account may trade live."""

    kind: Literal["readiness"] = "readiness"


class AskOrder(_OfAccount):
    """Asks for one order in its current state."""

    kind: Literal["order"] = "order"
    client_order_id: Annotated[str, Field(pattern="^[0-9a-z]{32}$")]


class AskPermission(_OfAccount):
    """Whether the asker may give a command of a kind on an account. The answer is true, or why not."""

    kind: Literal["permission"] = "permission"
    action: Literal["submit", "cancel", "halt", "resume", "confirm"]


class AskTrades(_OfAccount, _OfPeriod):
    """Asks for the trades decided in a period."""

    kind: Literal["trades"] = "trades"


class AskEquity(_OfAccount, _OfPeriod):
    """Asks for the equity snapshots of a period."""

    kind: Literal["equity"] = "equity"


class AskSignals(_Question, _OfPeriod):
    """Asks for the signals of a period."""

    kind: Literal["signals"] = "signals"


class AskBars(_Question, _OfPeriod):
    """Asks for the recorded one-minute bars of a symbol in [start, end)."""

    kind: Literal["bars"] = "bars"
    symbol: Annotated[str, Field(pattern=_SYMBOL)]

    @model_validator(mode="after")
    def _few(self) -> AskBars:
        if self.end - self.start > LONGEST_OF_BARS:
            raise ValueError(f"expected at most {LONGEST_OF_BARS.days} days of bars, got {self.end - self.start}")
        return self


LedgerQuestion: TypeAlias = Annotated[
    AskAccounts | AskAccount | AskReadiness | AskOrder | AskPermission | AskTrades | AskEquity | AskSignals | AskBars,
    Field(discriminator="kind"),
]
QUESTIONS: Final[TypeAdapter[LedgerQuestion]] = TypeAdapter(LedgerQuestion)


class LedgerAnswer(FrozenModel):
    """The answer to one question. refused: why it was refused, as a text for the person; then `found` is None."""

    found: Any = None
    refused: str | None = None


class BarRow(FrozenModel):
    """A one-minute bar. Prices and volume are floats: they are drawn, not booked."""

    open_time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


BARS: Final[TypeAdapter[tuple[BarRow, ...]]] = TypeAdapter(tuple[BarRow, ...])
