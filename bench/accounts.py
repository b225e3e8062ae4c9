"""Funded accounts and signed transfers for the benchmarks: the same every time, from a counter.

A transfer is `Balances.transfer_keep_alive` between two accounts that exist, the definition of sTPS
(polkadot-stps): 145 bytes, ed25519, mortal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from aitoken.codec.base import compact_encode
from aitoken.crypto import ed25519, ss58
from aitoken.crypto.hashing import blake2_128_concat, blake2_256, twox_128
from aitoken.proto.era import IMMORTAL, Era
from aitoken.proto.extrinsic import additional_signed, sign_extrinsic

TRANSFER_KEEP_ALIVE = b"\x04\x03"
"""Pallet Balances, call 3; the same in every Substrate chain of this layout."""
FUNDS = "1_000 AIT"
VALUE = compact_encode(1_000_000_000)
"""0.001 AIT, above the existential deposit."""
WITH_KEYS = 150_000
_ACCOUNT = twox_128(b"System") + twox_128(b"Account")


@cache
def pair(index: int) -> ed25519.Pair:
    """The key of account `index`."""
    return ed25519.Pair(blake2_256(b"bench account %d" % index))


def public(index: int) -> bytes:
    """Its 32 bytes."""
    return pair(index).public


def account(index: int) -> bytes:
    """The 32 bytes of account `index`; the first `WITH_KEYS` can sign, the others are cheap to name."""
    return public(index) if index < WITH_KEYS else blake2_256(b"bench account without a key %d" % index)


def account_key(who: bytes) -> bytes:
    """Where the runtime keeps an account (`System.Account`)."""
    return _ACCOUNT + blake2_128_concat(who)


def with_accounts(spec: dict[str, Any], count: int) -> dict[str, Any]:
    """A genesis in which the first `count` accounts have money."""
    balances = spec["genesis"]["balances"] | {ss58.encode(account(index)): FUNDS for index in range(count)}
    return spec | {"genesis": spec["genesis"] | {"balances": balances}}


@dataclass(frozen=True, slots=True)
class Terms:
    """What signer and chain both know."""

    spec_version: int
    transaction_version: int
    genesis_hash: bytes
    birth: int = 0
    birth_hash: bytes = b""
    """The block a mortal transaction is born at; immortal when empty."""

    @property
    def era(self) -> Era:
        """Its validity."""
        return Era.mortal(4096, self.birth) if self.birth_hash else IMMORTAL

    @property
    def additional(self) -> bytes:
        """The bytes a signature covers besides the transaction."""
        birth_hash = self.birth_hash or self.genesis_hash
        return additional_signed(self.spec_version, self.transaction_version, self.genesis_hash, birth_hash)


def transfer(terms: Terms, sender: int, recipient: int, nonce: int, tip: int = 0) -> bytes:
    """A signed transfer with its length prefix."""
    call = TRANSFER_KEEP_ALIVE + b"\x00" + account(recipient) + VALUE
    return sign_extrinsic(call, pair(sender), terms.additional, nonce=nonce, tip=tip, era=terms.era).raw


def transfers(terms: Terms, accounts: int, count: int, nonces: list[int]) -> Iterator[bytes]:
    """`count` transfers, each sender in turn, to accounts spread over all; `nonces` is moved on."""
    for number in range(count):
        sender = number % accounts
        yield transfer(terms, sender, (number * 7919 + 1) % accounts, nonces[sender])
        nonces[sender] += 1
