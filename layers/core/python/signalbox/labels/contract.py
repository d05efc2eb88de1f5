"""SignalContract: one versioned document that says what a signal promises and how the promise is settled.

Each contract is a file of `documents/`. docs/contracts.md explains the fields. A bundle records name, version and hash of the
contract that it was made for, and code that does not have exactly this contract refuses it (decision 0130). Fields that
contradict each other are refused with the field and how to mend it.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, NewType, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from signalbox.labels.errors import ContractDocumentError, UnknownContractError

ContractHash = NewType("ContractHash", str)  # sha256 of the document's values, in hex
DOCUMENTS: Final = Path(__file__).with_name("documents")
DECISION_MINUTES: Final = 5  # of the cycle
MAX_HORIZON_MINUTES: Final = 1_380  # an outcome must be known within the day of embargo between two periods
_DECIMAL: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_Factor = Annotated[float, Field(gt=0, le=20)]


class LabelKind(StrEnum):
    """What the models are fitted to."""

    DIRECTION = "direction"  # 1 where the return over the horizon is above 0
    SCALED_RETURN = "scaled_return"  # the return over the horizon in volatilities of the horizon, cut at three


class SideRule(StrEnum):
    """What chooses between BUY and SELL."""

    PROBABILITY = "probability"  # BUY where up is likelier than not
    SCORE = "score"  # the sign of the predicted return; the probability of the promised event plays no part


class PromisedEvent(StrEnum):
    """The event that the probability is about."""

    UP = "up"  # the price is higher at the end of the horizon
    TARGET_FIRST = "target_first"  # the target of the chosen side is reached before its stop


class TimeoutRule(StrEnum):
    """How a signal counts whose horizon ends before a barrier is touched. It is always settled at the market."""

    SIGN = "sign"  # right if it earned something
    MISS = "miss"  # never right


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Barriers(_Part):
    """Where a signal ends before its horizon, in volatilities of `volatility_minutes` away from the entry's price."""

    target_volatilities: _Factor
    stop_volatilities: _Factor
    volatility_minutes: Annotated[int, Field(gt=0, le=MAX_HORIZON_MINUTES)]


class SignalCost(_Part):
    """The cost that a signal is judged by, and how much of it the expected move must cover before a signal is issued."""

    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
    round_trip_bps: Decimal
    expected_move_over_cost: Decimal  # 0: signals are issued by their probability alone

    @field_validator("round_trip_bps", "expected_move_over_cost", mode="before")
    @classmethod
    def _exact(cls, value: object) -> object:
        """Take a decimal of 0 or more in quotes: a TOML float is not exact."""
        if isinstance(value, Decimal):
            return value
        if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
            raise ValueError(f'expected a decimal of 0 or more in quotes such as "6.5", got {value!r}')
        return Decimal(value)

    @model_validator(mode="after")
    def _charges(self) -> Self:
        if self.round_trip_bps <= 0:
            raise ValueError(f"round_trip_bps: expected a cost above 0, got {self.round_trip_bps}")
        return self


class SettlementRule(_Part):
    """How a signal is found right or wrong."""

    timeout: TimeoutRule
    both_in_one_bar: Annotated[str, Field(pattern="^stop$")]  # the sequence inside a bar is unknown, so the worse one counts

    @field_validator("timeout", mode="before")
    @classmethod
    def _word(cls, value: object) -> object:
        return _word_of(TimeoutRule, value)


class SignalContract(_Part):
    """What a signal promises. Raises pydantic.ValidationError, naming the field, if the fields contradict each other."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,15}$")]
    version: Annotated[int, Field(ge=1)]
    first_line: Annotated[str, Field(min_length=1, max_length=300)]  # what a trader must know before anything else
    label: LabelKind
    side: SideRule
    event: PromisedEvent
    decision_minutes: Annotated[int, Field(gt=0)]
    entry_lag_bars: Annotated[int, Field(gt=0)]  # 1: entry at the open of the bar after the newest closed one
    horizon_minutes: Annotated[int, Field(gt=0, le=MAX_HORIZON_MINUTES)]
    random_side: Annotated[str, Field(pattern="^both_sides$")]  # the mean of BUY and SELL at the same moments
    barriers: Barriers | None = None
    cost: SignalCost
    settlement: SettlementRule

    @field_validator("label", "side", "event", mode="before")
    @classmethod
    def _word(cls, value: object, info: Any) -> object:
        kinds: dict[str, type[StrEnum]] = {"label": LabelKind, "side": SideRule, "event": PromisedEvent}
        return _word_of(kinds[info.field_name], value)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.decision_minutes != DECISION_MINUTES:
            raise ValueError(f"decision_minutes: expected {DECISION_MINUTES}, the cycle's, got {self.decision_minutes}")
        if self.horizon_minutes % self.decision_minutes:
            raise ValueError(
                f"horizon_minutes: expected a multiple of decision_minutes ({self.decision_minutes}), got {self.horizon_minutes}"
            )
        if self.entry_lag_bars != 1:
            raise ValueError(f"entry_lag_bars: expected 1, the only one that is traded, got {self.entry_lag_bars}")
        if (self.label is LabelKind.DIRECTION) != (self.side is SideRule.PROBABILITY):
            raise ValueError(f"side: expected {_SIDE_OF[self.label]} for label {self.label}, got {self.side}")
        if self.event is PromisedEvent.TARGET_FIRST and self.barriers is None:
            raise ValueError("event: target_first needs [barriers]; add them, or choose the event up")
        if self.event is PromisedEvent.UP and self.barriers is not None:
            raise ValueError("barriers: the event up ends with the horizon; remove them, or choose the event target_first")
        if self.event is PromisedEvent.TARGET_FIRST and self.side is SideRule.PROBABILITY:
            raise ValueError(
                "side: expected score for event target_first: its probability is easy for both sides, so it chooses none"
            )
        if self.barriers is None and self.settlement.timeout is TimeoutRule.MISS:
            raise ValueError("settlement.timeout: expected sign without barriers: every signal ends by its horizon, got miss")
        return self

    @property
    def title(self) -> str:
        """Name and version, such as dir60@1."""
        return f"{self.name}@{self.version}"

    @property
    def hash(self) -> ContractHash:
        """The sha256 of all values but the text of the first line."""
        values = self.model_dump(mode="json", exclude={"first_line"})
        return ContractHash(hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest())

    @property
    def window_minutes(self) -> int:
        """Minutes from a decision until its outcome is certainly known: entry lag and horizon."""
        return self.horizon_minutes + self.entry_lag_bars

    @property
    def is_symmetric(self) -> bool:
        """Whether a BUY is right exactly when a SELL is wrong, but for flats."""
        return self.barriers is None

    @property
    def needs_volatility(self) -> bool:
        """Whether a decision whose volatility is unknown has no label or no settlement."""
        return self.label is LabelKind.SCALED_RETURN or self.barriers is not None


_SIDE_OF: Final = {LabelKind.DIRECTION: SideRule.PROBABILITY, LabelKind.SCALED_RETURN: SideRule.SCORE}


def _word_of(kind: type[StrEnum], value: Any) -> StrEnum:
    """Return the member of an enum for a word of the document; strict models take no plain text for one."""
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"expected one of {', '.join(kind)}, got {value!r}") from None


def parse_contract(text: str, source: str) -> SignalContract:
    """Return the contract of a TOML document. source: its name in errors. Raises ContractDocumentError that names every fault."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ContractDocumentError(f"{source}: is not valid TOML: {error}") from error
    try:
        return SignalContract.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(_fault(fault) for fault in error.errors())
        raise ContractDocumentError(f"{source}: {faults}") from error


def _fault(fault: Any) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    place = ".".join(map(str, fault["loc"]))
    return f"{place}: {message}" if place else message


def contract_named(name: str, version: int | None = None) -> SignalContract:
    """Return a contract of this code; without a version the newest. Raises UnknownContractError with both names."""
    found = [one for one in CONTRACTS.values() if one.name == name and version in {None, one.version}]
    if not found:
        asked = name if version is None else f"{name}@{version}"
        raise UnknownContractError(f"expected one of the contracts {', '.join(CONTRACTS)}, got {asked}")
    return max(found, key=lambda one: one.version)


def _read_all(folder: Path) -> Mapping[str, SignalContract]:
    found = [parse_contract(path.read_text(encoding="utf-8"), path.name) for path in sorted(folder.glob("*.toml"))]
    return MappingProxyType({one.title: one for one in found})


CONTRACTS: Final = _read_all(DOCUMENTS)  # by title
DIR60: Final = contract_named("dir60", 1)  # also the contract of every bundle that records none
