from __future__ import annotations

from pathlib import Path

import pytest

from training.config import BASE, QUICK, read_config
from training.errors import ConfigError

VARIANT = '\n[[variants]]\nname = "deep"\nmax_depth = 6\n'


def changed(folder: Path, old: str, new: str) -> Path:
    told = QUICK.read_text()
    assert old in told
    path = folder / "changed.toml"
    path.write_text(told.replace(old, new, 1))
    return path


def test_quick_configuration_is_whole() -> None:
    config = read_config(QUICK)
    assert list(config.candidates) == [BASE]
    assert config.xgboost.parameters["nthread"] == config.xgboost.threads == 2
    assert "members" not in config.xgboost.parameters
    assert config.folds == 0


def test_command_line_has_the_last_word() -> None:
    config = read_config(QUICK, folds=8, seed=0)
    assert (config.folds, config.seed) == (8, 0)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("seed = 7", "seed = 7\nsped = 1", "sped: Extra inputs are not permitted"),
        ("max_depth = 4", "max_depth = 4\ndepth = 4", "xgboost.depth: Extra inputs"),
        ("eta = 0.04\n", "", "xgboost.eta: Field required"),
        ('family = "xgboost"', 'family = "oracle"', "family: Input should be 'xgboost'"),
        ("seed = 7", 'seed = "7"', "seed: Input should be a valid integer"),
        ("folds = 0", "folds = 5", "at least 6 folds, was 5"),
        ("train = 0.66", "train = 0.76", "sum to 1, was 1.1"),
        ("high = 0.10", "high = 0.30", "expected high <= issue"),
        ("seed = 7", "seed = ", "expected TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        read_config(changed(tmp_path, old, new))


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    path = changed(tmp_path, 'family = "xgboost"', 'family = "oracle"')
    path.write_text(path.read_text().replace("eta = 0.04\n", ""))
    with pytest.raises(ConfigError, match=r"family.*xgboost\.eta"):
        read_config(path)


def test_variants_change_what_they_name_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text(QUICK.read_text() + VARIANT)
    base, deep = read_config(path).candidates.values()
    assert (base.max_depth, deep.max_depth) == (4, 6)
    assert deep.model_copy(update={"max_depth": 4}) == base
    path.write_text(path.read_text() + VARIANT)
    with pytest.raises(ConfigError, match="different names"):
        read_config(path)


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: cannot be read"):
        read_config(tmp_path / "no.toml")
