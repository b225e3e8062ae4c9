"""Reading states and running runtime calls, with the errors clients expect."""

from __future__ import annotations

from aitoken.errors import Rejected
from aitoken.types import Hash32
from chain.frame.errors import UnknownApi
from chain.state.base import State, StateDiscarded
from node.ports import ChainView
from node.rpc import errors
from node.rpc.dry_run import dry_run
from node.rpc.ports import RuntimeApi


class Query:
    """Runtime calls and states for methods, with the errors clients expect."""

    def __init__(self, chain: ChainView, runtime: RuntimeApi) -> None:
        self._chain = chain
        self._runtime = runtime

    def block(self, at: Hash32 | None) -> Hash32:
        """The hash asked for, or the head's."""
        return at if at is not None else self._chain.best.hash

    def state(self, at: Hash32 | None) -> State:
        """The state after a block, the head when None.

        Raises:
            RpcError: unknown block or state no longer kept, with the texts clients read.
        """
        if at is None:
            return self._chain.best.state
        if self._chain.number_of(at) is None:
            raise errors.unknown_block(at)
        try:
            return self._chain.state_at(at)
        except StateDiscarded:
            raise errors.state_discarded(at) from None

    def call(self, at: Hash32 | None, name: str, data: bytes) -> bytes:
        """Run a runtime API on the state of a block.

        Raises:
            RpcError: unknown API, or it refused its arguments.
        """
        return self.call_on(self.state(at), name, data)

    def call_on(self, state: State, name: str, data: bytes) -> bytes:
        """Run a runtime API on a state.

        Raises:
            RpcError: unknown API, or it refused its arguments.
        """
        try:
            return self._runtime.call(state, name, data)
        except UnknownApi:
            raise errors.unknown_api(name) from None
        except Rejected as error:
            raise errors.execution_failed(f"{error.code}: {error}"[:512]) from None

    def dry_run(self, at: Hash32 | None, extrinsic: bytes) -> bytes:
        """Return the `ApplyExtrinsicResult` of a transaction on top of a block.

        Raises:
            RpcError: unknown block, state no longer kept, or no transaction.
        """
        state = self.state(at)
        header = self._chain.header(self.block(at))
        if header is None:
            raise errors.unknown_block(self.block(at))
        return dry_run(self._runtime, header, state, extrinsic)

    def metadata(self, version: int) -> bytes:
        """The metadata blob of a version."""
        return self._runtime.metadata(version)
