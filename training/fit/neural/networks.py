"""The two networks. Each takes raw float32 windows (batch, window_bars, features), oldest row first, and returns (batch,) logits.

The first layer standardises with the mean and deviation of the training rows. They are buffers, so they are part of the graph.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as torch's own documentation calls it
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from training.config import LstmConfig, TransformerConfig

_REACH = 8.0  # deviations: how much further out a feature lies is ignored


class Standardise(nn.Module):
    """(x - mean) / deviation, clipped to eight deviations."""

    mean: Tensor
    scale: Tensor

    def __init__(self, rows: NDArray[np.float32]) -> None:
        """Take mean and deviation from (n, features) training rows."""
        super().__init__()
        mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
        scale = np.where(deviation > 1e-12 * np.maximum(np.abs(mean), 1e-6), deviation, 1.0)  # a constant feature becomes 0
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(1.0 / scale, dtype=torch.float32))

    @override
    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.mean) * self.scale).clamp(-_REACH, _REACH)


class LstmNetwork(nn.Module):
    """Stacked LSTM over the window. Both directions see the window alone, no later bar.

    The head reads the top layer's last states.
    """

    def __init__(self, config: LstmConfig, rows: NDArray[np.float32]) -> None:
        super().__init__()
        self.standardise = Standardise(rows)
        between = config.dropout if config.layers > 1 else 0.0
        self.lstm = nn.LSTM(
            rows.shape[1], config.hidden, config.layers, batch_first=True, bidirectional=config.bidirectional, dropout=between
        )
        self._ways = 2 if config.bidirectional else 1
        width = self._ways * config.hidden
        self.norm, self.dropout, self.head = nn.LayerNorm(width), nn.Dropout(config.dropout), nn.Linear(width, 1)

    @override
    def forward(self, x: Tensor) -> Tensor:
        _, (last, _) = self.lstm(self.standardise(x))
        top = torch.cat([last[i - self._ways] for i in range(self._ways)], dim=1)
        logit: Tensor = self.head(self.dropout(self.norm(top)))
        return logit.squeeze(1)


class _Block(nn.Module):
    """Attention, then a feed-forward layer. Each reads its normalised input and adds its output to that input."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.d_model
        self._heads = config.heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(config.dropout)

    @override
    def forward(self, x: Tensor) -> Tensor:
        split = self.qkv(self.norm_1(x)).unflatten(-1, (3, self._heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(split[0], split[1], split[2]).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.out(attended))
        fed: Tensor = x + self.dropout(self.narrow(F.gelu(self.wide(self.norm_2(x)))))
        return fed


class TransformerNetwork(nn.Module):
    """Encoder over patches of consecutive bars, each with its position. Twelve patches of five bars cost less than 60 bars."""

    def __init__(self, config: TransformerConfig, rows: NDArray[np.float32]) -> None:
        super().__init__()
        self.standardise = Standardise(rows)
        self._patches = config.window_bars // config.patch_bars
        self._patch_width = config.patch_bars * rows.shape[1]
        self.embed = nn.Linear(self._patch_width, config.d_model)
        self.place = nn.Parameter(0.02 * torch.randn(self._patches, config.d_model))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.Sequential(*[_Block(config) for _ in range(config.layers)])
        self.norm, self.head = nn.LayerNorm(config.d_model), nn.Linear(self._patches * config.d_model, 1)

    @override
    def forward(self, x: Tensor) -> Tensor:
        patches = self.standardise(x).reshape(-1, self._patches, self._patch_width)
        seen = self.blocks(self.dropout(self.embed(patches) + self.place))
        logit: Tensor = self.head(self.dropout(self.norm(seen)).flatten(1))
        return logit.squeeze(1)


def build_network(config: LstmConfig | TransformerConfig, rows: NDArray[np.float32]) -> nn.Module:
    """Return a network with fresh weights from torch's generator.

    rows: (n, features) training rows, which set the scale of the first layer.
    """
    return LstmNetwork(config, rows) if isinstance(config, LstmConfig) else TransformerNetwork(config, rows)
