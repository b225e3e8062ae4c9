"""Who sees every claim before anybody else, and wants the money: what it makes of a claim, and when others see it.

It owns the network between nodes, knows who leads next, has accounts with money and no code. It may hold a claim back
from a node for a block, and give its own transactions, and copies of others', to any node first.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from aitoken.crypto.ed25519 import Pair
from aitoken.pay.codes import claim_bytes
from aitoken.proto.extrinsic import additional_signed, bare_extrinsic, sign_extrinsic
from aitoken.types import AccountId, Hash32
from chain.frame.schema import Schema

LOOT = AccountId(b"loot".ljust(32, b"\x00"))
"""Where stolen money would go: an account that does not exist, so that it shows."""
TIP = 10**9


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as its holder sends it: the arguments of the call."""

    batch: int
    index: int
    key: bytes
    proof: tuple[Hash32, ...]
    claimant: AccountId
    signature: bytes
    raw: bytes = b""

    def changed(self, **what: Any) -> tuple[Any, ...]:
        """The arguments with some of them changed."""
        fields: dict[str, Any] = {
            "batch": self.batch, "index": self.index, "key": self.key, "proof": list(self.proof),
            "claimant": self.claimant, "work": 0, "signature": self.signature,
        }  # fmt: skip
        return tuple((fields | what).values())


class Thief:
    """Makes transactions out of what it sees."""

    def __init__(self, schema: Schema, genesis: Hash32, rng: Random, accounts: list[Pair], other_batch: int) -> None:
        version = schema.version
        self._make = schema.make_call
        self._additional = additional_signed(version.spec_version, version.transaction_version, genesis, genesis)
        self._genesis = genesis
        self._rng = rng
        self._accounts = accounts
        self._other_batch = other_batch
        self._nonces = [0] * len(accounts)
        self.sent: dict[bytes, str] = {}
        """What it sent, by raw bytes: which trick it was."""

    def forgeries(self, claim: Claim) -> list[bytes]:
        """What can be made of a claim without its key: other claimants, other codes, other signatures."""
        own = self._accounts[0]
        sealed = own.sign(claim_bytes(self._genesis, claim.batch, claim.index, LOOT))
        elsewhere = own.sign(claim_bytes(Hash32(b"other chain".ljust(32)), claim.batch, claim.index, LOOT))
        tricks = {
            "its own claimant": claim.changed(claimant=LOOT),
            "its own claimant and signature": claim.changed(claimant=LOOT, signature=sealed),
            "its own key": claim.changed(claimant=LOOT, key=own.public, signature=sealed),
            "signed for another chain": claim.changed(claimant=LOOT, signature=elsewhere),
            "the next code": claim.changed(claimant=LOOT, index=claim.index + 1),
            "another batch": claim.changed(batch=self._other_batch),
            "a damaged signature": claim.changed(signature=bytes((claim.signature[0] ^ 1,)) + claim.signature[1:]),
        }
        made = [self._bare(trick, self._call(args)) for trick, args in tricks.items()]
        batch = self._make("Utility.batch", [self._call(tricks["its own claimant"])])
        made.append(self._bare("inside a batch", batch))
        self._rng.shuffle(made)
        return made

    def paid_for(self, claim: Claim, which: int) -> bytes:
        """A transaction of an account with money, with a tip to be first: the claim, made for another or as it is."""
        trick, args = self._rng.choice(
            (
                ("paid: its own claimant", claim.changed(claimant=LOOT)),
                ("paid: its own key", claim.changed(claimant=LOOT, key=self._accounts[0].public)),
                ("paid: the claim as it is", claim.changed()),
            )
        )
        call, pair = self._call(args), self._accounts[which]
        raw = sign_extrinsic(call.encode(), pair, self._additional, nonce=self._nonces[which], tip=TIP).raw
        self._nonces[which] += 1
        self.sent[raw] = trick
        return raw

    def _call(self, args: tuple[Any, ...]) -> Any:
        return self._make("Codes.claim", *args)

    def bare(self, args: tuple[Any, ...]) -> bytes:
        """A claim with these arguments, as anybody can write it."""
        return bare_extrinsic(self._call(args).encode()).raw

    def _bare(self, trick: str, call: Any) -> bytes:
        raw = bare_extrinsic(call.encode()).raw
        self.sent[raw] = trick
        return raw
