"""The model card of a bundle: what the model is, what it was fitted on, how it was judged, and what it must not be used for.

Everything comes from the bundle's manifest.json and report.json, so a card never says what the bundle does not. A report is of
its writer's making: whatever is absent or of another form is left out, and a text of it is shown as text. `notes` are its
owner's. Form: M. Mitchell et al., Model Cards for Model Reporting (2019).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from signalbox.inference.errors import BundleIncompleteError, BundleTamperedError
from signalbox.inference.manifest import (
    PROMOTION_GATES,
    REPORT_FILE,
    BundleManifest,
    Gate,
    LabelContract,
    Verdict,
    read_manifest,
)
from signalbox.labels import DIR60, PromisedEvent, UnknownContractError, contract_named
from signalbox.library.judgements import read_object
from signalbox.wire import in_one_line, readable

GATE_QUESTIONS: Final[Mapping[Gate, str]] = {
    Gate.G0: "Is the measurement sound?",
    Gate.G1: "Is it right often enough?",
    Gate.G2: "Does it know more than a simple rule?",
    Gate.G3: "Do its probabilities come true?",
    Gate.G4: "Does it earn money after costs?",
    Gate.G5: "Is it more than luck?",
    Gate.G6: "Does it last?",
}
_MAX_TEXT: Final = 300  # characters of a text of a report
_MARKUP: Final = re.compile(r"([\\`*_<|]|^#|\](?=[(\[:]))")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CardTable:
    """A table of a model card: a row of names, then rows of as many texts."""

    title: str
    head: Row
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class GateLine:
    """The verdict of one gate and what was found."""

    gate: Gate
    verdict: Verdict
    asks: str
    found: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a bundle says of itself, as texts. facts: names and values. limits: what the model must not be taken for."""

    name: str
    verdict: str
    qualifies: bool
    headline: str
    facts: tuple[tuple[str, str], ...]
    gates: tuple[GateLine, ...]
    tables: tuple[CardTable, ...]
    limits: tuple[str, ...]


def read_card(folder: Path) -> ModelCard:
    """Return the card of a bundle folder. Raises BundleError for a manifest or a report that cannot be read.

    The files are not verified here: `load_bundle` does that, and so does whatever took the bundle from a package.
    """
    manifest = read_manifest(folder)
    path = folder / REPORT_FILE
    try:
        if path.stat().st_size != manifest.files[REPORT_FILE].size:
            raise BundleTamperedError(f"{folder.name}: expected {REPORT_FILE} of the size in the manifest")
        content = path.read_bytes()
    except OSError as error:
        raise BundleIncompleteError(f"{folder.name}: {REPORT_FILE} cannot be read ({error.strerror})") from error
    return make_card(manifest, content)


def make_card(manifest: BundleManifest, report: bytes) -> ModelCard:
    """Return the card of a manifest and its report.json. Raises ArtifactError if the report is not a JSON object."""
    found = read_object(report, REPORT_FILE)
    return ModelCard(
        name=manifest.name,
        verdict=_verdict(manifest),
        qualifies=manifest.passes_promotion,
        headline=_text(found.get("headline")) or "-",
        facts=tuple(_facts(manifest, found)),
        gates=tuple(_gates(manifest, found)),
        tables=tuple(table for table in _tables(found) if table.rows),
        limits=tuple(_limits(manifest, found)),
    )


def card_markdown(card: ModelCard, *, notes: str = "") -> str:
    """Return the card as Markdown. notes: what its owner adds, Markdown with sections of its own."""
    lines = [f"# Model card: {_escaped(card.name)}", "", f"**{card.verdict}** {_escaped(card.headline)}", ""]
    lines += _markdown(("", ""), card.facts)
    rows = ((f"{one.gate.value} {GATE_QUESTIONS[one.gate]}", _marked(one.verdict), one.asks, one.found) for one in card.gates)
    lines += ["## Gates", "", *_markdown(("gate", "verdict", "requires", "found"), rows, plain=(1,))]
    for table in card.tables:
        lines += [f"## {table.title}", "", *([table.note, ""] if table.note else []), *_markdown(table.head, table.rows)]
    lines += ["## Limits", "", *(f"* {_escaped(one)}" for one in card.limits), ""]
    return "\n".join(lines) + (f"\n{notes.strip()}\n" if notes.strip() else "")


def _verdict(manifest: BundleManifest) -> str:
    failed = [gate.value for gate in PROMOTION_GATES if manifest.gates[gate] is not Verdict.PASS]
    if failed:
        return f"This model does not qualify: {', '.join(failed)} not passed. It may run in shadow only."
    if manifest.gates[Gate.G4] is not Verdict.PASS:
        return "This model qualifies, but is not shown to earn money after costs: it may not trade live."
    return "This model qualifies."


def _facts(manifest: BundleManifest, report: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    families: dict[str, list[float]] = {}
    for member in manifest.members:
        families.setdefault(member.family, []).append(member.weight)
    training = manifest.training
    yield "members", ", ".join(f"{len(weights)} {family}" for family, weights in families.items())
    yield "weights", ", ".join(f"{family} {sum(weights):.3f}" for family, weights in families.items())
    yield "combined by", f"averaged logits, temperature {manifest.calibrator.temperature:.3f}"
    windows = sorted({member.window_bars or 1 for member in manifest.members})
    yield "features", f"{manifest.feature_schema.name}, rows seen: {', '.join(map(str, windows))}"
    yield "feature schema hash", manifest.feature_schema.hash
    label = manifest.label
    yield (
        "output",
        f"calibrated probability {_event(label)} ({label.name}), every {label.decision_minutes} minutes",
    )
    thresholds = manifest.thresholds
    yield "thresholds", f"issued at |P - 1/2| >= {thresholds.issue_margin:.4f}, HIGH at >= {thresholds.high_margin:.4f}"
    yield "symbols", ", ".join(map(_text, training.symbols))
    yield "data", f"{training.rows:,} decisions, {training.start:%Y-%m-%d} to {training.end:%Y-%m-%d}"
    for name, words in (
        ("train", "fitted on"),
        ("early_stopping", "early stopping on"),
        ("calibration", "calibrated on"),
        ("thresholds", "thresholds frozen on"),
        ("test", "tested on"),
    ):
        period = _at(report, "periods", name)
        if (days := _days(period)) and (rows := _count(period.get("rows"))) is not None:
            yield words, f"{days}: {rows:,} decisions"
    if judged := _text(report.get("judged_by")):
        yield "figures are of", judged
    yield "made", f"{manifest.created_at:%Y-%m-%d} by {_text(manifest.code_version)}, seed {training.seed}"
    yield "size", f"{sum(record.size for record in manifest.files.values()) / 1e6:.1f} MB in {len(manifest.files)} files"


def _event(label: LabelContract) -> str:
    """Return the event that the probability is about; of a contract that this code does not have, that it is unknown."""
    version = DIR60.version if label.contract is None else label.contract.version
    try:
        contract = contract_named(label.name, version)
    except UnknownContractError:
        return f"of an event that this release does not know, contract {label.name}@{version}"
    if contract.event is PromisedEvent.TARGET_FIRST:
        return f"that the target of the chosen side is reached before its stop within {label.horizon_minutes} minutes"
    return f"that the price rises over the next {label.horizon_minutes} minutes"


def _gates(manifest: BundleManifest, report: Mapping[str, Any]) -> Iterable[GateLine]:
    for gate, verdict in sorted(manifest.gates.items()):
        one = _at(report, "gates", gate.value)
        found = _text(one.get("found")) or "-"
        if one.get("in_sample") is True:
            found += " (in-sample: this proves nothing)"
        yield GateLine(gate, verdict, _text(one.get("asks")) or "-", found)


def _tables(report: Mapping[str, Any]) -> Iterable[CardTable]:
    figures = _at(report, "figures")
    tiers = [_at(figures, "issued"), _at(figures, "high")]
    days = _days(_at(report, "period"))
    asked = f"{days}; brackets are 95 % intervals from resampled days" if days else "95 % intervals from resampled days"
    yield CardTable("On the test period", ("figure", "issued", "HIGH"), tuple(_tier_rows(tiers)), f"{asked}.")
    for name, title in (("by_symbol", "By symbol"), ("by_side", "By side"), ("by_month", "By month")):
        rows = tuple(_group_rows(_at(figures, name)))
        yield CardTable(title, ("", "signals", "precision", "before costs, bps", "after costs, bps"), rows)


def _tier_rows(tiers: Sequence[Mapping[str, Any]]) -> Iterable[Row]:
    def row(name: str, texts: Sequence[str]) -> Iterable[Row]:
        if any(text != "-" for text in texts):
            yield (name, *texts)

    yield from row("precision", [_rate(tier.get("precision")) for tier in tiers])
    yield from row("signals", [_size(tier.get("precision")) for tier in tiers])
    yield from row("share of decisions", [_number(tier.get("coverage"), ".1%") for tier in tiers])
    yield from row("signals an hour", [_number(tier.get("signals_an_hour"), ".1f") for tier in tiers])
    for rule in _names(_at(tiers[0], "base_rates")):
        yield from row(f"{rule}, same timestamps", [_rate(_at(tier, "base_rates").get(rule)) for tier in tiers])
    for rule in _names(_at(tiers[0], "lift")):
        yield from row(f"lift over {rule}", [_rate(_at(tier, "lift").get(rule), "+.3f") for tier in tiers])
    yield from row("calibration error", [_rate(tier.get("calibration_error")) for tier in tiers])
    yield from row("calibration slope (1 is right)", [_rate(tier.get("calibration_slope"), ".2f") for tier in tiers])
    yield from row("before costs, bps a signal", [_rate(tier.get("gross_bps"), "+.2f") for tier in tiers])
    for cost in _names(_at(tiers[0], "net_bps")):
        yield from row(f"after costs of {cost}, bps a signal", [_rate(_at(tier, "net_bps").get(cost), "+.2f") for tier in tiers])


def _group_rows(groups: Mapping[str, Any]) -> Iterable[Row]:
    for name in _names(groups):
        group = _at(groups, name)
        precision = group.get("precision")
        if _rate(precision) != "-":
            money = (_rate(group.get("gross_bps"), "+.2f"), _rate(group.get("net_bps"), "+.2f"))
            yield (_text(name), _size(precision), _rate(precision), *money)


def _limits(manifest: BundleManifest, report: Mapping[str, Any]) -> Iterable[str]:
    yield (
        f"It was fitted on {', '.join(map(_text, manifest.training.symbols))}. On other symbols, other venues, and after"
        f" {manifest.training.end:%Y-%m-%d} nothing is known of it until it is evaluated there."
    )
    for gate in Gate:
        if manifest.gates[gate] is Verdict.FAIL:
            yield f"{gate.value} failed ({GATE_QUESTIONS[gate]} No)."
        elif manifest.gates[gate] is Verdict.NOT_EVALUATED:
            yield f"{gate.value} was not evaluated ({GATE_QUESTIONS[gate]} Unknown)."
    if _at(report, "seen_before").get("in_sample") is True:
        yield "It was judged on days that it was trained on, so its figures prove nothing."
    if (tried := _count(report.get("configurations_tried"))) is not None:
        yield f"Configurations that its report counts as tried: {tried}. What its maker tried elsewhere is not known."
    yield "It is a statistical forecast and no advice. It contains no market data except the rows of its golden vectors."


def _markdown(head: Row, rows: Iterable[Row], plain: Sequence[int] = ()) -> list[str]:
    lines = [f"| {' | '.join(head)} |".replace("|  |", "| |"), "|" + "---|" * len(head)]
    cells = ([cell if index in plain else _escaped(cell) for index, cell in enumerate(row)] for row in rows)
    return [*lines, *(f"| {' | '.join(row)} |" for row in cells), ""]


def _marked(verdict: Verdict) -> str:
    return f"**{verdict.value}**" if verdict is Verdict.FAIL else verdict.value


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)


def _at(document: Any, *names: str) -> Mapping[str, Any]:
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def _names(document: Mapping[str, Any]) -> list[str]:
    return [name for name in list(document)[:24] if isinstance(document[name], dict)]


def _text(value: object) -> str:
    return in_one_line(readable(value)).strip()[:_MAX_TEXT] if isinstance(value, str) else ""


def _number(value: object, form: str) -> str:
    return f"{value:{form}}" if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else "-"


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15 else None


def _size(estimate: object) -> str:
    found = _count(estimate.get("n")) if isinstance(estimate, dict) else None
    return "-" if found is None else f"{found:,}"


def _rate(estimate: object, form: str = ".3f") -> str:
    if not isinstance(estimate, dict):
        return "-"
    value, low, high = (_number(estimate.get(name), form) for name in ("value", "low", "high"))
    return value if "-" in {low, high} else f"{value} [{low}, {high}]"


def _days(period: Mapping[str, Any]) -> str:
    start, end = (_text(period.get(name)) for name in ("start", "end"))
    return f"{start[:10]} to {end[:10]}" if _DAY.match(start) and _DAY.match(end) else ""
