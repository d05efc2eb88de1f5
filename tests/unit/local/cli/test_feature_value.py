"""Whether alternative data adds value: a planted signal is found, noise and a signal of another time are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from local.cli.data.sample import run_data_sample
from local.errors import DataError
from signalbox.adapters.lake.alternative import StoredObservations
from signalbox.adapters.lake.series import find_series
from signalbox.adapters.lake.stores import FolderStore
from signalbox.alternative.collection import ObservationDay
from signalbox.alternative.observations import MarketObservation, ObservationKind
from tests.unit.local.cli.test_collect_alternative import called

DAYS = 44
SUBJECT = "BTC-USD"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic market of one symbol."""
    root = tmp_path_factory.mktemp("lake")
    run_data_sample(root, days=DAYS, seed=3, json_output=True)
    for other in ("ETH-USD", "SOL-USD"):
        for file in (root / "candles/venue=synthetic" / f"symbol={other}").rglob("*.parquet"):
            file.unlink()
    return root


def write(root: Path, value: Callable[[int, np.random.Generator], float], *, late: timedelta = timedelta(0)) -> None:
    """Write a ratio every five minutes; `value` is given the index of the minute at which it becomes known."""
    rng = np.random.default_rng(11)
    (series,) = find_series(root)
    start, end = series.ends()
    by_day: dict[datetime, list[MarketObservation]] = {}
    at, place = start, 0
    while at < end:
        ratio = Decimal(repr(round(float(np.exp(value(place, rng))), 6)))
        made = MarketObservation("okx", ObservationKind.LONG_SHORT_RATIO, SUBJECT, at, at, at + late, ratio)
        by_day.setdefault(at.replace(hour=0, minute=0), []).append(made)
        at, place = at + timedelta(minutes=5), place + 5
    stored = StoredObservations(FolderStore(root))
    for day, found in by_day.items():
        stored.write(ObservationDay("okx", ObservationKind.LONG_SHORT_RATIO, day.date()), found)


def measured(root: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, object]:
    capsys.readouterr()
    assert called("features", "value", "--data", str(root), *more, "--json") == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_planted_signal_is_found_and_noise_is_not(lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (series,) = find_series(lake)
    opens = series.bars().open

    def telling(place: int, rng: np.random.Generator) -> float:
        """What comes within the hour, in much noise."""
        if place + 61 >= len(opens):
            return 0.0
        return 0.3 * float(np.sign(opens[place + 61] - opens[place + 1])) + float(rng.normal())

    write(lake, telling)
    found = measured(lake, capsys, "--out", str(tmp_path / "v64x.parquet"))
    assert found["verdict"] == "ADDS", found
    assert (tmp_path / "v64x.parquet").stat().st_size > 0

    write(lake, lambda _, rng: float(rng.normal()))
    assert measured(lake, capsys)["verdict"] != "ADDS"

    # the same signal, fetched a day after it was of use: it is in the file, and was not known
    write(lake, telling, late=timedelta(days=1))
    assert called("features", "value", "--data", str(lake), "--json") == 2
    assert "no alternative value was known at any decision" in capsys.readouterr().err
    assert measured(lake, capsys, "--assume-lag", "0")["verdict"] == "ADDS"


def test_without_alternative_data_it_says_how_to_collect_some(tmp_path: Path) -> None:
    from local.cli.features.value import ValueOptions, run_value  # noqa: PLC0415 - xgboost

    with pytest.raises(DataError, match="signalbox collect alt"):
        run_value(ValueOptions(tmp_path, tmp_path, None, None, None, None, json_output=False))
