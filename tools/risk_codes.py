"""Write docs/risk-codes.md from the codes themselves: `python -m tools.risk_codes`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from signalbox.risk.codes import codes_page

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "risk-codes.md"

if __name__ == "__main__":
    PAGE.write_text(codes_page(), encoding="utf-8")
