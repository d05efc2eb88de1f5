"""FeatureSchema: an ordered list of features with a name and a hash, so that a model never gets features it was not fitted on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final

from signalbox.errors import SignalboxError
from signalbox.features.canonical import digests
from signalbox.features.definitions import V31, Feature
from signalbox.features.definitions_v50 import V50
from signalbox.features.expressions import bars_traded, minutes_spanned, reference_pairs
from signalbox.features.nodes import Node
from signalbox.features.program import Program, compile_program
from signalbox.market.candles import Symbol


class FeatureSchemaError(SignalboxError):
    """The schema is unknown, or bars or values do not fit it."""


@dataclass(frozen=True)
class Reference:
    """Another symbol that the features compare with, matched by open time; its gaps are not filled either.

    A row is complete only if the reference has all of the symbol's newest `recent_bars` one-bar returns, and at least
    `least_bars` of its newest `window_bars` (the longest window of a feature that uses the reference). So one lost minute
    makes rows incomplete for one hour, not four.
    """

    symbol: Symbol
    recent_bars: int = 60
    window_bars: int = 240
    least_bars: int = 216


@dataclass(frozen=True)
class FeatureSchema:
    """Features in order, under one name and one hash of their computation.

    warmup_bars: bars needed before a row is complete, the newest included. contiguous_bars: how many of the newest minutes must
    all exist. most_empty_bars: how many of these may be empty minutes, None for any number. most_missing_bars: how many of the
    minutes that a decision's rows need may be missing after all; never one of the newest `whole_bars`. history_bars: length of
    the live window; its newest row equals the same row computed over years.
    """

    name: str
    features: tuple[Feature, ...]
    contiguous_bars: int = 60
    reference: Reference | None = None
    most_empty_bars: int | None = None
    most_missing_bars: int = 0

    @property
    def reference_symbol(self) -> Symbol | None:
        """A second symbol whose bars the schema also needs, or None. Without one, another symbol's outage does no harm."""
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

    @cached_property
    def whole_bars(self) -> int:
        """How many of the newest minutes must exist whatever else may be missing: the most that any feature needs."""
        if not self.most_missing_bars:
            return self.contiguous_bars
        return max(feature.whole_bars for feature in self.features)

    @property
    def history_bars(self) -> int:
        """How many of the newest bars a live decision needs."""
        return self.warmup_bars

    @cached_property
    def hash(self) -> str:
        """Hex sha256 of the computation: names, order, expressions, windows, warm-ups, contiguity and reference.

        The formula texts are not part of it, so a better description does not refuse any model (docs/decisions/0085).
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
        if self.most_empty_bars is not None:
            facts["most_empty_bars"] = self.most_empty_bars
        if self.most_missing_bars:
            facts |= {"most_missing_bars": self.most_missing_bars, "whole_bars": self.whole_bars}
        return _sha256(facts)

    @cached_property
    def former_hash(self) -> str:
        """The hash as it was until decision 0085: of names, order, formulas and windows. Older rows and bundles carry it."""
        facts: dict[str, object] = {
            "contiguous_bars": self.contiguous_bars,
            "features": [[f.name, f.formula, list(f.windows)] for f in self.features],
        }
        if self.reference is not None:
            facts["reference"] = asdict(self.reference)
        return _sha256(facts)

    @cached_property
    def program(self) -> Program:
        """The program that computes the features in order, followed by the series that decide whether a row is complete."""
        judged: list[Node] = [minutes_spanned(self.contiguous_bars)]
        if self.reference is not None:
            judged += [reference_pairs(self.reference.recent_bars), reference_pairs(self.reference.window_bars)]
        if self.most_missing_bars:
            judged.append(minutes_spanned(self.whole_bars))
        if self.most_empty_bars is not None:
            judged.append(bars_traded(self.contiguous_bars))  # the last one
        return compile_program([*(feature.expression for feature in self.features), *judged])


def _sha256(facts: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


SCHEMAS: Final[Mapping[str, FeatureSchema]] = MappingProxyType(
    {
        "v31": FeatureSchema("v31", V31),
        "v50": FeatureSchema("v50", V50, reference=Reference(Symbol("BTC-USD"))),
    }
)


# The form of a schema that spares one missing minute. Only models for which that was measured name its hash: docs/decisions/0103
SPARING: Final[Mapping[str, FeatureSchema]] = MappingProxyType({"v31": replace(SCHEMAS["v31"], most_missing_bars=1)})


def with_hash(schema: FeatureSchema, wanted: str) -> FeatureSchema | None:
    """Return the schema or the form of it that spares a missing minute, whichever has that hash; None if neither has."""
    if schema.hash == wanted:
        return schema
    sparing = SPARING.get(schema.name)
    return sparing if sparing is not None and sparing.features == schema.features and sparing.hash == wanted else None


def get_schema(name: str) -> FeatureSchema:
    """Return the schema with that name. Raises FeatureSchemaError if there is none."""
    if name not in SCHEMAS:
        raise FeatureSchemaError(f"expected one of the feature schemas {', '.join(SCHEMAS)}, got {name!r}")
    return SCHEMAS[name]
