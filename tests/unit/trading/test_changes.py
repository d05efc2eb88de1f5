"""Change sets: a sum has the facts of both in order, and one without its empty fields is the same."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from signalbox.trading.changes import NO_CHANGES, ChangeSet

FACTS = [field.name for field in fields(ChangeSet) if field.name != "rebooked"]
SETS = st.builds(
    lambda found, rebooked: {**found, "rebooked": rebooked},
    st.dictionaries(st.sampled_from(FACTS), st.lists(st.integers(), max_size=3).map(tuple)),
    st.booleans(),
)


@given(SETS)
def test_change_set_of_facts_is_the_one_with_every_field(facts: dict[str, Any]) -> None:
    assert ChangeSet.of(**facts) == ChangeSet(**facts)
    assert ChangeSet.of(**facts).is_nothing == (ChangeSet(**facts) == NO_CHANGES)
    assert hash(ChangeSet.of(**facts)) == hash(ChangeSet(**facts))
    assert replace(ChangeSet.of(**facts), rebooked=False) == ChangeSet(**{**facts, "rebooked": False})


@given(SETS, SETS)
def test_sum_has_the_facts_of_both_and_what_was_booked_again_replaces_the_disposals(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    expected = {name: one.get(name, ()) + other.get(name, ()) for name in FACTS}
    if other["rebooked"]:
        expected["disposals"] = other.get("disposals", ())
    found = ChangeSet.of(**one) + ChangeSet.of(**other)
    assert found == ChangeSet(**one) + ChangeSet(**other)
    assert found == ChangeSet(**expected, rebooked=one["rebooked"] or other["rebooked"])
