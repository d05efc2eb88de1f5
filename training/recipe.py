"""The training recipe: fit, stop early and weigh, calibrate, freeze thresholds, each on its own period; and the walk-forward.

The weights of the families are learnt on the early-stopping period (weights.py). Of several configurations the one with the
lowest log loss there is chosen. The test period chooses nothing; the daily returns of every configuration on it are kept for gate
G5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from signalbox.inference.ensemble import calibrated
from signalbox.inference.manifest import Calibrator, FrozenThresholds
from signalbox.labels import LabelKind
from training.config import TrainConfig, XgboostConfig
from training.data.dataset import Dataset
from training.data.splits import Span, SplitName
from training.errors import MissingPackageError
from training.fit.calibration import fit_calibrator, freeze_thresholds
from training.fit.members import Family, FamilyName, FitSpeed, FittedMember, Logits, Making, OnProgress
from training.fit.trees import TreeFamily
from training.fit.weights import learn_weights, log_loss
from training.judge.costs import CostModel
from training.judge.overfitting import Trials, daily_returns
from training.judge.scoring import Scored
from training.judge.stability import Stability, by_period

_EFFORT: Final[Mapping[FamilyName, float]] = {"xgboost": 1.0, "lstm": 4.0, "transformer": 3.0}  # relative time, for the bar
Job: TypeAlias = tuple[FamilyName, str, Family]  # family name, key of its members, and what fits them
_HEARD: Final = (SplitName.EARLY_STOPPING, SplitName.CALIBRATION, SplitName.THRESHOLDS)


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """A fitted member, with its logits on the periods for weights, calibration and thresholds."""

    member: FittedMember
    logits: Mapping[SplitName, Logits]


@dataclass(frozen=True, slots=True, eq=False)
class FrozenRecipe:
    """A fitted ensemble with every choice made, frozen before the test period is scored.

    members: the members with a weight above 0, and their weights, which sum to 1.
    stopping_loss, equal_loss: log loss on the early-stopping period with the learnt weights, and with equal family weights.
    """

    name: str
    members: Sequence[tuple[FittedMember, float]]
    family_weights: Mapping[FamilyName, float]
    facts: Sequence[dict[str, Any]]
    stopping_loss: float
    equal_loss: float
    calibrator: Calibrator
    thresholds: FrozenThresholds

    @property
    def window_bars(self) -> int:
        """The longest window of a member in bars; 1 if no member has a window."""
        return max(member.window_bars or 1 for member, _ in self.members)

    def probability(self, data: Dataset, heard: dict[int, Logits] | None = None) -> NDArray[np.float64]:
        """Return (n,) calibrated probabilities.

        heard: a cache of logits for the same decisions, by the id of the member; share it between ensembles with common members.
        """
        kept = {} if heard is None else heard
        total = np.zeros(len(data))
        for member, weight in self.members:
            if id(member) not in kept:
                kept[id(member)] = member.logits(data)
            total += weight * kept[id(member)]
        return calibrated(total, self.calibrator)

    def score(self, data: Dataset, heard: dict[int, Logits] | None = None) -> Scored:
        """Return its scores of the decisions."""
        return Scored.of(data, self.probability(data, heard), self.thresholds)


@dataclass(frozen=True, slots=True, eq=False)
class FoldResults:
    """The walk-forward of a recipe: the chosen configuration on the test of every fold, and all configurations for gate G5."""

    scored: Scored
    stability: Stability
    daily_bps: NDArray[np.float64]  # (days, configurations)
    spans: list[dict[SplitName, Span]]
    chosen: list[str]
    losses: list[float]  # log loss on the test of each fold

    @property
    def tested(self) -> Span:
        """The period from the first fold's test to the end of the last one's."""
        tests = [spans[SplitName.TEST] for spans in self.spans]
        return Span(tests[0].start_ms, tests[-1].end_ms)


def periods_of(data: Dataset, spans: Mapping[SplitName, Span]) -> dict[SplitName, Dataset]:
    """Return the decisions of each period."""
    return {period: data.select(span.rows_of(data)) for period, span in spans.items()}


def families_of(config: TrainConfig, data: Dataset) -> list[Job]:
    """Return the model families to fit, in the run and again in each fold.

    Copies the feature rows to the device once. Raises MissingPackageError.
    """
    jobs: list[Job] = [
        ("xgboost", _trees_key(name), TreeFamily(trees))
        for name, trees in config.candidates.items()
        if isinstance(trees, XgboostConfig)
    ]
    if config.neural:
        require_torch(config)
        from training.fit.neural.family import NeuralFamily, device_rows  # noqa: PLC0415 - torch is there only to train networks

        rows = device_rows(data.tensor)
        jobs += [(name, name, NeuralFamily(name, network, rows)) for name, network in config.neural.items()]
    return jobs


def require_torch(config: TrainConfig) -> None:
    """Raise MissingPackageError if the configuration has neural networks and torch is not installed."""
    if config.neural and find_spec("torch") is None:
        raise MissingPackageError(
            f"{' and '.join(config.neural)}: torch is not installed; run `make training`, "
            "or train only the trees with --families xgboost"
        )


def freeze_all(
    config: TrainConfig, jobs: Sequence[Job], parts: Mapping[SplitName, Dataset], making: Making
) -> tuple[list[FrozenRecipe], list[FitSpeed]]:
    """Return every configuration, fitted and frozen, best first; and how fast each family was fitted.

    The networks are fitted once and used in every configuration, because configurations differ only in their trees.
    """
    whole, done = sum(_EFFORT[name] for name, _, _ in jobs), 0.0
    voices: dict[str, list[Voice]] = {}
    speeds = []
    for name, key, family in jobs:
        share = _EFFORT[name] / whole
        fit = family.fit(
            parts[SplitName.TRAIN],
            parts[SplitName.EARLY_STOPPING],
            replace(making, on_progress=_part_of(making.on_progress, done, share)),
        )
        voices[key] = [Voice(member, {period: member.logits(parts[period]) for period in _HEARD}) for member in fit.members]
        speeds.append(fit.speed)
        done += share
    networks = [voice for name in config.neural for voice in voices[name]]
    found = [_freeze(name, [*voices.get(_trees_key(name), []), *networks], config, parts) for name in config.candidates]
    return sorted(found, key=lambda one: one.stopping_loss), speeds


def run_folds(config: TrainConfig, jobs: Sequence[Job], data: Dataset, cost: CostModel, making: Making) -> FoldResults:
    """Return the walk-forward. In each fold everything is fitted, chosen and frozen anew, on the data known by then."""
    folds = config.walk_forward.spans(data.decided_at_ms)
    fitted, repeated = config.for_folds, [job for job in jobs if job[0] in config.folded]
    probability, issued, high = np.full(len(data), np.nan), np.zeros(len(data), np.bool_), np.zeros(len(data), np.bool_)
    daily, chosen, losses, tests = [], [], [], {}
    for i, spans in enumerate(folds):
        own = replace(making, place=f"fold-{i}", on_progress=_part_of(making.on_progress, i / len(folds), 1 / len(folds)))
        frozen, _ = freeze_all(fitted, repeated, periods_of(data, spans), own)
        rows = spans[SplitName.TEST].rows_of(data)
        test, heard = data.select(rows), dict[int, Logits]()
        scored = {one.name: one.score(test, heard) for one in frozen}
        best = scored[frozen[0].name]
        probability[rows], issued[rows], high[rows] = best.probability_up, best.issued, best.high
        daily.append(np.column_stack([daily_returns(scored[name], cost) for name in fitted.candidates]))
        chosen.append(frozen[0].name)
        losses.append(_loss_of(best))
        making.on_epoch("folds", i, {"test_loss": losses[-1], "stopping_loss": frozen[0].stopping_loss})
        tests[f"{spans[SplitName.TEST].start:%Y-%m-%d}"] = rows
    tested = ~np.isnan(probability)
    pooled = Scored(data.select(tested), probability[tested], issued[tested], high[tested])
    stability = by_period("fold", pooled, {name: rows[tested] for name, rows in tests.items()}, cost)
    return FoldResults(pooled, stability, np.concatenate(daily), folds, chosen, losses)


def trials_of(frozen: Sequence[FrozenRecipe], test: Dataset | None, folds: FoldResults | None, cost: CostModel) -> Trials:
    """Return the tried configurations with out-of-sample daily returns: from the folds if there are any, else from the test."""
    if folds is not None:
        return Trials(len(frozen), folds.daily_bps)
    if test is None:
        return Trials(len(frozen))
    in_order, heard = sorted(frozen, key=lambda one: one.name), dict[int, Logits]()
    return Trials(len(frozen), np.column_stack([daily_returns(one.score(test, heard), cost) for one in in_order]))


def _trees_key(candidate: str) -> str:
    return f"xgboost {candidate}"


def _freeze(name: str, voices: Sequence[Voice], config: TrainConfig, parts: Mapping[SplitName, Dataset]) -> FrozenRecipe:
    label = parts[SplitName.EARLY_STOPPING].label.astype(np.float64)
    families = sorted({voice.member.family for voice in voices}, key=lambda one: list(_EFFORT).index(one))
    counts = {family: sum(voice.member.family == family for voice in voices) for family in families}
    heard = np.column_stack([_mean(voices, family, SplitName.EARLY_STOPPING) for family in families])
    learnt = dict(zip(families, _weights(heard, label, config), strict=True))
    own = [learnt[voice.member.family] / counts[voice.member.family] for voice in voices]

    def together(period: SplitName) -> Logits:
        summed: Logits = np.sum([weight * voice.logits[period] for weight, voice in zip(own, voices, strict=True)], axis=0)
        return summed

    calibrator = fit_calibrator(together(SplitName.CALIBRATION), parts[SplitName.CALIBRATION], parts[SplitName.TRAIN])
    margins = calibrated(together(SplitName.THRESHOLDS), calibrator)
    return FrozenRecipe(
        name=name,
        members=[(voice.member, weight) for weight, voice in zip(own, voices, strict=True) if weight > 0],
        family_weights=learnt,
        facts=[{**voice.member.facts, "weight": weight} for weight, voice in zip(own, voices, strict=True)],
        stopping_loss=_fitted_loss(together(SplitName.EARLY_STOPPING), parts[SplitName.EARLY_STOPPING]),
        equal_loss=_fitted_loss(heard.mean(axis=1), parts[SplitName.EARLY_STOPPING]),
        calibrator=calibrator,
        thresholds=freeze_thresholds(margins, config.coverage),
    )


def _fitted_loss(score: Logits, data: Dataset) -> float:
    """Return the loss that members are fitted by: log loss of logits, or mean squared error of returns in volatilities."""
    if data.contract.label is LabelKind.DIRECTION:
        return log_loss(score, data.label.astype(np.float64))
    return float(np.mean((score - data.target) ** 2))


def _weights(heard: NDArray[np.float64], label: NDArray[np.float64], config: TrainConfig) -> list[float]:
    weights: list[float] = learn_weights(heard, label, config.weights.shrinkage).tolist()
    return weights


def _mean(voices: Sequence[Voice], family: FamilyName, period: SplitName) -> Logits:
    mean: Logits = np.mean([voice.logits[period] for voice in voices if voice.member.family == family], axis=0)
    return mean


def _loss_of(scored: Scored) -> float:
    """Return the log loss of "up"; of a contract with barriers, of the chosen side's being right."""
    if scored.data.sides is not None:
        sure = np.clip(scored.confidence, 1e-12, 1.0 - 1e-12)
        return float(-np.mean(np.where(scored.hit > 0, np.log(sure), np.log1p(-sure))))
    up = np.clip(scored.probability_up, 1e-12, 1.0 - 1e-12)
    return float(-np.mean(np.where(scored.data.label > 0, np.log(up), np.log1p(-up))))


def _part_of(on_progress: OnProgress, done: float, share: float) -> OnProgress:
    return lambda fraction: on_progress(done + share * fraction)
