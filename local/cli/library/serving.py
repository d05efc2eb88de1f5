"""Declares `signalbox library serve` for typer."""

from __future__ import annotations

import typer


def add_serving(library_app: typer.Typer) -> None:
    """Add the command to the group `library`."""
