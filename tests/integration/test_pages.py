"""How pages are laid out, in headless Chromium, as wide as a desktop and a phone, light and dark: nothing runs over or is cut.

One browser for all pages. Structure is checked, not pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.browser import Browser, BrowserError, browser, browser_path
from signalbox.reports.page import render
from tests.gallery import FOLDER, MAX_BYTES_OF_ALL, SHOWN, file_of
from tests.sample_pages import ROOT, write_samples

WIDTHS = (1280, 390)
LEAST_CONTRAST = 4.5  # WCAG 2.2, level AA, of normal text
MAX_BYTES = 1_500_000

# What is wrong with a page as a list of sentences.
CHECK = """(() => {
  const wrong = [], root = document.documentElement;
  if (root.scrollWidth > root.clientWidth + 1) wrong.push(`the page is ${root.scrollWidth} wide`);
  const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const colour = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const c = colour(getComputedStyle(node).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = walker.nextNode());) {
    const said = text.textContent.trim(), parent = text.parentElement;
    if (!said || parent.closest('script,style,noscript,title,svg,option') || !parent.checkVisibility()) continue;
    const style = getComputedStyle(parent), range = document.createRange();
    range.selectNodeContents(text);
    const box = range.getBoundingClientRect(), name = `"${said.slice(0, 40)}"`;
    if (!box.width) continue;
    const scrolls = parent.closest('.scroll');
    if (!scrolls && (box.left < -1 || box.right > root.clientWidth + 1)) wrong.push(`${name} is cut by the edge`);
    for (let up = parent; up && up !== document.body; up = up.parentElement) {
      const limit = getComputedStyle(up), around = up.getBoundingClientRect();
      if (limit.overflowX === 'hidden' && box.right > around.right + 1) wrong.push(`${name} is cut`);
    }
    if (parseFloat(style.fontSize) < 11) wrong.push(`${name} is ${style.fontSize} high`);
    const a = light(colour(style.color)), b = light(behind(parent)), contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < LEAST) wrong.push(`${name} has a contrast of ${contrast.toFixed(2)}`);
  }
  for (const plot of document.querySelectorAll('.plot')) {
    for (const axis of ['.tx', '.ty']) {
      const boxes = [...plot.querySelectorAll(axis)].map(one => one.getBoundingClientRect()).filter(box => box.width);
      boxes.sort((p, q) => p.left - q.left || p.top - q.top);
      boxes.slice(1).forEach((box, i) => {
        const last = boxes[i], beside = box.left >= last.right - 1 || box.top >= last.bottom - 1 || last.top >= box.bottom - 1;
        if (!beside) wrong.push(`labels of ${axis} lie on each other`);
      });
    }
  }
  for (const card of document.querySelectorAll('.card')) {
    const figure = card.querySelector('b'), range = document.createRange();
    range.selectNodeContents(figure);
    const lines = new Set([...range.getClientRects()].filter(box => box.width).map(box => Math.round(box.top))).size;
    if (figure.textContent.trim().length <= 18 && lines > 1) wrong.push(`"${figure.textContent}" is broken over ${lines} lines`);
    if (card.scrollWidth > card.clientWidth + 1) wrong.push(`the card "${card.textContent.slice(0, 40)}" runs over`);
  }
  return [...new Set(wrong)];
})()""".replace("LEAST", str(LEAST_CONTRAST))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    try:
        browser_path()
    except BrowserError as error:
        pytest.skip(str(error))
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_samples(tmp_path_factory.mktemp("pages"))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_runs_over_or_is_cut_and_every_text_can_be_read(
    pages: dict[str, Path], chromium: Browser, width: int, *, dark: bool
) -> None:
    assert len(pages) == 15
    wrong = {}
    for name, page in pages.items():
        assert page.stat().st_size < MAX_BYTES
        chromium.open(page, width=width, dark=dark)
        if found := chromium.evaluate(CHECK):
            wrong[name] = found
    assert wrong == {}


@pytest.mark.parametrize("count", range(1, 14))
def test_a_long_figure_stands_on_one_line_and_rows_of_figures_are_even(chromium: Browser, tmp_path: Path, count: int) -> None:
    figures = ["1,234,567.89 USD", "-12,345,678.90", "24.00 (0.03 %)", "100,012.34", "30.0% / 38.3%", "no loss rules"]
    page = tmp_path / "page.html"
    template = tmp_path / "cards.html.jinja"
    template.write_text(
        '{% extends "page.html.jinja" %}{% from "parts.html.jinja" import cards %}'
        '{% block body %}{{ cards(figures, "lead") }}{% endblock %}'
    )
    shown = {f"what it counts, {i}": figures[i % len(figures)] for i in range(count)}
    page.write_text(render(template, tmp_path, title="cards", figures=shown), encoding="utf-8")
    for width in WIDTHS:
        chromium.open(page, width=width)
        assert chromium.evaluate(CHECK) == [], width
        tops = chromium.evaluate(
            "[...document.querySelectorAll('.card')].map(one => Math.round(one.getBoundingClientRect().top))"
        )
        rows = [tops.count(top) for top in sorted(set(tops))]
        assert rows[-1] >= rows[0] - len(rows), rows  # no figure is left alone below a full row


def test_the_gallery_shows_every_page_and_nothing_else() -> None:
    """A template that other templates extend is no page."""
    templates = [path for folder in ("layers", "local", "training") for path in (ROOT / folder).rglob("*.jinja")]
    texts = {path: path.read_text(encoding="utf-8") for path in templates}
    bases = {path for path in texts if any(f'extends "{path.name}"' in text for text in texts.values())}
    page_of = {"replay/replay": "demo", "report/index": "report-index", "library/index": "catalogue"}
    of_pages = set()
    for path, text in texts.items():
        if "{% extends " in text and path not in bases:
            name = path.name.partition(".")[0]
            of_pages.add(page_of.get(f"{path.parents[1].name}/{name}", name))
    names = {name for name, *_ in SHOWN}
    assert of_pages - {"report"} <= names
    assert "report" in of_pages  # of which each kind is shown
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    files = [file_of(title) for _, title, *_ in SHOWN]
    assert [file for file in (*files, "chart.png") if f"(gallery/{file})" not in page] == []
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted([*files, "chart.png"])
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= MAX_BYTES_OF_ALL


def test_every_page_that_is_written_is_in_the_gallery(pages: dict[str, Path]) -> None:
    assert {name for name, *_ in SHOWN} == pages.keys() - {"other-backtest"}  # of one kind with "backtest"


def test_the_check_sees_what_is_wrong(chromium: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<meta name="viewport" content="width=device-width">'
        '<body style="margin:0;background:#fff"><p style="width:900px">wide</p><p style="color:#bbb">pale</p>'
        '<p style="font-size:8px">tiny</p><div style="overflow:hidden;width:20px;white-space:nowrap">cut off here</div>'
    )
    chromium.open(page, width=390)
    found = " ".join(chromium.evaluate(CHECK))
    assert [word for word in ("wide", "contrast", "8px", "is cut") if word not in found] == [], found


def test_the_chart_zooms_changes_its_symbol_and_opens_a_trade(pages: dict[str, Path], chromium: Browser) -> None:
    chromium.open(pages["backtest"])
    period = "[...document.querySelectorAll('input[type=datetime-local]')].map(one => one.value).join()"
    seen = "document.querySelector('canvas').getAttribute('aria-label')"
    frame = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))"
    whole = chromium.evaluate(period)
    wheel = (
        "document.querySelector('canvas').dispatchEvent(new WheelEvent('wheel', {deltaY: -1, clientX: 500, cancelable: true}))"
    )
    chromium.evaluate(f"{wheel}; {frame}")
    assert chromium.evaluate(period) != whole
    pick = "(() => { const pick = document.querySelector('.price select'); pick.value = 1; pick.onchange(); })()"
    chromium.evaluate(f"{pick}; {frame}")
    assert chromium.evaluate(seen).startswith("ETH-USD")
    row = "document.querySelector('.rows tbody tr')"
    symbol, opened = chromium.evaluate(f"[{row}.cells[1].textContent, {row}.cells[0].textContent]")
    chromium.evaluate(f"{row}.click(); {frame}")
    found = chromium.evaluate(seen)
    assert found.startswith(f"{symbol}: ")
    assert opened[:10] in found
    assert " 0 trades" not in found


def test_the_table_of_trades_sorts_and_filters(pages: dict[str, Path], chromium: Browser) -> None:
    chromium.open(pages["backtest"])
    rows = "[...document.querySelectorAll('.rows tbody tr')]"
    column = f"{rows}.map(row => parseFloat(row.cells[11].textContent.replace(/,/g, '')))"
    chromium.evaluate("document.querySelectorAll('.rows th button')[11].click()")
    profits = chromium.evaluate(column)
    assert profits == sorted(profits, reverse=True)
    assert len(profits) > 10
    pick = "[...document.querySelectorAll('[data-kit=table] select')][1]"
    chromium.evaluate(f"{pick}.value = 'SELL'; {pick}.onchange()")
    sides = chromium.evaluate(f"{rows}.map(row => row.cells[2].textContent)")
    assert set(sides) == {"SELL"}


def test_a_report_prints_as_pdf_and_a_page_has_a_picture(pages: dict[str, Path], chromium: Browser) -> None:
    chromium.open(pages["report-pnl"])
    assert chromium.pdf().startswith(b"%PDF-")
    width, _ = struct.unpack(">II", chromium.picture()[16:24])
    assert width == 1280


def test_a_machine_without_a_browser_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BrowserError, match="install one, or leave out --pdf"):
        browser_path()
