"""One training run for each new contract, from candles to a bundle, as `signalbox train` makes it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from signalbox.inference import BundleContractError, load_bundle
from signalbox.labels import CONTRACTS
from tests.unit.training.synthetic import small_config, walk, write_candles
from training.config import read_config
from training.errors import ConfigError
from training.evaluate import EvaluateRequest, evaluate_bundle
from training.progress import NoProgress
from training.train import TrainRequest, train_bundle

CONFIGS = Path(__file__).parents[3] / "training/configs"


@pytest.mark.parametrize("name", ["ret240", "hit75"])
def test_a_run_makes_a_bundle_that_only_parts_of_its_contract_load(name: str, tmp_path: Path) -> None:
    data = write_candles(tmp_path / "data", walk(60, pull=0.01))
    config = read_config(small_config(tmp_path))
    config = config.model_copy(update={"contract_name": name})
    request = TrainRequest(data, tmp_path / "bundle", f"{name}-test", config, datetime(2024, 6, 1, tzinfo=UTC))
    result = train_bundle(request, NoProgress())
    contract = CONTRACTS[f"{name}@1"]
    assert result.manifest.label.contract is not None
    assert result.manifest.label.contract.hash == contract.hash
    with pytest.raises(BundleContractError, match=rf"made for contract {name}@1; expected dir60@1 here"):
        load_bundle(tmp_path / "bundle")
    report = json.loads((tmp_path / "bundle/report.json").read_text())
    assert report["contract"]["title"] == contract.title
    assert "random side" in report["figures"]["issued"]["lift"]
    assert not result.manifest.passes_promotion or report["figures"]["issued"]["lift"]["random side"]["low"] > 0
    again = evaluate_bundle(EvaluateRequest(tmp_path / "bundle", data), NoProgress())
    scored = again.assessment.scored
    assert scored.data.contract is contract
    if name == "hit75":
        assert (scored.confidence > 0.5).all()
        assert float(scored.random_hit.mean()) > 0.55
        np.testing.assert_array_equal(scored.side > 0, scored.probability_up > 0.5)
    shutil.rmtree(tmp_path / "data")


@pytest.mark.parametrize("name", ["ret240", "hit75"])
def test_the_shipped_configuration_is_of_its_contract(name: str) -> None:
    config = read_config(CONFIGS / f"{name}.toml")
    assert config.contract is CONTRACTS[f"{name}@1"]
    assert config.walk_forward.purge_ms == 241 * 60_000


def test_an_unknown_contract_or_a_network_for_returns_is_refused(tmp_path: Path) -> None:
    path = small_config(tmp_path)
    path.write_text('contract = "dir61"\n' + path.read_text())
    with pytest.raises(ConfigError, match="contract: expected one of the contracts dir60@1, hit75@1, ret240@1, got dir61"):
        read_config(path)
    whole = (CONFIGS / "quick.toml").read_text()
    path.write_text('contract = "ret240"\n' + whole)
    with pytest.raises(ConfigError, match="families: expected xgboost alone for contract ret240@1"):
        read_config(path)
