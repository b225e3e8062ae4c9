"""The runtime as the node sees it: blocks are opened, checked and queried here.

A `Runtime` hands out machines: one for each block being built, one for validation, one for queries. So an open block is
never disturbed by what else the node asks for meanwhile. Nothing here is thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aitoken.proto.extrinsic import Extrinsic
from chain.frame.builder import BlockBuilder, difference, leading_items
from chain.frame.errors import InvalidBlock, UnknownApi
from chain.frame.executive import ExecutedBlock, Executive, ValidTransaction
from chain.frame.metadata import VERSIONS, write_metadata

if TYPE_CHECKING:
    from aitoken.proto.digest import DigestItem
    from aitoken.proto.header import Header
    from aitoken.types import Hash32
    from chain.frame.machine import Machine
    from chain.frame.schema import Schema
    from chain.frame.system import System
    from chain.frame.types import RuntimeVersion
    from chain.state.base import State

SPARE_MAX: Final = 2


@dataclass(frozen=True, slots=True)
class Instance:
    """Pallets on a store of their own. `apis` are the objects besides pallets that offer runtime APIs."""

    machine: Machine
    system: System
    executive: Executive
    apis: tuple[object, ...] = ()


class Runtime:
    """Rules of a chain.

    Args:
        schema: what is declared.
        assemble: constructs the pallets; called once per machine, with the schema and the metadata by version.
    """

    def __init__(self, schema: Schema, assemble: Callable[[Schema, dict[int, bytes]], Instance]) -> None:
        self.schema = schema
        self._assemble = assemble
        self._metadata = {version: write_metadata(schema, version) for version in VERSIONS}
        self._spare: list[Executive] = []
        self._validation = self.new_instance()
        self._validating: State | None = None
        self._queries = self.new_instance()
        self._api_owners: dict[type, Any] = {
            type(owner): owner for owner in (*self._queries.machine.pallets.values(), *self._queries.apis)
        }

    def new_instance(self) -> Instance:
        """Return pallets for a caller of its own, such as the pool or genesis."""
        return self._assemble(self.schema, self._metadata)

    # --------------------------------------------------------------------------------------------- blocks

    def open_block(
        self, parent_state: State, parent_header: Header, items: Sequence[DigestItem], *, given: int | None = None
    ) -> BlockBuilder:
        """Start a block: hooks and inherents have run when this returns.

        Args:
            parent_state: the state after the parent block.
            parent_header: its header.
            items: the leading digest items of the new block.
            given: how many extrinsics a block made elsewhere has, for `apply_given`.

        Raises:
            InvalidBlock: a given block is too short to hold its inherents, or its header breaks a rule.
        """
        executive = self._take(parent_state)
        builder = BlockBuilder(executive, parent_state, parent_header, items, self._release)
        if given is not None:
            if given < len(builder.extrinsics):
                raise InvalidBlock(f"block {builder.number} has {given} extrinsics and lacks inherents")
            for check in executive.given_checks:
                check(builder.number)
        return builder

    def _take(self, parent_state: State) -> Executive:
        for position, executive in enumerate(self._spare):
            if executive.continues(parent_state):
                return self._spare.pop(position)
        return self._spare.pop() if len(self._spare) == SPARE_MAX else self.new_instance().executive

    def _release(self, executive: Executive) -> None:
        if len(self._spare) < SPARE_MAX:
            self._spare.append(executive)

    def execute_block(
        self, parent_state: State, parent_header: Header, header: Header, body: Sequence[Extrinsic]
    ) -> ExecutedBlock:
        """Execute a block somebody else made and compare everything.

        Raises:
            InvalidBlock: it breaks a rule; the message says which.
        """
        builder = self.open_block(parent_state, parent_header, leading_items(header.digest), given=len(body))
        builder.apply_given(body)
        executed = builder.seal()
        wrong = difference(executed.header, header)
        if wrong is not None:
            raise InvalidBlock(wrong)
        return executed

    # --------------------------------------------------------------------------------------------- questions

    def validate(self, state: State, number: int, block_hash: Hash32, extrinsic: Extrinsic) -> ValidTransaction:
        """Check a transaction under the rules of the block after `number`.

        Args:
            state: the state after block `number`; asking about one state many times is cheap.
            number: the height of that block.
            block_hash: its hash.
            extrinsic: its signature is verified unless it remembers that it has been.

        Raises:
            DecodeError: the call is malformed.
            InvalidTransaction: it can never be in that block, or not before something else changes.
        """
        executive = self._validation.executive
        if state is not self._validating:
            executive.load_for_next(state, number, block_hash)
            self._validating = state
        return executive.validate(extrinsic, number + 1)

    def call(self, state: State, name: str, data: bytes) -> bytes:
        """Run a runtime API on a state; what it writes is forgotten.

        Args:
            state: the state to read.
            name: such as "AccountNonceApi_account_nonce".
            data: the encoded arguments, one after the other.

        Raises:
            UnknownApi: there is none of that name.
            DecodeError: the arguments are malformed.
        """
        method = self.schema.api_methods.get(name)
        if method is None:
            raise UnknownApi(name)
        arguments = method.decode_arguments(data)
        self._queries.executive.load(state)
        return method.output.encode(getattr(self._api_owners[method.owner], method.attribute)(*arguments))

    def metadata(self, version: int) -> bytes:
        """Return the metadata of a version (14 or 15), starting with `meta`."""
        return self._metadata[version]

    @property
    def version(self) -> RuntimeVersion:
        """Name and numbers of this runtime."""
        return self.schema.version
