"""The rows of all bars, copied to the device once. A batch of windows is one gather from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.data.dataset import Dataset

_SCORED_AT_ONCE = 4_096


class DeviceRows:
    """The tensor of a data set on a device. On a CPU it shares the data set's memory."""

    def __init__(self, tensor: NDArray[np.float32], device: torch.device) -> None:
        self.source, self.device = tensor, device
        self._rows = torch.from_numpy(tensor).to(device)
        self._offsets: dict[int, Tensor] = {}

    def gather(self, bar: Tensor, window_bars: int) -> Tensor:
        """Return the windows that end at the given rows, (k, window_bars, features), oldest row first.

        bar: (k,) row numbers, a tensor on the device.
        """
        if window_bars not in self._offsets:
            self._offsets[window_bars] = torch.arange(1 - window_bars, 1, device=self.device)
        index = (bar.unsqueeze(1) + self._offsets[window_bars]).reshape(-1)
        return self._rows.index_select(0, index).view(bar.shape[0], window_bars, -1)

    def bars_of(self, data: Dataset) -> Tensor:
        """Return (n,) row numbers at which the windows of the decisions end, on the device."""
        return torch.from_numpy(np.ascontiguousarray(data.bar)).to(self.device)


@torch.inference_mode()
def logits_of(
    network: nn.Module, rows: DeviceRows, bars: Tensor, window_bars: int, on_progress: Callable[[float], None] = lambda _: None
) -> Tensor:
    """Return (n,) float32 logits of windows on the device. The network is in evaluation mode meanwhile."""
    was_training = network.training
    network.eval()
    found = []
    for start in _starts(bars.shape[0]):
        found.append(network(rows.gather(bars[start : start + _SCORED_AT_ONCE], window_bars)))
        on_progress(min(start + _SCORED_AT_ONCE, bars.shape[0]) / bars.shape[0])
    network.train(was_training)
    return torch.cat(found).float() if found else torch.empty(0, device=rows.device)


def _starts(count: int) -> Iterator[int]:
    return iter(range(0, count, _SCORED_AT_ONCE))
