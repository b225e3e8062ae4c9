"""What `light` makes faster stays what it was: fields, defaults, equality, hashes, replacement."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import pytest

from aitoken.light import light


@light
@dataclass(frozen=True, slots=True)
class Light:
    """A value."""

    first: int
    second: bytes
    third: tuple[int, ...] = ()
    fourth: Light | None = None
    fifth: list[int] = field(default_factory=list, hash=False)


@dataclass(frozen=True, slots=True)
class Plain:
    """The same with its guard."""

    first: int
    second: bytes
    third: tuple[int, ...] = ()
    fourth: Plain | None = None
    fifth: list[int] = field(default_factory=list, hash=False)


def test_light_values_are_those_of_a_frozen_dataclass() -> None:
    ours, reference = Light(1, b"2", fourth=Light(3, b"4", (5,))), Plain(1, b"2", fourth=Plain(3, b"4", (5,)))
    assert repr(ours) == repr(reference).replace("Plain", "Light")
    assert ours == Light(1, b"2", (), Light(3, b"4", (5,))) != Light(1, b"2")
    assert ours.fifth is not Light(1, b"2").fifth
    assert hash(replace(ours, third=(1,))) != hash(ours) == hash(replace(ours, third=()))
    assert [one.name for one in fields(ours)] == [one.name for one in fields(reference)]
    for wrong in ((1,), (1, b"2", (), None, [], 5)):
        with pytest.raises(TypeError):
            Light(*wrong)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(AttributeError):
        ours.sixth = 1  # type: ignore[attr-defined]  # wrong on purpose
