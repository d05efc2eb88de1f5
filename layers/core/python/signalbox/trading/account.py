"""A trading account as it is configured: what it may trade, how big, under which limits, and how it is executed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from signalbox.exact import PositiveAmount
from signalbox.frozen import FrozenModel, made_once
from signalbox.orders.messages import AccountName
from signalbox.risk.ftmo.rules import RULES, FtmoRules
from signalbox.risk.limits import PRESETS, AccountKind, RiskLimits
from signalbox.trading.errors import AccountNameError

PAPER_VENUE: Final = "paper"
ACTIVE: Final = "active"  # the stage, and as `follows` whatever is in it
DeploymentName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class TradingMode(StrEnum):
    """What becomes of a decision: only recorded, filled on paper, or sent to a venue."""

    DRY_RUN = "dry_run"
    PAPER = "paper"
    LIVE = "live"


class EntryPolicy(FrozenModel):
    """How a signal becomes a position: how much is risked, where the exits stand. No defaults: presets name every value.

    volatility is the standard deviation of the return over the signal's horizon (trading/entry_plan.py says how it is measured).
    """

    version: Annotated[str, Field(pattern=r"^[a-z0-9-]{3,40}\.\d+$")]
    tiers: Annotated[tuple[Literal["HIGH", "MEDIUM"], ...], Field(min_length=1)]  # that are traded
    risk_fraction: Annotated[Decimal, Field(gt=0, le=Decimal("0.05"))]  # of equity, lost when the stop is hit
    max_notional_fraction: Annotated[Decimal, Field(gt=0, le=10)]  # of equity, of one position
    stop_volatilities: Annotated[Decimal, Field(gt=0, le=20)]  # distance of the protective stop
    target_volatilities: Annotated[Decimal, Field(gt=0, le=20)] | None  # of the take profit; None: no target
    minimum_edge_over_cost: Annotated[Decimal, Field(ge=0, le=10)]  # expected move x edge, in round-trip costs; 0 trades all


class TradingAccount(FrozenModel):
    """One account. Its name is its key; what it holds lives in the ledger."""

    account: AccountName
    mode: TradingMode
    kind: AccountKind
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3,5}$")]
    capital: PositiveAmount  # what it began with; FTMO's C0
    venue: Annotated[str, Field(min_length=1, max_length=40)]  # "paper", a ccxt exchange id, or "mt5"
    market: Annotated[str, Field(min_length=1, max_length=40)]  # the venue whose candles value it
    strategy: Annotated[str, Field(min_length=1, max_length=64)]
    ftmo_phase: str | None = None
    policy: EntryPolicy
    follows: DeploymentName | None = None  # None: the active deployment; on paper the shadow one where no active one decided

    def followed(self, deciders: Iterable[tuple[str, str]]) -> str | None:
        """Return the one deployment whose decision it follows, of those (name, stage) that decided a symbol at an instant.

        `follows` is a name, or "active": no shadow one ever. None: there is none, or of several nobody said which. So an
        account has at most one decision a symbol and instant, and the identity of its entry order (account, strategy,
        symbol, instant, leg) names that decision.
        """
        if self.follows not in {None, ACTIVE}:
            return self.follows
        known = set(deciders)
        found = {name for name, stage in known if stage == ACTIVE}
        if not found and self.follows is None:
            found = {name for name, _ in known}
        return found.pop() if len(found) == 1 else None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.venue == PAPER_VENUE) != (self.mode is not TradingMode.LIVE):
            raise ValueError(f"expected venue {PAPER_VENUE!r} exactly when the mode is not live, was {self.venue} {self.mode}")
        if self.ftmo_phase is not None:
            if self.rules is None:
                raise ValueError(f"expected a phase with an FTMO kind alone, was {self.kind} {self.ftmo_phase}")
            if self.ftmo_phase not in (names := [phase.name for phase in self.rules.phases]):
                raise ValueError(f"expected a phase of {', '.join(names)}, was {self.ftmo_phase}")
        return self

    @property
    def limits(self) -> RiskLimits:
        """The limits of its kind."""
        return PRESETS[self.kind]

    @made_once
    def rules(self) -> FtmoRules | None:
        """The prop-firm rules it is under, if any."""
        return RULES.get(self.kind.value)


DIR60_STANDARD: Final = EntryPolicy(
    version="dir60-standard.1",
    tiers=("HIGH", "MEDIUM"),
    risk_fraction=Decimal("0.0025"),
    max_notional_fraction=Decimal("0.3"),
    stop_volatilities=Decimal(3),
    target_volatilities=None,
    minimum_edge_over_cost=Decimal(0),
)
POLICIES: Final = MappingProxyType({policy.version: policy for policy in (DIR60_STANDARD,)})  # by the name of the preset
STRATEGY: Final = "dir60"
SEND_WITHIN: Final = timedelta(minutes=5)  # of the decision: later, the next decision is nearer
_NAMED: Final = re.compile(r"^(?P<kind>[a-z0-9-]+?)-(?P<thousands>[1-9][0-9]{0,5})k$")


def account_named(name: str, *, market: str, policy: EntryPolicy = DIR60_STANDARD) -> TradingAccount:
    """Return the paper account of a name like `ftmo-2step-100k` or `paper-25k`: a kind and its capital.

    Raises AccountNameError with the names that exist.
    """
    found = _NAMED.match(name)
    kinds = {kind.value: kind for kind in AccountKind}
    if found is None or found["kind"] not in kinds:
        raise AccountNameError(
            f"account {name!r}: expected KIND-CAPITALk with KIND of {', '.join(kinds)}, such as ftmo-2step-100k"
        )
    return TradingAccount(
        account=name,
        mode=TradingMode.PAPER,
        kind=kinds[found["kind"]],
        currency="USD",
        capital=Decimal(found["thousands"]) * 1000,
        venue=PAPER_VENUE,
        market=market,
        strategy=STRATEGY,
        policy=policy,
    )
