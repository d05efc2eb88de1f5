"""Chooses the device and the precision of the networks. Both are detected or measured, and reported."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

import torch
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent
from torch.nn.attention import SDPBackend, sdpa_kernel

Precision: TypeAlias = str  # fp32, tf32, bf16, fp16
AUTOCAST: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}
_CANDIDATES: Final = ("tf32", "bf16", "fp16")
_CLEARLY: Final = 1.10  # a lower precision must be at least this much faster
_WARM_STEPS: Final = 5
_TIMED_STEPS: Final = 20
_UTILISATION_SECONDS: Final = 1.5  # the driver averages over about a second


def find_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # cuDNN's LSTM calls cuBLAS, which is deterministic only with fixed workspaces; cuBLAS reads this at its first product
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # noqa: TID251 - set for a library, not read by us
    return torch.device("cuda")


def device_name(device: torch.device) -> str:
    """Return the device's name for the report."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"no GPU, {torch.get_num_threads()} CPU threads"


@contextmanager
def computing(device: torch.device, precision: Precision) -> Iterator[None]:
    """Allow or forbid tf32 in matrix products while the block runs, and make a GPU deterministic. Does nothing on a CPU.

    Attention is computed as plain matrix products: the backward passes of fused kernels add in any order, and save little over a
    dozen patches. torch warns of an operation that is not deterministic; the two networks are not known to have one.
    """
    if device.type != "cuda":
        yield
        return
    matmul, cudnn, check = torch.get_float32_matmul_precision(), torch.backends.cudnn, torch.utils.deterministic
    before = (cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark, check.fill_uninitialized_memory)
    strict, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = precision != "fp32", True, False
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    check.fill_uninitialized_memory = False  # would run a kernel per new tensor, only to guard against reading unwritten memory
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.use_deterministic_algorithms(mode=strict, warn_only=warns)
        cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark, check.fill_uninitialized_memory = before


def choose_precision(asked: Precision, device: torch.device, step_of: Callable[[Precision], Callable[[], None]]) -> Precision:
    """Return the precision to train in: fp32 on a CPU; on a GPU the requested one, or for "auto" the fastest by measurement.

    step_of: returns one training step, on its own network, for a precision.
    """
    if device.type != "cuda":
        return "fp32"
    if asked != "auto":
        return asked
    seconds = {}
    for precision in _CANDIDATES:
        with computing(device, precision):
            seconds[precision] = time_steps(step_of(precision), device)
    return fastest(seconds)


def fastest(seconds: Mapping[Precision, float]) -> Precision:
    """Return the precision with the shortest step, but tf32 unless another is at least 10 % faster."""
    best = min(seconds, key=lambda one: seconds[one])
    return best if seconds["tf32"] > _CLEARLY * seconds[best] else "tf32"


def time_steps(step: Callable[[], None], device: torch.device, steps: int = _TIMED_STEPS, warm: int = _WARM_STEPS) -> float:
    """Return the seconds per step after the warm-up steps."""
    for _ in range(warm):
        step()
    _wait(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    _wait(device)
    return (time.perf_counter() - began) / steps


def gpu_figures(step: Callable[[], None], device: torch.device) -> dict[str, float] | None:
    """Return the load of a GPU during some training steps, or None without a GPU.

    kernel_share: share of wall-clock time with at least one kernel running. It is a lower bound, because the profiler's own cost
    is in the wall-clock time. outside_kernels_share: the rest, in which the GPU waited.
    utilisation_percent: the driver's own figure, if it can be read. peak_memory_bytes: tensor memory of the process so far.
    A figure that cannot be measured is left out.
    """
    if device.type != "cuda":
        return None
    from torch.profiler import ProfilerActivity, profile  # noqa: PLC0415 - with a GPU alone

    for _ in range(_WARM_STEPS):
        step()
    _wait(device)
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        began = time.perf_counter()
        for _ in range(_TIMED_STEPS):
            step()
        _wait(device)
        wall = time.perf_counter() - began
    found = shares_of(kernel_spans(seen.events()), wall)
    until = time.perf_counter() + _UTILISATION_SECONDS
    while time.perf_counter() < until:
        step()
    with suppress(Exception):  # NVML fails without bindings or permission, or on a GPU slice: no figure is worth losing a fit
        found["utilisation_percent"] = float(torch.cuda.utilization(device))
    _wait(device)
    found["peak_memory_bytes"] = float(torch.cuda.max_memory_allocated(device))
    return found


def shares_of(spans: list[tuple[float, float]], wall: float) -> dict[str, float]:
    """Return the shares of a wall-clock time in seconds; empty if the profiler saw nothing because it lacks the permission."""
    if not spans:
        return {}
    share = min(covered(spans) / 1e6 / wall, 1.0)
    return {"kernel_share": share, "outside_kernels_share": 1.0 - share, "profiled_steps": float(_TIMED_STEPS)}


def kernel_spans(events: Iterable[FunctionEvent]) -> list[tuple[float, float]]:
    """Return the intervals in which the GPU computed or copied, in microseconds, sorted by start.

    The profiler also draws named regions ("Optimizer.step") on the GPU's line, from their first kernel to their last. They are
    left out, because the GPU may wait in between.
    """
    own = (e for e in events if e.device_type == DeviceType.CUDA and not e.is_user_annotation)
    return sorted((float(e.time_range.start), float(e.time_range.end)) for e in own)


def covered(spans: list[tuple[float, float]]) -> float:
    """Return the total length of the union of intervals that are sorted by start."""
    total, reached = 0.0, float("-inf")
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
