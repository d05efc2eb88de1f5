"""ModelObservationError > ObservationRulesError | ObservationStateError | UnknownObservationError."""

from __future__ import annotations

from signalbox.errors import SignalboxError


class ModelObservationError(SignalboxError):
    """An observation could not be started, read or ended."""


class ObservationRulesError(ModelObservationError):
    """A rule document is not valid, or does not fit what is deployed."""


class ObservationStateError(ModelObservationError):
    """The observation is not in a state that allows this, or another one is running."""


class UnknownObservationError(ModelObservationError):
    """There is no observation with this id."""
