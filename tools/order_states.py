"""Write docs/orders.md from the transition table: `python -m tools.order_states`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from signalbox.orders.state_page import state_page

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "orders.md"

if __name__ == "__main__":
    PAGE.write_text(state_page(), encoding="utf-8")
