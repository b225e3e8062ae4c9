"""A small chain whose finality is real: epochs, validators that sign, states with roots; and a node that shows it.

Blocks are not executed; each sets one storage key. What a liar changes is up to the test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_128_concat, blake2_256, twox_128
from aitoken.proto.digest import NEXT_EPOCH, Digest, NextEpoch, SmpxDigest, leading_items_of, next_epoch_item
from aitoken.proto.finality import CURRENT_EPOCH_KEY, NOW_KEY
from aitoken.proto.header import Header
from aitoken.proto.randomness import UNPROVEN
from aitoken.proto.votes import FINALIZE, Certificate, bitmap_of
from aitoken.types import BlockNumber, Hash32
from chain.state.layer import FinalState
from chain.state.ordered import ordered_root

START_MS = 1_767_225_600_000
STEP_MS = 1000
ALICE = bytes(range(32))
COUNTER = twox_128(b"Test") + twox_128(b"Counter")


def account_key(account: bytes) -> bytes:
    """The storage key of `System.Account`."""
    return twox_128(b"System") + twox_128(b"Account") + blake2_128_concat(account)


def account_value(nonce: int, free: int) -> bytes:
    """`System.AccountInfo`."""
    return nonce.to_bytes(4, "little") + bytes(12) + free.to_bytes(16, "little") + bytes(48)


def keys_of(epoch: int, count: int = 4) -> list[Pair]:
    """The validators of an epoch: every epoch has one that the one before had not."""
    return [Pair(blake2_256(b"validator %d" % (epoch + index))) for index in range(count)]


class ProvenChain:
    """Blocks 0 to `blocks` in epochs of `length`; weights 1, 2, 3, 4."""

    def __init__(self, blocks: int, length: int = 4, extra: dict[bytes, bytes] | None = None) -> None:
        self.length = length
        first = self._epoch(0, 0)
        pairs = {
            CURRENT_EPOCH_KEY: NEXT_EPOCH.encode(first),
            NOW_KEY: START_MS.to_bytes(8, "little"),
            account_key(ALICE): account_value(7, 100 * 10**12),
            **(extra or {}),
        }
        self.states = [FinalState.in_memory(pairs)]
        self.pairs = [pairs]
        genesis = Header(Hash32(bytes(32)), BlockNumber(0), self.states[0].root, ordered_root([]), Digest())
        self.genesis_hash = genesis.hash
        self.headers = [genesis]
        self.certificates: list[Certificate | None] = [None]
        while len(self.headers) <= blocks:
            self._grow()

    def _epoch(self, index: int, base: int) -> NextEpoch:
        authorities = [(pair.public, 1 + place) for place, pair in enumerate(keys_of(index))]
        return NextEpoch(index, authorities, bytes(32), base, self.length)

    def _grow(self) -> None:
        number = len(self.headers)
        epoch = (number - 1) // self.length
        view = (number - 1) % self.length + 1
        pairs = self.pairs[-1] | {COUNTER: number.to_bytes(4, "little"), b"gone%d" % number: b"x" * 40}
        pairs.pop(b"gone%d" % (number - 1), None)
        state = FinalState.in_memory(pairs)
        digest = Digest(
            leading_items_of(SmpxDigest(1, epoch, view, view - 1, 0, START_MS + STEP_MS * number, *UNPROVEN))
        )
        if number % self.length == 0:
            digest = digest.with_item(next_epoch_item(self._epoch(epoch + 1, number)))
        header = Header(self.headers[-1].hash, BlockNumber(number), state.root, ordered_root([]), digest)
        self.pairs.append(pairs)
        self.states.append(state)
        self.headers.append(header)
        self.certificates.append(self.certify(header, epoch, view))

    def certify(
        self,
        header: Header,
        epoch: int,
        view: int,
        *,
        signers: Sequence[int] = (1, 2, 3),
        pairs: Sequence[Pair] | None = None,
        genesis: bytes | None = None,
    ) -> Certificate:
        """A finalization of `header` by some validators of the epoch, or by other keys."""
        keys = keys_of(epoch) if pairs is None else pairs
        draft = Certificate(FINALIZE, epoch, view, header.hash, bitmap_of(signers, len(keys)), ())
        message = draft.sign_bytes(genesis or self.genesis_hash)
        signatures = tuple(keys[signer].sign(message) for signer in sorted(signers))
        return Certificate(FINALIZE, epoch, view, header.hash, draft.bitmap, signatures)

    @property
    def now_ms(self) -> int:
        """A moment after the last block."""
        return START_MS + STEP_MS * len(self.headers)

    def ends(self, epoch: int) -> tuple[Header, Certificate] | None:
        """The last block of an epoch."""
        number = (epoch + 1) * self.length
        found = self.certificates[number] if number < len(self.headers) else None
        return None if found is None else (self.headers[number], found)


def hexed(data: bytes) -> str:
    """As JSON-RPC writes it."""
    return "0x" + data.hex()


class Shown:
    """A node that answers from a `ProvenChain`; `change` a method and it lies."""

    def __init__(self, chain: ProvenChain) -> None:
        self.chain = chain
        self.asked: list[str] = []
        self._changed: dict[str, Callable[[Any], Any]] = {}

    def change(self, method: str, lie: Callable[[Any], Any]) -> None:
        """Replace the honest answer of a method by `lie(answer)`."""
        self._changed[method] = lie

    async def ask(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Answer."""
        self.asked.append(method)
        answer = getattr(self, "_" + method)(*params)
        return self._changed[method](answer) if method in self._changed else answer

    def _chain_getBlockHash(self, number: int) -> str:
        return hexed(self.chain.headers[number].hash)

    def _archive_v1_header(self, block: str) -> str | None:
        return next((hexed(each.encode()) for each in self.chain.headers if hexed(each.hash) == block), None)

    def _smpx_genesisProof(self) -> dict[str, Any]:
        proof = self.chain.states[0].prove([CURRENT_EPOCH_KEY, NOW_KEY])
        return {"header": hexed(self.chain.headers[0].encode()), "proof": [hexed(node) for node in proof]}

    def _smpx_epochProof(self, epoch: int) -> list[dict[str, str]]:
        links = []
        while (end := self.chain.ends(epoch + len(links))) is not None:
            links.append({"header": hexed(end[0].encode()), "certificate": hexed(end[1].encode())})
        return links

    def _smpx_proveFinality(self) -> dict[str, Any] | None:
        certificate = self.chain.certificates[-1]
        if certificate is None:
            return None
        return {
            "headers": [hexed(self.chain.headers[-1].encode())],
            "certificate": hexed(certificate.encode()),
        }

    def _state_getReadProof(self, keys: list[str], block: str) -> dict[str, Any]:
        number = next(n for n, each in enumerate(self.chain.headers) if hexed(each.hash) == block)
        nodes = self.chain.states[number].prove([bytes.fromhex(key[2:]) for key in keys])
        return {"at": block, "proof": [hexed(node) for node in nodes]}
