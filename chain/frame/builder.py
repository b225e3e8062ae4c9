"""A block from outside the framework: opened, given its transactions, sealed, compared.

`chain.frame.executive` does the work; what is here makes sure that a block is made in the right order, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from aitoken.codec.base import DecodeError
from aitoken.errors import Bug
from aitoken.proto.digest import LEADING_ITEMS, Digest, DigestItem
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.header import Header
from aitoken.types import BlockNumber, Hash32
from chain.frame.errors import DispatchError, InvalidBlock, InvalidTransaction
from chain.frame.executive import ExecutedBlock, Executive

if TYPE_CHECKING:
    from chain.state.base import State


class BlockBuilder:
    """A block being made, or checked: the one thing that may use its executive until it is sealed.

    Checking a block is building it again with given extrinsics and comparing; `apply_given` and `check` do that.
    """

    def __init__(
        self,
        executive: Executive,
        parent_state: State,
        parent_header: Header,
        items: Sequence[DigestItem],
        release: Callable[[Executive], None],
    ) -> None:
        self._executive: Executive | None = executive
        self._release = release
        self._given = 0
        executive.open_block(parent_state, parent_header, Digest(tuple(items)))
        self._inherents = len(executive.extrinsics)

    def _open(self) -> Executive:
        if self._executive is None:
            raise Bug("the block is sealed")
        return self._executive

    @property
    def number(self) -> BlockNumber:
        """The height of the block."""
        return self._open().number

    @property
    def extrinsics(self) -> Sequence[Extrinsic]:
        """What the block contains so far, inherents first."""
        return self._open().extrinsics

    def apply(self, extrinsic: Extrinsic) -> None:
        """Add a transaction; see `apply_all`."""
        self._open().apply(extrinsic)

    def apply_all(self, extrinsics: Iterator[Extrinsic]) -> None:
        """Add transactions, each before the next one is asked for.

        Raises:
            DecodeError: the call of the one that came last is malformed; it has changed nothing.
            InvalidTransaction: it does not belong into this block; it has changed nothing.
        """
        self._open().apply_all(extrinsics)

    def keys_of(self, extrinsics: Iterable[Extrinsic]) -> Iterator[bytes]:
        """Yield raw keys that usual transactions among `extrinsics` will look at, for who wants to read them ahead."""
        return self._open().keys_of(extrinsics)

    def apply_given(self, extrinsics: Iterable[Extrinsic]) -> None:
        """Add the next extrinsics of a block somebody else made, inherents included.

        Raises:
            InvalidBlock: one may not be there.
        """
        executive, given = self._open(), iter(extrinsics)
        for extrinsic in islice(given, max(0, self._inherents - self._given)):
            if extrinsic.raw != executive.extrinsics[self._given].raw:
                raise InvalidBlock(f"block {executive.number}: extrinsic {self._given} is not the inherent it must be")
            self._given += 1
        try:
            executive.apply_all(given)
        except (DecodeError, InvalidTransaction) as error:
            position = len(executive.extrinsics)
            raise InvalidBlock(f"block {executive.number}, extrinsic {position}: {error!r}") from error
        if self._given >= self._inherents:
            self._given = len(executive.extrinsics)

    def seal(self, extrinsics_root: Hash32 | None = None) -> ExecutedBlock:
        """Close the block and compute its header and state.

        Args:
            extrinsics_root: of the extrinsics given, where it was computed from them already.

        Raises:
            InvalidBlock: a given block left out inherents, or a hook refuses it.
        """
        executive = self._open()
        if 0 < self._given < self._inherents:
            raise InvalidBlock(f"block {executive.number} lacks inherents")
        try:
            given_all = self._given == len(executive.extrinsics)
            executed = executive.seal(extrinsics_root if given_all else None)
        except DispatchError as error:
            raise InvalidBlock(f"block {executive.number}: {error!r}") from error
        self._executive = None
        self._release(executive)
        return executed


def difference(ours: Header, theirs: Header) -> str | None:
    """Say in which field a header differs from what execution gives; None where it does not."""
    for name in ("parent_hash", "number", "extrinsics_root", "digest", "state_root"):
        mine, given = getattr(ours, name), getattr(theirs, name)
        if mine != given:
            return f"block {theirs.number}: {name} is {_show(given)}, execution gives {_show(mine)}"
    return None


def _show(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def leading_items(digest: Digest) -> tuple[DigestItem, ...]:
    """Return the items a block starts with; the rest of its digest is added while it is executed."""
    return digest.logs[:LEADING_ITEMS]
