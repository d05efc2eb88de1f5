"""`make gallery`: docs/gallery.md with a picture of each page, from the invented prices of sample_pages.py."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image

from local.browser import browser
from tests.sample_pages import ROOT, write_samples

FOLDER: Final = ROOT / "docs" / "gallery"
COLOURS: Final = 48
MAX_BYTES_OF_ALL: Final = 1_500_000
# page, title, width, height, dark
SHOWN: Final = (
    ("demo", "Demo", 1280, 1500, False),
    ("demo", "Demo in dark", 1280, 1100, True),
    ("demo", "Demo on a phone", 390, 1500, False),
    ("backtest", "Backtest", 1280, 2100, False),
    ("backtest", "Backtest on a phone", 390, 1700, True),
    ("compare", "Two backtests side by side", 1280, 1500, False),
    ("evaluation", "Evaluation of a model", 1280, 1500, False),
    ("catalogue", "Catalogue of models", 1280, 420, False),
    ("model", "Page of a model", 1280, 1500, False),
    ("model", "Page of a model on a phone", 390, 1500, True),
    ("observation", "An observation", 1280, 1500, False),
    ("observation", "An observation on a phone", 390, 1500, True),
    ("signal", "A signal", 1280, 1200, False),
    ("signal", "A signal on a phone", 390, 1400, True),
    ("report-pnl", "Report: profit and loss", 1280, 1300, False),
    ("report-compliance", "Report: compliance", 1280, 1100, False),
    ("report-blotter", "Report: trade blotter", 1280, 900, False),
    ("report-quality", "Report: execution quality", 1280, 900, False),
    ("report-tax", "Report: tax", 1280, 900, True),
    ("report-index", "Index of an account's reports", 1280, 260, False),
)
HEAD: Final = """# Gallery

A picture of each page, and of the price chart as a file, drawn from invented prices. `make gallery` draws them again; it needs
Chromium or Chrome. What the pages say: [backtest](backtest.md), [evaluation](evaluation.md), [reports](reports.md).
"""


def main() -> int:
    """Write the pictures and the page that shows them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = [HEAD]
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        pages = write_samples(Path(folder))
        for name, title, width, height, dark in SHOWN:
            chromium.open(pages[name], width=width, dark=dark)
            file = file_of(title)
            (FOLDER / file).write_bytes(small(chromium.picture(height=height)))
            lines.append(f"## {title}\n![{title}](gallery/{file})\n")
        picture = (pages["demo"].parent / "chart.png").read_bytes()
    (FOLDER / "chart.png").write_bytes(small(picture))
    lines.append("## The price chart as a file\n![Price chart](gallery/chart.png)\n")
    (ROOT / "docs" / "gallery.md").write_text("\n".join(lines), encoding="utf-8")
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    sys.stdout.write(f"{len(lines) - 1} pictures, {size:,} bytes\n")
    return 0 if size <= MAX_BYTES_OF_ALL else 1


def file_of(title: str) -> str:
    """Return the name of the file of a picture."""
    return f"{title.lower().replace(':', '').replace(' ', '-').replace(chr(39), '')}.png"


def small(png: bytes) -> bytes:
    """Return a picture with few colours."""
    sink = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(sink, "png", optimize=True)
    return sink.getvalue()


if __name__ == "__main__":
    sys.exit(main())
