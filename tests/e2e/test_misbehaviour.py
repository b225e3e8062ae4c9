"""A validator that signs votes that exclude each other pays for it, once, and everybody can see who and why."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aitoken.client.client import Client
from aitoken.crypto.derive import pair_from_uri
from cli.wallet import address_of
from tests.support.devnet import Net, client_of, final_head, quick_genesis, run_aitoken, wait_final

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]

LIAR = 3
HONEST = (0, 1, 2)
STASHES = [
    address_of(bytes(pair_from_uri(f"//{name}//stash", "sr25519").public))
    for name in ("Alice", "Bob", "Charlie", "Dave")
]
WATCHED = {
    "Consensus.Equivocated", "Offences.Offence", "Staking.SlashReported", "Staking.Chilled", "Staking.Slashed",
    "Session.ValidatorDisabled", "System.ExtrinsicFailed",
}  # fmt: skip


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net.make(tmp_path / "net", 4, quick_genesis(tmp_path))
    yield net
    net.close()


async def until_taken(client: Client, lie: Path, blocks_after: int) -> tuple[list[tuple[int, Any]], str]:
    """Let the liar lie and read all events of final blocks, until some blocks after money was taken.

    Returns:
        Heights and events, and the hash of the last block.
    """
    seen: list[tuple[int, Any]] = []
    left = None
    async for head in client.subscribe_heads(final=True):
        lie.touch()
        events = [event for event in await client.events(head.hash) if f"{event.pallet}.{event.name}" in WATCHED]
        seen += [(head.number, event) for event in events]
        if left is None and any(event.name == "Slashed" for event in events):
            left = blocks_after
        elif left is not None:
            left -= 1
            if not left:
                return seen, head.hash
    raise AssertionError("the subscription ended")


async def check_money(client: Client, at: str, penalty: dict[str, Any]) -> None:
    """To the last unit: the accounts, the issuance, and the reasons of the issuance."""
    summary = await client.runtime_call("SupplyApi", "summary", at=at)
    minted, burned = (dict(summary[name]) for name in ("minted", "burned"))
    accounts = 0
    async for _, account in client.query_map("System", "Account", at=at):
        accounts += account["data"]["free"] + account["data"]["reserved"]
    assert accounts == summary["total"] == summary["genesis"] + sum(minted.values()) - sum(burned.values())
    assert burned["Slash"] == int(penalty["own"]) + int(penalty["others"]) - int(penalty["payout"])


async def test_it_is_slashed_once_and_shown_and_the_chain_goes_on(net: Net) -> None:
    net.start(*HONEST)
    lie = net.start_liar(LIAR)
    await wait_final(net.url(0), 2)
    async with client_of(net.url(0)) as client:
        async with asyncio.timeout(150):
            seen, last = await until_taken(client, lie, 10)

        names = [f"{event.pallet}.{event.name}" for _, event in seen]
        assert sorted(names) == sorted(WATCHED - {"System.ExtrinsicFailed"})  # each once
        told = {event.name: event.fields for _, event in seen}
        (number, _), *_ = seen
        assert told["Equivocated"]["validator"] == told["Chilled"]["stash"] == STASHES[LIAR]
        fraction = told["Equivocated"]["fraction"]
        assert (
            fraction
            == told["SlashReported"]["fraction"]
            == await fraction_of(client, told["Equivocated"]["epoch"], number)
        )

        history = await client.request("smpx_offences", [last])
        (offender,) = history["offenders"]
        (equivocation,), (penalty,) = offender["equivocations"], offender["penalties"]
        assert (offender["validator"], equivocation["reportedAt"]) == (STASHES[LIAR], number)
        assert (penalty["state"], penalty["own"]) == ("taken", str(told["Slashed"]["amount"]))
        exposure = await client.query("Staking", "ErasStakersOverview", penalty["era"], STASHES[LIAR], at=last)
        assert int(penalty["own"]) == exposure["own"] * fraction // 10**9
        await check_money(client, last, penalty)

        present = await client.query("Session", "Validators", at=last)
        assert sorted(present) == sorted(STASHES[:LIAR])
        author = await author_of(client, number)
        assert penalty["reporter"] == (None if author == STASHES[LIAR] else author)

    height, _ = await final_head(net.url(0))
    for index in HONEST:
        await wait_final(net.url(index), height)
        async with client_of(net.url(index)) as client:
            assert (await client.request("smpx_offences"))["offenders"] == [offender]
        assert set(re.findall(r"signed two votes .*validator=(\d+)", net.log(index))) == {str(LIAR)}
        assert '"pairs":[]' in (net.plan.nodes[index].folder / "evidence.json").read_text()
    text = run_aitoken("validator", "status", STASHES[LIAR], "--url", net.url(1)).stdout
    assert f"punished: Dave {STASHES[LIAR]}" in text
    assert "taken when era" in text
    await wait_final(net.url(2), height + 8)


async def fraction_of(client: Client, epoch: int, number: int) -> int:
    """What the rules want of an offender in an epoch, as of a block: the square of three times its share."""
    at = await client.request("chain_getBlockHash", [number])
    root, _ = await client.query("Historical", "HistoricalSessions", epoch, at=at)
    members = (await client.query("Historical", "Sets", root, at=at))["members"]
    (own,) = (member["weight"] for member in members if member["validator"] == STASHES[LIAR])
    return (3 * own) ** 2 * 10**9 // sum(member["weight"] for member in members) ** 2


async def author_of(client: Client, number: int) -> str:
    """Who made a block."""
    found = await client.request("chain_getBlockHash", [number])
    logs = (await client.request("chain_getHeader", [found]))["digest"]["logs"]
    babe = bytes.fromhex(logs[0][2:])  # pre-runtime, "BABE", length, 2, index u32, slot u64
    parent = await client.request("chain_getBlockHash", [number - 1])
    validators: list[str] = await client.query("Session", "Validators", at=parent)
    return validators[int.from_bytes(babe[7:11], "little")]
