"""Instants as a person types them."""

from __future__ import annotations

from datetime import UTC, datetime

import typer


def parse_instant(text: str | None) -> datetime | None:
    """Return an aware UTC instant from ISO 8601; without an offset it is UTC. Raises typer.BadParameter."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected ISO 8601 as in 2024-03-01T12:00, was {text!r}") from error
    return (instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)).astimezone(UTC)
