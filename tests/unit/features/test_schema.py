from __future__ import annotations

import dataclasses

import pytest

from signalbox.features import FeatureSchema, FeatureSchemaError, get_schema

V31_HASH = "1fa812eb1eae872c7294091b005626f837a8c3998b0f675a94907b64ff14c9a8"


def test_v31_has_31_features_with_unique_names() -> None:
    schema = get_schema("v31")
    assert len(schema.names) == 31
    assert len(set(schema.names)) == 31


def test_v31_never_changes_silently() -> None:
    assert get_schema("v31").hash == V31_HASH  # a change of v31 refuses every model fitted on it: add a schema instead


def test_unknown_schema_is_refused_with_the_known_names() -> None:
    with pytest.raises(FeatureSchemaError, match=r"v31.*'v99'"):
        get_schema("v99")


def test_live_window_is_the_longest_warm_up() -> None:
    schema = get_schema("v31")
    assert schema.history_bars == schema.warmup_bars == max(f.warmup_bars for f in schema.features)
    assert schema.contiguous_bars == 60


@pytest.mark.parametrize("field", ["name", "formula", "windows"])
def test_hash_covers_names_formulas_and_windows(field: str) -> None:
    schema = get_schema("v31")
    first = schema.features[0]
    changed = dataclasses.replace(first, **{field: (2,) if field == "windows" else "other"})
    assert FeatureSchema("v31", (changed, *schema.features[1:])).hash != schema.hash


def test_hash_covers_the_order() -> None:
    schema = get_schema("v31")
    assert FeatureSchema("v31", schema.features[::-1]).hash != schema.hash


def test_every_definition_says_what_it_is() -> None:
    for feature in get_schema("v31").features:
        assert all((feature.formula, feature.unit, feature.source, feature.windows))
        assert feature.warmup_bars >= max(1, min(feature.windows))
