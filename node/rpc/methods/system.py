"""`system_*` and `account_nextIndex`: what this node and its chain are.

Source: `sc_rpc_api::system::SystemApi`; `substrate_frame_rpc_system`.
"""

from __future__ import annotations

from typing import Any

from aitoken.types import AccountId, Hash32, Nonce
from node.ports import ChainView
from node.rpc.params import HexBytes
from node.rpc.ports import ChainInfo, ConsensusView, NetworkView, PoolView
from node.rpc.query import Query
from node.rpc.registry import rpc


@rpc("system_chain")
def chain_name(info: ChainInfo) -> str:
    """Return the name of the chain."""
    return info.chain


@rpc("system_chainType")
def chain_type(info: ChainInfo) -> str:
    """Return Development, Local or Live."""
    return info.chain_type


@rpc("system_name")
def node_name(info: ChainInfo) -> str:
    """Return what the node's software is called."""
    return info.node_name


@rpc("system_version")
def node_version(info: ChainInfo) -> str:
    """Return the version of the node's software."""
    return info.node_version


@rpc("system_properties")
def properties(info: ChainInfo) -> dict[str, Any]:
    """Return address prefix, token symbol and decimals."""
    return info.properties


@rpc("system_health")
def health(network: NetworkView, info: ChainInfo) -> dict[str, Any]:
    """Return how many peers there are and whether blocks are being caught up."""
    alone = info.chain_type == "Development" and not network.peers()
    return {"peers": len(network.peers()), "isSyncing": network.is_syncing(), "shouldHavePeers": not alone}


@rpc("system_peers")
def peers(network: NetworkView) -> list[dict[str, Any]]:
    """Return the connected peers."""
    return [
        {"peerId": peer.peer_id, "roles": peer.roles, "bestHash": peer.best_hash, "bestNumber": peer.best_number}
        for peer in network.peers()
    ]


@rpc("system_localPeerId")
def local_peer_id(network: NetworkView) -> str:
    """Return this node's own name in the network."""
    return network.peer_id


@rpc("system_localListenAddresses")
def local_listen_addresses(network: NetworkView) -> list[str]:
    """Return the multiaddresses this node can be dialled at."""
    return list(network.listen_addresses())


@rpc("system_nodeRoles")
def node_roles(consensus: ConsensusView) -> list[str]:
    """Return Authority for a validator, else Full."""
    return ["Authority" if consensus.is_validator else "Full"]


@rpc("system_syncState")
def sync_state(chain: ChainView, network: NetworkView) -> dict[str, int]:
    """Return where the head is and where it ought to be."""
    current = chain.best.number
    return {"startingBlock": 0, "currentBlock": current, "highestBlock": max(current, network.highest_seen())}


@rpc("system_accountNextIndex", aliases=["account_nextIndex"], cost=1)
def account_next_index(query: Query, pool: PoolView, account: AccountId) -> int:
    """Return the nonce for the account's next transaction: after the ready ones in the pool."""
    on_chain = int.from_bytes(query.call(None, "AccountNonceApi_account_nonce", account), "little")
    return pool.next_nonce(account, Nonce(on_chain))


@rpc("system_dryRun", aliases=["system_dryRunAt"], cost=20)
def dry_run(query: Query, extrinsic: HexBytes, at: Hash32 | None = None) -> bytes:
    """Return the SCALE `ApplyExtrinsicResult` the extrinsic would have on top of a block; nothing is kept."""
    return query.dry_run(at, extrinsic)


@rpc("system_addReservedPeer", safe=False)
def add_reserved_peer(network: NetworkView, address: str) -> None:
    """Always keep a connection to a peer."""
    network.add_reserved(address)
