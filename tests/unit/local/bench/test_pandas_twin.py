"""The pandas twin is honest: it gives the features' own values, so its time is the time of the same work."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from local.bench.pandas_twin import frame_of, pandas_features
from signalbox.features import SCHEMAS, FeatureSchema, compute_features
from signalbox.market.candles import Bars, Symbol
from tests.unit.features.synthetic_bars import walk, without

ETH = Symbol("ETH-USD")


def frame(bars: Bars) -> pd.DataFrame:
    return frame_of(bars.open_time_ms, {n: getattr(bars, n) for n in ("open", "high", "low", "close", "volume")})


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_the_twin_gives_the_same_values(schema: FeatureSchema) -> None:
    bars = without(walk(6_000, seed=1, price=2_500.0, symbol=ETH), 4_000, 4_030)
    reference = without(walk(6_000, seed=2), 5_000, 5_000)
    wanted = compute_features(schema, bars, reference=reference)
    got = pandas_features(frame(bars), frame(reference)["close"] if schema.reference else None)
    assert tuple(got.columns) == schema.names
    rows = wanted.is_complete
    assert rows.any()
    spread = wanted.values[rows].std(axis=0)
    for i, name in enumerate(schema.names):
        np.testing.assert_allclose(
            got[name].to_numpy()[rows], wanted.values[rows, i], rtol=1e-6, atol=1e-6 * spread[i] + 1e-12, err_msg=name
        )
