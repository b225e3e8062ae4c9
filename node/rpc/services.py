"""Everything the methods may look at; each is handed to the parameters of its type."""

from __future__ import annotations

import asyncio
import typing
from dataclasses import dataclass
from typing import Any

from node.ports import ChainView
from node.rpc.feed import Feed
from node.rpc.limits import Limits
from node.rpc.ports import ChainInfo, ConsensusView, NetworkView, PoolView
from node.rpc.proofs import Prover
from node.rpc.query import Query
from node.rpc.version import VersionView


class Catalogue:
    """The names of everything that is served; filled once all methods are known."""

    def __init__(self) -> None:
        self.names: list[str] = []


@dataclass(frozen=True, slots=True)
class Services:
    """What is handed to a method's parameter by its type."""

    chain: ChainView
    query: Query
    versions: VersionView
    prover: Prover
    pool: PoolView
    network: NetworkView
    consensus: ConsensusView
    info: ChainInfo
    feed: Feed
    limits: Limits
    catalogue: Catalogue
    loop: asyncio.AbstractEventLoop

    @staticmethod
    def types() -> dict[Any, str]:
        """Type -> name of the field that holds it."""
        return {hint: name for name, hint in typing.get_type_hints(Services).items()}

    def find(self, kind: Any) -> Any:
        """The service of a type."""
        return getattr(self, _fields()[kind])


_found: dict[Any, str] = {}


def _fields() -> dict[Any, str]:
    if not _found:
        _found.update(Services.types())
    return _found
