"""Errors of training: a request that cannot be carried out, or a wrong model. Bad candles raise MarketDataError.

TrainingError
├── ConfigError          a configuration is incomplete or has an unknown key
├── CheckpointError      checkpoints belong to another run, are damaged, or cannot be written
├── MissingPackageError  the configuration needs a package that is not installed
└── ExportParityError    the exported ONNX graph gives other probabilities than the model it came from
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class TrainingError(SignalboxError):
    """A training run cannot be done as requested."""


class ConfigError(TrainingError):
    """A configuration is incomplete or has an unknown key."""


class CheckpointError(TrainingError):
    """Checkpoints belong to another run, are damaged, or cannot be written."""


class MissingPackageError(TrainingError):
    """The configuration needs a package that is not installed."""


class ExportParityError(TrainingError):
    """The exported ONNX graph gives different probabilities than its model."""
