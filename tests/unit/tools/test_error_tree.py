"""docs/errors.md draws the tree that the source has."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from signalbox.errors import SignalboxError
from tools.error_tree import PAGE, error_classes, render


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: make docs"


def test_every_branch_of_the_running_tree_is_on_the_page() -> None:
    """The page is made from text; what Python itself knows after the imports is the proof that nothing is missed."""
    page, here = render(), {"signalbox", "local", "training"}
    for one in error_classes().values():
        if one.module.split(".")[0] in here:
            importlib.import_module(one.module)
    known = {kind.__name__ for kind in subclasses(SignalboxError) if kind.__module__.split(".")[0] in here}
    public = {name for name in known if not name.startswith("_") and name.endswith("Error")}
    assert len(public) > 100
    assert {name for name in public if f"* `{name}` (" not in page} == set()


def subclasses(kind: type[SignalboxError]) -> set[type[SignalboxError]]:
    return set(kind.__subclasses__()).union(*(subclasses(one) for one in kind.__subclasses__()))


def test_every_error_says_when_it_happens() -> None:
    assert [name for name, one in error_classes().items() if not one.summary] == []


def test_two_errors_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.error_tree.REPOSITORY", tmp_path)
    for package in ("one", "two"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "errors.py").write_text("class LostError(Exception):\n    pass\n")
    with pytest.raises(ValueError, match="one class LostError"):
        error_classes({"one": "one", "two": "two"})
