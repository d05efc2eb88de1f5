"""The calibrator of a contract with barriers starts at a random side, which has to be right half of the time or more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signalbox.features import get_schema
from signalbox.labels import CONTRACTS
from tests.unit.training.synthetic import walk
from training.data.dataset import Dataset, build_dataset
from training.errors import TrainingError
from training.fit.calibration import fit_calibrator


@pytest.fixture(scope="module")
def data() -> Dataset:
    return build_dataset(get_schema("v31"), [walk(3)], contract=CONTRACTS["hit75@1"])


def test_the_offset_is_of_a_random_side_in_training(data: Dataset) -> None:
    assert data.sides is not None
    found = fit_calibrator(np.ones(len(data)), data, data)
    rate = (data.sides.buy_right.mean() + data.sides.sell_right.mean()) / 2.0
    assert found.offset == pytest.approx(np.log(rate / (1.0 - rate)))


@pytest.mark.parametrize("right", [False, True])
def test_a_random_side_that_is_mostly_wrong_or_never_is_refused(data: Dataset, right: bool) -> None:
    assert data.sides is not None
    always = np.full(len(data), right)
    train = replace(data, sides=replace(data.sides, buy_right=always, sell_right=always))
    with pytest.raises(TrainingError, match=r"hit75@1: expected a random side to be right in 50 % to 99 % .*, got (0|100).0 %"):
        fit_calibrator(np.ones(len(data)), data, train)
