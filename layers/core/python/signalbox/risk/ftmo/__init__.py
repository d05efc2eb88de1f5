"""FTMO's account rules, and the engine that checks an account against them event by event."""

from signalbox.risk.errors import FtmoEventError
from signalbox.risk.ftmo.account import FtmoAccount, FtmoAccountState
from signalbox.risk.ftmo.events import Closed, FtmoEvent, Marked, Opened, PositionId, Swapped
from signalbox.risk.ftmo.headroom import Headroom, RuleHeadroom, StopLevel
from signalbox.risk.ftmo.monitor import FtmoRuleMonitor, FtmoRuleState
from signalbox.risk.ftmo.rules import FTMO_1STEP, FTMO_2STEP, RULES, FtmoPhase, FtmoRules, InternalStops, LossReference
from signalbox.risk.ftmo.state import AccountBreach, AccountDay, AccountStatus

__all__ = [
    "FTMO_1STEP",
    "FTMO_2STEP",
    "RULES",
    "AccountBreach",
    "AccountDay",
    "AccountStatus",
    "Closed",
    "FtmoAccount",
    "FtmoAccountState",
    "FtmoEvent",
    "FtmoEventError",
    "FtmoPhase",
    "FtmoRuleMonitor",
    "FtmoRuleState",
    "FtmoRules",
    "Headroom",
    "InternalStops",
    "LossReference",
    "Marked",
    "Opened",
    "PositionId",
    "RuleHeadroom",
    "StopLevel",
    "Swapped",
]
