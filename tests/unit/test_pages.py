"""The pages lead a newcomer: every link works, every rule is two links from the README, and what code cites exists."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
HOPS: Final = 2
LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
ANCHOR: Final = re.compile(r'<a id="([^"]+)">')
# a record says why a rule is as it is; GitHub lists them below their README, which is two links away
RECORDS: Final = "docs/decisions"
# read in its own place: a template that is filled, and a corpus
NO_PAGES: Final = ("local/cli/notebook/templates", ".github", "tests/corpus")


@cache
def tracked() -> tuple[str, ...]:
    """Return every file of the repository. The folder may be an export without git: then what is there."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return tuple(name for name in listed.stdout.splitlines() if (ROOT / name).exists())
    return tuple(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if ".venv" not in path.parts and path.is_file())


def pages() -> list[str]:
    return [name for name in tracked() if name.endswith(".md") and not name.startswith(NO_PAGES)]


@cache
def text_of(page: str) -> str:
    return FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@cache
def anchors(page: str) -> frozenset[str]:
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return frozenset({slug(heading) for heading in headings} | set(ANCHOR.findall(text_of(page))))


def links(page: str) -> Iterator[tuple[str, str]]:
    """Yield the (file or folder, anchor) of every link to something in the repository."""
    for target in LINK.findall(text_of(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            to = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
            yield to.relative_to(ROOT).as_posix(), anchor


def page_at(target: str) -> str:
    """Return the page that a link to a file or folder shows."""
    return f"{target}/README.md" if (ROOT / target).is_dir() else target


def reached(start: str, hops: int) -> set[str]:
    found = {start}
    for _ in range(hops):
        found |= {page_at(target) for page in found if page.endswith(".md") for target, _ in links(page)}
    return found


@pytest.mark.parametrize("page", pages())
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    broken = [f"{target}#{anchor}" for target, anchor in links(page) if not (ROOT / target).exists()]
    lost = [
        f"{target}#{anchor}"
        for target, anchor in links(page)
        if anchor and target.endswith(".md") and target not in broken and anchor not in anchors(target)
    ]
    assert (broken, lost) == ([], [])


def test_every_rule_is_two_links_from_the_readme() -> None:
    found = reached("README.md", HOPS)
    assert f"{RECORDS}/README.md" in found
    assert [page for page in pages() if page not in found and not page.startswith(RECORDS)] == []


def test_every_rule_and_section_that_code_cites_exists() -> None:
    rules = {name.upper() for name in anchors("docs/style.md") if re.fullmatch(r"r\d+", name)}
    sections = set(re.findall(r"^## (\d+)\. ", text_of("docs/architecture.md"), re.MULTILINE))
    assert len(rules) > 25
    assert len(sections) == 11
    for name, text in sources():
        assert set(re.findall(r"\b(?:style,|rule) (R\d+)\b", text)) <= rules, name
        assert set(re.findall(r"\barchitecture(?:\.md)?, section (\d+)", text)) <= sections, name


def test_every_page_and_decision_that_code_cites_exists() -> None:
    records = {Path(name).name[:4] for name in tracked() if re.match(rf"{RECORDS}/\d{{4}}-", name)}
    absent = {}
    for name, text in sources():
        cited = {path for path in re.findall(r"\bdocs/[\w/.-]*\.md\b", text) if not (ROOT / path).exists()}
        cited |= {number for number in re.findall(r"[Dd]ecisions? (\d{4})\b", text) if number not in records}
        if cited:
            absent[name] = cited
    assert absent == {}


def sources() -> Iterator[tuple[str, str]]:
    for name in tracked():
        if name.endswith((".py", ".sql", ".toml", ".yaml", ".yml", ".jinja")) or name == "Makefile":
            yield name, (ROOT / name).read_text(encoding="utf-8", errors="replace")
