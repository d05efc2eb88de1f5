"""v31 on bars of a closed form, against numbers kept since it was defined: the code may change, the features may not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from signalbox.features import compute_features, get_schema
from signalbox.market.candles import Bars
from tests.unit.features.synthetic_bars import BTC, minutes

GOLDEN = Path(__file__).with_name("golden_v31.json")


def waves(count: int) -> Bars:
    """Bars of sines only, so that no generator's stream is part of the contract."""
    t = np.arange(count + 1, dtype=np.float64)
    path = 1_000.0 + 40.0 * np.sin(t / 301.0) + 7.0 * np.sin(t / 17.0) + 2.0 * np.sin(t * 1.7) + 0.5 * np.cos(t * t / 977.0)
    open_, close = path[:-1], path[1:]
    reach = 0.5 + 0.4 * np.sin(t[1:] * 0.9)
    volume = 5.0 + 4.0 * np.sin(t[1:] / 53.0) * np.cos(t[1:])
    return Bars(BTC, minutes(count), open_, np.maximum(open_, close) + reach, np.minimum(open_, close) - reach, close, volume)


def test_v31_still_gives_the_numbers_it_was_defined_with() -> None:
    schema = get_schema("v31")
    row = compute_features(schema, waves(schema.history_bars + 777)).values[-1]
    golden = json.loads(GOLDEN.read_text())
    assert dict(zip(schema.names, row.tolist(), strict=True)) == {
        name: pytest.approx(value, rel=1e-8, abs=1e-12) for name, value in golden.items()
    }
