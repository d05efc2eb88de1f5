from __future__ import annotations

import re

import pytest

from signalbox.labels import (
    CONTRACTS,
    DIR60,
    ContractDocumentError,
    SignalContract,
    UnknownContractError,
    contract_named,
    parse_contract,
)
from signalbox.labels.contract import DOCUMENTS

DOCUMENT = {path.stem: path.read_text(encoding="utf-8") for path in DOCUMENTS.glob("*.toml")}


def test_the_three_contracts_are_shipped_under_their_file_names() -> None:
    assert set(CONTRACTS) == {"dir60@1", "hit75@1", "ret240@1"}
    assert {one.name for one in CONTRACTS.values()} == set(DOCUMENT)


def test_dir60_is_the_contract_of_the_bundles_from_before() -> None:
    assert (DIR60.horizon_minutes, DIR60.entry_lag_bars, DIR60.decision_minutes) == (60, 1, 5)
    assert DIR60.is_symmetric
    assert not DIR60.needs_volatility
    assert not DIR60.cost.expected_move_over_cost


# A released contract never changes: bundles name its hash, and a change of one value is another promise. Write a new version.
@pytest.mark.parametrize(
    ("title", "hash_"),
    [
        ("dir60@1", "5aae83893b07350124ab21ec3c4a2e5ae106964d274b1a9f6cf0a24d998d1487"),
        ("hit75@1", "845638ee4912ad4299686f3736c1c0d87b4bacffacb3187e26c2de9e948547ea"),
        ("ret240@1", "47bb2372418ef1c816a1f063dab2ea8efa4ed49a81131697f901ed44ba52451d"),
    ],
)
def test_a_released_contract_keeps_its_hash(title: str, hash_: str) -> None:
    assert CONTRACTS[title].hash == hash_


def test_the_hash_covers_every_value_but_the_first_line() -> None:
    changed = DOCUMENT["hit75"].replace("stop_volatilities = 2.25", "stop_volatilities = 2.5")
    assert parse_contract(changed, "changed").hash != CONTRACTS["hit75@1"].hash
    other_words = re.sub(r'first_line = ".*"', 'first_line = "Other words."', DOCUMENT["hit75"])
    assert parse_contract(other_words, "changed").hash == CONTRACTS["hit75@1"].hash


@pytest.mark.parametrize(
    ("name", "old", "new", "named"),
    [
        ("dir60", 'side = "probability"', 'side = "score"', "side: expected probability for label direction, got score"),
        ("ret240", 'side = "score"', 'side = "probability"', "side: expected score for label scaled_return, got probability"),
        ("dir60", 'event = "up"', 'event = "target_first"', r"event: target_first needs \[barriers\]"),
        ("hit75", 'event = "target_first"', 'event = "up"', "barriers: the event up ends with the horizon"),
        ("dir60", 'timeout = "sign"', 'timeout = "miss"', "settlement.timeout: expected sign without barriers"),
        ("dir60", "horizon_minutes = 60", "horizon_minutes = 61", "horizon_minutes: expected a multiple of decision_minutes"),
        (
            "dir60",
            "horizon_minutes = 60",
            "horizon_minutes = 1440",
            "horizon_minutes: Input should be less than or equal to 1380",
        ),
        ("dir60", "entry_lag_bars = 1", "entry_lag_bars = 2", "entry_lag_bars: expected 1"),
        ("dir60", "decision_minutes = 5", "decision_minutes = 10", "decision_minutes: expected 5"),
        (
            "dir60",
            'round_trip_bps = "6.5"',
            "round_trip_bps = 6.5",
            "cost.round_trip_bps: expected a decimal of 0 or more in quotes",
        ),
        ("dir60", 'round_trip_bps = "6.5"', 'round_trip_bps = "0"', "cost: round_trip_bps: expected a cost above 0"),
        ("dir60", 'label = "direction"', 'label = "luck"', "label: expected one of direction, scaled_return, got 'luck'"),
        ("hit75", "target_volatilities = 0.75", "target_volatilities = -1.0", "barriers.target_volatilities"),
        ("hit75", 'timeout = "sign"', 'timeout = "never"', "settlement.timeout: expected one of sign, miss, got 'never'"),
        ("hit75", 'timeout = "sign"', 'timeout = ["sign"]', r"settlement.timeout: expected one of sign, miss, got \['sign'\]"),
        ("dir60", 'label = "direction"', "label = 1", "label: expected one of direction, scaled_return, got 1"),
        (
            "dir60",
            'round_trip_bps = "6.5"',
            'round_trip_bps = "-1"',
            "cost.round_trip_bps: expected a decimal of 0 or more in quotes",
        ),
        (
            "ret240",
            'expected_move_over_cost = "1"',
            'expected_move_over_cost = "1e1"',
            "cost.expected_move_over_cost: expected a decimal of 0 or more in quotes",
        ),
        ("dir60", "version = 1", "version = 1\nlucky = true", "lucky"),
    ],
)
def test_a_contradictory_field_is_named(name: str, old: str, new: str, named: str) -> None:
    assert old in DOCUMENT[name]
    with pytest.raises(ContractDocumentError, match=named):
        parse_contract(DOCUMENT[name].replace(old, new, 1), f"{name}.toml")


def test_a_document_that_is_no_toml_is_refused_with_its_name() -> None:
    with pytest.raises(ContractDocumentError, match=r"x\.toml: is not valid TOML"):
        parse_contract("name = ", "x.toml")


def test_an_unknown_contract_is_refused_with_both_names() -> None:
    with pytest.raises(UnknownContractError, match="expected one of the contracts dir60@1, hit75@1, ret240@1, got dir61"):
        contract_named("dir61")
    with pytest.raises(UnknownContractError, match="got dir60@2"):
        contract_named("dir60", 2)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=str)
def test_an_outcome_is_known_within_the_embargo(contract: SignalContract) -> None:
    assert contract.window_minutes < 24 * 60
