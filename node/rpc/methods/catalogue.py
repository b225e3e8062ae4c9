"""`rpc_methods`: what is served; clients choose their way of working from it."""

from __future__ import annotations

from node.rpc.registry import rpc
from node.rpc.services import Catalogue


@rpc("rpc_methods")
def methods(catalogue: Catalogue) -> dict[str, list[str]]:
    """Return the sorted names of every method that may be called, aliases included."""
    return {"methods": catalogue.names}
