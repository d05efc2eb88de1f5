"""Observations on the deployed functions: a few cycles of the shared cloud, and, nightly, whole replays with planted faults."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import settings as searched
from typing_extensions import override

from local.cli.observe.faults import FeedFault, faulty
from local.cli.observe.planted import PlantedModel
from local.cli.observe.replaying import (
    ObservedReplay,
    ReplayOptions,
    begin_observation,
    judge_cloud,
    rules_for,
    run_replay,
)
from local.market.simulator import SimulatedSource
from local.settings import REPOSITORY, load_settings
from local.stand_ins.exchange import LoadedBars
from local.stand_ins.faults import Fault, VenueFault
from signalbox.market.candles import Bars, Symbol, to_ms
from signalbox.market.clock import CYCLE
from signalbox.observation.judgement import ObservationJudgement
from signalbox.observation.verdicts import CriterionCode, CriterionState, ObservationVerdict
from tests.e2e.conftest import Market

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
PASSED, FAILED, MISSING = CriterionState.PASSED, CriterionState.FAILED, CriterionState.MISSING
CYCLES = 4
# replays take half an hour, and the true bars are compared with a history that no other test has made holes into
NIGHTLY = pytest.mark.skipif(searched.get_current_profile_name() != "nightly", reason="`make nightly` runs observations")


class FaultySource(SimulatedSource):
    """The shared market as it would be if what the venue served had had this fault from an instant on."""

    def __init__(self, fault: FeedFault, since: datetime) -> None:
        super().__init__(7)
        self.fault, self.since = fault, since

    @override
    def bars(self, symbol: Symbol, start: datetime, end: datetime) -> Bars:
        return faulty(self.fault, {symbol: super().bars(symbol, start, end)}, to_ms(self.since))[symbol]


def states(found: ObservationJudgement) -> dict[CriterionCode, CriterionState]:
    return {one.code: one.state for one in found.criteria}


@NIGHTLY
def test_decisions_of_the_deployed_functions_are_checked_and_a_lost_slot_is_named(market: Market) -> None:
    cloud, start = market.cloud, market.now
    end = start + CYCLES * CYCLE
    nothing = LoadedBars({symbol: Bars.from_candles(symbol, ()) for symbol in cloud.symbols})
    bundle = REPOSITORY / "training" / "starter_bundle"
    observed = ObservedReplay(SimulatedSource(7), nothing, bundle, start, end)
    serving = cloud.library("history", {})["slot"]["current"]["deployment"]
    rules = rules_for(cloud, observed, serving)
    begin_observation(cloud, rules, start)
    for _ in range(CYCLES - 1):
        market.cycle()
    cloud.exchange.faults.add(Fault(VenueFault.DROPPED, "SOL-USD", since=end - timedelta(minutes=1), until=end))
    market.cycle()

    found = judge_cloud(cloud, rules, observed, lambda _: None)
    slots = CYCLES * len(cloud.symbols)
    assert found.verdict is ObservationVerdict.EXTEND
    assert found.findings.decided == slots - 1
    assert sum(found.findings.refusals.values()) == 1
    for check in (found.findings.features, found.findings.parity, found.findings.freshness):
        assert (check.agreeing, check.differing, check.unchecked) == (slots - 1, 0, 0)
    assert states(found)[CriterionCode.DURATION] is MISSING

    # what the venue served differs from the truth in each of these ways
    wrong = {FeedFault.STALE_DATA: CriterionCode.DATA_FRESH, FeedFault.SHIFTED_FEATURE: CriterionCode.FEATURES_MATCH}
    for fault, code in wrong.items():
        lied = ObservedReplay(FaultySource(fault, start), nothing, bundle, start, end)
        again = judge_cloud(cloud, rules, lied, lambda _: None)
        assert again.verdict is ObservationVerdict.NO_GO
        assert states(again)[code] is FAILED
    absent = ObservedReplay(FaultySource(FeedFault.DROPPED_SLOTS, start - timedelta(minutes=100)), nothing, bundle, start, end)
    gone = judge_cloud(cloud, rules, absent, lambda _: None)
    assert states(gone)[CriterionCode.FEATURES_MATCH] is MISSING


PLANTED = {
    PlantedModel.GOOD: (120, None),
    PlantedModel.FLIPPED: (12, CriterionCode.CLAIM_SEQUENTIAL),
    PlantedModel.DOUBLED_RATE: (24, CriterionCode.SIGNAL_RATE),
    FeedFault.DROPPED_SLOTS: (3, CriterionCode.SLOTS_DECIDED),
    FeedFault.STALE_DATA: (2, CriterionCode.DATA_FRESH),
    FeedFault.SHIFTED_FEATURE: (2, CriterionCode.FEATURES_MATCH),
}


@pytest.mark.timeout(3600)
@NIGHTLY
@pytest.mark.parametrize("plant", PLANTED, ids=str)
def test_planted_fault_ends_in_no_go_and_the_good_model_in_go(plant: PlantedModel | FeedFault) -> None:
    hours, code = PLANTED[plant]
    found = run_replay(ReplayOptions(timedelta(hours=hours), None, None, None, plant.value), load_settings(), plain=True)
    assert np.isfinite(found.sprt.log_ratio)
    if code is None:
        assert found.verdict is ObservationVerdict.GO, found.reasons
    else:
        assert found.verdict is ObservationVerdict.NO_GO
        assert states(found)[code] is FAILED, found.reasons
