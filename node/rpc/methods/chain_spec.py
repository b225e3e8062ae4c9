"""`chainSpec_v1_*`: name, genesis and properties of the chain.

Source: the JSON-RPC interface specification, https://paritytech.github.io/json-rpc-interface-spec/.
"""

from __future__ import annotations

from typing import Any

from aitoken.types import Hash32
from node.ports import ChainView
from node.rpc.ports import ChainInfo
from node.rpc.registry import rpc


@rpc("chainSpec_v1_chainName")
def chain_name(info: ChainInfo) -> str:
    """Return the name of the chain."""
    return info.chain


@rpc("chainSpec_v1_genesisHash")
def genesis_hash(chain: ChainView) -> Hash32:
    """Return the hash of block 0."""
    return chain.genesis_hash


@rpc("chainSpec_v1_properties")
def properties(info: ChainInfo) -> dict[str, Any]:
    """Return address prefix, token symbol and decimals."""
    return info.properties
