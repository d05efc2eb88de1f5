"""Errors of `signalbox.risk`: bugs and bad data only. A refused order is not an error but a value, `RiskRefused`."""

from signalbox.errors import SignalboxError


class RiskError(SignalboxError):
    """A number, an instant or a fact is unusable for a risk decision, or an approval was built by hand."""


class FtmoEventError(RiskError):
    """An account event cannot have happened: it is out of order, or its position is unknown or already open."""
