# ruff: noqa: E402 - without torch the module ends at its first statement, and says why
"""Where networks compute, how precisely, and what is told of it. What needs a GPU is skipped without one and says so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import xgboost as xgb
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

torch = pytest.importorskip("torch", reason="torch is not installed: make training")

import numpy as np
from torch.autograd import DeviceType
from torch.utils._python_dispatch import TorchDispatchMode

from tests.unit.training.networks import tiny_lstm, tiny_transformer
from tests.unit.training.synthetic import parts_of, windows_with_a_signal
from training.config import LstmConfig, TransformerConfig
from training.fit.export import export_members
from training.fit.members import Making
from training.fit.neural.device import (
    choose_precision,
    computing,
    covered,
    fastest,
    find_device,
    gpu_figures,
    kernel_spans,
    shares_of,
)
from training.fit.neural.family import NeuralFamily, device_rows
from training.fit.neural.loop import Rows, Trainer, load_state
from training.fit.neural.networks import build_network
from training.fit.parity import PARITY_TOLERANCE
from training.fit.trees import cuda_is_usable, trained_on
from training.judge.estimates import area_under_curve

CPU = torch.device("cpu")
Config = LstmConfig | TransformerConfig
BOTH = pytest.mark.parametrize("config", [tiny_lstm(), tiny_transformer()], ids=["lstm", "transformer"])
MIXED = pytest.mark.parametrize("precision", ["bf16", "fp16"])


def trainer_of(config: Config, precision: str) -> tuple[Trainer, Rows, Rows]:
    data = windows_with_a_signal(1_500)
    train, stopping, _ = parts_of(data, 0.6, 0.8)
    source = device_rows(data.tensor)
    rows = Rows.of(train, source, config.window_bars, config.stride, weighted=True)
    watched = Rows.of(stopping, source, config.window_bars, config.stride, weighted=False)
    torch.manual_seed(1)
    return Trainer(build_network(config, train.features).to(source.device), config, 1, precision), rows, watched


def epochs(trainer: Trainer, rows: Rows, watched: Rows, count: int) -> list[float]:
    return [trainer.run_epoch(rows, watched, lambda _share, _speed: None)[1] for _ in range(count)]


class Waits(TorchDispatchMode):  # type: ignore[misc] # torch is not looked into: it is not there everywhere
    """Keeps the operations for whose answer a program on a GPU would have to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = list[str]()

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        if any(word in name for word in ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "equal")):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _without_onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN has no LSTM in half precision, and in bfloat16 only on CPUs with AVX-512; torch's own has both."""
    if any(name in request.node.name for name in ("fp16", "bf16", "half")):
        monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)


@MIXED
@BOTH
def test_mixed_precision_learns_what_full_precision_does(config: Config, precision: str) -> None:
    full = epochs(*trainer_of(config, "fp32"), 6)
    trainer, rows, watched = trainer_of(config, precision)
    mixed = epochs(trainer, rows, watched, 6)
    assert mixed != full  # it did compute otherwise
    assert mixed[-1] < 0.9 * mixed[0]
    assert abs(min(mixed) - min(full)) < 0.1 * min(full)
    assert {p.dtype for p in trainer.network.parameters()} == {torch.float32}


@BOTH
def test_scale_of_half_precision_is_part_of_a_checkpoint(config: Config) -> None:
    trainer, rows, watched = trainer_of(config, "fp16")
    epochs(trainer, rows, watched, 2)
    kept = trainer.state()
    went_on = epochs(trainer, rows, watched, 2)
    other, _, _ = trainer_of(config, "fp16")
    other.restore(load_state(kept, other.device, "a.pt"))
    assert epochs(other, rows, watched, 2) == went_on
    assert all(torch.equal(a, b) for a, b in zip(trainer.network.parameters(), other.network.parameters(), strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@BOTH
def test_a_step_waits_for_nothing(config: Config, precision: str) -> None:
    trainer, rows, _ = trainer_of(config, precision)
    part = slice(0, config.batch)
    trainer.step(rows.source.gather(rows.bar[part], rows.window_bars), rows.label[part], rows.weight[part])  # lazy state is made
    with Waits() as waits:
        trainer.step(rows.source.gather(rows.bar[part], rows.window_bars), rows.label[part], rows.weight[part])
    assert waits.seen == []
    with Waits() as waits:
        float(rows.label.sum())
    assert waits.seen  # it would have been seen


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_settings_of_a_gpu_hold_for_the_block_alone(precision: str) -> None:
    def settings() -> tuple[object, ...]:
        cudnn, sdp = torch.backends.cudnn, torch.backends.cuda
        return (
            torch.get_float32_matmul_precision(),
            torch.are_deterministic_algorithms_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
            (cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark),
            (sdp.flash_sdp_enabled(), sdp.mem_efficient_sdp_enabled(), sdp.cudnn_sdp_enabled(), sdp.math_sdp_enabled()),
        )

    before, whole = settings(), precision == "fp32"
    with computing(torch.device("cuda"), precision):
        expected = ("highest" if whole else "high", True, False, (not whole, True, False), (False, False, False, True))
        assert settings() == expected
    assert settings() == before
    with computing(CPU, precision):
        assert settings() == before


def test_device_of_this_machine_is_told_as_it_is() -> None:
    data = windows_with_a_signal(300)
    train, stopping, _ = parts_of(data, 0.6, 0.8)
    speed = (
        NeuralFamily("lstm", tiny_lstm(epochs=1, members=2), device_rows(data.tensor)).fit(train, stopping, Making(seed=1)).speed
    )
    assert (speed.members, speed.epochs, speed.samples) == (2, 2, 2 * len(train))
    assert speed.samples_a_second > 0
    if not torch.cuda.is_available():
        assert speed.device.startswith("no GPU")
        assert speed.precision == "fp32"
        assert speed.device_figures is None


def test_nothing_is_measured_of_a_gpu_that_is_not_there() -> None:
    def step() -> None:
        raise AssertionError("nobody may run a step for it")

    assert gpu_figures(step, CPU) is None
    assert choose_precision("bf16", CPU, lambda _: step) == "fp32"
    assert find_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_trees_name_the_device_that_computed() -> None:
    rows = xgb.QuantileDMatrix(np.zeros((2, 1)), label=np.zeros(2))
    assert trained_on(xgb.train({"device": "cpu", "tree_method": "hist"}, rows, 1)) == "cpu"
    # the CUDA build computes on the CPU where there is no GPU, and only warns: being built for it proves nothing
    assert cuda_is_usable() == (torch.cuda.is_available() and bool(xgb.build_info().get("USE_CUDA")))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@BOTH
def test_gpu_trains_measures_itself_and_exports_with_parity(config: Config) -> None:
    data = windows_with_a_signal()
    train, stopping, test = parts_of(data, 0.6, 0.8)
    name = "lstm" if isinstance(config, LstmConfig) else "transformer"
    fit = NeuralFamily(name, config, device_rows(data.tensor)).fit(train, stopping, Making(seed=1))  # type: ignore[arg-type]
    assert area_under_curve(fit.members[0].logits(test), test.label > 0) > 0.8
    assert export_members({"one.onnx": fit.members[0]}, test)[1] <= PARITY_TOLERANCE
    assert fit.speed.device_figures is not None
    assert 0 < fit.speed.device_figures["kernel_share"] <= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
@BOTH
def test_gpu_repeats_itself_bit_by_bit(config: Config, precision: str) -> None:
    def losses() -> list[float]:
        trainer, rows, watched = trainer_of(config, precision)
        with computing(trainer.device, precision):
            return epochs(trainer, rows, watched, 3)

    assert losses() == losses()


@given(tf32=st.floats(1e-4, 1.0), bf16=st.floats(1e-4, 1.0), fp16=st.floats(1e-4, 1.0))
def test_a_lower_precision_must_be_clearly_faster(tf32: float, bf16: float, fp16: float) -> None:
    seconds = {"tf32": tf32, "bf16": bf16, "fp16": fp16}
    chosen = fastest(seconds)
    assert chosen == "tf32" or seconds[chosen] * 1.10 < tf32
    assert seconds[chosen] <= 1.10 * min(seconds.values())


def event(start: float, end: float, device: DeviceType = DeviceType.CUDA, *, named: bool = False) -> Any:
    return SimpleNamespace(device_type=device, is_user_annotation=named, time_range=SimpleNamespace(start=start, end=end))


def test_named_regions_and_the_cpu_are_no_kernels() -> None:
    seen = [event(30, 40), event(0, 100, named=True), event(10, 20), event(0, 90, DeviceType.CPU)]
    assert kernel_spans(seen) == [(10.0, 20.0), (30.0, 40.0)]
    shares = shares_of(kernel_spans(seen), 100e-6)
    assert shares["kernel_share"] == pytest.approx(0.2)
    assert shares["outside_kernels_share"] == pytest.approx(0.8)


def test_a_profiler_that_saw_no_kernel_gives_no_share() -> None:
    assert shares_of([], 1.0) == {}


def test_covered_time_counts_overlaps_once() -> None:
    assert covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)]) == 4.0
    assert covered([]) == 0.0
