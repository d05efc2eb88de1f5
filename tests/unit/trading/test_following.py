"""When several deployments decide one symbol at one instant, an account follows one of them, whichever comes first."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.adapters.aws.trading_metrics import counted
from signalbox.trading.account import TradingAccount
from signalbox.trading.changes import RiskEventKind
from signalbox.trading.entry_plan import SignalSkipReason
from tests.unit.trading.market import BTC, START, paper, signal
from tests.unit.trading.test_service import Floor

ACTIVE = {"deployment": "champion", "stage": "active", "direction": "BUY"}
SHADOW = {"deployment": "challenger", "stage": "shadow", "direction": "SELL"}
OTHER = {"deployment": "canary", "stage": "shadow", "direction": "SELL"}


def following(name: str | None, account: str) -> TradingAccount:
    return TradingAccount.model_validate(paper().model_dump() | {"follows": name, "account": account})


class Cycle:
    """A floor whose ledger holds the signals of one cycle, as it does before the first of them is announced."""

    def __init__(self, *decided: dict[str, Any], accounts: tuple[TradingAccount, ...]) -> None:
        self.floor = Floor(*accounts)
        self.signals = [signal(BTC, START, **one) for one in decided]
        for one in self.signals:
            self.floor.database.signals.add((BTC, START, one.deployment))
            self.floor.database.decided[START, one.deployment] = one.stage

    def trade(self, account: str) -> str | None:
        """Which deployment it trades, if any."""
        trades = self.floor.state(account).trades
        return trades[BTC].deployment if trades else None

    def held_back(self, account: str) -> dict[str, str]:
        lines = self.floor.rows(account).risk.values()
        return {line.key.rsplit(":", 1)[1]: line.code for line in lines if line.kind is RiskEventKind.SIGNAL_HELD_BACK}


@pytest.mark.parametrize("order", list(permutations((ACTIVE, SHADOW, OTHER))))
def test_each_account_trades_the_deployment_it_follows_and_says_why_not_the_others(order: tuple[dict[str, Any], ...]) -> None:
    accounts = tuple(following(name, f"a-{name or 'any'}") for name in (None, "active", "challenger", "nobody"))
    cycle = Cycle(*order, accounts=accounts)
    cycle.floor.deliver(*cycle.signals, *cycle.signals)
    traded = {one.account: cycle.trade(one.account) for one in accounts}
    assert traded == {"a-any": "champion", "a-active": "champion", "a-challenger": "challenger", "a-nobody": None}
    for account, own in traded.items():
        others = {"champion", "challenger", "canary"} - {own}
        assert cycle.held_back(account) == dict.fromkeys(others, SignalSkipReason.NOT_FOLLOWED)
        assert len(cycle.floor.state(account).orders) == (own is not None)


def test_a_shadow_signal_trades_on_paper_only_where_no_active_one_decided() -> None:
    accounts = following(None, "a-any"), following("active", "a-active")
    cycle = Cycle(SHADOW, accounts=accounts)
    cycle.floor.deliver(*cycle.signals)
    assert (cycle.trade("a-any"), cycle.trade("a-active")) == ("challenger", None)


def test_the_active_ones_hold_is_followed_too() -> None:
    cycle = Cycle(ACTIVE | {"direction": "HOLD", "tier": "LOW", "issued": False}, SHADOW, accounts=(following(None, "a-any"),))
    reported = cycle.floor.deliver(*cycle.signals)
    assert cycle.trade("a-any") is None
    assert sum(counted(reported).values()) == 1  # the shadow's signal, held back


def test_a_challenger_is_followed_by_its_name_alone_and_disturbs_nobody_else() -> None:
    served: dict[str, Any] = {"deployment": "served", "stage": "shadow", "direction": "BUY"}
    beside: dict[str, Any] = {"deployment": "beside", "stage": "shadow", "direction": "SELL", "challenger": True}
    accounts = tuple(following(name, f"a-{name or 'any'}") for name in (None, "beside"))
    for order in permutations((served, beside)):
        cycle = Cycle(*order, accounts=accounts)
        cycle.floor.database.decided[START, "beside"] = "challenger"  # as the ledger names it
        cycle.floor.deliver(*cycle.signals)
        assert (cycle.trade("a-any"), cycle.trade("a-beside")) == ("served", "beside")
    alone = Cycle(beside, accounts=accounts)
    alone.floor.database.decided[START, "beside"] = "challenger"
    alone.floor.deliver(*alone.signals)
    assert (alone.trade("a-any"), alone.trade("a-beside")) == (None, "beside")


def test_of_two_shadows_and_no_word_none_is_followed() -> None:
    cycle = Cycle(SHADOW, OTHER, accounts=(following(None, "a-any"), following("canary", "a-canary")))
    cycle.floor.deliver(*cycle.signals)
    assert (cycle.trade("a-any"), cycle.trade("a-canary")) == (None, "canary")


@given(
    st.sets(st.tuples(st.sampled_from("abcd"), st.sampled_from(("active", "shadow"))), max_size=5),
    st.sampled_from((None, "active", "a", "z")),
)
def test_what_is_followed_is_one_of_those_that_decided_or_the_one_that_is_named(
    deciders: set[tuple[str, str]], follows: str | None
) -> None:
    found = following(follows, "x").followed(deciders)
    stages = {stage for name, stage in deciders if name == found}
    if follows in {"a", "z"}:
        assert found == follows
    elif found is not None and any(stage == "active" for _, stage in deciders):
        assert "active" in stages
    elif follows == "active":
        assert found is None
