"""Where the seed of an epoch's leader schedule comes from: random values of leaders, which they cannot choose.

    message(e, v)  = "SMPX-vrf" | genesis hash | seed(e) | e u64le | v u64le
    output(e, v)   = the first 32 bytes of the VRF output for it, by the session key of the view's leader
    mix            = 32 zero bytes; then for each block of e, in order: blake2_256(mix | output)
    seed(e + 1)    = blake2_256("SMPX-seed" | seed(e) | (e + 1) u64le | mix)

A header carries output and proof (`aitoken.proto.digest`), so whoever has the headers of an epoch can check its end.
A view without a block adds nothing. A leader has one output for a view and can only keep it back, with its block.
The validators of e + 1 are fixed before the first output of e is known.

Source: consensus paper, section 9.1; `aitoken.crypto.vrf`.
"""

from __future__ import annotations

from typing import Final

from aitoken.crypto import vrf
from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256

OUTPUT_SIZE: Final = 32
PROOF_SIZE: Final = vrf.PROOF_SIZE
NO_MIX: Final = bytes(32)
"""The mix before the first block of an epoch."""
UNPROVEN: Final = (bytes(OUTPUT_SIZE), bytes(PROOF_SIZE))
"""Output and proof of a block that is for nobody's vote, such as one in which a transaction is tried."""

_MESSAGE_PREFIX: Final = b"SMPX-vrf"
_SEED_PREFIX: Final = b"SMPX-seed"


def message_of(genesis_hash: bytes, seed: bytes, epoch: int, view: int) -> bytes:
    """Return the input of the VRF for a view of the epoch with this seed."""
    return _MESSAGE_PREFIX + genesis_hash + seed + epoch.to_bytes(8, "little") + view.to_bytes(8, "little")


def prove(pair: Pair, genesis_hash: bytes, seed: bytes, epoch: int, view: int) -> bytes:
    """Return the leader's proof for a view; the same each time."""
    return vrf.prove(pair, message_of(genesis_hash, seed, epoch, view))


def output_of(proof: bytes) -> bytes:
    """Return the output that goes with a proof one made."""
    return vrf.output_of(proof)[:OUTPUT_SIZE]


def verify(output: bytes, proof: bytes, message: bytes, public: bytes) -> bool:
    """Whether `output` is that of the key `public` for a view's message (`message_of`)."""
    found = vrf.verify(proof, message, public)
    return found is not None and found[:OUTPUT_SIZE] == output


def mixed(mix: bytes, output: bytes) -> bytes:
    """Return the mix with the output of one more block."""
    return blake2_256(mix + output)


def seed_after(seed: bytes, epoch: int, mix: bytes) -> bytes:
    """Return the seed of `epoch`, given that of the one before and the mix at its end."""
    return blake2_256(_SEED_PREFIX + seed + epoch.to_bytes(8, "little") + mix)
