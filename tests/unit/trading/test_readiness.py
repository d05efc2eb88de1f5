from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.risk.snapshot import HaltLevel
from signalbox.trading.account import TradingAccount, TradingMode, account_named
from signalbox.trading.readiness import (
    LIVE_GATES,
    Comparison,
    Confirmation,
    ModelQualification,
    NotReady,
    ReadinessFacts,
    readiness,
)
from signalbox.trading.state import Halt
from tests.builders import NOON


def live(name: str = "ftmo-2step-100k", **changes: Any) -> TradingAccount:
    return TradingAccount.model_validate(
        account_named(name, market="coinbase").model_dump() | {"mode": TradingMode.LIVE, "venue": "coinbase"} | changes
    )


RULES = live().rules
assert RULES is not None
PASSED = dict.fromkeys(LIVE_GATES, True)
GREEN = ReadinessFacts(
    account=live(),
    mode_set=Confirmation("ada", NOON - timedelta(days=1), "live"),
    model=ModelQualification("m1", "active", PASSED),
    halt=None,
    compared=Comparison(NOON - timedelta(minutes=1)),
    secrets_present=True,
    newest_bar_closed_at=NOON - timedelta(minutes=1),
    rules_confirmed=Confirmation("ada", NOON - timedelta(days=3), f"{RULES.name} {RULES.version}"),
)


def codes(facts: ReadinessFacts) -> list[NotReady]:
    return [reason.code for reason in readiness(facts, NOON).reasons]


def test_an_account_with_everything_in_order_is_green() -> None:
    assert readiness(GREEN, NOON).is_green


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"mode_set": None}, NotReady.MODE_NOT_CONFIRMED),
        ({"mode_set": Confirmation(" ", NOON, "live")}, NotReady.MODE_NOT_CONFIRMED),
        ({"mode_set": Confirmation("ada", NOON, "paper")}, NotReady.MODE_NOT_CONFIRMED),
        ({"mode_set": Confirmation("ada", NOON + timedelta(seconds=1), "live")}, NotReady.MODE_NOT_CONFIRMED),
        ({"account": live(venue="kraken")}, NotReady.VENUE_NOT_SUPPORTED),
        ({"model": None}, NotReady.MODEL_NOT_ACTIVE),
        ({"model": ModelQualification("m1", "shadow", PASSED)}, NotReady.MODEL_NOT_ACTIVE),
        *[
            ({"model": ModelQualification("m1", "active", PASSED | {gate: False})}, NotReady.GATE_NOT_PASSED)
            for gate in LIVE_GATES
        ],
        ({"model": ModelQualification("m1", "active", dict.fromkeys(LIVE_GATES[:-1], True))}, NotReady.GATE_NOT_PASSED),
        ({"halt": Halt(HaltLevel.REDUCE_ONLY, "ada", "drill", NOON)}, NotReady.HALTED),
        ({"compared": None}, NotReady.NOT_COMPARED),
        ({"compared": Comparison(NOON - timedelta(minutes=16))}, NotReady.COMPARISON_OLD),
        ({"compared": Comparison(NOON + timedelta(minutes=1))}, NotReady.COMPARISON_OLD),
        ({"compared": Comparison(NOON, ("POSITION_DIFFERS BTC-USD",))}, NotReady.DIFFERENCE),
        ({"secrets_present": False}, NotReady.SECRETS_MISSING),
        ({"secrets_present": None}, NotReady.SECRETS_MISSING),
        ({"newest_bar_closed_at": None}, NotReady.DATA_STALE),
        ({"newest_bar_closed_at": NOON - timedelta(minutes=11)}, NotReady.DATA_STALE),
        ({"rules_confirmed": None}, NotReady.RULES_NOT_CONFIRMED),
        ({"rules_confirmed": Confirmation("ada", NOON, f"{RULES.name} 2020-01.1")}, NotReady.RULES_NOT_CONFIRMED),
        (
            {"rules_confirmed": Confirmation("ada", NOON - timedelta(days=91), f"{RULES.name} {RULES.version}")},
            NotReady.RULES_NOT_CONFIRMED,
        ),
    ],
)
def test_each_thing_that_is_wrong_is_the_one_reason_and_says_how_to_mend_it(change: dict[str, Any], code: NotReady) -> None:
    facts = replace(GREEN, **change)
    (reason,) = readiness(facts, NOON).reasons
    assert reason.code is code
    assert reason.found
    assert reason.remedy.endswith(".")
    assert str(reason).startswith(code)


def test_a_paper_account_is_never_ready() -> None:
    assert codes(replace(GREEN, account=account_named("ftmo-2step-100k", market="coinbase"))) == [NotReady.MODE_NOT_LIVE]


def test_a_halt_that_is_over_is_no_reason() -> None:
    halt = Halt(HaltLevel.REDUCE_ONLY, "ada", "drill", NOON - timedelta(hours=2), until=NOON)
    assert readiness(replace(GREEN, halt=halt), NOON).is_green


def test_an_account_without_firm_rules_needs_no_confirmation_of_them() -> None:
    account = live("paper-25k")
    assert account.rules is None
    assert readiness(replace(GREEN, account=account, rules_confirmed=None), NOON).is_green


@given(unknown=st.sets(st.sampled_from(["mode_set", "model", "compared", "secrets_present", "newest_bar_closed_at"]), min_size=1))
def test_what_nobody_knows_is_never_a_pass_and_every_gap_is_named(unknown: set[str]) -> None:
    changes: dict[str, Any] = dict.fromkeys(unknown)
    found = readiness(replace(GREEN, **changes), NOON)
    assert len(found.reasons) == len(unknown)
