"""FeatureSchema: an ordered list of definitions with a name and a hash, so that a model never meets other features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

from signalbox.errors import SignalboxError
from signalbox.features.definitions import V31, Feature


class FeatureSchemaError(SignalboxError):
    """An unknown schema, or bars and values that do not fit one."""


@dataclass(frozen=True)
class FeatureSchema:
    """Names, order, formulas and windows under one name and hash.

    warmup_bars: bars needed, the newest included, before a row is complete. contiguous_bars: newest minutes that must
    all be there. history_bars: the live window; its newest row equals the same row of a batch over years.
    """

    name: str
    features: tuple[Feature, ...]
    contiguous_bars: int = 60

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def warmup_bars(self) -> int:
        """The longest warm-up of any feature."""
        return max(self.contiguous_bars, *(feature.warmup_bars for feature in self.features))

    @property
    def history_bars(self) -> int:
        """How many of the newest bars a live decision needs."""
        return self.warmup_bars

    @cached_property
    def hash(self) -> str:
        """Hex sha256 over names, order, formulas and windows (and the contiguity they assume)."""
        facts = {
            "contiguous_bars": self.contiguous_bars,
            "features": [[f.name, f.formula, list(f.windows)] for f in self.features],
        }
        return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


SCHEMAS: Final[Mapping[str, FeatureSchema]] = MappingProxyType({"v31": FeatureSchema("v31", V31)})


def get_schema(name: str) -> FeatureSchema:
    """Return the schema of that name. Raises FeatureSchemaError when there is none."""
    if name not in SCHEMAS:
        raise FeatureSchemaError(f"expected one of the feature schemas {', '.join(SCHEMAS)}, was {name!r}")
    return SCHEMAS[name]
