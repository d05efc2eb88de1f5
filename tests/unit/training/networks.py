"""Tiny networks of both families, for tests that take seconds."""

from __future__ import annotations

from training.config import LstmConfig, TransformerConfig

WINDOW_BARS = 10
COMMON = {
    "members": 1,
    "threads": 1,
    "window_bars": WINDOW_BARS,
    "epochs": 8,
    "patience": 8,
    "stride": 1,
    "batch": 64,
    "learning_rate": 0.01,
    "warm_up": 0.1,
    "weight_decay": 0.01,
    "clip_norm": 1.0,
    "dropout": 0.1,
    "precision": "auto",
}


def tiny_lstm(**changes: object) -> LstmConfig:
    return LstmConfig.model_validate({**COMMON, "hidden": 8, "layers": 2, "bidirectional": True, **changes})


def tiny_transformer(**changes: object) -> TransformerConfig:
    own = {"d_model": 16, "heads": 2, "layers": 1, "patch_bars": 5, "learning_rate": 0.005}
    return TransformerConfig.model_validate({**COMMON, **own, **changes})
