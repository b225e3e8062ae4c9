"""Whatever bytes come in, each decoder reads them or refuses them by a declared error; `make fuzz` goes on longer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from aitoken.errors import Rejected
from tests.fuzz.__main__ import all_targets
from tests.fuzz.engine import Course, Finding, Target, feed

SEED = 20_260_101


@pytest.fixture(scope="module")
def targets() -> Iterator[list[Target]]:
    logging.disable(logging.CRITICAL)
    with all_targets() as found:
        yield found
    logging.disable(logging.NOTSET)


def test_every_decoder_survives_damaged_input(targets: list[Target]) -> None:
    courses = [Course(target, SEED) for target in targets]
    found = [finding for course in courses for finding in course.check_seeds()]
    found += [each for course in courses for _ in range(course.target.gate) if (each := course.step())]

    assert not found, "\n".join(map(str, found))
    assert len(courses) > 50


class Refused(Rejected):
    code = "test.refused"


def planted(read: Any, **more: Any) -> list[Finding]:
    """What is found in a thousand inputs."""
    course = Course(Target("planted", [b"\x01\x02\x03\x04"], read, **more), SEED)
    return feed([course], lambda: course.count >= 1_000)


def test_an_undeclared_error_is_found() -> None:
    def read(data: bytes) -> int:
        if len(data) < 3:
            raise Refused
        return data[data[2]]

    (found,) = planted(read)
    assert "IndexError" in found.what
    with pytest.raises(IndexError):
        read(found.data)


def test_a_second_spelling_is_found() -> None:
    found = planted(lambda data: int.from_bytes(data, "big"), again=lambda number: number.to_bytes(4, "big"))
    assert any("written otherwise" in each.what for each in found)


def test_an_error_without_a_code_is_found() -> None:
    class Nameless(Rejected):
        code = ""

    def read(_: bytes) -> None:
        raise Nameless

    assert [each.what for each in planted(read)] == ["an error without a code"]


def test_work_without_end_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.engine.HANG_SECONDS", 0.05)

    def read(_: bytes) -> None:
        while True:
            pass

    course = Course(Target("planted", [b"x"], read), SEED)
    (found,) = feed([course], lambda: course.count >= 1)
    assert "more than" in found.what


def test_a_seed_that_is_refused_is_found() -> None:
    def read(_: bytes) -> None:
        raise Refused

    assert list(Course(Target("planted", [b"x"], read), SEED).check_seeds())


def test_one_seed_gives_one_sequence_of_inputs() -> None:
    fed: list[list[bytes]] = [[], []]
    for each in fed:
        course = Course(Target("planted", [b"\x01\x02\x03\x04", b"[1, 2]"], each.append), SEED)
        for _ in range(200):
            course.step()
    assert fed[0] == fed[1]
    assert len(set(fed[0])) > 150
