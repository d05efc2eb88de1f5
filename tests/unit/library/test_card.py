"""A card says what its bundle says, and the starter's page is generated from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.settings import REPOSITORY
from signalbox.inference import BundleManifest, Gate, Verdict, record_of
from signalbox.library.card import card_markdown, make_card, read_card
from tests.examples import examples
from tests.unit.inference.tiny_bundle import facts
from tools.model_card import PAGE, page

STARTER = REPOSITORY / "training" / "starter_bundle"


def manifest(report: bytes = b"{}", **changes: Any) -> BundleManifest:
    files = {name: record_of(b"x") for name in ("linear-1.onnx", "linear-2.onnx", "golden.npz")}
    return BundleManifest.model_validate({**facts(), "files": {**files, "report.json": record_of(report)}, **changes})


def test_the_page_of_the_starter_is_its_card() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tools.model_card"


def test_the_card_has_the_figures_of_the_report() -> None:
    card, report = read_card(STARTER), json.loads((STARTER / "report.json").read_bytes())
    assert card.headline == report["headline"]
    assert [(one.gate.value, one.verdict.value) for one in card.gates] == [
        (gate, found["verdict"]) for gate, found in sorted(report["gates"].items())
    ]
    assert [one.found for one in card.gates] == [found["found"] for _, found in sorted(report["gates"].items())]
    (tiers, *_) = card.tables
    issued = report["figures"]["issued"]["precision"]
    shown = f"{issued['value']:.3f} [{issued['low']:.3f}, {issued['high']:.3f}]"
    assert tiers.rows[0][:2] == ("precision", shown)
    assert dict(card.facts)["tested on"] == "2023-12-06 to 2024-03-10: 82,044 decisions"


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (("G1",), "does not qualify: G1 not passed. It may run in shadow only."),
        (("G0", "G3"), "does not qualify: G0, G3 not passed"),
        (("G4",), "may not trade live"),
        ((), "This model qualifies."),
    ],
)
def test_the_verdict_follows_the_gates(failed: tuple[str, ...], words: str) -> None:
    gates = {gate: Verdict.FAIL if gate.value in failed else Verdict.PASS for gate in Gate}
    passes = not {"G0", "G1", "G2", "G3"} & set(failed)
    card = make_card(manifest(gates=gates, passes_promotion=passes), b"{}")
    assert words in card.verdict
    assert card.qualifies == passes
    assert sum("failed" in one for one in card.limits) == len(failed)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("headline", "gates", "periods", "figures", "period", "seen_before", "configurations_tried")
INNER = st.dictionaries(
    st.sampled_from(["G0", "G1", "issued", "high", "by_symbol", "train", "start", "end", "rows"]), VALUES, max_size=4
)


@given(report=st.dictionaries(st.sampled_from(KEYS), VALUES | INNER | st.dictionaries(st.sampled_from(["issued", "G1"]), INNER)))
@settings(max_examples=examples(80), deadline=None)
def test_any_report_gives_a_card(report: dict[str, Any]) -> None:
    text = card_markdown(make_card(manifest(), json.dumps(report).encode()))
    assert text.startswith("# Model card: tiny\n")
    assert all(line.startswith(("|", "#", "*", "20", "95")) for line in text.splitlines() if line)


def test_markup_in_a_report_stays_text() -> None:
    evil = "<img src=x> [a](http://evil) `x` | *b* \\"
    gates = {"G0": {"asks": evil, "found": evil}}
    text = card_markdown(make_card(manifest(), json.dumps({"headline": evil, "gates": gates}).encode()))
    assert "<img" not in text.replace("\\<img", "")
    assert "](" not in text.replace("\\](", "")
    for line in text.splitlines():
        if line.startswith("| G0"):
            assert line.replace("\\\\", "").replace("\\|", "").count("|") == 5
