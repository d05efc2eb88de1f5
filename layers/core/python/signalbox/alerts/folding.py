"""Which waiting alerts of one chat come in one message. Nothing is left out and the order is kept."""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.chat.styled import MESSAGE_UNITS, StyledText, joined, units

_BETWEEN = "\n\n"


def fold(texts: Sequence[StyledText], headline: StyledText, *, fold_from: int, limit: int = MESSAGE_UNITS) -> list[list[int]]:
    """Return the places of the texts that share a message, in order.

    Fewer than `fold_from` texts each keep a message of their own, as does a text that fits beside no other.
    """
    if len(texts) < fold_from:
        return [[place] for place in range(len(texts))]
    groups: list[list[int]] = []
    room = 0
    for place, text in enumerate(texts):
        needed = units(text.text) + len(_BETWEEN)
        if not groups or needed > room:
            groups.append([])
            room = limit - units(headline.text)
        groups[-1].append(place)
        room -= needed
    return groups


def folded(texts: Sequence[StyledText], headline: StyledText) -> StyledText:
    """Return the texts of one message; the headline says how many there are, if more than one."""
    return texts[0] if len(texts) == 1 else joined((headline, *texts), _BETWEEN)
