"""The two networks. Each takes raw float32 windows (batch, window_bars, features), oldest row first, and gives (batch,) logits.

Standardisation is the first layer, with the training rows' mean and deviation as buffers: it travels inside the graph.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as torch's own documentation calls it
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from training.config import LstmConfig, TransformerConfig

_REACH = 8.0  # deviations: a feature further out says no more than that it is far out


class Standardise(nn.Module):
    """(x - mean) / deviation, kept within eight deviations."""

    mean: Tensor
    scale: Tensor

    def __init__(self, rows: NDArray[np.float32]) -> None:
        """Take the scale of (n, features) training rows."""
        super().__init__()
        mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
        scale = np.where(deviation > 1e-12 * np.maximum(np.abs(mean), 1e-6), deviation, 1.0)  # a constant stays 0
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(1.0 / scale, dtype=torch.float32))

    @override
    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.mean) * self.scale).clamp(-_REACH, _REACH)


class LstmNetwork(nn.Module):
    """Stacked LSTM over the window; both directions run over the past alone. The last states of the top layer are read."""

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
    """Attention, then a feed-forward layer; each added to what it was given, which it sees normalised."""

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
    """Encoder over patches of consecutive bars, each read in its own place: twelve patches of five cost less than 60 bars."""

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
    """Return a network with fresh weights, from torch's generator; `rows`: (n, features) training rows that set its scale."""
    return LstmNetwork(config, rows) if isinstance(config, LstmConfig) else TransformerNetwork(config, rows)
