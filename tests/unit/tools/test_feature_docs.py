"""docs/features.md says what the definitions say."""

from __future__ import annotations

from pathlib import Path

from signalbox.features import SCHEMAS
from tools.feature_docs import PAGE, main, render


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text() == render(), "run: python -m tools.feature_docs"


def test_the_page_names_every_feature_once_and_both_hashes() -> None:
    page = render()
    for schema in SCHEMAS.values():
        assert page.count(f"`{schema.hash}`") == 1
        for name in schema.names:
            assert page.count(f"| `{name}` |") == 1


def test_every_row_has_as_many_cells() -> None:
    rows = [line.replace("\\|", "") for line in render().splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) == 50
    assert {row.count("|") for row in rows} == {9}


def test_writing_it_gives_the_page(tmp_path: Path) -> None:
    main(tmp_path / "features.md")
    assert (tmp_path / "features.md").read_text() == render()
