"""Validators, elector, signing table, journal records, evidence, permission: the laws of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.proto.leaders import CYCLE, cycle_of, leader
from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Certificate, Vote
from aitoken.types import Hash32
from consensus.evidence import Offence, from_certificates, offence_of, proves
from consensus.journal import DamagedJournal, Opening, decode_record, encode_record, replay
from consensus.messages import Evidence
from consensus.permission import UNKNOWN, Permission
from consensus.signing import ForbiddenVote, SigningTable
from consensus.types import Block
from consensus.validators import UnusableValidators, Validators
from tests.support.agreement import certificate, status, vote

A, B = Hash32(b"a" * 32), Hash32(b"b" * 32)
GENESIS_HASH = Hash32(b"g" * 32)
KEY = b"k" * 32


@pytest.mark.parametrize(
    "authorities",
    [
        [],
        [(b"a", 0)],
        [(b"a", -1)],
        [(b"a", 1), (b"a", 1)],
        [(b"a", 2**63)],
        [(bytes([i, j]), 1) for i in range(5) for j in range(250)],
    ],
)
def test_lists_that_are_no_validator_set_are_refused(authorities: list[tuple[bytes, int]]) -> None:
    with pytest.raises(UnusableValidators):
        Validators(authorities)


@given(st.lists(st.integers(1, 2**40), min_size=1, max_size=40))
def test_the_lightest_quorum_is_one_and_has_no_spare_member(weights: list[int]) -> None:
    validators = Validators([(i.to_bytes(32, "big"), weight) for i, weight in enumerate(weights)])

    chosen = validators.lightest_quorum(dict.fromkeys(range(len(weights)), b""))

    weight = sum(weights[i] for i in chosen)
    assert chosen == sorted(chosen)
    assert weight >= validators.quorum
    assert weight - min(weights[i] for i in chosen) < validators.quorum


@given(
    st.binary(min_size=32, max_size=32), st.lists(st.integers(1, 2**50), min_size=1, max_size=60), st.integers(0, 50)
)
def test_every_cycle_gives_everybody_its_share_to_within_one_slot(seed: bytes, weights: list[int], cycle: int) -> None:
    slots = cycle_of(seed, 3, tuple(weights), cycle)

    assert len(slots) == CYCLE
    for index, weight in enumerate(weights):
        share = slots.count(index)
        assert share in (weight * CYCLE // sum(weights), -(-weight * CYCLE // sum(weights)))


def test_the_schedule_is_frozen() -> None:
    weights = (5, 1, 3, 7)

    assert [leader(b"s" * 32, 2, weights, view) for view in range(1, 17)] == FROZEN
    assert leader(b"s" * 32, 2, weights, 257) == cycle_of(b"s" * 32, 2, weights, 1)[0]


FROZEN = [3, 3, 2, 0, 2, 0, 2, 2, 0, 3, 0, 3, 2, 3, 1, 0]


class TestSigningTable:
    def test_the_same_vote_again_is_no_new_vote(self) -> None:
        table = SigningTable(1)
        for _ in range(2):
            table.check(NOTARIZE, 1, 5, A)
            table.check(FINALIZE, 1, 5, A)
            table.check(NULLIFY, 1, 6, bytes(32))

    @pytest.mark.parametrize(
        ("before", "refused"),
        [
            ((NOTARIZE, 5, A), (NOTARIZE, 5, B)),
            ((FINALIZE, 5, A), (FINALIZE, 5, B)),
            ((FINALIZE, 5, A), (NULLIFY, 5, bytes(32))),
            ((NULLIFY, 5, bytes(32)), (FINALIZE, 5, A)),
        ],
    )
    @pytest.mark.parametrize("restored", [False, True])
    def test_what_excludes_an_earlier_vote_is_refused_also_after_a_restart(
        self, before: tuple[int, int, bytes], refused: tuple[int, int, bytes], restored: bool
    ) -> None:
        table = SigningTable(1)
        kind, view, block_hash = before
        if restored:
            table.restore(Vote(kind, 1, view, Hash32(block_hash), 0, bytes(64)))
        else:
            table.check(kind, 1, view, block_hash)

        with pytest.raises(ForbiddenVote):
            table.check(refused[0], 1, refused[1], refused[2])

    def test_notarize_after_nullify_is_allowed(self) -> None:
        table = SigningTable(1)
        table.check(NULLIFY, 1, 5, bytes(32))
        table.check(NOTARIZE, 1, 5, A)

    def test_other_epochs_and_settled_views_are_refused(self) -> None:
        table = SigningTable(1)
        table.settle(5)
        for epoch, view in ((1, 5), (1, 4), (0, 6), (2, 6)):
            with pytest.raises(ForbiddenVote):
                table.check(NOTARIZE, epoch, view, A)
        table.check(NOTARIZE, 1, 6, A)


BLOCKS = st.builds(
    Block,
    hash=st.binary(min_size=32, max_size=32),
    number=st.integers(0, 2**32),
    parent_hash=st.binary(min_size=32, max_size=32),
    epoch=st.integers(0, 2**64 - 1),
    view=st.integers(0, 2**64 - 1),
    parent_view=st.integers(0, 2**64 - 1),
    leader=st.integers(0, 65535),
    timestamp_ms=st.integers(0, 2**64 - 1),
    header=st.binary(max_size=200),
    extrinsics=st.lists(st.binary(max_size=50), max_size=5).map(tuple),
)


class TestJournal:
    @given(BLOCKS)
    def test_blocks_read_back(self, block: Block) -> None:
        assert decode_record(encode_record(block)) == block

    def test_other_records_read_back(self) -> None:
        for record in (Opening(GENESIS_HASH, KEY, 7, UNKNOWN, 3), vote(NULLIFY, 4, 1), certificate(NOTARIZE, 2, A)):
            assert decode_record(encode_record(record)) == record

    @given(st.binary(max_size=300))
    def test_garbage_is_refused_or_canonical(self, data: bytes) -> None:
        try:
            record = decode_record(data)
        except DamagedJournal:
            return
        assert encode_record(record) == data

    @given(BLOCKS, st.data())
    def test_a_cut_block_is_refused(self, block: Block, data: st.DataObject) -> None:
        whole = encode_record(block)
        with pytest.raises(DamagedJournal):
            decode_record(whole[: data.draw(st.integers(0, len(whole) - 1))])

    def records(self) -> list[bytes]:
        return [
            encode_record(record)
            for record in (
                Opening(GENESIS_HASH, KEY, 0, 0),
                vote(NOTARIZE, 1, 2, A),
                Vote(NULLIFY, 1, 4, Hash32(bytes(32)), 2, bytes(64)),
                certificate(NOTARIZE, 1, A),
            )
        ]

    def test_replay_keeps_what_concerns_the_epoch(self) -> None:
        found = replay(self.records(), GENESIS_HASH, KEY, 0)

        assert [v.view for v in found.own_votes] == [1]
        assert [c.view for c in found.certificates] == [1]
        assert replay(self.records(), GENESIS_HASH, KEY, 1).certificates == []

    def test_a_later_opening_counts(self) -> None:
        later = encode_record(Opening(GENESIS_HASH, KEY, 0, 9, 4))

        assert replay([*self.records(), later], GENESIS_HASH, KEY, 0).opening.votes_from == 9

    @pytest.mark.parametrize(("genesis", "key"), [(A, KEY), (GENESIS_HASH, b"x" * 32)])
    def test_the_journal_of_another_chain_or_key_is_refused(self, genesis: Hash32, key: bytes) -> None:
        with pytest.raises(DamagedJournal):
            replay(self.records(), genesis, key, 0)

    def test_a_journal_without_its_beginning_is_refused(self) -> None:
        for records in ([], self.records()[1:]):
            with pytest.raises(DamagedJournal):
                replay(records, GENESIS_HASH, KEY, 0)


class TestEvidence:
    @pytest.mark.parametrize(
        ("first", "second", "offence"),
        [
            (vote(NOTARIZE, 1, 2, A), vote(NOTARIZE, 1, 2, B), Offence.DOUBLE_NOTARIZE),
            (vote(FINALIZE, 1, 2, A), vote(FINALIZE, 1, 2, B), Offence.DOUBLE_FINALIZE),
            (vote(FINALIZE, 1, 2, A), vote(NULLIFY, 1, 2), Offence.FINALIZE_AND_NULLIFY),
            (vote(NULLIFY, 1, 2), vote(FINALIZE, 1, 2, A), Offence.FINALIZE_AND_NULLIFY),
            (vote(NOTARIZE, 1, 2, A), vote(NULLIFY, 1, 2), None),
            (vote(NOTARIZE, 1, 2, A), vote(FINALIZE, 1, 2, B), None),
            (vote(NOTARIZE, 1, 2, A), vote(NOTARIZE, 1, 2, A), None),
            (vote(NOTARIZE, 1, 2, A), vote(NOTARIZE, 2, 2, B), None),
            (vote(NOTARIZE, 1, 2, A), vote(NOTARIZE, 1, 3, B), None),
            (vote(NOTARIZE, 1, 2, A), vote(NOTARIZE, 1, 2, B, epoch=1), None),
            (vote(NULLIFY, 1, 2), vote(NULLIFY, 1, 2), None),
            (vote(NOTARIZE, 1, 2, A), vote(NOTARIZE, 1, 2), None),
        ],
    )
    def test_which_pairs_prove_something(self, first: Vote, second: Vote, offence: Offence | None) -> None:
        assert offence_of(Evidence(first, second)) == offence

    @pytest.mark.parametrize("bad", [0, 1])
    def test_every_signature_in_it_is_checked(self, bad: int) -> None:
        pair = [vote(NOTARIZE, 1, 2, A), vote(NOTARIZE, 1, 2, B)]

        assert proves(Evidence(*pair), lambda _: True) == Offence.DOUBLE_NOTARIZE
        assert proves(Evidence(*pair), lambda v: v != pair[bad]) is None

    def test_certificates_that_exclude_each_other_name_more_than_a_third(self) -> None:
        pairs = from_certificates(certificate(FINALIZE, 1, A, (0, 1, 2)), certificate(NULLIFY, 1, signers=(1, 2, 3)))

        assert [pair.first.signer for pair in pairs] == [1, 2]


class TestPermission:
    VALIDATORS = Validators([(bytes([i]) * 32, 1) for i in range(4)])
    OWN = VALIDATORS.keys[3]

    def made(self, opening: Opening | None = None, recorded: int | None = None, *, force: bool = False) -> Permission:
        found = None if opening is None else replay([encode_record(opening)], GENESIS_HASH, self.OWN, 5)
        return Permission(self.OWN, 5, found, recorded, force=force)

    def peer_of(self, key: bytes) -> int:
        return self.VALIDATORS.keys.index(key)

    def test_an_intact_journal_decides(self) -> None:
        made = self.made(Opening(GENESIS_HASH, self.OWN, 5, 2, 9), recorded=7)

        assert (made.holds, made.may_vote(2), made.may_vote(1)) == (False, True, False)
        assert (made.floor(5), made.floor(6)) == (9, 0)

    def test_without_a_journal_the_record_says_from_the_next_epoch(self) -> None:
        assert not self.made(recorded=7).may_vote(7)
        assert self.made(recorded=7).may_vote(8)
        assert not self.made(recorded=3).may_vote(5)
        assert self.made(recorded=3).may_vote(6)

    def test_without_either_the_key_holds_also_over_restarts(self) -> None:
        made = self.made()
        assert made.holds

        again = self.made(made.opening(GENESIS_HASH, 5))
        assert again.holds
        assert not again.may_vote(10**9)

    def test_force_ends_all_doubts(self) -> None:
        assert self.made(recorded=7, force=True).may_vote(0)

    def test_on_a_running_chain_the_others_must_be_a_quorum_by_themselves(self) -> None:
        made = self.made()
        made.hear(0, status(9, epoch=5), 3)
        made.hear(1, status(4, epoch=5), 3)
        assert not made.end_if_known(5, self.VALIDATORS, self.peer_of, 9)

        made.hear(2, status(8, epoch=5), 3)
        assert made.end_if_known(5, self.VALIDATORS, self.peer_of, 9)
        assert (made.may_vote(5), made.floor(5), made.floor(6)) == (True, 10, 0)

    def test_that_no_view_they_know_ended_the_epoch_must_be_proven(self) -> None:
        made = self.made()
        for peer in (0, 1, 2):
            made.hear(peer, status(9, epoch=5), 3)

        assert not made.end_if_known(5, self.VALIDATORS, self.peer_of, 8)
        assert made.holds
        assert made.end_if_known(5, self.VALIDATORS, self.peer_of, 9)

    def test_those_of_another_epoch_do_not_count(self) -> None:
        made = self.made()
        for peer, epoch in ((0, 5), (1, 6), (2, 5)):
            made.hear(peer, status(1, epoch=epoch), 3)

        assert not made.end_if_known(5, self.VALIDATORS, self.peer_of, 9)

    def test_what_a_peer_said_before_counts_where_it_was_further(self) -> None:
        made = self.made()
        for peer in (0, 1, 2):
            made.hear(peer, status(8 + peer, epoch=5), 3)
            made.hear(peer, status(2, epoch=5), 3)

        assert made.end_if_known(5, self.VALIDATORS, self.peer_of, 12)
        assert made.floor(5) == 11

    def test_at_genesis_a_quorum_with_the_own_key_is_enough_while_nobody_moved(self) -> None:
        made = self.made()
        made.hear(0, status(1), 3)
        assert not made.knows_enough_at_genesis(self.VALIDATORS, self.peer_of)
        made.hear(1, status(1), 3)
        assert made.knows_enough_at_genesis(self.VALIDATORS, self.peer_of)

    @pytest.mark.parametrize(
        "told",
        [
            status(2),
            status(1, epoch=1),
            status(1, final_number=1),
            status(1, nullify_seen=b"\x08"),
            status(1, notarize_seen=((A, b"\x08"),)),
        ],
    )
    def test_whoever_says_that_the_chain_or_our_key_moved_stops_that(self, told: object) -> None:
        made = self.made()
        made.hear(0, status(1), 3)
        made.hear(1, told, 3)  # type: ignore[arg-type]

        assert made.heard_of_movement
        assert not made.knows_enough_at_genesis(self.VALIDATORS, self.peer_of)


def test_a_certificate_holds_its_votes() -> None:
    whole = certificate(NOTARIZE, 3, A)

    assert all(isinstance(v, Vote) and v.hash == A for v in whole.votes())
    assert Certificate.decode(whole.encode()) == whole
