"""`smpx_*`: our own methods, about agreement and finality.

What a light client needs (`aitoken.client.light`): the genesis block proven to start with some validators, the ends of
epochs with their certificates, and headers up to a certified one. Everything is SCALE; the caller believes none of it
unchecked. Source: section 10 of the consensus paper, `docs/spec/sync.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aitoken.codec.hints import codec_of
from aitoken.crypto import ss58
from aitoken.types import BlockNumber, Hash32
from chain.pallets.equivocations import Equivocation, OffenceHistory
from chain.pallets.staking.types import Penalty
from node.ports import Block, ChainView
from node.rpc.feed import Feed
from node.rpc.ports import ChainInfo, ConsensusView
from node.rpc.query import Query
from node.rpc.registry import rpc, subscription
from node.rpc.render import to_json
from node.rpc.session import Sink

LINKS_MAX: Final = 64
"""Epochs of one answer: 0.8 MB at 200 validators."""
HEADERS_MAX: Final = 1024
"""Between a block and the next kept certificate lie less than two periods of `node.store.retention`."""


@rpc("smpx_roundState")
def round_state(consensus: ConsensusView) -> dict[str, Any]:
    """Return epoch, view and the votes seen so far."""
    return consensus.round_state()


_OFFENCES: Final = codec_of(OffenceHistory)


@rpc("smpx_offences", cost=5)
def offences(query: Query, info: ChainInfo, at: Hash32 | None = None) -> dict[str, Any]:
    """Return every validator ever proven to equivocate, what it did, and what became of its penalties.

    A penalty is `waiting` for the start of the era `due`, was `taken` then, or was `cancelled` before.
    """
    history: OffenceHistory = _OFFENCES.decode(query.call(at, "ConsensusApi_offences", b""))
    prefix = info.properties["ss58Format"]

    def equivocation(row: Equivocation) -> dict[str, Any]:
        names = ("epoch", "view", "fraction", "era")
        return {name: getattr(row, name) for name in names} | {
            "offence": row.offence.name,
            "reportedAt": row.reported_at,
        }

    def penalty(row: Penalty) -> dict[str, Any]:
        state = "cancelled" if row.cancelled else "waiting" if row.due > history.active_era else "taken"
        reporter = None if row.reporter is None else ss58.encode(row.reporter, prefix)
        amounts = {name: str(getattr(row, name)) for name in ("own", "others", "payout")}
        return {
            "era": row.era,
            "fraction": row.fraction,
            "due": row.due,
            "state": state,
            "reporter": reporter,
        } | amounts

    return {
        "activeEra": history.active_era,
        "offenders": [
            {
                "validator": ss58.encode(each.validator, prefix),
                "equivocations": [equivocation(row) for row in each.equivocations],
                "penalties": [penalty(row) for row in each.penalties],
            }
            for each in history.offenders
        ],
    }


@rpc("smpx_finalityProof")
def finality_proof(chain: ChainView, at: Hash32 | None = None) -> dict[str, Any] | None:
    """Return the SCALE certificate that made a block final, the last one without a hash; null where none is kept."""
    block = at if at is not None else chain.finalized.hash
    proof = chain.justification(block)
    return None if proof is None else {"block": block, "certificate": proof}


@rpc("smpx_genesisProof", cost=2)
def genesis_proof(chain: ChainView) -> dict[str, Any] | None:
    """Return the genesis header and the trie nodes that show the first validators and the time under it."""
    found = chain.genesis_proof()
    return None if found is None else {"header": found[0].encode(), "proof": found[1]}


@rpc("smpx_epochProof", cost=20)
def epoch_proof(chain: ChainView, from_epoch: int) -> list[dict[str, Any]]:
    """Return header and certificate of the blocks that ended epoch `from_epoch` and those after it, up to 64.

    An empty answer says that the epoch is not over.
    """
    links: list[dict[str, Any]] = []
    while len(links) < LINKS_MAX and (found := chain.epoch_end(from_epoch + len(links))) is not None:
        links.append({"header": found[0].encode(), "certificate": found[1]})
    return links


@rpc("smpx_proveFinality", cost=20)
def prove_finality(chain: ChainView, number: BlockNumber | None = None) -> dict[str, Any] | None:
    """Return the headers from a height up to the first certified one, and its certificate.

    Without a height, of the last final block; null where the block is not final or is not kept.
    """
    start = chain.finalized.number if number is None else number
    end = chain.certified_from(start, HEADERS_MAX)
    if end is None:
        return None
    headers: list[bytes] = []
    certificate: bytes | None = None
    for height in range(start, end + 1):
        block_hash = chain.hash_of(height)
        header = None if block_hash is None else chain.header(block_hash)
        if block_hash is None or header is None:
            return None
        headers.append(header.encode())
        certificate = chain.justification(block_hash)
    return None if certificate is None else {"headers": headers, "certificate": certificate}


class _Justifications:
    """Tells one subscriber of certificates (`node.ports.ChainListener`)."""

    def __init__(self, chain: ChainView, sink: Sink) -> None:
        self._chain, self._sink = chain, sink

    def on_block(self, block: Block) -> None:
        """Nothing is final by it."""

    def on_best(self, block: Block) -> None:
        """Nothing is final by it."""

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:  # noqa: ARG002 - the port's
        """Send the certificates of blocks that became final."""
        for block in blocks:
            certificate = self._chain.justification(block.hash)
            if certificate is not None:
                self._sink.send(to_json({"header": block.header.encode(), "certificate": certificate}))


@subscription(
    "smpx_subscribeJustifications",
    notifies="smpx_justifications",
    unsubscribes=["smpx_unsubscribeJustifications"],
)
def justifications(chain: ChainView, feed: Feed, sink: Sink) -> None:
    """Send header and certificate of every block that becomes final with a certificate of its own."""
    sink.on_release(feed.follow(_Justifications(chain, sink)))
