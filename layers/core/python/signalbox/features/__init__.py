"""Causal features of a symbol's closed one-minute bars. One declaration serves years of bars, live windows and single bars."""

from signalbox.features.definitions import Feature
from signalbox.features.matrix import (
    FeatureMatrix,
    Incomplete,
    compute_all,
    compute_features,
    find_reference,
    have_enough_minutes,
    why_incomplete,
)
from signalbox.features.schema import SCHEMAS, SPARING, FeatureSchema, FeatureSchemaError, Reference, get_schema, with_hash
from signalbox.features.stream import Bar, FeatureRow, FeatureStream

__all__ = [
    "SCHEMAS",
    "SPARING",
    "Bar",
    "Feature",
    "FeatureMatrix",
    "FeatureRow",
    "FeatureSchema",
    "FeatureSchemaError",
    "FeatureStream",
    "Incomplete",
    "Reference",
    "compute_all",
    "compute_features",
    "find_reference",
    "get_schema",
    "have_enough_minutes",
    "why_incomplete",
    "with_hash",
]
