"""FeatureSchema: an ordered list of definitions with a name and a hash, so that a model never meets other features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

from signalbox.errors import SignalboxError
from signalbox.features.canonical import digests
from signalbox.features.definitions import V31, Feature
from signalbox.features.definitions_v50 import V50
from signalbox.features.expressions import minutes_spanned, reference_pairs
from signalbox.features.nodes import Node
from signalbox.features.program import Program, compile_program
from signalbox.market.candles import Symbol


class FeatureSchemaError(SignalboxError):
    """An unknown schema, or bars and values that do not fit one."""


@dataclass(frozen=True)
class Reference:
    """Another symbol that the features compare with, matched by open time; it is never filled either.

    A row is complete only if the newest `recent_bars` one-bar returns of the symbol exist for the reference too, and at
    least `least_bars` of the newest `window_bars` (the longest window of any feature that uses it): one lost minute costs
    an hour, not four.
    """

    symbol: Symbol
    recent_bars: int = 60
    window_bars: int = 240
    least_bars: int = 216


@dataclass(frozen=True)
class FeatureSchema:
    """Names, order, formulas and windows under one name and hash.

    warmup_bars: bars needed, the newest included, before a row is complete. contiguous_bars: newest minutes that must
    all be there. history_bars: the live window; its newest row equals the same row of a batch over years.
    """

    name: str
    features: tuple[Feature, ...]
    contiguous_bars: int = 60
    reference: Reference | None = None

    @property
    def reference_symbol(self) -> Symbol | None:
        """Whose bars are needed beside the symbol's own, None when nobody's: then one symbol's outage harms no other."""
        return None if self.reference is None else self.reference.symbol

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def warmup_bars(self) -> int:
        """The longest warm-up of any feature."""
        least = self.contiguous_bars if self.reference is None else max(self.contiguous_bars, self.reference.window_bars + 1)
        return max(least, *(feature.warmup_bars for feature in self.features))

    @property
    def history_bars(self) -> int:
        """How many of the newest bars a live decision needs."""
        return self.warmup_bars

    @cached_property
    def hash(self) -> str:
        """Hex sha256 over what is computed: names, order, expressions, windows, warm-ups, contiguity and reference.

        Formulas are words about it and no part of it: a better sentence refuses no model (docs/decisions/0085).
        """
        expressions = digests(feature.expression for feature in self.features)
        facts: dict[str, object] = {
            "contiguous_bars": self.contiguous_bars,
            "features": [
                [feature.name, list(feature.windows), feature.warmup_bars, expression]
                for feature, expression in zip(self.features, expressions, strict=True)
            ],
            "reference": None if self.reference is None else asdict(self.reference),
        }
        return _sha256(facts)

    @cached_property
    def former_hash(self) -> str:
        """Its hash until decision 0085: over names, order, formulas and windows. Rows and bundles of then carry it."""
        facts: dict[str, object] = {
            "contiguous_bars": self.contiguous_bars,
            "features": [[f.name, f.formula, list(f.windows)] for f in self.features],
        }
        if self.reference is not None:
            facts["reference"] = asdict(self.reference)
        return _sha256(facts)

    @cached_property
    def program(self) -> Program:
        """What computes the features in order and then what completeness is judged on."""
        judged: list[Node] = [minutes_spanned(self.contiguous_bars)]
        if self.reference is not None:
            judged += [reference_pairs(self.reference.recent_bars), reference_pairs(self.reference.window_bars)]
        return compile_program([*(feature.expression for feature in self.features), *judged])


def _sha256(facts: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


SCHEMAS: Final[Mapping[str, FeatureSchema]] = MappingProxyType(
    {
        "v31": FeatureSchema("v31", V31),
        "v50": FeatureSchema("v50", V50, reference=Reference(Symbol("BTC-USD"))),
    }
)


def get_schema(name: str) -> FeatureSchema:
    """Return the schema of that name. Raises FeatureSchemaError when there is none."""
    if name not in SCHEMAS:
        raise FeatureSchemaError(f"expected one of the feature schemas {', '.join(SCHEMAS)}, was {name!r}")
    return SCHEMAS[name]
