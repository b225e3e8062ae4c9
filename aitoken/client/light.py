"""A light client: what a node says of the chain, believed only where it proves it.

    light = await LightClient.start(client.request, parse("0x..."), now_ms=...)
    raw = (await light.read([key]))[key]

From a checkpoint it goes over the ends of epochs (header and certificate each) to the validators of the running one,
takes the last final header with their certificate, and reads storage with proofs under that header's state root. So
the node can withhold, or be late, and no more; both are told: `Stale`, `WentBack`, and every class of
`aitoken.proto.finality`, `aitoken.proto.votes` and `aitoken.proto.trie` names one kind of lie.

What is *not* proven: what the bytes mean, which is in the metadata a node sends. So keys and layouts should come from
the program that asks, as `account` does.

Source: section 10 of the consensus paper; the methods are in `docs/spec/sync.md`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

from aitoken.client.answers import convert, unhex
from aitoken.client.checkpoint import Checkpoint, OtherCheckpoint
from aitoken.crypto.hashing import blake2_128_concat, twox_128
from aitoken.errors import Rejected, Unavailable
from aitoken.proto.digest import smpx_of
from aitoken.proto.finality import (
    UNBONDING_MS,
    Anchor,
    OtherGenesis,
    anchor_at,
    check_age,
    final_headers,
    follow,
    genesis_anchor,
    trusting_period_ms,
)
from aitoken.proto.header import Header
from aitoken.proto.trie import verify
from aitoken.proto.votes import Certificate
from aitoken.types import Balance, Hash32, Nonce

TRUSTING_PERIOD_MS: Final = trusting_period_ms(UNBONDING_MS)
HEAD_AGE_MAX_MS: Final = 10 * 60 * 1000
"""A chain makes a block every few seconds; a node that shows none for so long is behind, cut off, or lying."""
CLOCK_AHEAD_MAX_MS: Final = 60 * 1000
_TRIES: Final = 3
_ACCOUNT_PREFIX: Final = twox_128(b"System") + twox_128(b"Account")
_ACCOUNT_SIZE: Final = 80

Ask: TypeAlias = Callable[[str, Sequence[Any]], Awaitable[Any]]
"""Calls a JSON-RPC method, as `aitoken.client.client.Client.request` does."""

log = logging.getLogger(__name__)


class Stale(Unavailable):
    """The last final block the node proves is too old: it is behind, or keeps back what happened since."""

    code = "light.stale"


class WentBack(Rejected):
    """The node proves an older block than before."""

    code = "light.went_back"


class ProvesNothing(Unavailable):
    """The node has none of the proofs that were asked for."""

    code = "light.proves_nothing"


@dataclass(frozen=True, slots=True)
class LightAccount:
    """What an account owns (`System.Account`), read without metadata."""

    nonce: Nonce
    free: Balance
    reserved: Balance
    frozen: Balance


class LightClient:
    """Reads a chain through a node it does not trust.

    Attributes:
        anchor: the newest end of an epoch that was proven; a good next checkpoint.
        head: the last final header that was proven.
    """

    def __init__(self, ask: Ask, anchor: Anchor, head: Header) -> None:
        self._ask = ask
        self.anchor = anchor
        self.head = head

    @classmethod
    async def start(
        cls,
        ask: Ask,
        checkpoint: Checkpoint,
        *,
        now_ms: int,
        trusting_period_ms: int = TRUSTING_PERIOD_MS,
        head_age_max_ms: int = HEAD_AGE_MAX_MS,
    ) -> Self:
        """Go from a checkpoint to the last final block.

        Args:
            ask: the node.
            checkpoint: what is trusted.
            now_ms: the time, in milliseconds since 1970.
            trusting_period_ms: so old the checkpoint may be.
            head_age_max_ms: so old the last final block may be.

        Raises:
            Rejected: the node lies; the class says how. Or the checkpoint is too old (`TrustTooOld`).
            Unavailable: the node does not answer, proves nothing, or is behind (`Stale`).
        """
        anchor, header = await _anchor_of(ask, checkpoint)
        check_age(anchor, now_ms, trusting_period_ms)
        client = cls(ask, anchor, header)
        await client.advance(now_ms=now_ms, head_age_max_ms=head_age_max_ms)
        return client

    async def advance(self, *, now_ms: int, head_age_max_ms: int = HEAD_AGE_MAX_MS) -> Header:
        """Go on to the last final block and return its header.

        Raises:
            Rejected, Unavailable: as `start`.
        """
        before = self.head.number
        for _ in range(_TRIES):
            await self._follow_epochs()
            if await self._take_head():
                break
        else:
            raise ProvesNothing("the node does not prove its last final block")
        if self.head.number < before:
            raise WentBack(f"block {self.head.number} is shown as the last final one, after block {before}")
        self._check_head_age(now_ms, head_age_max_ms)
        return self.head

    async def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        """Return the values of storage keys after the head block; None where it is proven that there is none.

        Raises:
            BadProof, IncompleteProof: the node does not prove what it says.
            Unavailable: it does not answer.
        """
        method = "state_getReadProof"
        answer = await self._ask(method, [["0x" + key.hex() for key in keys], "0x" + self.head.hash.hex()])
        proof = convert(answer, dict[str, Any], method).get("proof")
        nodes = [unhex(node, method) for node in convert(proof, list[str], method)]
        return verify(self.head.state_root, nodes, keys)

    async def account(self, account: bytes) -> LightAccount:
        """Return what an account owns, zeros where it is proven not to exist."""
        key = _ACCOUNT_PREFIX + blake2_128_concat(account)
        raw = (await self.read([key]))[key] or bytes(_ACCOUNT_SIZE)
        if len(raw) != _ACCOUNT_SIZE:
            raise ProvesNothing(f"an account of {len(raw)} bytes: this program is too old for the chain")
        amounts = [Balance(int.from_bytes(raw[at : at + 16], "little")) for at in (16, 32, 48)]
        return LightAccount(Nonce(int.from_bytes(raw[:4], "little")), *amounts)

    async def _follow_epochs(self) -> None:
        while True:
            links = await self._ask("smpx_epochProof", [self.anchor.epoch])
            found = [_link(link) for link in convert(links, list[dict[str, str]], "smpx_epochProof")]
            if not found:
                return
            for header, certificate in found:
                self.anchor, self.head = follow(self.anchor, header, certificate), header
            log.debug("followed to epoch %d", self.anchor.epoch)

    async def _take_head(self) -> bool:
        """Take the last final header the node proves; False when the epoch went by meanwhile."""
        method = "smpx_proveFinality"
        answer = await self._ask(method, [])
        if answer is None:  # nothing is final above the checkpoint, or all of it is an end of an epoch
            return True
        parts = convert(answer, dict[str, Any], method)
        headers = [Header.decode(unhex(each, method)) for each in convert(parts.get("headers"), list[str], method)]
        certificate = Certificate.decode(unhex(parts.get("certificate"), method))
        if not headers or headers[-1].hash == self.anchor.hash:
            return True
        if certificate.epoch == self.anchor.epoch + 1:
            return False
        if headers[-1].number < self.anchor.number:
            raise WentBack(f"block {headers[-1].number} is shown as the last final one, below {self.anchor.number}")
        final_headers(self.anchor, headers, certificate)
        self.head = headers[-1]
        return True

    def _check_head_age(self, now_ms: int, age_max_ms: int) -> None:
        if self.head.number == 0:
            return  # nothing is final yet
        age = now_ms - smpx_of(self.head.digest).timestamp_ms
        if age > age_max_ms:
            raise Stale(
                f"the last final block the node proves, {self.head.number}, is {age // 1000} s old: the node is behind "
                "or keeps newer blocks back, or the chain stands still; ask another node"
            )
        if age < -CLOCK_AHEAD_MAX_MS:
            raise Stale(f"the last final block is {-age // 1000} s in the future: set the clock of this machine")


async def _anchor_of(ask: Ask, checkpoint: Checkpoint) -> tuple[Anchor, Header]:
    """Return the anchor a checkpoint names and its header, whoever sends it."""
    genesis = checkpoint.genesis or Hash32(unhex(await ask("chain_getBlockHash", [0]), "chain_getBlockHash"))
    if checkpoint.hash == genesis:
        anchor, header = await _genesis(ask, genesis)
    else:
        method = "archive_v1_header"
        answer = await ask(method, ["0x" + checkpoint.hash.hex()])
        if answer is None:
            raise ProvesNothing(
                f"the node does not know block {checkpoint.hash.hex()}: it is behind, or on another chain"
            )
        header = Header.decode(unhex(answer, method))
        if header.hash != checkpoint.hash:
            raise OtherCheckpoint(f"asked for {checkpoint.hash.hex()}, the node sends {header.hash.hex()}")
        anchor = anchor_at(genesis, header)
    checkpoint.check(anchor)
    return anchor, header


async def _genesis(ask: Ask, genesis: Hash32) -> tuple[Anchor, Header]:
    method = "smpx_genesisProof"
    answer = await ask(method, [])
    if answer is None:
        raise ProvesNothing("the node cannot prove the first validators: use a later checkpoint")
    parts = convert(answer, dict[str, Any], method)
    header = Header.decode(unhex(parts.get("header"), method))
    if header.hash != genesis:
        raise OtherGenesis(f"the node's chain begins with {header.hash.hex()}, not with {genesis.hex()}")
    proof = [unhex(node, method) for node in convert(parts.get("proof"), list[str], method)]
    return genesis_anchor(genesis, header, proof), header


def _link(link: dict[str, str]) -> tuple[Header, Certificate]:
    header = Header.decode(unhex(link.get("header"), "smpx_epochProof"))
    return header, Certificate.decode(unhex(link.get("certificate"), "smpx_epochProof"))
