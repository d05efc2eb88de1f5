"""Causal features of one symbol's closed one-minute bars: declared once, computed the same live and over years."""

from signalbox.features.definitions import Feature
from signalbox.features.matrix import FeatureMatrix, Incomplete, compute_features, why_incomplete
from signalbox.features.schema import SCHEMAS, FeatureSchema, FeatureSchemaError, get_schema

__all__ = [
    "SCHEMAS",
    "Feature",
    "FeatureMatrix",
    "FeatureSchema",
    "FeatureSchemaError",
    "Incomplete",
    "compute_features",
    "get_schema",
    "why_incomplete",
]
