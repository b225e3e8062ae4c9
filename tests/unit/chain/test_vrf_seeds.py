"""Leaders prove a random value in each block, and the seed of the next epoch is made of these alone."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.proto import randomness
from aitoken.proto.digest import Digest, SmpxDigest, leading_items_of, next_epoch_of, smpx_of
from aitoken.proto.header import Header
from chain.frame.errors import InvalidBlock
from chain.frame.executive import ExecutedBlock
from tests.support import leading
from tests.support.staking_chain import StakingChain

LENGTH = 3


@pytest.fixture
def chain() -> StakingChain:
    return StakingChain(proven=True, sessionBlocks=LENGTH, others={"X": 50})


def changed(block: ExecutedBlock, **fields: Any) -> Header:
    """The header with other values in consensus' item."""
    header = block.header
    smpx: SmpxDigest = smpx_of(header.digest).copy()
    for name, value in fields.items():
        setattr(smpx, name, value)
    digest = Digest((*leading_items_of(smpx), *header.digest.logs[2:]))
    return Header(header.parent_hash, header.number, header.state_root, header.extrinsics_root, digest)


def outputs_of(blocks: list[ExecutedBlock]) -> list[bytes]:
    return [bytes(smpx_of(block.header.digest).vrf_output) for block in blocks]


def test_a_block_with_the_proof_of_its_leader_is_accepted_and_any_other_refused(chain: StakingChain) -> None:
    chain.block()
    state, parent = chain.state, chain.header
    block = chain.block()
    smpx, epoch = smpx_of(block.header.digest), leading.epoch_of(chain.runtime, state)

    def proven(view: int, leader: int) -> dict[str, bytes]:
        proof = leading.proof_of(epoch, chain.genesis_hash, view, leader)
        return {"vrf_output": randomness.output_of(proof), "vrf_proof": proof}

    other_chain = leading.proof_of(epoch, bytes(32), smpx.view, smpx.leader)
    wrong = {
        "no proof": changed(block, vrf_output=randomness.UNPROVEN[0], vrf_proof=randomness.UNPROVEN[1]),
        "another view's": changed(block, **proven(smpx.view + 1, smpx.leader)),
        "another validator's": changed(block, **proven(smpx.view, (smpx.leader + 1) % 4)),
        "another chain's": changed(block, vrf_output=randomness.output_of(other_chain), vrf_proof=other_chain),
        "another output": changed(block, vrf_output=bytes(32)),
        "another leader": changed(block, leader=(smpx.leader + 1) % 4),
        "no validator": changed(block, leader=4),
        "another epoch": changed(block, epoch=smpx.epoch + 1),
    }

    assert chain.runtime.execute_block(state, parent, block.header, block.body).header == block.header
    for header in wrong.values():
        with pytest.raises(InvalidBlock, match=r"VRF|no validator"):
            chain.runtime.execute_block(state, parent, header, block.body)


def test_the_announced_seed_follows_from_the_headers_and_wallets_see_it(chain: StakingChain) -> None:
    seed = bytes(chain.epoch().seed)
    assert chain.babe.randomness.get() == seed
    for epoch in range(1, 4):
        blocks = [chain.block() for _ in range(LENGTH)]

        announced = next_epoch_of(blocks[-1].header.digest)
        mix = randomness.NO_MIX
        for output in outputs_of(blocks):
            mix = randomness.mixed(mix, output)
        seed = randomness.seed_after(seed, epoch, mix)
        assert announced is not None
        assert bytes(announced.seed) == seed
        assert chain.epoch() == announced
        assert chain.babe.randomness.get() == seed
        assert chain.consensus.mix.get() == randomness.NO_MIX


def test_what_a_leader_puts_into_its_blocks_does_not_move_the_seed() -> None:
    seeds = set()
    for amount in range(4):
        chain = StakingChain(proven=True, sessionBlocks=LENGTH, others={"X": 50})
        for number in range(LENGTH):
            transfers = [chain.signed("X", "System.remark", bytes(amount))] if number < amount else []
            chain.block(*transfers, step_ms=500 + amount)
        seeds.add(bytes(chain.epoch().seed))

    assert len(seeds) == 1


def test_a_block_kept_back_changes_the_seed(chain: StakingChain) -> None:
    kept_back = StakingChain(proven=True, sessionBlocks=LENGTH, others={"X": 50})
    for number in range(LENGTH):
        chain.block()
        kept_back.block(gap=int(number == LENGTH - 1))

    assert outputs_of(chain.blocks)[:-1] == outputs_of(kept_back.blocks)[:-1]
    assert chain.epoch().seed != kept_back.epoch().seed
