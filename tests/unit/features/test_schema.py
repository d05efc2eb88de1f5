from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.features import (
    SCHEMAS,
    Feature,
    FeatureSchema,
    FeatureSchemaError,
    Reference,
    compute_features,
    expressions,
    get_schema,
)
from signalbox.features.canonical import digests
from signalbox.features.nodes import BAR_INPUTS, CLOSE, Apply, Node, Ratio
from signalbox.features.program import BlockRun, compile_program
from signalbox.features.windows import Lag, RollingSum
from signalbox.market.candles import Symbol
from tests.unit.features.synthetic_bars import walk

HASHES = {  # a change of a schema refuses every model fitted on it: add a schema instead
    "v31": "27e828c051434b6cb198671190904d431e34fa95c5959d8b06e68fcccf07c167",
    "v50": "38b223e171a45171b95f019d9e797ccd6e88575bd07c82de28329c904ef07d64",
}

FORMER = {  # of names, formulas and windows alone, until decision 0085: rows and bundles of then carry it
    "v31": "1fa812eb1eae872c7294091b005626f837a8c3998b0f675a94907b64ff14c9a8",
    "v50": "6d95f42618c8431741760e69781e405e42b1315de71606983ad9c0bbb9b6a835",
}


@pytest.mark.parametrize(("name", "count"), [("v31", 31), ("v50", 50)])
def test_a_schema_has_as_many_features_as_its_name_says_with_unique_names(name: str, count: int) -> None:
    schema = get_schema(name)
    assert len(schema.names) == count
    assert len(set(schema.names)) == count


def test_no_schema_changes_silently() -> None:
    assert {name: schema.hash for name, schema in SCHEMAS.items()} == HASHES
    assert {name: schema.former_hash for name, schema in SCHEMAS.items()} == FORMER


def test_v50_begins_with_v31() -> None:
    assert get_schema("v50").features[:31] == get_schema("v31").features


def test_only_v50_needs_another_symbol() -> None:
    assert {name: schema.reference_symbol for name, schema in SCHEMAS.items()} == {"v31": None, "v50": "BTC-USD"}


def test_unknown_schema_is_refused_with_the_known_names() -> None:
    with pytest.raises(FeatureSchemaError, match=r"v31.*'v99'"):
        get_schema("v99")


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_live_window_is_the_longest_warm_up(schema: FeatureSchema) -> None:
    assert schema.history_bars == schema.warmup_bars == max(f.warmup_bars for f in schema.features)
    assert schema.contiguous_bars == 60


def with_first(**changes: object) -> FeatureSchema:
    """v31 with another first feature."""
    schema = get_schema("v31")
    return FeatureSchema("v31", (dataclasses.replace(schema.features[0], **changes), *schema.features[1:]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"windows": (2,)},
        {"warmup_bars": 242},
        {"expression": expressions.volatility(60)},
        {"expression": expressions.return_volscaled(1, 480)},
    ],
)
def test_hash_covers_names_windows_warm_ups_and_expressions(change: dict[str, object]) -> None:
    assert with_first(**change).hash != get_schema("v31").hash


@pytest.mark.parametrize("field", ["name", "formula", "windows"])
def test_former_hash_covers_names_formulas_and_windows(field: str) -> None:
    changed = with_first(**{field: (2,) if field == "windows" else "other"})
    assert changed.former_hash != get_schema("v31").former_hash


def test_another_sentence_about_the_same_computation_changes_no_hash() -> None:
    assert with_first(formula="the same in other words").hash == get_schema("v31").hash


LEAVES = st.sampled_from([*BAR_INPUTS, 0.5, 2.0, 1])
TREES = st.recursive(
    st.sampled_from(BAR_INPUTS),
    lambda node: (
        st.builds(Lag, node, st.integers(1, 3))
        | st.builds(RollingSum, node, st.integers(1, 3))
        | st.builds(lambda name, one, two: Apply(name, (one, two)), st.sampled_from(["add", "subtract"]), node, node | LEAVES)
        | st.builds(Ratio, node, node, st.sampled_from([0.0, 1.0]))
    ),
    max_leaves=6,
)


@given(TREES, TREES)
def test_two_expressions_have_one_digest_exactly_when_they_are_one_tree(one: Node, two: Node) -> None:
    assert (digests([one]) == digests([two])) == (one == two)


@given(TREES)
def test_a_digest_does_not_depend_on_what_else_is_digested(tree: Node) -> None:
    assert digests([get_schema("v31").features[3].expression, tree])[1:] == digests([tree])


def test_an_expression_with_what_is_no_value_has_no_digest() -> None:
    with pytest.raises(TypeError, match="a number or a text"):
        digests([Apply("add", (CLOSE, None))])  # type: ignore[arg-type]


def test_hash_covers_the_order() -> None:
    schema = get_schema("v31")
    assert FeatureSchema("v31", schema.features[::-1]).hash != schema.hash


def test_hash_covers_the_reference() -> None:
    schema = get_schema("v50")
    rules = [None, Reference(Symbol("ETH-USD")), Reference(Symbol("BTC-USD"), least_bars=200)]
    changed = {dataclasses.replace(schema, reference=rule).hash for rule in rules}
    assert len(changed | {schema.hash}) == 4


def test_every_definition_says_what_it_is() -> None:
    for feature in get_schema("v50").features:
        assert all((feature.formula, feature.unit, feature.source, feature.windows))
        assert feature.warmup_bars >= max(1, min(feature.windows))


@pytest.mark.parametrize("feature", get_schema("v50").features, ids=lambda feature: feature.name)
def test_a_warm_up_is_as_long_as_its_definition_says(feature: Feature) -> None:
    """With fewer bars than declared there is no number; with as many it is that of a long history."""
    alone = FeatureSchema("alone", (feature,), contiguous_bars=2, reference=Reference(Symbol("BTC-USD"), 2, 2, 2))
    eth, btc = walk(9_000, 8, symbol=Symbol("ETH-USD")), walk(9_000, 9)
    batch = compute_features(alone, eth, reference=btc)
    enough = compute_features(alone, eth.last(feature.warmup_bars), reference=btc)
    if len(enough) >= alone.warmup_bars:
        spread = float(np.nanstd(batch.values))
        assert enough.values[-1, 0] == pytest.approx(batch.values[-1, 0], rel=1e-9, abs=1e-12 * max(spread, 1.0))
    run, outputs = BlockRun(compile_program([feature.expression]), 1_440), [np.empty(1_440)]
    early = min(feature.warmup_bars - 1, 1_440)
    columns = (eth.open, eth.high, eth.low, eth.close, eth.volume, eth.open_time_ms / 60_000.0 + 1.0, btc.close)
    with np.errstate(all="ignore"):
        run.compute([column[:1_440] for column in columns], outputs)
    recursive = feature.warmup_bars > 2 * max(feature.windows) + 2  # an average that has begun, and not yet forgotten its start
    skips = "BTC" in feature.source  # its sums leave out what has no pair, as the first bar
    assert recursive or skips or np.isnan(outputs[0][:early]).all()
