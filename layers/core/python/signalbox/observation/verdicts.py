"""The words of a judgement: verdicts, criteria and their states. Without numpy, for the function that records a verdict."""

from __future__ import annotations

from enum import StrEnum


class ObservationVerdict(StrEnum):
    """The end of an observation, or EXTEND: it goes on."""

    GO = "GO"
    NO_GO = "NO-GO"
    EXTEND = "EXTEND"


class CriterionCode(StrEnum):
    """The criteria, in the order of a report."""

    SLOTS_DECIDED = "SLOTS_DECIDED"
    FEATURES_MATCH = "FEATURES_MATCH"
    MODEL_PARITY = "MODEL_PARITY"
    DATA_FRESH = "DATA_FRESH"
    SIGNAL_RATE = "SIGNAL_RATE"
    OUTCOMES_KNOWN = "OUTCOMES_KNOWN"
    CLAIM_SEQUENTIAL = "CLAIM_SEQUENTIAL"
    CLAIM_EVIDENCE = "CLAIM_EVIDENCE"
    EXPECTANCY = "EXPECTANCY"
    EXECUTION_COST = "EXECUTION_COST"
    DURATION = "DURATION"


class CriterionState(StrEnum):
    """Whether a criterion is met. MISSING: not enough is known, and that is never a pass."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    MISSING = "MISSING"
