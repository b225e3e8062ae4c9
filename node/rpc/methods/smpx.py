"""`smpx_*`: our own methods, about agreement and finality."""

from __future__ import annotations

from typing import Any

from aitoken.types import Hash32
from node.ports import ChainView
from node.rpc.ports import ConsensusView
from node.rpc.registry import rpc


@rpc("smpx_roundState")
def round_state(consensus: ConsensusView) -> dict[str, Any]:
    """Return epoch, view and the votes seen so far."""
    return consensus.round_state()


@rpc("smpx_finalityProof")
def finality_proof(chain: ChainView, at: Hash32 | None = None) -> dict[str, Any] | None:
    """Return the SCALE certificate that made a block final, the last one without a hash; null where none is kept."""
    block = at if at is not None else chain.finalized.hash
    proof = chain.justification(block)
    return None if proof is None else {"block": block, "certificate": proof}
