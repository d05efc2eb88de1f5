"""The cost that judges a contract is the contract's own."""

from __future__ import annotations

from decimal import Decimal

import pytest

from signalbox.labels import CONTRACTS, SignalContract
from training.judge.costs import DEFAULT_COSTS, cost_models, costs_of


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=[*CONTRACTS])
def test_the_shipped_contracts_are_judged_by_what_ftmo_charges(contract: SignalContract) -> None:
    assert costs_of(contract) == DEFAULT_COSTS
    assert costs_of(contract, cost_models(25.0)) == cost_models(25.0)


def test_a_contract_of_another_cost_is_judged_by_that() -> None:
    contract = CONTRACTS["ret240@1"]
    dear = contract.cost.model_copy(update={"model": "own-venue", "round_trip_bps": Decimal(20)})
    first, *others = costs_of(contract.model_copy(update={"cost": dear}))
    assert (first.name, first.round_trip_bps) == ("own-venue", 20.0)
    assert others == [*DEFAULT_COSTS]
    same_name = contract.cost.model_copy(update={"model": "coinbase-taker", "round_trip_bps": Decimal(80)})
    found = costs_of(contract.model_copy(update={"cost": same_name}))
    assert [(one.name, one.round_trip_bps) for one in found] == [("coinbase-taker", 80.0), ("ftmo-crypto", 6.5)]
