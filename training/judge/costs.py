"""What a round trip costs, in basis points of the traded amount. Spread and slippage are part of a side's figure or left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CostModel:
    """A venue's cost a side; entry and exit both pay it."""

    name: str
    side_bps: float

    @property
    def round_trip_bps(self) -> float:
        return 2.0 * self.side_bps


FTMO_CRYPTO: Final = CostModel("ftmo-crypto", 3.25)
COINBASE_TAKER_BPS: Final = 60.0  # 0.6 % a side, for a small account; give your own tier with --coinbase-taker-bps


def cost_models(coinbase_taker_bps: float = COINBASE_TAKER_BPS) -> tuple[CostModel, ...]:
    """Return the models of a report. The first is the one that G4, G5 and `net_bps` of the predictions use."""
    return (FTMO_CRYPTO, CostModel("coinbase-taker", coinbase_taker_bps))


DEFAULT_COSTS: Final = cost_models()
