"""The configuration of a trading account: what it may trade, how much, under which limits, and how orders are executed."""

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
CHALLENGER: Final = "challenger"  # the stage of a deployment that decided beside the one that served
ACTIVE: Final = "active"  # the stage "active"; as `follows`: any deployment in that stage
DeploymentName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class TradingMode(StrEnum):
    """What happens to a decision to trade: it is only recorded, filled on paper, or sent to a venue."""

    DRY_RUN = "dry_run"
    PAPER = "paper"
    LIVE = "live"


class EntryPolicy(FrozenModel):
    """The sizing and exits of the positions that signals open. No defaults: presets name every value.

    "Volatility" is the standard deviation of the return over the signal's horizon (measured in trading/entry_plan.py).
    """

    version: Annotated[str, Field(pattern=r"^[a-z0-9-]{3,40}\.\d+$")]
    tiers: Annotated[tuple[Literal["HIGH", "MEDIUM"], ...], Field(min_length=1)]  # signals of these tiers are traded
    risk_fraction: Annotated[Decimal, Field(gt=0, le=Decimal("0.05"))]  # of equity, lost when the stop is hit at its price
    max_notional_fraction: Annotated[Decimal, Field(gt=0, le=10)]  # of equity, for one position
    stop_volatilities: Annotated[Decimal, Field(gt=0, le=20)]  # distance of the protective stop from the entry price
    target_volatilities: Annotated[Decimal, Field(gt=0, le=20)] | None  # distance of the take profit; None: no take profit
    minimum_edge_over_cost: Annotated[Decimal, Field(ge=0, le=10)]  # expected move x edge, in round-trip costs; 0: trade all


class TradingAccount(FrozenModel):
    """One account. Its name is its key. The ledger stores its positions, orders and money."""

    account: AccountName
    mode: TradingMode
    kind: AccountKind
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3,5}$")]
    capital: PositiveAmount  # initial capital; FTMO's C0
    venue: Annotated[str, Field(min_length=1, max_length=40)]  # "paper", a ccxt exchange id, or "mt5"
    market: Annotated[str, Field(min_length=1, max_length=40)]  # the venue whose candles price its positions
    strategy: Annotated[str, Field(min_length=1, max_length=64)]
    ftmo_phase: str | None = None
    policy: EntryPolicy
    follows: DeploymentName | None = None  # a deployment name or "active"; None: see `followed`

    def followed(self, deciders: Iterable[tuple[str, str]]) -> str | None:
        """Return the deployment that this account follows, of those that decided one symbol at one instant.

        deciders: (name, stage) pairs. `follows` set to a name gives that name. "active" gives the active deployment. None means
        the one active deployment, or without any the one shadow deployment; a challenger is followed by its name only. Returns
        None when there is none or more than one. So an account follows at most one decision per symbol and instant, and the id
        of its entry order (a hash of account, strategy, symbol, instant and leg) identifies that decision.
        """
        if self.follows not in {None, ACTIVE}:
            return self.follows
        known = set(deciders)
        found = {name for name, stage in known if stage == ACTIVE}
        if not found and self.follows is None:
            found = {name for name, stage in known if stage != CHALLENGER}
        return found.pop() if len(found) == 1 else None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.venue == PAPER_VENUE) != (self.mode is not TradingMode.LIVE):
            raise ValueError(
                f"mode {self.mode} with venue {self.venue!r}: a live account needs a real venue, any other needs {PAPER_VENUE!r}"
            )
        if self.ftmo_phase is not None:
            if self.rules is None:
                raise ValueError(f"phase {self.ftmo_phase}: an account of kind {self.kind} has no phases; leave the phase out")
            if self.ftmo_phase not in (names := [phase.name for phase in self.rules.phases]):
                raise ValueError(f"expected one of the phases {', '.join(names)}, got {self.ftmo_phase}")
        return self

    @made_once
    def limits(self) -> RiskLimits:
        """The risk limits of the account's kind."""
        return PRESETS[self.kind]

    @made_once
    def rules(self) -> FtmoRules | None:
        """The prop-firm rules of the account's kind, or None."""
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
POLICIES: Final = MappingProxyType({policy.version: policy for policy in (DIR60_STANDARD,)})  # key: the preset's name
STRATEGY: Final = "dir60"
SEND_WITHIN: Final = timedelta(minutes=5)  # after the decision; a later order would compete with the next decision
_NAMED: Final = re.compile(r"^(?P<kind>[a-z0-9-]+?)-(?P<thousands>[1-9][0-9]{0,5})k$")


def account_named(name: str, *, market: str, policy: EntryPolicy = DIR60_STANDARD) -> TradingAccount:
    """Return the paper account that a name such as `ftmo-2step-100k` or `paper-25k` describes: its kind and its capital.

    Raises AccountNameError, which lists the kinds.
    """
    found = _NAMED.match(name)
    kinds = {kind.value: kind for kind in AccountKind}
    if found is None or found["kind"] not in kinds:
        raise AccountNameError(
            f"account {name!r}: expected KIND-CAPITALk such as ftmo-2step-100k, with KIND one of {', '.join(kinds)}"
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
