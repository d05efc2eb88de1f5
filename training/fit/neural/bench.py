"""`signalbox bench training`: time training steps of a configuration's networks, and the usual data loader in the same run.

A sample is a decision with its window of rows. Our loop takes the rows from the device in one gather. The comparison is torch's
`DataLoader` over a `Dataset` that cuts one window at a time, followed by the same training step. The data is random; the work is
real. On a GPU each precision is measured, together with the GPU's load. docs/performance.md explains the figures.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from training.config import LstmConfig, TransformerConfig, read_config
from training.fit.neural.device import Precision, computing, device_name, fastest, find_device, gpu_figures
from training.fit.neural.loop import Rows, Trainer
from training.fit.neural.networks import build_network
from training.fit.neural.windows import DeviceRows

FEATURES: Final = 31
DECISION_BARS: Final = 5
DECISIONS: Final = 415_000  # in the training period of two years of three symbols (66 % of the days)
_ROUNDS: Final = 3  # for each side in turn, so that other work on the machine affects both
_WARM: Final = 2
_GPU_PRECISIONS: Final = ("tf32", "bf16", "fp16")

NetworkConfig: TypeAlias = LstmConfig | TransformerConfig


@dataclass(frozen=True, slots=True)
class TrainingBenchOptions:
    """What to measure. steps: per round; rounds of ours and of the data loader alternate."""

    config: Path
    steps: int = 10
    threads: int = 2
    json_output: bool = False


@dataclass(frozen=True, slots=True)
class NetworkBench:
    """One network in one precision. A step is gather, forward, backward, clipping and AdamW for one batch."""

    network: str
    precision: Precision
    chosen: bool  # the precision that a run would choose for `auto`
    batch: int
    parameters: int
    step_p50_ms: float
    step_p99_ms: float
    samples_per_s: float
    gather_ms: float  # median time for a batch of windows
    loader_ms: float  # the same from the data loader, copied to the device
    gather_speedup: float
    loader_samples_per_s: float  # the same steps with batches from the data loader
    speedup: float
    epoch_s: float  # an epoch of DECISIONS / stride decisions
    all_epochs_minutes: float  # all members, an upper bound: early stopping ends most of them sooner
    gpu: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class TrainingBench:
    """The measurements and the machine they were made on."""

    config: str
    device: str
    threads: int
    networks: tuple[NetworkBench, ...]
    machine: dict[str, str]


def run_training_bench(options: TrainingBenchOptions) -> TrainingBench:
    """Measure the networks and print the result. Raises ConfigError for a configuration that cannot be used."""
    config, device = read_config(options.config), find_device()
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    where = device_name(device)
    console = Console(stderr=True)
    precisions = _GPU_PRECISIONS if device.type == "cuda" else ("fp32",)
    wanted = [(name, network, precision) for name, network in config.neural.items() for precision in precisions]
    try:
        found = [
            _measure(name, network, precision, device, options.steps)
            for name, network, precision in track(wanted, "networks", console=console, transient=True)
        ]
    finally:
        torch.set_num_threads(before)
    taken: dict[str, Precision] = {
        name: _chosen([one for one in found if one.network == name], network) for name, network in config.neural.items()
    }
    networks = tuple(replace(one, chosen=one.precision == taken[one.network]) for one in found)
    result = TrainingBench(str(options.config), where, options.threads, networks, _machine())
    if options.json_output:
        sys.stdout.write(json.dumps(asdict(result), indent=2) + "\n")
    else:
        _show(result)
    return result


class WindowPerSample(TorchDataset[tuple[Tensor, Tensor, Tensor]]):
    """The usual data loader's side: it cuts each window when it is requested, one sample at a time."""

    def __init__(self, tensor: NDArray[np.float32], bar: NDArray[np.int64], label: NDArray[np.float32], window_bars: int) -> None:
        self._rows, self._bar, self._label = torch.from_numpy(tensor), bar, torch.from_numpy(label)
        self._window, self._weight = window_bars, torch.ones(())

    def __len__(self) -> int:
        return int(self._bar.shape[0])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        end = int(self._bar[index]) + 1
        return self._rows[end - self._window : end], self._label[index], self._weight


def _measure(name: str, config: NetworkConfig, precision: Precision, device: torch.device, steps: int) -> NetworkBench:
    rng = np.random.default_rng(0)
    count = config.batch * (steps + _WARM)
    bar = config.window_bars - 1 + DECISION_BARS * np.arange(count, dtype=np.int64)
    tensor = rng.normal(size=(int(bar[-1]) + 1, FEATURES)).astype(np.float32)
    label = (rng.random(count) < 0.5).astype(np.float32)
    source = DeviceRows(tensor, device)
    ends, up = torch.from_numpy(bar).to(device), torch.from_numpy(label).to(device)
    rows = Rows(source, config.window_bars, ends, up, torch.ones_like(up), torch.zeros_like(ends))
    trainer = Trainer(build_network(config, tensor).to(device), config, 1, precision)
    trainer.network.train()
    shuffled = torch.from_numpy(rng.permutation(count)).to(device)
    batches_of_ours = [partial(_step, trainer, rows, part) for part in shuffled.split(config.batch)]
    first = shuffled[: config.batch]
    peer_data = WindowPerSample(tensor, bar, label, config.window_bars)
    taken: dict[str, list[float]] = {"ours": [], "peer": []}
    with computing(device, precision):
        for _ in range(_ROUNDS):
            taken["ours"] += _timed(batches_of_ours, device)
            batches = iter(DataLoader(peer_data, config.batch, shuffle=True))
            taken["peer"] += _timed(repeat(partial(_loader_step, trainer, batches, device), steps + _WARM), device)
        gathers = _timed(repeat(partial(_gather, rows, first), steps + _WARM), device)
        loaded = iter(DataLoader(peer_data, config.batch, shuffle=True))
        loads = _timed(repeat(partial(_load, loaded, device), steps + _WARM), device)
        gpu = gpu_figures(partial(_step, trainer, rows, first), device)
    step, peer, gather, load = (float(np.median(one)) for one in (taken["ours"], taken["peer"], gathers, loads))
    epoch = DECISIONS / config.stride / config.batch * step
    return NetworkBench(
        network=name,
        precision=precision,
        chosen=False,
        batch=config.batch,
        parameters=sum(p.numel() for p in trainer.network.parameters()),
        step_p50_ms=round(step * 1e3, 3),
        step_p99_ms=round(float(np.quantile(taken["ours"], 0.99)) * 1e3, 3),
        samples_per_s=round(config.batch / step, 1),
        gather_ms=round(gather * 1e3, 3),
        loader_ms=round(load * 1e3, 3),
        gather_speedup=round(load / gather, 1),
        loader_samples_per_s=round(config.batch / peer, 1),
        speedup=round(peer / step, 2),
        epoch_s=round(epoch, 1),
        all_epochs_minutes=round(epoch * config.epochs * config.members / 60, 1),
        gpu=gpu,
    )


def _step(trainer: Trainer, rows: Rows, part: Tensor) -> None:
    trainer.step(_gather(rows, part), rows.label[part], rows.weight[part])


def _gather(rows: Rows, part: Tensor) -> Tensor:
    return rows.source.gather(rows.bar[part], rows.window_bars)


def _loader_step(trainer: Trainer, batches: Iterator[list[Tensor]], device: torch.device) -> None:
    trainer.step(*_load(batches, device))


def _load(batches: Iterator[list[Tensor]], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    windows, label, weight = (one.to(device) for one in next(batches))
    return windows, label, weight


def _timed(steps: Iterable[Callable[[], object]], device: torch.device) -> list[float]:
    """Return the seconds of each step after the first few. Each step, on both sides, waits for the GPU to finish."""
    found = []
    for number, step in enumerate(steps):
        began = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if number >= _WARM:
            found.append(time.perf_counter() - began)
    return found


def _chosen(found: list[NetworkBench], config: NetworkConfig) -> Precision:
    if len(found) == 1:
        return found[0].precision
    return fastest({one.precision: one.step_p50_ms for one in found}) if config.precision == "auto" else config.precision


def _machine() -> dict[str, str]:
    return {
        "cores": str(os.cpu_count()),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
    }


def _show(result: TrainingBench) -> None:
    title = f"{Path(result.config).name} on {result.device}"
    table = Table("network", "step, p50 (p99)", "samples/s", "a batch of windows", "with the loader", "all epochs", title=title)
    for one in result.networks:
        share = (one.gpu or {}).get("kernel_share")
        busy = "" if share is None else f"\nkernels {share:.0%} of the time"
        table.add_row(
            f"{one.network}, {one.precision}{' (chosen)' if one.chosen else ''}{busy}",
            f"{one.step_p50_ms:.1f} ms ({one.step_p99_ms:.1f})",
            f"{one.samples_per_s:,.0f}",
            f"{one.gather_ms:.2f} ms\nloader {one.loader_ms:.2f} ms, {one.gather_speedup:.1f}x",
            f"{one.loader_samples_per_s:,.0f}/s\n{one.speedup:.2f}x",
            f"{one.all_epochs_minutes:,.0f} min at most",
        )
    console = Console()
    console.print(table)
    console.print(
        f"all epochs of all members over {DECISIONS:,} decisions, without folds; early stopping shortens most", highlight=False
    )
