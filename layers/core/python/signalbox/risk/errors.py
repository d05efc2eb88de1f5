"""What is raised on purpose in `signalbox.risk`: bugs and bad data only. A refused order is a value, `RiskRefused`."""

from signalbox.errors import SignalboxError


class RiskError(SignalboxError):
    """A number, an instant or a fact that no risk decision may be made on; or an approval built by hand."""


class FtmoEventError(RiskError):
    """An account event that cannot have happened: out of order, an unknown position, one that is open already."""
