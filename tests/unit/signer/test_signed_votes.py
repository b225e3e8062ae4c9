"""What a signer remembers: whatever is asked of it, in whatever order, no two votes that exclude each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY
from consensus.signed import VIEWS_MAX, SignedVotes, VoteRefused

A, B = bytes([1]) * 32, bytes([2]) * 32
KINDS = (NOTARIZE, NULLIFY, FINALIZE)


def refused(votes: SignedVotes, kind: int, epoch: int, view: int, block: bytes = NO_BLOCK) -> bool:
    before = (votes.epoch, votes.floor, votes.votes())
    try:
        votes.enter(kind, epoch, view, block)
    except VoteRefused:
        assert (votes.epoch, votes.floor, votes.votes()) == before
        return True
    return False


def test_one_hash_for_each_kind_and_view_and_the_same_vote_again_is_no_new_one() -> None:
    votes = SignedVotes()

    assert votes.enter(NOTARIZE, 0, 1, A)
    assert not votes.enter(NOTARIZE, 0, 1, A)
    assert refused(votes, NOTARIZE, 0, 1, B)
    assert votes.enter(FINALIZE, 0, 1, A)
    assert refused(votes, FINALIZE, 0, 1, B)


@pytest.mark.parametrize(("first", "second"), [(FINALIZE, NULLIFY), (NULLIFY, FINALIZE)])
def test_finalize_and_nullify_of_a_view_exclude_each_other(first: int, second: int) -> None:
    votes = SignedVotes()
    votes.enter(first, 0, 4, NO_BLOCK if first == NULLIFY else A)

    assert refused(votes, second, 0, 4, NO_BLOCK if second == NULLIFY else A)


def test_notarize_after_nullify_and_a_late_finalize_are_allowed() -> None:
    votes = SignedVotes()

    assert votes.enter(NULLIFY, 0, 4, NO_BLOCK)
    assert votes.enter(NOTARIZE, 0, 4, A)
    assert votes.enter(FINALIZE, 0, 3, B)


def test_an_earlier_epoch_and_a_view_that_is_settled_are_over() -> None:
    votes = SignedVotes()
    votes.enter(NOTARIZE, 3, 9, A)
    votes.settle(3, 7)

    assert refused(votes, NOTARIZE, 2, 100, A)
    assert refused(votes, NULLIFY, 3, 7)
    assert votes.enter(NULLIFY, 3, 8, NO_BLOCK)
    assert votes.enter(NOTARIZE, 4, 1, B)
    assert refused(votes, NULLIFY, 3, 10)


def test_marks_never_go_down() -> None:
    votes = SignedVotes(epoch=5, floor=20)
    votes.settle(4, 99)
    votes.settle(5, 3)

    assert (votes.epoch, votes.floor) == (5, 20)


def test_the_oldest_view_gives_way_and_becomes_the_floor() -> None:
    votes = SignedVotes()
    for view in range(1, VIEWS_MAX + 4):
        votes.enter(NOTARIZE, 0, view, A)

    assert votes.floor == 3
    assert len(votes.votes()) == VIEWS_MAX
    assert refused(votes, NOTARIZE, 0, 3, B)


def test_a_vote_it_cannot_have_seen_proves_that_it_is_older() -> None:
    votes = SignedVotes()
    votes.enter(NOTARIZE, 2, 5, A)

    assert votes.knows(NOTARIZE, 2, 5, A)
    assert votes.knows(FINALIZE, 1, 900, B)
    assert not votes.knows(NOTARIZE, 2, 5, B)
    assert not votes.knows(NULLIFY, 2, 6, NO_BLOCK)
    assert not votes.knows(NOTARIZE, 3, 1, A)


asked = st.tuples(
    st.sampled_from(KINDS), st.integers(0, 2), st.integers(1, 80), st.sampled_from((A, B)), st.booleans(), st.booleans()
)


@given(st.lists(asked, max_size=120))
def test_no_two_of_the_votes_it_lets_through_exclude_each_other(requests: list[tuple]) -> None:
    """Whatever is asked, with restarts from what it would have on disk, and settled views in between."""
    votes = SignedVotes()
    made: dict[tuple[int, int, int], bytes] = {}
    highest = 0
    for kind, epoch, view, block, restart, settle in requests:
        if settle:
            votes.settle(epoch, view // 2)
        if restart:
            votes = SignedVotes(votes.epoch, votes.floor, votes.votes())
        block = NO_BLOCK if kind == NULLIFY else block
        try:
            votes.enter(kind, epoch, view, block)
        except VoteRefused:
            continue
        assert epoch >= highest
        highest = epoch
        assert made.setdefault((epoch, view, kind), block) == block
        assert not ((epoch, view, FINALIZE) in made and (epoch, view, NULLIFY) in made)
