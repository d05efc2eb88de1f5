"""The look that every page shares: whatever a value holds, it is text; a picture says its figures without a script."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, UndefinedError, meta
from markupsafe import Markup, escape
from typing_extensions import override

from signalbox.reports.drawing import MAX_STRIPS, element, hover_strips, picture, words
from signalbox.reports.page import TEMPLATES, Table, badge, coloured, render
from signalbox.reports.price_chart import page_script
from signalbox.reports.report import SHOWN_ROWS, Section, rows_table

ROOT = Path(__file__).parents[3]
TEMPLATE_FILES = [p for top in ("layers", "local", "training") for p in sorted((ROOT / top).rglob("templates/*.*"))]
HOSTILE = "</td></p></h1><script>alert(1)</script><b x='1' y=\"2\">&amp;"
# Without what HTML itself changes: control characters, and surrogates, which no file holds.
texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1).map(lambda found: found + HOSTILE)


class Tags(HTMLParser):
    """The start tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += "".join(value or "" for _, value in attrs)

    @override
    def handle_data(self, data: str) -> None:
        self.text += data


class Shown:
    """What the template of a report asks for."""

    def __init__(self, said: str) -> None:
        self.title = self.headline = self.warning = self.reading = self.closing = said
        self.is_empty = False
        self.figures = {said: said}
        drawn = picture(said, 10, 10, words(1, 1, said, fill=said), element("g", element("title", said)))
        self.sections = (
            Section(said, Table([said, said], [[said, badge(said, said)], [coloured(said), said]], (1,), left_out=1), said),
            Section(said, drawn, said),
            Section(said, Table([said], ()), said),
        )


@given(texts)
def test_every_value_of_a_page_is_text_wherever_it_stands(said: str) -> None:
    plain, hostile = (Tags(render(TEMPLATES / "report.html.jinja", title=t, report=Shown(t))) for t in ("plain", said))
    assert hostile.tags == plain.tags
    assert hostile.text.count(said) == plain.text.count("plain") == 26


def test_a_value_that_the_template_names_and_nobody_gave_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="report"):
        render(TEMPLATES / "report.html.jinja", title="t")


def test_a_table_that_is_joined_as_text_is_an_error_and_not_shown_escaped(tmp_path: Path) -> None:
    page = tmp_path / "joined.html.jinja"
    page.write_text('{{ "" ~ shown }}')
    with pytest.raises(TypeError, match="a table is markup"):
        render(page, shown=Table(["a"], [["b"]]))


PLAIN = ("title", "verdict", "heading", "period", "equity_note", "passing_note")


@pytest.mark.parametrize("path", [p for p in TEMPLATE_FILES if p.name in {"evaluation.html.jinja", "backtest.html.jinja"}])
def test_every_part_of_a_page_about_a_model_stands_on_it_as_markup(path: Path) -> None:
    folder = ROOT / "training" / "write" / "templates"
    files = (path, folder / "verdict.html.jinja", TEMPLATES / "page.html.jinja")
    asked = set().union(*(meta.find_undeclared_variables(Environment(autoescape=True).parse(f.read_text())) for f in files))
    parts = {
        name: Table(["is"], [[f"part {name}"]]) for name in asked - {*PLAIN, "tone", "figures", "section", "cards", "script"}
    }
    page = render(path, folder, **parts, **dict.fromkeys(PLAIN, "words"), tone="ok", figures={"a": "b"}, script=page_script())
    assert len(parts) >= 10
    assert all(page.count(f"<td>part {name}</td>") == 1 for name in parts)
    empty = {name: Table(["is"], ()) for name in parts}
    page = render(path, folder, **empty, **dict.fromkeys(PLAIN, "words"), tone="ok", figures={"a": "b"}, script=page_script())
    assert page.count('<p class="soft">none</p>') == page.count("<h2>") >= 10


def test_a_row_of_another_length_than_the_head_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a row of 2 cells"):
        Table(["a", "b"], [["1", "2"], ["3"]])


@given(st.integers(0, 2 * SHOWN_ROWS))
def test_a_long_table_shows_the_newest_rows_and_counts_the_others(count: int) -> None:
    found = rows_table(["n"], ([n] for n in range(count)))
    assert [row[0] for row in found.rows] == list(range(count))[-SHOWN_ROWS:]
    assert found.left_out + len(found.rows) == count
    assert (f"{found.left_out} earlier rows" in escape(found)) is (found.left_out > 0)
    assert bool(found) is (count > 0)


@given(st.integers(2, 5_000))
def test_strips_cover_the_picture_without_a_gap_and_stay_few(count: int) -> None:
    across = [10.0 + i for i in range(count)]
    drawn = hover_strips(across, [f"<{i}>" for i in range(count)], 5.0, 50.0)
    found = [
        (float(x), float(width), int(label))
        for x, width, label in re.findall(r'x="([0-9.]+)" y="5.0" width="([0-9.]+)" height="50.0"><title>&lt;(\d+)&gt;', drawn)
    ]
    assert 2 <= len(found) <= MAX_STRIPS + 1
    assert found[0][0] == across[0]
    assert found[-1][0] + found[-1][1] == pytest.approx(across[-1], abs=0.2)
    assert found[-1][2] == count - 1
    for (x, width, label), (following, _, _) in pairwise(found):
        assert x + width == pytest.approx(following, abs=0.2)
        assert x - 0.1 <= across[label] <= x + width + 0.1


def test_one_point_has_no_strips() -> None:
    assert hover_strips([1.0], ["a"], 0, 1) == Markup("")


@pytest.mark.parametrize("path", TEMPLATE_FILES, ids=lambda path: path.name)
def test_a_template_loads_nothing_runs_nothing_and_marks_nothing_safe(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe\b|autoescape|<script|\bon\w+=|url\(|@import", source)
    # a file loads nothing; the page of the stand-in is served, and shows photos of its own random address
    assert not re.search(r'(?:src|href)="(?!data:|\{\{ address \}\}/)', source)
