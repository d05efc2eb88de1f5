"""Decisions as types. A venue accepts `RiskApproved` only, and only `assess` can create one."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from signalbox.exact import plain
from signalbox.risk.codes import RefusalCode
from signalbox.risk.errors import RiskError
from signalbox.risk.order import ProposedOrder
from signalbox.risk.snapshot import RiskSnapshot

SEAL: Final = object()  # only assess uses it; a test searches the sources for any other use
Fact: TypeAlias = Decimal | str


def fact_text(fact: Fact) -> str:
    """Return a fact as text."""
    return plain(fact) if isinstance(fact, Decimal) else fact


@dataclass(frozen=True, slots=True)
class Breach:
    """One limit that an order would break: its code, the limit, the value found, their unit, and related facts."""

    code: RefusalCode
    limit: Fact
    value: Fact
    unit: str
    about: tuple[tuple[str, str], ...] = ()

    @property
    def message(self) -> str:
        """The facts as `CODE: limit 5 USD, was 6 USD (symbol=BTC-USD)`. Whoever shows it to people makes the sentence."""
        unit = f" {self.unit}" if self.unit else ""
        about = f" ({', '.join(f'{key}={value}' for key, value in self.about)})" if self.about else ""
        return f"{self.code}: limit {fact_text(self.limit)}{unit}, was {fact_text(self.value)}{unit}{about}"


@dataclass(frozen=True, slots=True)
class RiskApproved:
    """An order that may be sent. It passed the checks on `snapshot` under the limits of version `limits_version`."""

    order: ProposedOrder
    snapshot: RiskSnapshot
    limits_version: str
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not SEAL:
            raise RiskError(f"order {self.order.order_id}: an approval can only be created by risk.assess()")


@dataclass(frozen=True, slots=True)
class RiskRefused:
    """An order that must not be sent. breaches: at least one, in rule order."""

    order: ProposedOrder
    snapshot: RiskSnapshot
    limits_version: str
    breaches: tuple[Breach, ...]

    def __post_init__(self) -> None:
        if not self.breaches:
            raise RiskError(f"order {self.order.order_id}: a refusal needs at least one breach")

    @property
    def code(self) -> RefusalCode:
        """The code of the first breach, in rule order."""
        return self.breaches[0].code

    @property
    def limit(self) -> Fact:
        """The limit of the first breach."""
        return self.breaches[0].limit

    @property
    def value(self) -> Fact:
        """The value of the first breach."""
        return self.breaches[0].value

    @property
    def message(self) -> str:
        """All breaches as text."""
        return "; ".join(breach.message for breach in self.breaches)


RiskDecision: TypeAlias = RiskApproved | RiskRefused
