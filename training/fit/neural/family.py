"""The families `lstm` and `transformer`: several seeds of one network. Each member scores and exports itself."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.config import LstmConfig, TransformerConfig
from training.data.dataset import Dataset
from training.fit.members import FamilyName, Fit, FitSpeed, Logits, Making
from training.fit.neural.device import Precision, choose_precision, computing, device_name, find_device, gpu_figures
from training.fit.neural.loop import Rows, Trained, Trainer, train_network
from training.fit.neural.networks import build_network
from training.fit.neural.windows import DeviceRows, logits_of

_OPSET = 17


@dataclass(frozen=True, slots=True, eq=False)
class NeuralMember:
    """A trained network, stored on the CPU. It scores in fp32, on the device that holds the data set's rows."""

    family: FamilyName
    network: nn.Module
    window_bars: int
    features: int
    rows: DeviceRows
    losses: list[float]
    precision: Precision
    output: Literal["probability_pair", "logit"] = "logit"

    @property
    def facts(self) -> dict[str, Any]:
        best = int(np.argmin(self.losses))
        return {
            "family": self.family,
            "epochs": len(self.losses),
            "best_epoch": best + 1,
            "stopping_loss": self.losses[best],
            "precision": self.precision,
        }

    def logits(self, data: Dataset) -> Logits:
        rows = self.rows if data.tensor is self.rows.source else DeviceRows(data.tensor, self.rows.device)
        network = copy.deepcopy(self.network).to(rows.device)
        with computing(rows.device, "fp32"):
            found = logits_of(network, rows, rows.bars_of(data), self.window_bars)
        logits: Logits = found.double().cpu().numpy()
        return logits

    @torch.inference_mode()
    def logits_of(self, given: NDArray[np.float32]) -> Logits:
        logits: Logits = self.network(torch.from_numpy(np.ascontiguousarray(given))).double().numpy()
        return logits

    def to_onnx(self, name: str) -> bytes:  # noqa: ARG002 - from the port; the exporter names graphs itself
        """Return the graph of torch's TorchScript exporter: one LSTM node per layer, equal bytes for equal weights (ADR 0026)."""
        buffer, example = io.BytesIO(), torch.zeros(2, self.window_bars, self.features)
        with warnings.catch_warnings():
            # silences "legacy" and "a batch size other than 1": the batch size is free, and parity is checked for several sizes
            warnings.simplefilter("ignore")
            torch.onnx.export(
                self.network,
                (example,),
                buffer,
                input_names=["features"],
                output_names=["logit"],
                dynamic_axes={"features": {0: "batch"}, "logit": {0: "batch"}},
                opset_version=_OPSET,
                dynamo=False,
            )
        return buffer.getvalue()


@dataclass(frozen=True, slots=True, eq=False)
class NeuralFamily:
    """Networks over windows of rows. rows: the run's data, copied to the device once and shared by all families and folds."""

    name: Literal["lstm", "transformer"]
    config: LstmConfig | TransformerConfig
    rows: DeviceRows

    def fit(self, train: Dataset, stopping: Dataset, making: Making) -> Fit:
        """Return one network per seed, derived from the run's seed. Each has the weights of its best epoch."""
        with _threads(self.config.threads):
            return self._fit(train, stopping, making)

    def _fit(self, train: Dataset, stopping: Dataset, making: Making) -> Fit:
        config, device, scale = self.config, self.rows.device, train.features
        fitted = Rows.of(train, self.rows, config.window_bars, config.stride, weighted=True)
        watched = Rows.of(stopping, self.rows, config.window_bars, config.stride, weighted=False)
        precision = choose_precision(
            config.precision, device, lambda tried: _step_of(self._trainer(scale, making.seed, tried), fitted)
        )
        members, trained = [], list[Trained]()
        for number in range(config.members):
            seed = making.seed * 1_000 + number
            about = f"{self.name} {number + 1} of {config.members}"
            own = replace(making, on_progress=_part_of(making.on_progress, number, config.members))
            trainer = self._trainer(scale, seed, precision)
            trained.append(train_network(trainer, fitted, watched, own, f"{making.place}.{self.name}-{number}", about=about))
            network = trained[-1].network.cpu()
            members.append(
                NeuralMember(
                    self.name, network, config.window_bars, scale.shape[1], self.rows, trained[-1].losses, trained[-1].precision
                )
            )
        speed = FitSpeed(
            self.name,
            device_name(device),
            trained[-1].precision,
            config.members,
            sum(len(one.losses) for one in trained),
            sum(one.samples for one in trained),
            sum(one.seconds for one in trained),
            self._figures(scale, making.seed, precision, fitted),
        )
        return Fit(members, speed)

    def _trainer(self, scale: NDArray[np.float32], seed: int, precision: Precision) -> Trainer:
        """Return a trainer with fresh weights that depend only on the seed."""
        torch.manual_seed(seed)
        return Trainer(build_network(self.config, scale).to(self.rows.device), self.config, seed, precision)

    def _figures(self, scale: NDArray[np.float32], seed: int, precision: Precision, rows: Rows) -> dict[str, float] | None:
        """Return the GPU's load during a step of a separate network, or None without a GPU."""
        if self.rows.device.type != "cuda":
            return None
        with computing(self.rows.device, precision):
            return gpu_figures(_step_of(self._trainer(scale, seed, precision), rows), self.rows.device)


def device_rows(tensor: NDArray[np.float32]) -> DeviceRows:
    """Copy the rows of a data set to the device that will train the networks."""
    return DeviceRows(tensor, find_device())


def _step_of(trainer: Trainer, rows: Rows) -> Callable[[], None]:
    """Return one training step over the first rows, including the gather."""
    part = slice(0, trainer.config.batch)
    trainer.network.train()

    def step() -> None:
        trainer.step(rows.source.gather(rows.bar[part], rows.window_bars), rows.label[part], rows.weight[part])

    return step


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _part_of(on_progress: Callable[[float], None], index: int, count: int) -> Callable[[float], None]:
    return lambda fraction: on_progress((index + fraction) / count)
