"""Errors of training. Bad candles are MarketDataError; these are about the request and the model.

TrainingError
├── ConfigError          a configuration that is not complete, or holds what is unknown
├── CheckpointError      checkpoints that are of another run, broken, or cannot be kept
├── MissingPackageError  a configuration that needs a package which is not installed
└── ExportParityError    the exported ONNX graph does not give the probabilities of the model it came from
"""

from __future__ import annotations

from signalbox.errors import SignalboxError


class TrainingError(SignalboxError):
    """A training run that cannot be done as asked."""


class ConfigError(TrainingError):
    """A configuration that is not complete, or holds what is unknown."""


class CheckpointError(TrainingError):
    """Checkpoints that are of another run, broken, or cannot be kept."""


class MissingPackageError(TrainingError):
    """A configuration that needs a package which is not installed."""


class ExportParityError(TrainingError):
    """The exported ONNX graph does not give the probabilities of the model it came from."""
