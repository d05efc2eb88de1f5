"""ObservationError > ObservationRulesError | ObservationStateError | UnknownObservationError."""

from __future__ import annotations

from signalbox.errors import SignalboxError


class ObservationError(SignalboxError):
    """An observation could not be started, read or ended."""


class ObservationRulesError(ObservationError):
    """A rule document is not valid, or does not fit what is deployed."""


class ObservationStateError(ObservationError):
    """The observation is not in a state that allows this, or another one is running."""


class UnknownObservationError(ObservationError):
    """There is no observation with this id."""
