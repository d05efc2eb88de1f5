"""Where networks compute and how precisely: found, measured and told, never assumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import torch

Precision: TypeAlias = str  # fp32, tf32, bf16, fp16
AUTOCAST: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}
_CANDIDATES: Final = ("tf32", "bf16", "fp16")
_CLEARLY: Final = 1.10  # a lower precision must be this much faster to be worth it
_WARM_STEPS: Final = 5
_TIMED_STEPS: Final = 20


def find_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """Return what the report calls it."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"no GPU, {torch.get_num_threads()} CPU threads"


@contextmanager
def computing(device: torch.device, precision: Precision) -> Iterator[None]:
    """Let matrix products use tf32 or not while the block runs, and make them repeatable. Nothing on a CPU."""
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn
    before = (cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark)
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = precision != "fp32", True, False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = before


def choose_precision(asked: Precision, device: torch.device, step_of: Callable[[Precision], Callable[[], None]]) -> Precision:
    """Return the precision to train in: fp32 on a CPU; on a GPU what was asked, or for "auto" the fastest by measurement.

    step_of: gives, for a precision, one training step on a network of its own.
    """
    if device.type != "cuda":
        return "fp32"
    if asked != "auto":
        return asked
    seconds = {}
    for precision in _CANDIDATES:
        with computing(device, precision):
            seconds[precision] = time_steps(step_of(precision), device)
    best = min(seconds, key=lambda one: seconds[one])
    return best if seconds["tf32"] > _CLEARLY * seconds[best] else "tf32"


def time_steps(step: Callable[[], None], device: torch.device, steps: int = _TIMED_STEPS, warm: int = _WARM_STEPS) -> float:
    """Return the seconds of a step, warm."""
    for _ in range(warm):
        step()
    _wait(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return (time.perf_counter() - began) / steps


def gpu_figures(step: Callable[[], None], device: torch.device) -> dict[str, float] | None:
    """Return what a GPU did during some training steps, None without one.

    kernel_share: of the wall clock, with at least one kernel running; outside_kernels_share: the rest, in which the GPU waited.
    The profiler's own cost is in the wall clock, so the first is a lower bound. utilisation_percent: the driver's own figure,
    where it can be asked.
    """
    if device.type != "cuda":
        return None
    from torch.autograd import DeviceType  # noqa: PLC0415 - with a GPU alone
    from torch.profiler import ProfilerActivity, profile  # noqa: PLC0415 - as above

    for _ in range(_WARM_STEPS):
        step()
    _wait(device)
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        began = time.perf_counter()
        for _ in range(_TIMED_STEPS):
            step()
        _wait(device)
        wall = time.perf_counter() - began
    spans = sorted((e.time_range.start, e.time_range.end) for e in seen.events() if e.device_type == DeviceType.CUDA)
    share = min(covered(spans) / 1e6 / wall, 1.0)
    found = {"kernel_share": share, "outside_kernels_share": 1.0 - share, "profiled_steps": float(_TIMED_STEPS)}
    try:
        until = time.perf_counter() + 1.5  # the driver averages over about a second
        while time.perf_counter() < until:
            step()
        found["utilisation_percent"] = float(torch.cuda.utilization(device))
    except (ModuleNotFoundError, RuntimeError):  # no NVML bindings, or the driver does not tell
        _wait(device)
    return found


def covered(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of intervals, sorted by their start."""
    total, reached = 0.0, float("-inf")
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
