"""When a key without a record may vote: only above every view in which a former life of it can have voted."""

from __future__ import annotations

from aitoken.types import Hash32
from consensus.messages import Status
from consensus.types import Peer
from consensus.validators import Validators
from node.driver.hold import Hold

KEYS = [bytes([index]) * 32 for index in range(4)]
OWN = KEYS[3]


def status(epoch: int, view: int) -> Status:
    return Status(epoch, view, 0, Hash32(bytes(32)), 0, (), b"", 0)


def hold_after(*told: tuple[int, int, int], weights: tuple[int, ...] = (1, 1, 1, 1)) -> tuple[Hold, Validators]:
    """A hold that heard (validator, epoch, view), validator 9 being nobody."""
    hold = Hold(OWN)
    for validator, epoch, view in told:
        hold.hear(peer(validator), status(epoch, view))
    return hold, Validators(list(zip(KEYS, weights, strict=True)))


def peer(validator: int) -> Peer:
    return f"peer {validator}"


def peer_of(key: bytes) -> Peer | None:
    return peer(KEYS.index(key))


def is_quorum(*told: tuple[int, int, int], weights: tuple[int, ...] = (1, 1, 1, 1)) -> bool:
    hold, validators = hold_after(*told, weights=weights)
    return hold.is_quorum(validators, peer_of)


def test_two_of_three_others_are_enough_and_one_is_not() -> None:
    assert not is_quorum((0, 0, 5))
    assert is_quorum((0, 0, 5), (1, 0, 5))


def test_weight_counts_and_heads_do_not() -> None:
    assert is_quorum((0, 0, 5), weights=(9, 1, 1, 1))
    assert not is_quorum((1, 0, 5), (2, 0, 5), weights=(9, 1, 1, 1))


def test_strangers_and_the_own_key_seen_elsewhere_do_not_count() -> None:
    assert not is_quorum((0, 0, 5), (9, 0, 5))
    assert not is_quorum((0, 0, 5), (3, 0, 5))


def test_a_lone_validator_is_its_own_quorum() -> None:
    assert Hold(OWN).is_quorum(Validators([(OWN, 1)]), peer_of)


def test_the_highest_view_of_the_epoch_counts_whoever_tells_of_it() -> None:
    hold, _ = hold_after((0, 2, 7), (1, 2, 9), (2, 1, 50))

    assert hold.view(2) == 9
    assert hold.view(3) == 0


def test_an_epoch_counts_when_a_third_claims_it_so_that_a_liar_cannot_delay_us_for_ever() -> None:
    hold, validators = hold_after((0, 900, 1), (1, 4, 2), (2, 3, 8))

    assert hold.epoch(validators, peer_of) == 4


def test_a_peer_that_says_less_later_is_not_forgotten() -> None:
    hold, _ = hold_after((0, 2, 7), (0, 2, 3))

    assert hold.view(2) == 7
