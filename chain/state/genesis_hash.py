"""The hash of block 0 of any Substrate chain, from its raw chain specification.

Header 0 has a parent of zeros, the root over the genesis storage, the root of no extrinsics and an empty digest.
Child tries, where a specification has any (`childrenDefault`), must already be in `top` as their roots.

Source: `sc_chain_spec::construct_genesis_block`.
"""

from __future__ import annotations

from collections.abc import Mapping

from aitoken.crypto.hashing import blake2_256
from aitoken.types import Hash32
from chain.state.base import StateVersion
from chain.state.layer import FinalState
from chain.state.nodes import EMPTY_ROOT


def genesis_hash(top: Mapping[str, str], version: StateVersion) -> Hash32:
    """Return the hash of the genesis block.

    Args:
        top: `genesis.raw.top` of the specification: 0x-hex keys and values.
        version: the state version of the runtime in it.
    """
    state = FinalState.in_memory({_unhex(key): _unhex(value) for key, value in top.items()}, version)
    return blake2_256(bytes(32) + b"\x00" + state.root + EMPTY_ROOT + b"\x00")


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
