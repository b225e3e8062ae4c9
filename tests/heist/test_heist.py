"""No code is stolen, and the game would show it if one were."""

from __future__ import annotations

import asyncio

import pytest

from aitoken.proto.extrinsic import additional_signed, sign_extrinsic
from chain.pallets.ai import codes
from tests.heist.adversary import LOOT
from tests.heist.game import Game


def weaken(patch: pytest.MonkeyPatch, what: str | None) -> None:
    """Make the pallet robbable."""
    if what == "signatures":
        patch.setattr(codes.ed25519, "verify", lambda *_: True)
    elif what == "once":
        patch.setattr(codes.Codes, "_is_used", lambda *_: False)


def test_every_code_pays_its_holder_within_two_blocks_whatever_a_thief_does() -> None:
    outcome = asyncio.run(Game(40, seed=7).play())

    assert outcome.is_good, outcome.report()
    tricks = {what.partition(":")[0] for what in outcome.refused}
    assert len(tricks) == 8, "every trick was tried"
    assert outcome.within[2], "some were held back"


def test_a_crowd_delays_a_claim_by_those_before_it_alone_and_nobody_who_pays() -> None:
    """More claims arrive before each block than it takes without a fee, so the crowd never ends."""
    early, arriving = 40, 32

    async def game() -> tuple[list[int], int, int]:
        play = Game(140, seed=5)
        await play.set_up()
        network, (honest, helped, *crowd) = play.network, play.claims
        genesis, schema = play.first.genesis_hash, play.first.runtime.schema
        additional = additional_signed(
            schema.version.spec_version, schema.version.transaction_version, genesis, genesis
        )  # fmt: skip
        call = schema.make_call("Codes.claim", *helped.changed())
        paid_for = sign_extrinsic(call.encode(), play.thieves[0], additional, nonce=0).raw
        sending = [claim.raw for claim in crowd]
        blocks: list[tuple[bytes, ...]] = []
        arrivals = [*sending[:early], honest.raw, paid_for]
        del sending[:early]
        while not any(honest.raw in block for block in blocks):
            for raw in arrivals:
                for node in network.nodes:
                    await node.pool.submit(raw)
            arrivals = [sending.pop() for _ in range(arriving)]
            blocks.append(tuple(network.block().extrinsics))
        await network.close()
        claims = {claim.raw for claim in play.claims}
        free = [sum(raw in claims for raw in block) for block in blocks]
        return free, len(blocks), next(at for at, block in enumerate(blocks, 1) if paid_for in block)

    free, waited, paid_at = asyncio.run(game())
    most = free[0]
    assert free == [most] * waited, "each block takes as many without a fee as it may"
    assert most < arriving
    assert waited == early // most + 1
    assert paid_at == 1


@pytest.mark.parametrize("lie", ["signatures", "once", None])
def test_a_block_of_a_leader_that_lets_bad_claims_in_gets_no_vote(
    monkeypatch: pytest.MonkeyPatch, lie: str | None
) -> None:
    """The leader is the thief's: its runtime takes what it should not, so the roots of its block fit its lie."""

    async def game() -> bool:
        play = Game(8, seed=3)
        await play.set_up()
        network, claim = play.network, play.claims[0]
        if lie == "once":
            await network.nodes[network.next_leader()].pool.submit(claim.raw)
            network.block()
        raw = {"signatures": play.thief.bare(claim.changed(claimant=LOOT))}.get(lie or "", claim.raw)
        with monkeypatch.context() as patch:
            weaken(patch, lie)
            await network.nodes[network.next_leader()].pool.submit(raw)
            block = network.proposal()
        assert raw in block.extrinsics
        voted = network.accepts(block)
        await network.close()
        return voted

    assert asyncio.run(game()) is (lie is None)


@pytest.mark.parametrize("mutation", ["signatures", "once"])
def test_a_pallet_that_could_be_robbed_is_robbed(monkeypatch: pytest.MonkeyPatch, mutation: str) -> None:
    weaken(monkeypatch, mutation)

    with pytest.raises(AssertionError):
        assert asyncio.run(Game(20, seed=7).play()).is_good
