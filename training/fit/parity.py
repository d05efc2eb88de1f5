"""How far an exported ONNX graph may be from the model it came from. Apart from export.py, which needs the packages of a fit."""

from __future__ import annotations

from typing import Final

PARITY_TOLERANCE: Final = 1e-5  # largest difference of a probability
