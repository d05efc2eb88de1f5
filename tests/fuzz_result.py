"""What a fuzzer reports of its inputs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Fuzzed:
    """The outcome of the inputs, by kind. escaped: number, kind and error of each that ended in an unexpected way."""

    inputs: int = 0
    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    escaped: list[tuple[int, str, str]] = field(default_factory=list)
    peak_mib: float = 0.0  # the most memory, where it is measured
