# ruff: noqa: E402 - without torch the module ends at its first statement, and says why
"""LSTM and Transformer: what they see, what they learn, that they repeat, and that they export as what they are."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed: make training")

from tests.unit.training.networks import WINDOW_BARS, tiny_lstm, tiny_transformer
from tests.unit.training.synthetic import parts_of, windows_with_a_signal
from training.config import LstmConfig, TransformerConfig
from training.data.dataset import Dataset
from training.errors import ExportParityError
from training.fit.export import export_members, parity_difference
from training.fit.members import Making
from training.fit.neural.family import NeuralFamily, NeuralMember, device_rows
from training.fit.neural.loop import Rows, rate_share
from training.fit.neural.networks import Standardise, build_network
from training.fit.neural.windows import DeviceRows, logits_of
from training.fit.parity import PARITY_TOLERANCE
from training.judge.estimates import area_under_curve

CPU = torch.device("cpu")
BOTH = pytest.mark.parametrize("config", [tiny_lstm(), tiny_transformer()], ids=["lstm", "transformer"])
Config = LstmConfig | TransformerConfig


def fitted(config: Config, data: Dataset, making: Making | None = None) -> NeuralMember:
    train, stopping, _ = parts_of(data, 0.6, 0.8)
    name = "lstm" if isinstance(config, LstmConfig) else "transformer"
    fit = NeuralFamily(name, config, device_rows(data.tensor)).fit(train, stopping, making or Making(seed=1))  # type: ignore[arg-type]
    (member,) = fit.members
    assert isinstance(member, NeuralMember)
    return member


def weights_of(member: NeuralMember) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in member.network.state_dict().items()}


@given(bars=st.lists(st.integers(9, 199), min_size=1, max_size=20), window=st.integers(1, 10))
def test_gather_is_the_rows_that_end_at_each_bar(bars: list[int], window: int) -> None:
    tensor = np.arange(200 * 3, dtype=np.float32).reshape(200, 3)
    found = DeviceRows(tensor, CPU).gather(torch.tensor(bars), window).numpy()
    np.testing.assert_array_equal(found, np.stack([tensor[bar - window + 1 : bar + 1] for bar in bars]))


def test_gather_is_what_the_data_set_gives_to_onnx() -> None:
    data = windows_with_a_signal(50)
    rows = device_rows(data.tensor)
    np.testing.assert_array_equal(
        rows.gather(rows.bars_of(data), WINDOW_BARS).cpu().numpy(), data.windows(slice(None), WINDOW_BARS)
    )


@BOTH
def test_no_network_sees_a_bar_outside_its_window(config: Config) -> None:
    data = windows_with_a_signal(200)
    network = build_network(config, data.features).eval()
    one = data.select(np.array([100]))
    poisoned = data.tensor.copy()
    poisoned[int(one.bar[0]) + 1 :] = np.nan  # the future
    poisoned[: int(one.bar[0]) - WINDOW_BARS + 1] = np.nan
    bars = torch.from_numpy(one.bar)
    clean = logits_of(network, DeviceRows(data.tensor, CPU), bars, WINDOW_BARS)
    assert torch.equal(logits_of(network, DeviceRows(poisoned, CPU), bars, WINDOW_BARS), clean)
    poisoned[int(one.bar[0])] = np.nan  # the decision's own bar is seen
    assert torch.isnan(logits_of(network, DeviceRows(poisoned, CPU), bars, WINDOW_BARS)).all()


@BOTH
def test_planted_signal_is_learnt(config: Config) -> None:
    data = windows_with_a_signal()
    test = parts_of(data, 0.6, 0.8)[2]
    assert area_under_curve(fitted(config, data).logits(test), test.label > 0) > 0.8


@BOTH
def test_shuffled_labels_teach_nothing(config: Config) -> None:
    data = windows_with_a_signal()
    shuffled = dataclasses.replace(data, label=np.random.default_rng(0).permutation(data.label))
    test = parts_of(shuffled, 0.6, 0.8)[2]
    found = area_under_curve(fitted(config, shuffled).logits(test), test.label > 0)
    assert abs(found - 0.5) < 3.5 * np.sqrt(1.0 / (3.0 * len(test)))


@BOTH
def test_equal_seeds_give_equal_weights_and_others_do_not(config: Config) -> None:
    data = windows_with_a_signal(600)
    first, again, other = (weights_of(fitted(config, data, Making(seed=seed))) for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


@BOTH
def test_graph_gives_the_probabilities_of_the_network_at_any_batch_size(config: Config) -> None:
    data = windows_with_a_signal(600)
    member = fitted(config.model_copy(update={"epochs": 1}), data)
    graphs, worst = export_members({"one.onnx": member}, data)
    assert worst <= PARITY_TOLERANCE
    (features,) = onnx.load_model(io.BytesIO(graphs["one.onnx"])).graph.input
    assert features.name == "features"
    sizes = [one.dim_param or one.dim_value for one in features.type.tensor_type.shape.dim]
    assert sizes == ["batch", WINDOW_BARS, 31]
    assert member.to_onnx("one") == graphs["one.onnx"]  # equal weights, equal bytes


def test_graph_of_another_network_is_refused() -> None:
    data = windows_with_a_signal(600)
    one, other = (fitted(tiny_lstm(epochs=1), data, Making(seed=seed)) for seed in (1, 2))
    with pytest.raises(ExportParityError, match="within 1e-05 of the lstm model"):
        parity_difference(one, other.to_onnx("other"), data)


def test_graph_with_a_fixed_batch_is_refused() -> None:
    data = windows_with_a_signal(600)
    member = fitted(tiny_transformer(epochs=1), data)
    model = onnx.load_model(io.BytesIO(member.to_onnx("one")))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    with pytest.raises(Exception, match=r"(?i)dimension"):
        parity_difference(member, model.SerializeToString(), data)


def test_scale_is_of_the_training_rows_and_travels_inside() -> None:
    data = windows_with_a_signal(600)
    train = parts_of(data, 0.6, 0.8)[0]
    member = fitted(tiny_lstm(epochs=1), data)
    weights = weights_of(member)
    np.testing.assert_allclose(weights["standardise.mean"], train.features.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(1 / weights["standardise.scale"], train.features.std(axis=0, dtype=np.float64), rtol=1e-6)
    assert not any(one.requires_grad for one in member.network.standardise.buffers())


def test_constant_feature_and_wild_value_stay_finite() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    rows[:, 1] = 7.0
    layer = Standardise(rows)
    found = layer(torch.tensor([[1e30, 7.0, -1e30]]))
    assert torch.isfinite(found).all()
    assert found[0, 1] == 0


def test_epochs_take_turns_and_together_take_every_decision_once() -> None:
    data = windows_with_a_signal(1_000)
    rows = Rows.of(data, device_rows(data.tensor), WINDOW_BARS, 12, weighted=True)
    turns = [rows.of_phase(epoch) for epoch in range(12)]
    assert sorted(torch.cat(turns).tolist()) == list(range(1_000))
    assert (np.diff(turns[0].cpu().numpy()) == 12).all()  # an hour apart: their labels do not overlap


def test_weights_of_rows_are_their_uniqueness_and_change_the_fit() -> None:
    data = windows_with_a_signal(600)
    thinned = data.select(np.flatnonzero((np.arange(600) < 200) | (np.arange(600) % 12 == 0)))
    rows = Rows.of(thinned, device_rows(data.tensor), WINDOW_BARS, 1, weighted=True)
    assert rows.weight[-5:].mean() > 5 * rows.weight[100:150].mean()  # alone in their hour, and twelve to the hour
    assert float(rows.weight.mean()) == pytest.approx(1.0, abs=1e-5)


@BOTH
def test_weights_of_the_best_epoch_are_kept_and_patience_ends_it(config: Config) -> None:
    data = windows_with_a_signal(300, skill=0.0)  # nothing to learn: the early-stopping loss soon rises
    seen = []
    making = Making(seed=1, on_epoch=lambda _, epoch, figures: seen.append((epoch, figures["stopping_loss"])))
    eager = config.model_copy(update={"epochs": 60, "patience": 2, "learning_rate": 0.02})
    member = fitted(eager, data, making)
    best = min(seen, key=lambda one: one[1])
    assert len(seen) == best[0] + 3 < 60
    stopping = parts_of(data, 0.6, 0.8)[1]
    logits = member.logits(stopping)
    assert np.mean(np.logaddexp(0, logits) - stopping.label * logits) == pytest.approx(best[1], abs=1e-6)
    assert member.facts["best_epoch"] == best[0] + 1


@given(done=st.floats(0, 1), warm_up=st.floats(0, 0.99))
def test_rate_is_a_share_of_the_highest(done: float, warm_up: float) -> None:
    assert 0 < rate_share(done, warm_up) <= 1


def test_rate_rises_then_falls() -> None:
    shares = [rate_share(step / 100, 0.2) for step in range(101)]
    assert shares[:21] == sorted(shares[:21])
    assert shares[20:] == sorted(shares[20:], reverse=True)
    assert shares[20] == 1.0
