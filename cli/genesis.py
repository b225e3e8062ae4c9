"""What a genesis file comes to: the block hash and figures `chain.genesis` computes from it."""

from __future__ import annotations

from dataclasses import dataclass

from aitoken.types import Balance, Hash32
from cli.exits import BadInput
from cli.specs import Spec


@dataclass(frozen=True, slots=True)
class GenesisFacts:
    """A genesis block in figures."""

    name: str
    hash: Hash32
    state_root: Hash32
    entries: int
    """How many storage entries the chain starts with."""
    issuance: Balance


def facts_of(spec: Spec) -> GenesisFacts:
    """Compute the genesis block of one of our specs.

    Raises:
        Rejected: no chain can start from it; the message says what is wrong.
    """
    from chain.genesis import build_genesis
    from chain.spec import parse_spec

    parsed = parse_spec(spec)
    genesis = build_genesis(parsed)
    return GenesisFacts(
        name=parsed.name,
        hash=genesis.header.hash,
        state_root=genesis.header.state_root,
        entries=len(genesis.pairs),
        issuance=genesis.issuance,
    )


def raw_hash(spec: Spec, version: int) -> Hash32:
    """The genesis hash of a raw Substrate chain spec.

    Args:
        spec: the whole file; its storage is `genesis.raw.top`.
        version: the state version of its runtime, 0 or 1.

    Raises:
        BadInput: its storage is not hex text by hex text.
    """
    from chain.state.base import StateVersion
    from chain.state.genesis_hash import genesis_hash

    raw = spec["genesis"]["raw"]
    top = raw.get("top") if isinstance(raw, dict) else None
    if not isinstance(top, dict):
        raise BadInput("the raw chain spec has no genesis.raw.top")
    if raw.get("childrenDefault"):
        raise BadInput("the raw chain spec has child tries, which are not supported")
    try:
        return genesis_hash(top, StateVersion(version))
    except (ValueError, AttributeError):
        raise BadInput("genesis.raw.top must map 0x-hex keys to 0x-hex values") from None
