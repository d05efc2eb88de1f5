"""Reads `cdk/stages/<stage>.toml`. Each error is one line with the file and the keys that it may have."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

FOLDER: Final = Path(__file__).resolve().parent / "stages"


class StageError(ValueError):
    """A stage has no file, or cannot be deployed with its settings. One line per error, each with the remedy."""


def stage_names(folder: Path = FOLDER) -> tuple[str, ...]:
    """Return the names of the stages that have a file."""
    return tuple(sorted(path.stem for path in folder.glob("*.toml")))


def stage_file(name: str, folder: Path = FOLDER) -> Path:
    """Return the file of a stage. Raises StageError for an unknown stage."""
    if name not in stage_names(folder):
        raise StageError(f"expected stage {' | '.join(stage_names(folder))}, got {name!r}")
    return folder / f"{name}.toml"


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings in a stage's file. Raises StageError if it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StageError(f"{path} is not valid TOML: {error}") from None


def stage_error(error: ValidationError, model: type[BaseModel], source: str, hidden: Sequence[str] = ()) -> StageError:
    """Return pydantic's findings as an error with one line per finding, which names the source.

    hidden: fields that a file cannot set.
    """
    lines = []
    for finding in error.errors(include_url=False, include_context=False):
        place = [str(part) for part in finding["loc"]]
        where = ".".join(place)
        if finding["type"] == "extra_forbidden":
            known = ", ".join(sorted(set(_model_at(model, place[:-1]).model_fields) - set(hidden)))
            lines.append(f"{source}: unknown key {where}; known keys: {known}")
        elif finding["type"] == "missing":
            lines.append(f"{source}: expected the key {where}, got none")
        else:
            was = "" if isinstance(finding["input"], Mapping) or not where else f", got {finding['input']!r}"
            lines.append(f"{source}: {where + ': ' if where else ''}{finding['msg'].removeprefix('Value error, ')}{was}")
    return StageError("\n".join(lines))


def _model_at(model: type[BaseModel], place: Sequence[str]) -> type[BaseModel]:
    for part in place:
        kind = model.model_fields[part].annotation
        model = next(one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, BaseModel))
    return model
