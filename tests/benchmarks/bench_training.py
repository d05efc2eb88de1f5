"""How many windows a second the training loop takes, with nothing else in the way: one network, its batch, gathered and stepped.

`python tests/benchmarks/bench_training.py [--steps N] [--threads 1 2] [--json]`. Data are random; the work is not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from tests.unit.training.synthetic import windows_with_a_signal
from training.config import QUICK, LstmConfig, TransformerConfig, read_config
from training.dataset import Dataset
from training.neural.device import computing, device_name, find_device, time_steps
from training.neural.family import device_rows
from training.neural.loop import Rows, Trainer
from training.neural.networks import build_network

BARS = 60


def samples_a_second(config: LstmConfig | TransformerConfig, data: Dataset, threads: int, steps: int) -> float:
    torch.set_num_threads(threads)
    rows = Rows.of(data, device_rows(data.tensor), config.window_bars, 1, weighted=True)
    device = rows.source.device
    precision = "tf32" if device.type == "cuda" else "fp32"
    trainer = Trainer(build_network(config, data.features).to(device), config, 1, precision)
    trainer.network.train()
    part = slice(0, config.batch)

    def step() -> None:
        trainer.step(rows.source.gather(rows.bar[part], config.window_bars), rows.label[part], rows.weight[part])

    with computing(device, precision):
        return config.batch / time_steps(step, device, steps, warm=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    data = windows_with_a_signal(4_000, BARS)
    found, began = {}, time.perf_counter()
    for path in (QUICK, Path(QUICK).with_name("full.toml")):
        for name, config in read_config(path).neural.items():
            for threads in told.threads:
                found[f"{path.stem}, {name}, {threads} threads"] = round(samples_a_second(config, data, threads, told.steps))
    rows = windows_with_a_signal(4_000, BARS)
    source, bars = device_rows(rows.tensor), torch.from_numpy(np.random.default_rng(0).permutation(rows.bar)[:512])
    found["gather of 512 windows, microseconds"] = round(
        1e6 * time_steps(lambda: source.gather(bars.to(source.device), BARS), source.device)
    )
    result = {"device": device_name(find_device()), "seconds": round(time.perf_counter() - began), "samples a second": found}
    text = json.dumps(result, indent=1) if told.json else "\n".join(f"{key}: {value:,}" for key, value in found.items())
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
