from __future__ import annotations

from pathlib import Path

import pytest

from signalbox.labels import LabelKind
from training.config import BASE, QUICK, STANDARD, read_config
from training.data.walk_forward import MIN_FOLDS
from training.errors import ConfigError

FULL = QUICK.with_name("full.toml")
VARIANT = '\n[[variants]]\nname = "deep"\nmax_depth = 6\n'


def changed(folder: Path, old: str, new: str) -> Path:
    reported = QUICK.read_text()
    assert old in reported
    path = folder / "changed.toml"
    path.write_text(reported.replace(old, new, 1))
    return path


def test_quick_configuration_is_whole() -> None:
    config = read_config(QUICK)
    assert list(config.candidates) == [BASE]
    assert config.xgboost is not None
    assert config.xgboost.parameters(LabelKind.DIRECTION)["nthread"] == config.xgboost.threads == 2
    assert "members" not in config.xgboost.parameters(LabelKind.DIRECTION)
    assert config.folds == 0
    assert config.families == ["xgboost", "lstm", "transformer"]
    assert config.window_bars == 60


def test_full_configuration_folds_all_families_at_full_size() -> None:
    config = read_config(FULL)
    assert config.folds >= MIN_FOLDS
    assert config.folds_are_whole
    assert config.lstm is not None
    assert (config.lstm.hidden, config.lstm.layers, config.lstm.bidirectional) == (128, 3, True)
    assert all(network.members >= 3 for network in config.neural.values())


def test_standard_configuration_is_refitted_and_needs_no_torch() -> None:
    config = read_config(STANDARD)
    assert config.refit is not None
    assert config.refit.calibration_days >= 36
    assert config.neural == {}
    assert config.folds_are_whole
    assert config.xgboost is not None
    assert config.xgboost.patience == 0


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("folds = 6", "folds = 0", "refit: the walk-forward is the judgement; expected folds of at least 6"),
        ("patience = 0", "patience = 40", "expected families = .*patience = 0 and no variants"),
        ("calibration_days = 36", "calibration_days = 24", "refit.calibration_days: Input should be greater than or equal to 36"),
        ("[refit]", "[periods]", "periods.train: Field required"),
        (
            "[coverage]",
            "[periods]\ntrain = 0.6\nearly_stopping = 0.1\ncalibration = 0.1\nthresholds = 0.1\ntest = 0.1\n[coverage]",
            "expected either .periods. .* or .refit.",
        ),
        ("reg_lambda = 20.0", 'reg_lambda = 20.0\n[[variants]]\nname = "deep"\nmax_depth = 6', "and no variants"),
    ],
)
def test_refit_that_cannot_be_judged_is_refused(tmp_path: Path, old: str, new: str, fault: str) -> None:
    text = STANDARD.read_text()
    assert old in text
    path = tmp_path / "standard.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=fault):
        read_config(path)


def test_families_of_the_command_line_leave_the_other_sections_alone() -> None:
    config = read_config(QUICK, families=["xgboost"])
    assert config.families == ["xgboost"]
    assert config.neural == {}
    assert config.window_bars == 1
    trees_apart = read_config(QUICK, families=["lstm", "transformer"])
    assert list(trees_apart.candidates.values()) == [None]
    with pytest.raises(ConfigError, match=r"families\.0"):
        read_config(QUICK, families=["oracle"])


def test_family_without_its_section_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.toml"
    path.write_text(QUICK.read_text().partition("[transformer]")[0])
    with pytest.raises(ConfigError, match=r"no section \[transformer\]"):
        read_config(path)
    assert read_config(path, families=["lstm"]).transformer is None


def test_folds_of_some_families_are_not_folds_of_the_recipe(tmp_path: Path) -> None:
    config = read_config(changed(tmp_path, "folds = 0", 'folds = 6\nfold_families = ["xgboost"]'))
    assert not config.folds_are_whole
    assert config.for_folds.families == ["xgboost"]
    with pytest.raises(ConfigError, match="fold_families: lstm must also be in families"):
        read_config(changed(tmp_path, "folds = 0", 'folds = 6\nfold_families = ["lstm"]'), families=["xgboost"])


def test_command_line_has_the_last_word() -> None:
    config = read_config(QUICK, folds=8, seed=0)
    assert (config.folds, config.seed) == (8, 0)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("seed = 7", "seed = 7\nsped = 1", "sped: Extra inputs are not permitted"),
        ("max_depth = 4", "max_depth = 4\ndepth = 4", "xgboost.depth: Extra inputs"),
        ("eta = 0.04\n", "", "xgboost.eta: Field required"),
        ('families = ["xgboost", ', 'families = ["oracle", ', "families.0: Input should be 'xgboost', 'lstm' or 'transformer'"),
        ('families = ["xgboost", ', 'families = ["lstm", ', "families: expected each family once"),
        ("[lstm]", "[lstmm]", "lstmm: Extra inputs"),
        ("folds = 0", 'folds = 0\nfold_families = ["oracle"]', "fold_families.0: Input should be"),
        ("folds = 0", "folds = 0\nfold_families = []", "fold_families is empty: name at least one family"),
        ("hidden = 32\n", "", "lstm.hidden: Field required"),
        ("heads = 4", "heads = 5", "transformer: .*multiple of heads, got 32 and 5"),
        ("patch_bars = 5", "patch_bars = 7", "transformer: .*multiple of patch_bars, got 60 and 7"),
        ("window_bars = 60 # the past hour", "window_bars = 1", "lstm.window_bars: Input should be greater"),
        ('precision = "auto"', 'precision = "fp8"', "lstm.precision: Input should be 'auto'"),
        ("seed = 7", 'seed = "7"', "seed: Input should be a valid integer"),
        ("folds = 0", "folds = 5", "at least 6, got 5"),
        ("train = 0.66", "train = 0.76", "they sum to 1.1"),
        ("high = 0.10", "high = 0.30", "expected high <= issue, got high 0.3 and issue 0.2"),
        ("seed = 7", "seed = ", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        read_config(changed(tmp_path, old, new))


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    path = changed(tmp_path, 'families = ["xgboost", ', 'families = ["oracle", ')
    path.write_text(path.read_text().replace("eta = 0.04\n", ""))
    with pytest.raises(ConfigError, match=r"families.*xgboost\.eta"):
        read_config(path)


def test_variants_change_what_they_name_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text(QUICK.read_text() + VARIANT)
    base, deep = read_config(path).candidates.values()
    assert base is not None
    assert deep is not None
    assert (base.max_depth, deep.max_depth) == (4, 6)
    assert deep.model_copy(update={"max_depth": 4}) == base
    path.write_text(path.read_text() + VARIANT)
    with pytest.raises(ConfigError, match="each name must be unique"):
        read_config(path)


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: cannot be read"):
        read_config(tmp_path / "no.toml")
