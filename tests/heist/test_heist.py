"""No code is stolen, and the game would show it if one were."""

from __future__ import annotations

import asyncio

import pytest

from chain.pallets.ai import codes
from tests.heist.game import Game


def test_every_code_pays_its_holder_within_two_blocks_whatever_a_thief_does() -> None:
    outcome = asyncio.run(Game(60, seed=7).play())

    assert outcome.is_good, outcome.report()
    tricks = {what.partition(":")[0] for what in outcome.refused}
    assert len(tricks) == 8, "every trick was tried"
    assert outcome.within[2], "some were held back"


@pytest.mark.parametrize("mutation", ["signatures", "once"])
def test_a_pallet_that_could_be_robbed_is_robbed(monkeypatch: pytest.MonkeyPatch, mutation: str) -> None:
    if mutation == "signatures":
        monkeypatch.setattr(codes.ed25519, "verify", lambda *_: True)
    else:
        monkeypatch.setattr(codes.Codes, "_is_used", lambda *_: False)

    with pytest.raises(AssertionError):
        assert asyncio.run(Game(20, seed=7).play()).is_good
