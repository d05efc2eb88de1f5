"""Causal features of a symbol's closed one-minute bars. One declaration serves years of bars, live windows and single bars."""

from signalbox.features.definitions import Feature
from signalbox.features.matrix import FeatureMatrix, Incomplete, compute_all, compute_features, find_reference, why_incomplete
from signalbox.features.schema import SCHEMAS, FeatureSchema, FeatureSchemaError, Reference, get_schema
from signalbox.features.stream import Bar, FeatureRow, FeatureStream

__all__ = [
    "SCHEMAS",
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
    "why_incomplete",
]
