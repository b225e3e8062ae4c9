"""The same on four real nodes: how many blocks claims of empty accounts take to be final.

    python -m tests.heist.devnet [--codes N] [--rate N] [--honest]

Every claim is forged in eight ways first, and the forgeries given to all nodes; then its holder gives it to one node.
Blocks are counted from the best one that node had: to the one the claim is in, to the best one when it was final, and
to the best one when the client said so. One at a time (a rate of 0), each claim comes to a chain at rest.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import click
import msgspec

from aitoken.client.client import Client
from aitoken.client.errors import NodeRefused
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.codes import claim_bytes, proofs_of, root_of
from aitoken.proto.extrinsic import bare_extrinsic
from aitoken.types import AIT, AccountId, Hash32
from chain.runtime import build_schema
from chain.spec import parse_spec
from tests.heist.adversary import Claim, Thief
from tests.support.devnet import GENESIS, Net, wait_final

NODES = 4
VALUE = AIT // 50
DAY_MS = 86_400_000


class Heads:
    """What a node says is best and final, as it says it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.best = self.final = 0
        self._changed = asyncio.Event()
        self._following = [asyncio.ensure_future(self._follow(final=final)) for final in (False, True)]

    async def _follow(self, *, final: bool) -> None:
        async for head in self.client.subscribe_heads(final=final):
            if final:
                self.final = head.number
            else:
                self.best = head.number
            self._changed.set()

    async def holding(self, raw: bytes, after: int) -> int:
        """Wait for the best block that holds a claim; return its height."""
        text = "0x" + raw.hex()
        while True:
            while self.best <= after:
                self._changed.clear()
                await self._changed.wait()
            after += 1
            block_hash = await self.client.request("chain_getBlockHash", [after])
            block = await self.client.request("chain_getBlock", [block_hash])
            if text in block["block"]["extrinsics"]:
                return after

    async def until_final(self, number: int) -> int:
        """Wait until a block is final; return the best one then."""
        while self.final < number:
            self._changed.clear()
            await self._changed.wait()
        return self.best

    def stop(self) -> None:
        """Follow no more."""
        for each in self._following:
            each.cancel()


class Run:
    """One devnet and what became of the claims."""

    def __init__(self, clients: list[Client], codes: int, rate: float, *, honest: bool) -> None:
        self.clients = clients
        self.honest = honest
        self.heads = [Heads(client) for client in clients]
        self.seconds: list[float] = []
        self.told: Counter[int] = Counter()
        self.rate = rate
        self.rng = Random("heist devnet")
        self.codes = codes
        self.included: Counter[int] = Counter()
        self.final: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()

    async def play(self) -> None:
        """Have all codes claimed."""
        claims = await self._claims()
        tasks = []
        for claim in claims:
            tasks.append(asyncio.ensure_future(self._claim(claim)))
            await (asyncio.sleep(1 / self.rate) if self.rate else tasks[-1])
        await asyncio.gather(*tasks)

    async def _claims(self) -> list[Claim]:
        first, sponsor = self.clients[0], pair_from_uri("//Alice")
        keys = [Pair(blake2_256(b"devnet code %d" % index)) for index in range(self.codes)]
        public = [key.public for key in keys]
        now, root = await first.query("Timestamp", "Now"), root_of(public)
        batch = await first.query("Codes", "NextBatch")
        for each in (root, Hash32(bytes(32))):
            call = first.call(
                "Codes", "create", root=each, count=self.codes, value=VALUE, expires=now + DAY_MS, work=0,
                terms="Tokens",
            )  # fmt: skip
            made = await first.submit(call, sponsor, "final")
            assert made.success, made.error
        genesis, schema = (
            Hash32(first.chain.genesis_hash),
            build_schema(parse_spec(msgspec.json.decode(GENESIS.read_bytes())).params),
        )
        self.thief = Thief(schema, genesis, self.rng, [Pair(bytes(32))], batch + 1)
        proofs, claims = proofs_of(public), []
        for index, key in enumerate(keys):
            who = AccountId(blake2_256(b"devnet holder %d" % index))
            claim = Claim(batch, index, public[index], tuple(proofs[index]), who,
                          key.sign(claim_bytes(genesis, batch, index, who)))  # fmt: skip
            raw = bare_extrinsic(schema.make_call("Codes.claim", *claim.changed()).encode()).raw
            claims.append(Claim(batch, index, claim.key, claim.proof, who, claim.signature, raw))
        return claims

    async def _claim(self, claim: Claim) -> None:
        if not self.honest:
            await asyncio.gather(*(self._try(raw) for raw in self.thief.forgeries(claim)))
        heads = self.rng.choice(self.heads)
        before, start = heads.best, asyncio.get_running_loop().time()
        watching = asyncio.ensure_future(heads.client.send(claim.raw, "final"))
        watching.add_done_callback(lambda _: self.told.update([heads.best - before]))
        watching.add_done_callback(lambda _: self.seconds.append(asyncio.get_running_loop().time() - start))
        included = await heads.holding(claim.raw, before)
        self.included[included - before] += 1
        self.final[await heads.until_final(included) - before] += 1
        made = await watching
        assert (made.success, made.block_number) == (True, included)
        account: Any = await heads.client.account(claim.claimant)
        assert account["data"]["free"] == VALUE

    async def _try(self, raw: bytes) -> None:
        for client in self.clients:
            try:
                await client.request("author_submitExtrinsic", ["0x" + raw.hex()])
            except NodeRefused as error:
                self.refused[f"{error.rpc_code}"] += 1
            else:
                raise AssertionError("a node took a forged claim")


async def _measure(net: Net, codes: int, rate: float, *, honest: bool) -> Run:
    await wait_final(net.url(0), 2)
    clients = [await Client.connect(net.url(index)) for index in range(NODES)]
    run = Run(clients, codes, rate, honest=honest)
    try:
        await run.play()
    finally:
        for heads in run.heads:
            heads.stop()
        for client in clients:
            await client.close()
    return run


@click.command()
@click.option("--codes", default=300, show_default=True)
@click.option("--rate", default=8.0, show_default=True, help="Claims a second; 0 for one after the other.")
@click.option("--honest", is_flag=True, help="No forgeries.")
def main(codes: int, rate: float, honest: bool) -> None:
    """Have codes claimed on a devnet."""
    with TemporaryDirectory(prefix="aitoken-heist-") as folder:
        net = Net.make(Path(folder) / "net", NODES)
        try:
            net.start()
            run = asyncio.run(_measure(net, codes, rate, honest=honest))
        finally:
            net.close()
    print(f"{codes:,} claims, {rate:g} a second; none stolen; refused forgeries: {dict(run.refused)}")
    table = (("in block", run.included), ("final when the best was", run.final), ("told when the best was", run.told))
    for what, counts in table:
        print(f"{what:>24}  " + ", ".join(f"+{blocks}: {count:,}" for blocks, count in sorted(counts.items())))
    times = sorted(run.seconds)
    half, most = (times[len(times) * part // 100] * 1000 for part in (50, 95))
    print(f"{'told after':>24}  p50 {half:.0f} ms, p95 {most:.0f} ms")


if __name__ == "__main__":
    main()
