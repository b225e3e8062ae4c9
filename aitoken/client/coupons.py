"""Codes through a node: a batch is made and funded, a code claimed, what became of them looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aitoken.client.answers import Receipt
from aitoken.client.client import Client
from aitoken.crypto.signature import Signer
from aitoken.errors import Rejected
from aitoken.pay.codes import claim_bytes, work_for
from aitoken.pay.coupons import GENESIS_BYTES, Coupon, key_of
from aitoken.proto.extrinsic import bare_extrinsic
from aitoken.types import AccountId, Hash32

PAGE_CODES: Final = 1024
"""Codes in an entry of `Codes.Pages`."""
CREATED: Final = ("Codes", "Created")
WORK_MAX: Final = 24
"""More zero bits than this are not looked for: it would take hours."""


class ClaimRefused(Rejected):
    """The code cannot be claimed."""

    code = "coupon.refused"


class NotOnChain(Rejected):
    """The chain knows no such batch: it was not made, or it is closed."""

    code = "coupon.not_on_chain"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the chain has it.

    Attributes:
        facts: `Codes.Batches`, as the chain writes it.
        used: which codes were claimed or made void, in order.
    """

    number: int
    facts: Mapping[str, Any]
    used: Sequence[int]

    @property
    def unused(self) -> list[int]:
        """The codes that can still be claimed."""
        gone = frozenset(self.used)
        return [index for index in range(self.facts["count"]) if index not in gone]


async def batch_of(client: Client, number: int) -> Batch:
    """Return a batch.

    Raises:
        NotOnChain: there is none of this number.
    """
    facts = await client.query("Codes", "Batches", number)
    if facts is None:
        raise NotOnChain(f"there is no batch {number}: it was never made, or it is closed")
    pages = {keys[1]: page async for keys, page in client.query_map("Codes", "Pages", number)}
    used = [
        page * PAGE_CODES + at
        for page, bits in sorted(pages.items())
        for at in range(PAGE_CODES)
        if bits[at // 8] >> at % 8 & 1
    ]
    return Batch(number, facts, used)


async def find_batch(client: Client, root: Hash32) -> int | None:
    """Return the number of the batch with this root, None if there is none (any more)."""
    async for keys, facts in client.query_map("Codes", "Batches"):
        if facts["root"] == root:
            return int(keys[0])
    return None


def number_in(receipt: Receipt) -> int:
    """Return the number of the batch that a transaction made."""
    return next(int(event.fields["batch"]) for event in receipt.events if (event.pallet, event.name) == CREATED)


async def claim(client: Client, coupon: Coupon, claimant: AccountId, payer: Signer | None = None) -> Receipt:
    """Have the value of a code given to an account, without a fee or for that of a payer; final when it returns.

    Raises:
        ClaimRefused: it is of another chain, used, expired, or no code of its batch.
    """
    genesis = Hash32(client.chain.genesis_hash)
    if coupon.chain != genesis[:GENESIS_BYTES]:
        raise ClaimRefused("the code is for another chain")
    batch = await batch_of(client, coupon.batch)
    if coupon.index in batch.used:
        raise ClaimRefused(f"{coupon} has been used")
    if batch.facts["work"] > WORK_MAX:
        raise ClaimRefused(f"{coupon} asks for {batch.facts['work']} bits of work, {WORK_MAX} are the most done here")
    key = key_of(coupon.secret)
    message = claim_bytes(genesis, coupon.batch, coupon.index, claimant)
    name = "claim_as_person" if "ForPersons" in batch.facts["terms"] else "claim"
    call = client.call(
        "Codes", name, batch=coupon.batch, index=coupon.index, key=key.public, proof=list(coupon.proof),
        claimant=claimant, work=work_for(message, batch.facts["work"]), signature=key.sign(message),
    )  # fmt: skip
    if payer is not None:
        return await client.submit(call, payer, wait="final")
    return await client.send(bare_extrinsic(call.call_bytes).raw, "final")
