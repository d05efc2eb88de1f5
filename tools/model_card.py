"""Writes docs/model-card-starter.md, the card of the starter bundle with its makers' notes. Run `make docs`; a test checks it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from signalbox.library.card import card_markdown, read_card

REPOSITORY: Final = Path(__file__).resolve().parents[1]
BUNDLE: Final = REPOSITORY / "training" / "starter_bundle"
NOTES: Final = Path(__file__).with_name("model_card_notes.txt")
PAGE: Final = REPOSITORY / "docs" / "model-card-starter.md"


def page() -> str:
    """Return the page as it should be."""
    return card_markdown(read_card(BUNDLE), notes=NOTES.read_text(encoding="utf-8"))


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
