"""An evaluation is believed as far as it agrees with itself, and what cannot be read is one kind of error."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from signalbox.inference.manifest import PROMOTION_GATES, Gate, Verdict
from signalbox.library.errors import ArtifactError
from signalbox.library.judgements import EvaluationFile, needed_gates, plain, read_evaluation, registers, shortfalls
from signalbox.library.parameters import RegisterWhen
from tests.unit.library.samples import FINISHED

GATES = st.dictionaries(st.sampled_from(Gate), st.sampled_from(Verdict))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(content: bytes) -> EvaluationFile | None:
    try:
        return read_evaluation(content, "evaluation.json", source="job", at=FINISHED)
    except ArtifactError:
        return None


@given(GATES, st.sampled_from(RegisterWhen))
def test_what_registers_has_no_shortfall_and_what_has_one_names_it(gates: dict[Gate, Verdict], when: RegisterWhen) -> None:
    lines = shortfalls(gates, {}, needed_gates(when))
    assert registers(gates, when) is not bool(lines)
    assert [line.partition(" ")[0] for line in lines] == [
        gate.value for gate in needed_gates(when) if gates.get(gate) is not Verdict.PASS
    ]


@given(GATES)
def test_what_is_good_enough_for_promotion_is_good_enough_for_shadow(gates: dict[Gate, Verdict]) -> None:
    assert not registers(gates, RegisterWhen.PROMOTION) or registers(gates, RegisterWhen.INTEGRITY)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_at_all_is_an_evaluation_or_an_artifact_error(content: bytes) -> None:
    read(content)


@given(
    GATES,
    st.booleans(),
    st.text(),
    st.dictionaries(st.sampled_from(["name", "bundle_sha256", "headline", "gates", "period", "figures"]), JSON, max_size=2),
)
def test_what_is_believed_agrees_with_its_gates_and_fits_the_ledger(
    gates: dict[Gate, Verdict], qualifies: bool, headline: str, spoilt: dict[str, Any]
) -> None:
    reported = {
        "name": "dir60",
        "bundle_sha256": "0" * 64,
        "qualifies": qualifies,
        "headline": headline,
        "gates": {gate.value: {"verdict": verdict.value} for gate, verdict in gates.items()},
        "period": {"start": "2026-08-01T00:00:00Z", "end": "2026-09-15T00:00:00Z"},
    }
    agrees = qualifies == all(gates.get(gate) is Verdict.PASS for gate in PROMOTION_GATES)
    assert (read(json.dumps(reported).encode()) is not None) is agrees
    found = read(json.dumps({**reported, **spoilt}).encode())
    if found is not None:
        evaluation = found.evaluation
        assert evaluation.qualifies == all(evaluation.gates.get(gate) is Verdict.PASS for gate in PROMOTION_GATES)
        assert "\x00" not in evaluation.headline + evaluation.report
        assert json.loads(evaluation.report, parse_constant=lambda name: 1 / 0)["name"] == found.model
        assert found.period.start < found.period.end


@given(st.text(st.characters(codec=None)), st.integers(1, 50))
def test_a_plain_text_can_be_stored_and_sent(text: str, limit: int) -> None:
    found = plain(text, limit)
    assert "\x00" not in found.encode("utf-8").decode()
    assert len(found) <= limit
