"""What light clients, warp sync and payers believe only when it proves itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aitoken.client.checkpoint import from_json, to_json
from aitoken.codec.containers import Tuple, Vec
from aitoken.codec.primitives import Bytes
from aitoken.crypto.hashing import blake2_256
from aitoken.proto.finality import CURRENT_EPOCH_KEY, NOW_KEY, Anchor, follow, genesis_anchor
from aitoken.proto.header import Header
from aitoken.proto.trie import decode_node, verify
from aitoken.proto.votes import Certificate
from node.net.pieces import check_leaves, check_node
from tests.fuzz.engine import Target
from tests.support.proven_chain import COUNTER, ProvenChain

NODES = Vec(Bytes)
LINK = Tuple(Bytes, Bytes)
LEAVES = Vec(Tuple(Bytes, Bytes))
KEYS = (CURRENT_EPOCH_KEY, NOW_KEY, COUNTER)


def targets() -> Iterator[Target]:
    """All of them."""
    chain = ProvenChain(9)
    genesis = chain.headers[0]
    anchor = genesis_anchor(chain.genesis_hash, genesis, chain.states[0].prove([CURRENT_EPOCH_KEY, NOW_KEY]))
    state = chain.states[4]
    proof = state.prove(KEYS)
    values = {blake2_256(value) for value in chain.pairs[4].values()}
    nodes = [item for item in proof if blake2_256(item) not in values]
    yield Target("proof.node", nodes, decode_node)
    yield Target("proof.storage", [NODES.encode(proof)], lambda data: verify(state.root, NODES.decode(data), KEYS))
    yield Target("proof.storage_no_root", [NODES.encode(proof)], _against_its_first)
    first = NODES.encode(chain.states[0].prove([CURRENT_EPOCH_KEY, NOW_KEY]))
    yield Target("proof.genesis", [first], lambda data: genesis_anchor(chain.genesis_hash, genesis, NODES.decode(data)))
    end = chain.ends(0)
    assert end is not None
    yield Target("proof.link", [LINK.encode((end[0].encode(), end[1].encode()))], lambda data: _follow(anchor, data))
    yield Target("proof.checkpoint", [to_json(anchor).encode()], from_json)
    pairs = sorted(chain.pairs[4].items())
    yield Target("warp.leaves", [LEAVES.encode(pairs)], lambda data: check_leaves("", state.root, LEAVES.decode(data)))
    yield Target("warp.node", [LINK.encode((nodes[0], b"value"))], _node)


def _against_its_first(data: bytes) -> Any:
    """A proof under whatever root it begins with, so that damage inside it is looked at."""
    nodes = NODES.decode(data)
    return verify(blake2_256(nodes[0]), nodes, KEYS) if nodes else None


def _follow(anchor: Anchor, data: bytes) -> Anchor:
    header, certificate = LINK.decode(data)
    return follow(anchor, Header.decode(header), Certificate.decode(certificate))


def _node(data: bytes) -> Any:
    encoding, value = LINK.decode(data)
    return check_node("", blake2_256(encoding), encoding, value)
