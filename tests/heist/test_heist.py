"""No code is stolen, and the game would show it if one were."""

from __future__ import annotations

import asyncio

import pytest

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
