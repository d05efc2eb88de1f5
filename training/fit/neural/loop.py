"""Training loop of one network. Each epoch depends only on the state after the one before, so an interrupted run can resume.

A run that was killed therefore resumes from its last complete epoch and ends with the same weights. The order of the rows and the
learning rate of an epoch are functions of the seed and the epoch's number. Dropout, the only other random part, uses torch's
generator.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as torch's own documentation calls it
from torch import Tensor, nn

from signalbox.market.candles import MINUTE_MS
from training.config import LstmConfig, TransformerConfig
from training.data.dataset import DECISION_MINUTES, Dataset
from training.errors import CheckpointError
from training.fit.members import Making
from training.fit.neural.device import AUTOCAST, Precision, computing
from training.fit.neural.windows import DeviceRows, logits_of
from training.fit.uniqueness import uniqueness_weights

_STEPS_A_WORD: Final = 8  # steps between two progress reports
_LEAST_RATE: Final = 0.01  # share of the peak rate at the end


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Decisions for the loop, all on the device. bar, label, weight: (n,). phase: (n,), which epochs use the decision."""

    source: DeviceRows
    window_bars: int
    bar: Tensor
    label: Tensor
    weight: Tensor
    phase: Tensor

    @classmethod
    def of(cls, data: Dataset, source: DeviceRows, window_bars: int, stride: int, *, weighted: bool) -> Rows:
        """Return the decisions of a period. weighted: whether their weights are the uniqueness of their labels, or all equal."""
        tick = data.decided_at_ms // (DECISION_MINUTES * MINUTE_MS)
        weight = uniqueness_weights(data) if weighted else np.ones(len(data), np.float32)
        label, phase = (torch.from_numpy(array).to(source.device) for array in (data.label, tick % stride))
        return cls(source, window_bars, source.bars_of(data), label, torch.from_numpy(weight).to(source.device), phase)

    def of_phase(self, phase: int) -> Tensor:
        """Return the indices of the decisions that an epoch uses."""
        return torch.nonzero(self.phase == phase).squeeze(1)


@dataclass(slots=True, eq=False)
class Trained:
    """A trained network with the weights of its best epoch. losses: on the early-stopping rows, after each epoch."""

    network: nn.Module
    losses: list[float]
    samples: int
    seconds: float
    precision: Precision


class Trainer:
    """One network in training. A checkpoint stores its state."""

    def __init__(self, network: nn.Module, config: LstmConfig | TransformerConfig, seed: int, precision: Precision) -> None:
        self.network, self.config, self.seed, self.precision = network, config, seed, precision
        self.device = next(network.parameters()).device
        matrices = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self._optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        self.epoch, self.best_epoch, self.losses, self.samples, self.seconds = 0, -1, list[float](), 0, 0.0
        self._best = _copy(network)

    @property
    def done(self) -> bool:
        """Whether training is over: all epochs have run, or too many passed without a better loss."""
        return self.epoch >= self.config.epochs or (self.epoch - 1 - self.best_epoch) >= self.config.patience > 0

    def run_epoch(self, train: Rows, stopping: Rows, on_progress: Callable[[float, float], None]) -> tuple[float, float]:
        """Train once over the rows of this epoch, evaluate on the early-stopping rows, and return both mean losses.

        on_progress: called with the share of the epoch that is done, and the samples per second so far.
        """
        began, config = time.perf_counter(), self.config
        taken = train.of_phase(self.epoch % config.stride)
        order = taken[torch.randperm(taken.shape[0], generator=_generator(self.seed, self.epoch)).to(taken.device)]
        bar, label, weight = train.bar[order], train.label[order], train.weight[order]
        summed, count, steps = torch.zeros((), device=self.device), order.shape[0], math.ceil(order.shape[0] / config.batch)
        self.network.train()
        for step in range(steps):
            part = slice(step * config.batch, (step + 1) * config.batch)
            self._set_rate((self.epoch + step / steps) / config.epochs)
            loss = self.step(train.source.gather(bar[part], train.window_bars), label[part], weight[part])
            summed += loss * label[part].shape[0]
            if step % _STEPS_A_WORD == 0 and step:
                on_progress(step / steps, step * config.batch / (time.perf_counter() - began))
        fitted = float(summed) / max(count, 1)
        self.samples += count
        judged = self._judge(stopping)
        self.seconds += time.perf_counter() - began
        self.losses.append(judged)
        if self.best_epoch < 0 or judged < self.losses[self.best_epoch]:
            self.best_epoch, self._best = self.epoch, _copy(self.network)
        self.epoch += 1
        return fitted, judged

    def step(self, windows: Tensor, label: Tensor, weight: Tensor) -> Tensor:
        """Take one step and return its weighted mean loss as a tensor on the device, without waiting for the device."""
        kind = AUTOCAST.get(self.precision)
        with torch.autocast(self.device.type, dtype=kind, enabled=kind is not None):
            logits = self.network(windows)
        loss = F.binary_cross_entropy_with_logits(logits.float(), label, weight)
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip_norm)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        detached: Tensor = loss.detach()
        return detached

    def finish(self) -> Trained:
        """Return the network with the weights of its best epoch."""
        self.network.load_state_dict(self._best)
        self.network.eval()
        return Trained(self.network, self.losses, self.samples, self.seconds, self.precision)

    def state(self) -> bytes:
        """Return everything that the next epoch depends on."""
        buffer = io.BytesIO()
        torch.save(
            {
                **{name: getattr(self, name) for name in _PLAIN},
                "network": self.network.state_dict(),
                "best": self._best,
                "optimiser": self._optimiser.state_dict(),  # includes the rates; the schedule itself is a function of the epoch
                "scaler": self._scaler.state_dict(),
                "rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            },
            buffer,
        )
        return buffer.getvalue()

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a stored state."""
        for name in _PLAIN:
            setattr(self, name, state[name])
        self.network.load_state_dict(state["network"])
        self._best = state["best"]
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["rng"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda_rng"]])

    def _set_rate(self, done: float) -> None:
        rate = self.config.learning_rate * rate_share(done, self.config.warm_up)
        for group in self._optimiser.param_groups:
            group["lr"] = rate

    def _judge(self, stopping: Rows) -> float:
        taken = stopping.of_phase(0)
        with computing(self.device, "fp32"):
            logits = logits_of(self.network, stopping.source, stopping.bar[taken], stopping.window_bars)
        return float(F.binary_cross_entropy_with_logits(logits.double(), stopping.label[taken].double()))


_PLAIN: Final = ("epoch", "best_epoch", "losses", "samples", "seconds", "precision")


def load_state(content: bytes, device: torch.device, name: str) -> dict[str, Any]:
    """Return a stored state. Raises CheckpointError if it cannot be read."""
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except Exception as error:  # torch's errors for a broken file share no base class
        raise CheckpointError(f"{name}: cannot be read as a checkpoint ({error}); remove it to start again") from error
    return state


def train_network(trainer: Trainer, train: Rows, stopping: Rows, making: Making, name: str, *, about: str) -> Trained:
    """Run the remaining epochs and write a checkpoint after each. about: the network's name in the progress display."""
    kept = making.checkpoints.read(f"{name}.pt")
    if kept is not None:
        trainer.restore(load_state(kept, trainer.device, f"{name}.pt"))
    epochs = trainer.config.epochs
    with computing(trainer.device, trainer.precision):
        while not trainer.done:
            epoch = trainer.epoch

            def on_progress(share: float, speed: float, epoch: int = epoch) -> None:
                making.on_progress((epoch + share) / epochs)
                latest = f", loss {trainer.losses[-1]:.4f}" if trainer.losses else ""
                making.detail(f"{about}, epoch {epoch + 1} of {epochs}{latest}, {speed:,.0f} samples/s")

            fitted, judged = trainer.run_epoch(train, stopping, on_progress)
            making.checkpoints.write(f"{name}.pt", trainer.state())
            figures = {"train_loss": fitted, "stopping_loss": judged, "samples_a_second": trainer.samples / trainer.seconds}
            making.on_epoch(f"{making.place}/{name.rpartition('.')[2]}", epoch, figures)
            on_progress(1.0, trainer.samples / trainer.seconds)
    making.on_progress(1.0)
    return trainer.finish()


def rate_share(done: float, warm_up: float) -> float:
    """Return the learning rate as a share of its peak after `done`, a share of all steps: a linear rise, then a cosine fall."""
    if done < warm_up:
        return max(done / warm_up, _LEAST_RATE)
    fall = (done - warm_up) / (1.0 - warm_up)
    return max(0.5 * (1.0 + math.cos(math.pi * fall)), _LEAST_RATE)


def _generator(seed: int, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
