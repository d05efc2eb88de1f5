"""Pre-trade checks and account rules: decide which orders may be sent, and say why others may not.

Pure: Decimal only, and time is an argument.
"""

from signalbox.risk.assess import assess, assess_batch
from signalbox.risk.codes import RefusalCode
from signalbox.risk.decision import Breach, RiskApproved, RiskDecision, RiskRefused
from signalbox.risk.errors import RiskError
from signalbox.risk.limits import PRESETS, AccountKind, Funding, RiskLimits
from signalbox.risk.order import AccountId, GroupName, Instrument, Position, ProposedOrder, WorkingOrder
from signalbox.risk.snapshot import HaltLevel, Lock, LossFloor, LossRule, Mark, RiskSnapshot

__all__ = [
    "PRESETS",
    "AccountId",
    "AccountKind",
    "Breach",
    "Funding",
    "GroupName",
    "HaltLevel",
    "Instrument",
    "Lock",
    "LossFloor",
    "LossRule",
    "Mark",
    "Position",
    "ProposedOrder",
    "RefusalCode",
    "RiskApproved",
    "RiskDecision",
    "RiskError",
    "RiskLimits",
    "RiskRefused",
    "RiskSnapshot",
    "WorkingOrder",
    "assess",
    "assess_batch",
]
