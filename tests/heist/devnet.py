"""The same on four real nodes: how many blocks claims of empty accounts take to be final.

    python -m tests.heist.devnet [--codes N] [--rate N]

Every claim is forged in eight ways first, and the forgeries given to all nodes; then its holder gives it to one node.
Blocks are counted from the best one that node had, to the one the claim is in, and to the best one when it was final.
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


class Run:
    """One devnet and what became of the claims."""

    def __init__(self, clients: list[Client], codes: int, rate: float) -> None:
        self.clients = clients
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
            await asyncio.sleep(1 / self.rate)
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
        await asyncio.gather(*(self._try(raw) for raw in self.thief.forgeries(claim)))
        client = self.rng.choice(self.clients)
        before = (await client.head(final=False)).number
        made = await client.send(claim.raw, "final")
        after = (await client.head(final=False)).number
        assert made.success
        assert made.block_number is not None
        self.included[made.block_number - before] += 1
        self.final[after - before] += 1
        account: Any = await client.account(claim.claimant)
        assert account["data"]["free"] == VALUE

    async def _try(self, raw: bytes) -> None:
        for client in self.clients:
            try:
                await client.request("author_submitExtrinsic", ["0x" + raw.hex()])
            except NodeRefused as error:
                self.refused[f"{error.rpc_code}"] += 1
            else:
                raise AssertionError("a node took a forged claim")


async def _measure(net: Net, codes: int, rate: float) -> Run:
    await wait_final(net.url(0), 2)
    clients = [await Client.connect(net.url(index)) for index in range(NODES)]
    run = Run(clients, codes, rate)
    try:
        await run.play()
    finally:
        for client in clients:
            await client.close()
    return run


@click.command()
@click.option("--codes", default=300, show_default=True)
@click.option("--rate", default=8.0, show_default=True, help="Claims a second.")
def main(codes: int, rate: float) -> None:
    """Have codes claimed on a devnet."""
    with TemporaryDirectory(prefix="aitoken-heist-") as folder:
        net = Net.make(Path(folder) / "net", NODES)
        try:
            net.start()
            run = asyncio.run(_measure(net, codes, rate))
        finally:
            net.close()
    print(f"{codes:,} claims, {rate:g} a second; none stolen; refused forgeries: {dict(run.refused)}")
    for what, counts in (("in block", run.included), ("final when the best was", run.final)):
        print(f"{what:>24}  " + ", ".join(f"+{blocks}: {count:,}" for blocks, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
