"""The planted market, its model and twin, the faults of a feed, and reports of any outcome."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from local.cli.observe.app import observe_app
from local.cli.observe.command import exit_code, require_settled_by_close
from local.cli.observe.faults import BEHIND, FeedFault, faulty
from local.cli.observe.page import observation_json, observation_text, write_observation
from local.cli.observe.planted import PlantedModel, TrendingMarket, write_planted_bundle
from signalbox.inference import Gate, Verdict, load_bundle
from signalbox.labels import CONTRACTS, DIR60, PromisedEvent
from signalbox.market.candles import Bars, Symbol, to_ms
from signalbox.observation.errors import ObservationRulesError
from signalbox.observation.findings import NOT_CHECKED, ExecutionCost
from signalbox.observation.judgement import judge
from signalbox.observation.ports import ObservationState, ObservationStep
from signalbox.observation.verdicts import ObservationVerdict
from tests.unit.observation.samples import day, findings, rules, settled

START = datetime(2024, 3, 4, tzinfo=UTC)
SOL = Symbol("SOL-USD")


@pytest.fixture(scope="module")
def market() -> TrendingMarket:
    return TrendingMarket(START, START + timedelta(hours=6))


def test_planted_model_has_its_edge_and_its_twin_issues_far_more(market: TrendingMarket, tmp_path: Path) -> None:
    good = write_planted_bundle(PlantedModel.GOOD, market, tmp_path / "good")
    assert good.assessment.gates[Gate.G0].verdict is Verdict.PASS
    assert good.assessment.evaluation.issued.precision.low > 0.75
    twin = load_bundle(write_planted_bundle(PlantedModel.DOUBLED_RATE, market, tmp_path / "twin").folder)
    assert twin.issue_margin < load_bundle(good.folder).issue_margin
    report = json.loads((good.folder / "report.json").read_text())
    assert report["figures"]["issued"]["coverage"] == pytest.approx(0.2, abs=0.06)


def test_market_is_a_function_of_its_seed_and_its_days(market: TrendingMarket) -> None:
    again = TrendingMarket(START, START + timedelta(hours=6))
    window = (START, START + timedelta(hours=1))
    assert again.bars(SOL, *window).close.tolist() == market.bars(SOL, *window).close.tolist()
    assert (
        TrendingMarket(START, START + timedelta(hours=6), seed=12).bars(SOL, *window).close[0]
        != again.bars(SOL, *window).close[0]
    )


def columns(bars: Bars) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.stack([bars.open, bars.high, bars.low, bars.close, bars.volume])


@pytest.mark.parametrize("fault", FeedFault)
def test_fault_changes_the_last_symbol_from_its_instant_on_and_nothing_else(fault: FeedFault, market: TrendingMarket) -> None:
    served = {
        symbol: market.bars(symbol, START - timedelta(hours=2), START + timedelta(hours=4)) for symbol in (Symbol("BTC-USD"), SOL)
    }
    found = faulty(fault, served, to_ms(START))
    assert found[Symbol("BTC-USD")] is served[Symbol("BTC-USD")]
    true, wrong = served[SOL], found[SOL]
    before = int(np.searchsorted(true.open_time_ms, to_ms(START)))
    assert columns(wrong)[:, :before].tolist() == columns(true)[:, :before].tolist()
    if fault is FeedFault.DROPPED_SLOTS:
        assert len(true) - len(wrong) == 40
    elif fault is FeedFault.STALE_DATA:
        assert wrong.close[before + 50] == true.close[before + 50 - BEHIND]
    else:
        assert (wrong.volume[before:] > true.volume[before:]).all()


@pytest.mark.parametrize("verdict", ObservationVerdict)
def test_report_of_every_verdict_says_it_first_and_names_what_is_wrong(verdict: ObservationVerdict, tmp_path: Path) -> None:
    nothing = replace(
        findings(0), features=NOT_CHECKED, parity=NOT_CHECKED, freshness=NOT_CHECKED, execution=ExecutionCost(0, None, 0)
    )
    found = {
        ObservationVerdict.GO: judge(rules(), findings()),
        ObservationVerdict.NO_GO: judge(rules(), findings(settled=settled(0.3), refusals={"STALE_DATA": 2}, days=(day(0),))),
        ObservationVerdict.EXTEND: judge(rules(), nothing),
    }[verdict]
    paths = write_observation(found, tmp_path)
    assert [Path(one).suffix for one in paths] == [".html", ".png", ".json", ".txt"]
    page, picture, facts, text = (Path(one).read_bytes() for one in paths)
    assert text.decode() == observation_text(found)
    assert text.decode().startswith(f"{verdict.value}: ")
    assert json.loads(facts) == observation_json(found)
    assert json.loads(facts)["verdict"] == verdict.value
    assert picture.startswith(b"\x89PNG")
    assert b"src=" not in page  # it loads nothing
    for one in found.criteria:
        assert one.code.value in page.decode()
        assert one.found in text.decode()


@pytest.mark.parametrize("options", [["--days", "4"], ["--last-days", "9"], ["--start", "2026-11-02T00:00"]])
def test_options_that_a_document_of_rules_would_overrule_are_refused(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text(rules().text)
    found = CliRunner().invoke(observe_app, ["start", "--why", "x", "--rules", str(path), "--dry-run", *options])
    assert found.exit_code == 2
    assert "the document has its own start and days" in " ".join(found.output.replace("\u2502", " ").split())


def test_last_days_before_the_end_are_refused_and_not_raised_in_silence() -> None:
    found = CliRunner().invoke(observe_app, ["start", "--why", "x", "--days", "7", "--last-days", "6"])
    assert found.exit_code == 2
    assert "at least the 7 days" in " ".join(found.output.split())


def ended_as(verdict: ObservationVerdict) -> ObservationStep:
    return ObservationStep(
        ObservationState.ENDED, START, "anna", "the days are over", "request", verdict, ("SIGNAL_RATE FAILED",)
    )


def test_recorded_verdict_is_in_every_report_and_judging_again_never_makes_it_a_go(tmp_path: Path) -> None:
    """`stop --data` found a fault in independent bars; `status` without them does not, and must not say GO to a script."""
    ended, go = ended_as(ObservationVerdict.NO_GO), judge(rules(), findings())
    assert go.verdict is ObservationVerdict.GO
    for path in write_observation(go, tmp_path, ended):
        if not path.endswith(".png"):
            content = Path(path).read_text()
            assert "recorded as NO-GO by anna" in content or json.loads(content)["recorded"]["verdict"] == "NO-GO"
    assert exit_code(ObservationVerdict.GO, ended) == 1
    assert exit_code(ObservationVerdict.GO, ended_as(ObservationVerdict.EXTEND)) == 3
    assert exit_code(ObservationVerdict.GO, ended_as(ObservationVerdict.GO)) == exit_code(ObservationVerdict.GO, None) == 0
    assert exit_code(ObservationVerdict.NO_GO, ended_as(ObservationVerdict.GO)) == 1  # what was recorded can be shown to be wrong


def test_report_says_which_limits_are_weaker_and_how_often_it_was_tried() -> None:
    usual = observation_text(judge(rules(), findings()))
    assert "preset" not in usual
    assert "of this bundle" not in usual
    weak = rules(claim__precision=0.56, operation__feature_mismatches=1000)
    text = observation_text(judge(weak, findings(earlier=2)))
    assert "limits other than the preset's: claim.precision 0.56 instead of 0.68, operation.feature_mismatches 1000" in text
    assert "observation 3 of this bundle" in text


def test_model_whose_outcome_is_another_event_cannot_be_observed() -> None:
    require_settled_by_close(DIR60, rules())
    with pytest.raises(ObservationRulesError, match="horizon_minutes: expected 60 of dir60@1, got 30"):
        require_settled_by_close(DIR60, rules(model__horizon_minutes=30))
    for one in CONTRACTS.values():
        if one.event is not PromisedEvent.UP:
            with pytest.raises(ObservationRulesError, match="end at a target or a stop"):
                require_settled_by_close(one, rules(model__horizon_minutes=one.horizon_minutes))
