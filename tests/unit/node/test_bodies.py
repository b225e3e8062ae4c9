"""What is computed of a body is computed once, and never taken for another's."""

import pytest

from aitoken.crypto.hashing import blake2_256
from chain.state.ordered import ordered_root
from node import bodies as room
from node.bodies import REMEMBERED, Bodies


@pytest.fixture
def roots(monkeypatch) -> list[tuple[bytes, ...]]:
    """Bodies whose root was computed."""
    seen = []
    monkeypatch.setattr(room, "ordered_root", lambda body: (seen.append(body), ordered_root(body))[1])
    return seen


def body_of(number: int) -> tuple[bytes, ...]:
    return tuple(bytes([number, index]) for index in range(70))


def test_a_root_is_computed_once_for_the_same_tuple_and_anew_for_an_equal_one(roots) -> None:
    bodies, body = Bodies(), body_of(1)
    assert bodies.root(body) == bodies.root(body) == ordered_root(body)
    assert len(roots) == 1
    assert bodies.root(body_of(1)) == ordered_root(body)
    assert len(roots) == 2


def test_what_was_noted_is_given_back_and_only_for_that_tuple() -> None:
    bodies, body = Bodies(), body_of(1)
    bodies.note(body, root=b"root".ljust(32), hashes=[b"hash"])
    assert bodies.root(body) == b"root".ljust(32)
    assert bodies.hashes(body) == [b"hash"]
    bodies.note(body)
    assert bodies.hashes(body) == [b"hash"]
    assert bodies.hashes(body_of(1)) == [blake2_256(raw) for raw in body]


def test_only_the_last_bodies_are_held(roots) -> None:
    bodies = Bodies()
    for number in range(200):
        bodies.root(body_of(number))  # each dies at once unless it is held: its identity may come again
    assert len(roots) == 200
    assert len(bodies._facts) == REMEMBERED
