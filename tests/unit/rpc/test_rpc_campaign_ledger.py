"""`rewards_campaignLedger`: the ledger of a campaign in pages of one block, as JSON people and programs read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from aitoken.crypto import ss58
from aitoken.pay.campaign_ledger import NO_CAMPAIGN, from_pages, told_wrong
from aitoken.pay.seals import seal_of
from aitoken.types import AIT, Hash32
from chain.pallets.ai.rewards_ledger import PAGE_ROWS_MAX
from chain.pallets.ai.rewards_rules import stake_for
from chain.pallets.ai.rewards_types import Decay, Kind, Terms
from node.rpc.errors import INVALID_PARAMS, RpcError
from node.rpc.methods import rewards
from node.rpc.ports import ChainInfo
from node.rpc.render import to_json
from tests.support.staking_chain import START_MS, StakingChain, account

SALT, HOUR_MS = b"s" * 32, 3_600_000
SPONSORS = 130
FINAL, OLD = Hash32(b"F" * 32), Hash32(b"O" * 32)


def address(name: str) -> str:
    return ss58.encode(account(name), 42)


class World:
    """A campaign of X with many sponsors and two works; before all but the first sponsor came, a block was kept."""

    def __init__(self) -> None:
        people = {f"S{index}": 5 for index in range(SPONSORS)}
        self.chain = chain = StakingChain(others={"X": 1000, "P": 10, "Q": 10} | people)
        terms = Terms(
            Kind.Testing, Hash32(bytes(32)), AIT, Decay(0, 0, 0), 1, 2, AIT, 1, HOUR_MS, 0, START_MS + 24 * HOUR_MS,
            None,
        )  # fmt: skip
        chain.run("A", "Rewards.stake", stake_for(terms))
        chain.run("X", "Rewards.create", terms, [account("A")], 3 * AIT)
        self.number = next(number for number, _ in chain.rewards.campaigns.items())
        chain.run("A", "Rewards.join", self.number)
        self.old = chain.state
        for who, content in (("P", b"1" * 32), ("Q", b"2" * 32)):
            seal = seal_of(self.number, account(who), Hash32(content), SALT)
            chain.run(who, "Rewards.submit", self.number, seal)
        for (number, _), (who, content) in zip(
            sorted(chain.rewards.submissions.items()), (("P", b"1" * 32), ("Q", b"2" * 32)), strict=True
        ):
            if who == "P":  # what Q has sealed stays unknown
                chain.run(who, "Rewards.disclose", number, Hash32(content), SALT)
        funds = [chain.signed(f"S{index}", "Rewards.fund", self.number, AIT + index) for index in range(SPONSORS)]
        for start in range(0, SPONSORS, 26):
            chain.block(*funds[start : start + 26])

    def call(self, at: Any, name: str, data: bytes) -> bytes:
        """Stands for `node.rpc.query.Query`."""
        return self.chain.runtime.call({FINAL: self.chain.state, OLD: self.old}[at], name, data)

    def ask(self, *params: Any) -> dict[str, Any]:
        final = SimpleNamespace(finalized=SimpleNamespace(hash=FINAL))
        return rewards.campaign_ledger(self, final, ChainInfo(), *params)  # type: ignore[arg-type]  # stands for Query

    def told(self, page: dict[str, Any]) -> Any:
        import msgspec

        return msgspec.json.decode(to_json(page))


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_pages_of_a_ledger_come_to_its_totals_with_every_sponsor_and_disclosed_work_once(world: World) -> None:
    pages = [world.ask(world.number)]
    while pages[-1]["next"] is not None:
        pages.append(world.ask(world.number, pages[-1]["next"]))
    shown = [world.told(page) for page in pages]
    ledger = from_pages(shown)

    assert [len(page["sponsors"]) + len(page["works"]) for page in pages] == [
        PAGE_ROWS_MAX,
        SPONSORS + 2 - PAGE_ROWS_MAX,
    ]
    assert list(told_wrong(shown)) == []
    assert ledger.paid_in == {address(f"S{index}"): AIT + index for index in range(SPONSORS)} | {address("X"): 3 * AIT}
    assert ledger.remains == ledger.paid_in
    assert ledger.block == "0x" + FINAL.hex()
    (work,) = ledger.works.values()
    assert (work.who, work.reward, work.content, work.state, work.paid) == (address("P"), AIT, b"1" * 32, "open", 0)
    assert (shown[0]["submitted"], shown[0]["pending"], shown[0]["promised"]) == (2, 2, str(2 * AIT))
    assert shown[0]["owner"] == address("X")


def test_rows_that_do_not_come_to_the_totals_are_found(world: World) -> None:
    page = world.told(world.ask(world.number, None, OLD))

    assert list(told_wrong([page])) == []
    for change in ({"left": "1"}, {"paidIn": "1"}, {"earned": "1"}, {"sponsors": []}):
        assert list(told_wrong([page | change])), change
    assert list(told_wrong([page, page | {"block": "0x01"}]))


def test_an_older_block_has_its_own_ledger_and_a_cursor_stays_with_its_block(world: World) -> None:
    old = world.ask(world.number, None, OLD)
    cursor = world.ask(world.number)["next"]

    assert (len(old["sponsors"]), len(old["works"]), old["next"], old["block"]) == (1, 0, None, OLD)
    assert world.ask(world.number, cursor, FINAL)["block"] == FINAL
    with pytest.raises(RpcError) as refused:
        world.ask(world.number, cursor, OLD)
    assert refused.value.number == INVALID_PARAMS


def test_unknown_campaigns_and_foreign_cursors_are_refused_by_number(world: World) -> None:
    with pytest.raises(RpcError) as unknown:
        world.ask(world.number + 1)
    assert unknown.value.number == NO_CAMPAIGN
    for cursor in (b"", b"x", FINAL, FINAL + b"\x02" + bytes(32), FINAL + b"\x00" + bytes(31), FINAL + bytes(34)):
        with pytest.raises(RpcError) as junk:
            world.ask(world.number, cursor)
        assert junk.value.number == INVALID_PARAMS
