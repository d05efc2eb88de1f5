from dataclasses import dataclass, replace

import pytest
from pydantic import ValidationError

from signalbox.frozen import Changing, FrozenModel


class Limit(FrozenModel):
    price: int
    floor: int | None = None


def test_a_field_that_nobody_declared_is_refused_and_named() -> None:
    with pytest.raises(ValidationError, match="flor"):
        Limit.model_validate({"price": 1, "flor": 2})


def test_nothing_changes_afterwards() -> None:
    limit = Limit(price=1)
    with pytest.raises(ValidationError, match="frozen"):
        limit.price = 2  # type: ignore[misc]
    assert limit == Limit(price=1)


def test_a_model_above_it_may_say_more_about_itself_and_keeps_both() -> None:
    class Strict(Limit, strict=True): ...

    with pytest.raises(ValidationError, match="valid integer"):
        Strict.model_validate({"price": "1"})
    with pytest.raises(ValidationError, match="flor"):
        Strict.model_validate({"price": 1, "flor": 2})


@dataclass(frozen=True)
class Level(Changing):
    price: int
    floor: int | None = None


def test_value_that_changes_is_a_new_one_and_a_name_that_is_no_field_is_refused() -> None:
    level = Level(1)
    assert level.after(floor=2) == replace(level, floor=2) == Level(1, 2)
    assert level == Level(1)
    with pytest.raises(TypeError, match="Level: no such field: flor"):
        level.after(flor=2)
