"""Compact proposals: consensus sees the full block, whatever of it was in the pool, and never a wrong body."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Rejected
from consensus.messages import BlockReply, Extrinsics, Full, GetBlock, GetExtrinsics, NotHave, Proposal
from consensus.types import Block
from node.driver.headers import genesis_block
from node.net.compact import Proposals, check_body
from node.net.messages import CompactProposal
from tests.support.network import GENESIS, make_block, propose

BODY = tuple(b"inherent" if number == 0 else b"transaction %d" % number * 20 for number in range(60))
BASE = genesis_block(GENESIS, 0)


@dataclass
class Known:
    held: dict[bytes, bytes] = field(default_factory=dict)
    fresh: set[bytes] = field(default_factory=set)

    def find(self, tx_hash: bytes) -> bytes | None:
        return self.held.get(tx_hash)

    def is_fresh(self, tx_hash: bytes) -> bool:
        return tx_hash in self.fresh


@dataclass(eq=False)
class FakePeer:
    sent: list[Any] = field(default_factory=list)
    is_open: bool = True

    def send(self, message: Any) -> bool:
        self.sent.append(message)
        return True

    def allow_full(self, channel: object) -> None:
        pass


def side(body: tuple[bytes, ...]) -> tuple[Proposals, Known, list[tuple[Any, Proposal]]]:
    known = Known({blake2_256(raw): raw for raw in body})
    delivered: list[tuple[Any, Proposal]] = []
    return Proposals(known, lambda peer, proposal: delivered.append((peer, proposal))), known, delivered


def shrunk(block: Block) -> tuple[Proposals, CompactProposal]:
    leader, _, _ = side(BODY[1:])
    compact = leader.shrink(propose(block))
    assert isinstance(compact, CompactProposal)
    return leader, compact


BLOCK = make_block(BASE, BODY)


def test_small_bodies_stay_full() -> None:
    proposal = propose(make_block(BASE, BODY[:3]))

    assert side(())[0].shrink(proposal) is proposal


def test_a_receiver_with_everything_in_its_pool_needs_nothing_more() -> None:
    _, compact = shrunk(BLOCK)
    receiver, _, delivered = side(BODY[1:])
    peer: Any = FakePeer()

    receiver.on_compact(peer, compact)

    assert [index for index, _ in compact.prefilled] == [0]
    assert delivered == [(peer, propose(BLOCK))]
    assert peer.sent == []


def test_what_was_sent_just_now_is_prefilled() -> None:
    leader, known, _ = side(BODY[1:])
    known.fresh.add(blake2_256(BODY[7]))

    compact = leader.shrink(propose(BLOCK))

    assert isinstance(compact, CompactProposal)
    assert [index for index, _ in compact.prefilled] == [0, 7]


async def test_gaps_are_asked_for_and_filled() -> None:
    leader, compact = shrunk(BLOCK)
    receiver, _, delivered = side(BODY[5:50])
    peer, back = FakePeer(), FakePeer()

    receiver.on_compact(peer, compact)
    (question,) = peer.sent
    leader.on_get(back, question)
    receiver.on_extrinsics(peer, back.sent[0])

    assert question == GetExtrinsics(BLOCK.hash, (*range(1, 5), *range(50, 60)))
    assert delivered == [(peer, propose(BLOCK))]
    receiver.stop()


async def test_an_incomplete_answer_or_none_leads_to_the_full_block_once() -> None:
    _, compact = shrunk(BLOCK)
    receiver, _, delivered = side(())
    peer: Any = FakePeer()

    receiver.on_compact(peer, compact)
    receiver.on_extrinsics(peer, Extrinsics(BLOCK.hash, ((1, BODY[1]),)))
    assert peer.sent[-1] == GetBlock(BLOCK.hash)
    assert receiver.on_block(peer, BlockReply(BLOCK.header, BODY))
    assert delivered == [(peer, propose(BLOCK))]

    assert not receiver.on_block(peer, BlockReply(BLOCK.header, BODY)), "the next one is for consensus"
    assert not receiver.on_not_have(peer, BLOCK.hash)


async def test_a_sender_without_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.net.compact.ANSWER_DEADLINE_S", 0.01)
    _, compact = shrunk(BLOCK)
    receiver, _, delivered = side(())
    peer: Any = FakePeer()

    receiver.on_compact(peer, compact)
    await asyncio.sleep(0.05)

    assert [type(message) for message in peer.sent] == [GetExtrinsics, GetBlock]
    assert delivered == []
    assert not receiver.on_not_have(peer, BLOCK.hash)


async def test_other_extrinsics_than_asked_for_are_an_offence() -> None:
    _, compact = shrunk(BLOCK)
    receiver, _, delivered = side(BODY[5:])
    peer: Any = FakePeer()
    receiver.on_compact(peer, compact)

    for items in (((1, b"other"),), ((7, BODY[7]),)):
        with pytest.raises(Rejected):
            receiver.on_extrinsics(peer, Extrinsics(BLOCK.hash, items))

    assert delivered == []
    receiver.stop()


def test_a_body_that_is_not_the_headers_never_gets_through() -> None:
    receiver, _, delivered = side(BODY)
    peer: Any = FakePeer()
    wrong = BODY[1:]
    hashes = b"".join(map(blake2_256, wrong))
    proposal = propose(BLOCK)
    compact = CompactProposal(0, 1, 0, proposal.vote, BLOCK.header, hashes, (), ())

    with pytest.raises(Rejected):
        receiver.on_compact(peer, compact)
    with pytest.raises(Rejected):
        receiver.on_full(peer, Proposal(0, 1, 0, proposal.vote, Full(BLOCK.header, wrong), ()))
    with pytest.raises(Rejected):
        receiver.on_block(peer, BlockReply(BLOCK.header, wrong))
    with pytest.raises(Rejected):
        check_body(b"no header", BODY)

    assert delivered == []


def test_only_blocks_of_our_own_proposals_are_served() -> None:
    leader, _ = shrunk(BLOCK)
    peer: Any = FakePeer()

    leader.on_get(peer, GetExtrinsics(BASE.hash, (1,)))
    leader.on_get(peer, GetExtrinsics(BLOCK.hash, (1, 1, 1, 999)))

    assert peer.sent == [NotHave(BASE.hash), Extrinsics(BLOCK.hash, ((1, BODY[1]),))]
