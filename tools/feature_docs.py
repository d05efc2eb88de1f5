"""Writes docs/features.md from the definitions: `python -m tools.feature_docs`. A test fails if the page is out of date."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from signalbox.features import SCHEMAS, SPARING, Feature, FeatureSchema

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "features.md"

_HEAD: Final = """\
# Features

Generated from `signalbox.features` by `python -m tools.feature_docs`; do not edit.

Every feature is causal: its row is knowable at the close of its bar. `o h l c v` are the bar's open, high, low, close and
volume. `x[k]` is x k bars ago. `sum_w`, `max_w` and `min_w` run over the newest w existing bars. `r = ln(c / c[1])` and
`rms_w(r) = sqrt(sum_w(r^2) / w)`. `b` is the reference's close at the same minute, and `R = ln(b / b[1])`. Missing minutes are
skipped and counted by `gap_fraction_1440`, never filled. Longer timeframes are rolling windows of one-minute bars, so
no feature can see into a longer bar that has not closed.

Warm-up is the number of bars, including the newest, after which a value no longer depends on older bars: the window, or for
exponential averages 33 time constants (e^-33 = 5e-15). During the schema's warm-up every value of a row is NaN.
Batch, live window and stream share one expression per feature ([0024](decisions/0024-one-expression-for-batch-and-stream.md)).
A schema's hash covers the computation: names, order, expressions, windows and warm-ups of its features, the contiguity it
requires, and its reference ([0085](decisions/0085-a-schemas-hash-covers-the-computation.md)). A model or stream state with
another hash is refused, and the error names both hashes.

A decision needs the contiguous minutes of each of its rows. Where a schema spares a missing one, none may be missing
among as many of the newest as the column "whole" says of any feature: a narrow window and the bar before it
([0103](decisions/0103-one-missing-minute-refuses-a-quarter-of-an-hour.md)). A bundle chooses the form by its hash.
"""


def render() -> str:
    """Return the page."""
    schemas = "\n".join(_schema_row(schema) for schema in (*SCHEMAS.values(), *SPARING.values()))
    parts = [
        _HEAD,
        "## Schemas\n",
        "| schema | features | history, bars | contiguous, bars | of these empty, at most | missing, at most | reference | hash |"
        "\n"
        "|---|---|---|---|---|---|---|---|\n" + schemas + "\n",
    ]
    known: set[str] = set()
    for schema in SCHEMAS.values():
        new = [feature for feature in schema.features if feature.name not in known]
        known |= set(schema.names)
        shared = len(schema.features) - len(new)
        parts.append(f"## {schema.name}\n")
        if shared:
            parts.append(f"The first {shared} features are those of the schema above, in the same order.\n")
        if schema.reference is not None:
            parts.append(_reference_words(schema))
        first = shared + 1
        parts.append(_table([(first + i, feature) for i, feature in enumerate(new)]))
    return "\n".join(parts)


def _schema_row(schema: FeatureSchema) -> str:
    reference = schema.reference_symbol or "none"
    empty = "any" if schema.most_empty_bars is None else str(schema.most_empty_bars)
    missing = f"{schema.most_missing_bars}, before the newest {schema.whole_bars}" if schema.most_missing_bars else "0"
    facts = f"{len(schema.features)} | {schema.history_bars:,} | {schema.contiguous_bars} | {empty} | {missing} | {reference}"
    return f"| `{schema.name}` | {facts} | `{schema.hash}` |"


def _reference_words(schema: FeatureSchema) -> str:
    rule = schema.reference
    if rule is None:
        return ""
    return (
        f"Compared with {rule.symbol}, matched by open time. A row is complete only when the newest {rule.recent_bars} one-bar "
        f"returns\nexist for the reference too and {rule.least_bars} of the newest {rule.window_bars}; else it is "
        f"`REFERENCE_MISSING`. For {rule.symbol} itself the\nreference is its own bars: its own returns, beta 1 (0 where nothing "
        "moved), residual 0.\n"
    )


def _table(features: list[tuple[int, Feature]]) -> str:
    head = "| # | name | formula | window, bars | whole | unit | warm-up, bars | source |\n|---|---|---|---|---|---|---|---|\n"
    return head + "".join(f"| {place} | {_cells(feature)} |\n" for place, feature in features)


def _cells(feature: Feature) -> str:
    formula = feature.formula.replace("|", "\\|")
    windows = ", ".join(f"{window:,}" for window in feature.windows)
    about = f"{formula} | {windows} | {feature.whole_bars}"
    return f"`{feature.name}` | {about} | {feature.unit} | {feature.warmup_bars:,} | {feature.source}"


def main(page: Path = PAGE) -> None:
    """Write the page."""
    page.write_text(render())
    print(f"wrote {page.name}")


if __name__ == "__main__":
    main()
