"""Inline SVG elements with all attributes and texts escaped. Hover strips show the value under the pointer without a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from markupsafe import Markup, escape

MAX_STRIPS: Final = 240  # of a picture, so that a strip is at least three pixels wide and the page stays small


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return an SVG element. The attributes `class_` and `text_anchor` are written as class and text-anchor."""
    written = Markup("").join(
        Markup(' {}="{}"').format(name.removesuffix("_").replace("_", "-"), value) for name, value in attributes.items()
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(tag, written, inside) if inside else Markup("<{}{}/>").format(tag, written)


def picture(label: str, width: float, height: float, *children: object) -> Markup:
    """Return a picture of that size in user units, which scrolls where the page is narrower. label: for screen readers."""
    box = f"0 0 {width:.0f} {height:.0f}"
    return Markup('<div class="scroll">{}</div>').format(
        element("svg", *children, class_="fixed", role="img", aria_label=label, viewBox=box)
    )


def words(x: float, y: float, shown: object, **attributes: object) -> Markup:
    """Return a text element at that place."""
    return element("text", shown, x=f"{x:.0f}", y=f"{y:.0f}", **attributes)


def line_through(points: Iterable[tuple[float, float]], **attributes: object) -> Markup:
    """Return a polyline."""
    return element("polyline", points=places(points), **attributes)


def places(points: Iterable[tuple[float, float]]) -> str:
    """Return points in the form of SVG's `points` attribute."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def hover_strips(across: Sequence[float], labels: Sequence[str], top: float, height: float) -> Markup:
    """Return invisible strips over a picture that each show a label on hover, for at most MAX_STRIPS points and the last one.

    across: the x coordinates of the points from left to right, in user units.
    """
    every = max(-(-len(across) // MAX_STRIPS), 1)
    shown = sorted({*range(0, len(across), every), len(across) - 1})
    if len(across) < 2:
        return Markup("")
    xs = [across[i] for i in shown]
    edges = [xs[0], *((a + b) / 2 for a, b in pairwise(xs)), xs[-1]]
    return Markup("").join(
        element(
            "rect",
            element("title", labels[i]),
            class_="hover",
            x=f"{left:.1f}",
            y=f"{top:.1f}",
            width=f"{right - left:.1f}",
            height=f"{height:.1f}",
        )
        for i, (left, right) in zip(shown, pairwise(edges), strict=True)
    )
