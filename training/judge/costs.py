"""Cost of a round trip in basis points of the traded amount. Spread and slippage count only if a side's figure includes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from signalbox.labels import SignalContract


@dataclass(frozen=True, slots=True)
class CostModel:
    """A venue's cost per side; entry and exit each pay it."""

    name: str
    side_bps: float

    @property
    def round_trip_bps(self) -> float:
        return 2.0 * self.side_bps


FTMO_CRYPTO: Final = CostModel("ftmo-crypto", 3.25)
COINBASE_TAKER_BPS: Final = 60.0  # 0.6 % a side, a small account's tier; set yours with --coinbase-taker-bps


def cost_models(coinbase_taker_bps: float = COINBASE_TAKER_BPS) -> tuple[CostModel, ...]:
    """Return the cost models of a report. G4, G5 and `net_bps` of the predictions use the first of `costs_of`."""
    return (FTMO_CRYPTO, CostModel("coinbase-taker", coinbase_taker_bps))


DEFAULT_COSTS: Final = cost_models()


def costs_of(contract: SignalContract, costs: Sequence[CostModel] = DEFAULT_COSTS) -> tuple[CostModel, ...]:
    """Return the cost models of a report with the contract's own first, which judges it."""
    own = CostModel(contract.cost.model, float(contract.cost.round_trip_bps) / 2.0)
    return (own, *(one for one in costs if one.name != own.name))
