"""Compares what was found with each rule. GO needs every criterion. What is missing is EXTEND while there is time, then NO-GO."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from signalbox.market.clock import CYCLE
from signalbox.observation.clusters import SignalCluster, clusters_of
from signalbox.observation.evidence import EvidencePath, EvidenceSide, evidence_against
from signalbox.observation.expectancy import ExpectancyInterval, expectancy_of
from signalbox.observation.findings import CheckedCount, ObservationFindings
from signalbox.observation.rules import ObservationRules
from signalbox.observation.sequential import SprtDecision, SprtPower, SprtResult, power_of, run_sprt
from signalbox.observation.verdicts import CriterionCode, CriterionState, ObservationVerdict

_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """One criterion: the figure that was found, and the limit that it was compared with."""

    code: CriterionCode
    state: CriterionState
    found: str
    limit: str

    @property
    def reason(self) -> str:
        """The criterion as a reason of a verdict."""
        return f"{self.code} {self.state}: {self.found}; expected {self.limit}"


@dataclass(frozen=True, slots=True)
class ObservationJudgement:
    """The verdict on an observation, with every criterion and what they were computed from.

    proof: evidence against "at most the claim". disproof: evidence against "at least the claim". powers: of the sequential test,
    for a model without skill and for one at the claim, within as many clusters as the observation may have.
    """

    rules: ObservationRules
    findings: ObservationFindings
    verdict: ObservationVerdict
    criteria: tuple[CriterionResult, ...]
    clusters: tuple[SignalCluster, ...]
    sprt: SprtResult
    proof: EvidencePath
    disproof: EvidencePath
    powers: tuple[SprtPower, SprtPower]
    expectancy: ExpectancyInterval | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not GO: each criterion that is not met. For GO all of them."""
        wrong = tuple(one for one in self.criteria if one.state is not CriterionState.PASSED)
        return tuple(one.reason for one in wrong or self.criteria)


def judge(rules: ObservationRules, found: ObservationFindings) -> ObservationJudgement:
    """Return the judgement of what was found until `found.until`."""
    clusters = clusters_of(found.settled, rules.horizon)
    every = [one.right for one in clusters_of((*found.before, *found.settled), rules.horizon)]
    sprt = run_sprt(rules.claim, [one.right for one in clusters])
    proof = evidence_against(EvidenceSide.AT_MOST, rules.claim.precision, every)
    disproof = evidence_against(EvidenceSide.AT_LEAST, rules.claim.precision, every)
    expectancy = expectancy_of(found.settled)
    criteria = (
        _slots(rules, found),
        _checked(CriterionCode.FEATURES_MATCH, found.features, rules.operation.feature_mismatches, "features that differ"),
        _checked(CriterionCode.MODEL_PARITY, found.parity, 0, f"probabilities off by more than {rules.operation.parity:g}"),
        _checked(CriterionCode.DATA_FRESH, found.freshness, rules.operation.stale_decisions, "a price not of their own minute"),
        _rate(rules, found),
        _outcomes(rules, found),
        _sequential(rules, sprt, len(clusters)),
        _evidence(rules, proof, disproof),
        _expectancy(rules, found, expectancy),
        _execution(rules, found),
        _duration(rules, found.until),
    )
    most = rules.slots(rules.ends_at) // len(rules.model.symbols) * CYCLE // rules.horizon
    powers = (power_of(rules.claim, rules.claim.null_precision, most), power_of(rules.claim, rules.claim.precision, most))
    verdict = _verdict(criteria, is_over=found.until >= rules.last_at)
    return ObservationJudgement(rules, found, verdict, criteria, clusters, sprt, proof, disproof, powers, expectancy)


def _verdict(criteria: tuple[CriterionResult, ...], *, is_over: bool) -> ObservationVerdict:
    states = {one.state for one in criteria}
    if CriterionState.FAILED in states or (is_over and CriterionState.MISSING in states):
        return ObservationVerdict.NO_GO
    return ObservationVerdict.EXTEND if CriterionState.MISSING in states else ObservationVerdict.GO


def _slots(rules: ObservationRules, found: ObservationFindings) -> CriterionResult:
    """Fail as soon as no later slot can make up for the lost ones."""
    due, planned, limit = rules.slots(found.until), rules.slots(rules.ends_at), rules.operation.decided_share
    lost = due - found.decided
    if lost > (1.0 - limit) * max(due, planned) + 1e-9:
        state = CriterionState.FAILED
    else:
        state = CriterionState.PASSED if due and found.decided >= limit * due - 1e-9 else CriterionState.MISSING
    why = ", ".join(f"{reason} {count}" for reason, count in sorted(found.refusals.items()))
    text = f"{found.decided} of {due} slots decided in time" + (f" ({found.decided / due:.2%})" if due else "")
    return CriterionResult(CriterionCode.SLOTS_DECIDED, state, f"{text}; {why}" if why else text, f"at least {limit:.1%}")


def _checked(code: CriterionCode, found: CheckedCount, most: int, what: str) -> CriterionResult:
    checked = found.agreeing + found.differing
    if found.differing > most:
        state = CriterionState.FAILED
    else:
        state = CriterionState.PASSED if checked and not found.unchecked else CriterionState.MISSING
    text = f"{found.differing} of {checked} decisions have {what}, {found.unchecked} could not be checked"
    return CriterionResult(code, state, f"{text}; first: {found.worst}" if found.worst else text, f"at most {most}, all checked")


def _rate(rules: ObservationRules, found: ObservationFindings) -> CriterionResult:
    factor, expected = rules.operation.rate_factor, rules.model.evaluated_share
    least, most = expected / factor, min(1.0, expected * factor)
    needed = _DAY_SECONDS // round(CYCLE.total_seconds()) * len(rules.model.symbols)
    share = found.signals / found.decided if found.decided else None
    if share is None or found.decided < needed * rules.operation.decided_share:
        state = CriterionState.MISSING  # the share of a part of a day is that of its hours
    else:
        state = CriterionState.PASSED if least <= share <= most else CriterionState.FAILED
    shown = "no decision" if share is None else f"{found.signals} signals in {found.decided} decisions ({share:.1%})"
    limit = f"{least:.1%} to {most:.1%}, over a day or more (evaluated: {expected:.1%})"
    return CriterionResult(CriterionCode.SIGNAL_RATE, state, shown, limit)


def _outcomes(rules: ObservationRules, found: ObservationFindings) -> CriterionResult:
    limit = rules.operation.decided_share
    known = len(found.settled)
    state = CriterionState.PASSED if found.due and known >= limit * found.due else CriterionState.MISSING
    return CriterionResult(
        CriterionCode.OUTCOMES_KNOWN, state, f"{known} of {found.due} due signals settled", f"at least {limit:.1%}"
    )


def _sequential(rules: ObservationRules, sprt: SprtResult, clusters: int) -> CriterionResult:
    claim = rules.claim
    if sprt.decision is SprtDecision.CLAIM_REJECTED:
        state = CriterionState.FAILED
    elif sprt.decision is SprtDecision.CLAIM_ACCEPTED and clusters >= claim.minimum_clusters:
        state = CriterionState.PASSED
    else:
        state = CriterionState.MISSING
    text = f"log ratio {sprt.log_ratio:+.2f} after {sprt.decided_after or clusters} of {clusters} clusters, {sprt.decision.value}"
    limit = (
        f"{claim.precision:.0%} against {claim.null_precision:.0%}: accepted at {sprt.upper:+.2f}, rejected at {sprt.lower:+.2f},"
        f" at least {claim.minimum_clusters} clusters"
    )
    return CriterionResult(CriterionCode.CLAIM_SEQUENTIAL, state, text, limit)


def _evidence(rules: ObservationRules, proof: EvidencePath, disproof: EvidencePath) -> CriterionResult:
    claim, count = rules.claim, len(disproof.path)
    if disproof.reaches(claim.alpha):
        state = CriterionState.FAILED
    else:
        state = CriterionState.PASSED if count >= claim.minimum_clusters else CriterionState.MISSING
    text = (
        f"e-value against at least {claim.precision:.0%}: {_e_value(disproof)}, against at most: {_e_value(proof)}"
        f" ({'proved' if proof.reaches(claim.alpha) else 'not proved'}), {count} clusters"
    )
    return CriterionResult(CriterionCode.CLAIM_EVIDENCE, state, text, f"below {1 / claim.alpha:.0f} against the claim")


def _e_value(path: EvidencePath) -> str:
    return f"{math.exp(min(path.largest, 50.0)):.3g}"


def _expectancy(rules: ObservationRules, found: ObservationFindings, every: ExpectancyInterval | None) -> CriterionResult:
    """Judge the interval when the days are over, because it holds for one look. What failed then stays failed."""
    minimum, code = rules.money.minimum_expectancy_bps, CriterionCode.EXPECTANCY
    limit = f"the 95 % interval over days reaches {minimum:g} bp, on day {rules.days} and after"
    if every is None:
        return CriterionResult(code, CriterionState.MISSING, "no settled signal", limit)
    if every.low_bps is None or every.high_bps is None:
        text = f"{every.mean_bps:+.1f} bp a signal, no interval from {every.days} day"
        return CriterionResult(code, CriterionState.MISSING, text, limit)
    text = f"{every.mean_bps:+.1f} bp a signal after costs [{every.low_bps:+.1f}, {every.high_bps:+.1f}], {every.days} days"
    if found.until < rules.ends_at:
        return CriterionResult(code, CriterionState.MISSING, f"{text}, judged on day {rules.days}", limit)
    planned = expectancy_of(one for one in found.settled if one.decided_at + rules.horizon <= rules.ends_at)
    first = None if planned is None else planned.high_bps
    has_failed = first is not None and first < minimum
    if has_failed:
        text = f"{text}; it reached {first:+.1f} bp when the {rules.days} days were over"
    state = CriterionState.FAILED if has_failed or every.high_bps < minimum else CriterionState.PASSED
    return CriterionResult(code, state, text, limit)


def _execution(rules: ObservationRules, found: ObservationFindings) -> CriterionResult:
    money, cost = rules.money, found.execution
    most = money.cost_bps * money.cost_factor
    limit = f"at most {most:.2f} bp a fill (assumed {money.cost_bps:g}), {money.minimum_fills} fills, most orders measured"
    if cost.cost_bps is None or cost.fills < money.minimum_fills or cost.unmeasured > cost.fills:
        state = CriterionState.MISSING
    else:
        state = CriterionState.PASSED if cost.cost_bps <= most else CriterionState.FAILED
    shown = "no cost" if cost.cost_bps is None else f"{cost.cost_bps:+.2f} bp"
    text = f"{shown} over {cost.fills} fills, {cost.unmeasured} orders without figures"
    return CriterionResult(CriterionCode.EXECUTION_COST, state, text, limit)


def _duration(rules: ObservationRules, until: datetime) -> CriterionResult:
    state = CriterionState.PASSED if until >= rules.ends_at else CriterionState.MISSING
    days = max((until - rules.starts_at).total_seconds(), 0.0) / _DAY_SECONDS
    return CriterionResult(CriterionCode.DURATION, state, f"{days:.2f} days observed", f"at least {rules.days} days")
