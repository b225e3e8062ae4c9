"""A chain and a runtime small enough to read at a glance, for tests of the pool.

A fake extrinsic is `signer(1) nonce(2) tip(4) era_end(2) signature(0 or 64) ...`; its state is a dict of accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from chain.frame.errors import AncientBirthBlock, CannotPay, Stale
from node.pool.errors import Invalid, Undecodable
from node.pool.pooled import IMMORTAL, Pooled

ADDITIONAL = b"genesis and versions"
PAIRS = {who: Pair(bytes([who]) * 32) for who in range(64)}
ACCOUNT_OF = {who: pair.public for who, pair in PAIRS.items()}
WHO_OF = {public: who for who, public in ACCOUNT_OF.items()}
IMMORTAL_ERA = 65_535
TAG = 1_000


@dataclass(slots=True)
class FakeXt:
    raw: bytes
    signer: bytes | None
    nonce: int
    tip: int
    era_end: int
    signature: bytes
    hash: bytes = b""
    signature_kind: int = 0
    verified_for: bytes | None = None

    def __post_init__(self) -> None:
        self.hash = blake2_256(self.raw)

    def payload(self, additional: bytes) -> bytes:
        return self.raw[:9] + additional


def make_xt(
    who: int, nonce: int, tip: int = 0, *, era_end: int = IMMORTAL_ERA, pad: int = 0, good: bool = True
) -> FakeXt:
    """A signed fake extrinsic."""
    head = bytes([who]) + nonce.to_bytes(2, "little") + tip.to_bytes(4, "little") + era_end.to_bytes(2, "little")
    signature = PAIRS[who].sign(head + ADDITIONAL)
    if not good:
        signature = signature[:10] + bytes([signature[10] ^ 1]) + signature[11:]
    return FakeXt(head + signature + bytes(pad), ACCOUNT_OF[who], nonce, tip, era_end, signature)


def unsigned_xt(tag: int, tip: int = 0) -> FakeXt:
    """An unsigned one that provides `tag`."""
    return FakeXt(b"\xff" + bytes([tag, tip]), None, 0, tip, IMMORTAL_ERA, b"")


@dataclass(frozen=True)
class FakeHeader:
    parent_hash: bytes
    number: int


@dataclass(frozen=True)
class FakeBlock:
    hash: bytes
    header: FakeHeader
    body: tuple[FakeXt, ...]
    state: dict[int, tuple[int, int]]
    """Account -> (nonce, balance); who is missing has (0, 100). `TAG` + tag -> what an unsigned one used up."""

    @property
    def number(self) -> int:
        return self.header.number


def child(parent: FakeBlock, body: Sequence[FakeXt] = (), *, poor: Sequence[int] = (), salt: int = 0) -> FakeBlock:
    """The block after `parent` with `body`; the accounts in `poor` lose all their money in it."""
    state = dict(parent.state)
    for xt in body:
        if xt.signer is not None:
            who = WHO_OF[xt.signer]
            state[who] = (xt.nonce + 1, state.get(who, (0, 100))[1])
        else:
            state[TAG + xt.raw[1]] = (1, 0)
    for who in poor:
        state[who] = (state.get(who, (0, 100))[0], 0)
    digest = blake2_256(parent.hash + b"".join(xt.hash for xt in body) + bytes(poor) + bytes([salt]))
    return FakeBlock(digest, FakeHeader(parent.hash, parent.number + 1), tuple(body), state)


GENESIS = FakeBlock(b"\0" * 32, FakeHeader(b"\0" * 32, 0), (), {})


class FakeRuntime:
    """Counts its checks."""

    def __init__(self) -> None:
        self.checks = 0
        self.additional = ADDITIONAL

    def parse(self, raw: bytes, known_hash: bytes | None = None) -> Any:
        assert known_hash in (None, blake2_256(raw))
        if len(raw) == 3 and raw[0] == 0xFF:
            return FakeXt(raw, None, 0, raw[2], IMMORTAL_ERA, b"")
        if len(raw) < 73 or raw[0] not in PAIRS:
            raise Undecodable("too short")
        nonce, tip = int.from_bytes(raw[1:3], "little"), int.from_bytes(raw[3:7], "little")
        return FakeXt(raw, ACCOUNT_OF[raw[0]], nonce, tip, int.from_bytes(raw[7:9], "little"), raw[9:73])

    def worth(self, xt: Any) -> int:
        return int(xt.tip)

    def tip_for(self, xt: Any, worth: int) -> int:
        return worth

    def check(self, parent: Any, xt: Any) -> Pooled:
        self.checks += 1
        if xt.signer is None:
            if TAG + xt.raw[1] in parent.state:
                raise Invalid(Stale())
            return Pooled(xt, b"unsigned:" + xt.raw[1:2], 0, xt.tip, parent.number + 65)
        who = WHO_OF[xt.signer]
        nonce, balance = parent.state.get(who, (0, 100))
        if parent.number + 1 >= xt.era_end:
            raise Invalid(AncientBirthBlock())
        if xt.nonce < nonce:
            raise Invalid(Stale())
        if balance == 0:
            raise Invalid(CannotPay())
        death = IMMORTAL if xt.era_end == IMMORTAL_ERA else xt.era_end
        return Pooled(xt, xt.signer, xt.nonce, xt.tip, death, base=nonce, additional=self.additional)

    def nonce(self, parent: Any, account: bytes) -> int:
        return parent.state.get(WHO_OF.get(account, -1), (0, 100))[0]


@dataclass
class FakeChain:
    """Holds the head; tells one listener."""

    best: Any = GENESIS
    finalized: Any = GENESIS
    blocks: list[Any] = field(default_factory=list)

    def unfinalized(self) -> Sequence[Any]:
        return [self.best] if self.best is self.finalized else self.blocks


@dataclass
class FakeClock:
    now: int = 0

    def now_ms(self) -> int:
        return self.now
