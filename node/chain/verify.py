"""Does a data directory hold a chain that anybody would believe? Everything there is, checked offline.

`node.store.check` looks at blocks, links, bodies and past values; opening the database has compared the state root.
Here the certificates are added: epoch after epoch, each that is kept is verified with the validators the chain itself
announced; the ends of epochs and the last block must have one. Nothing is executed again: that is what `import` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aitoken.errors import Rejected
from aitoken.proto.digest import next_epoch_of
from aitoken.proto.finality import Anchor, final_headers, follow
from aitoken.proto.header import Header
from aitoken.proto.votes import Certificate
from aitoken.types import BlockNumber
from node.store.check import Finding, check
from node.store.database import Database

if TYPE_CHECKING:
    from chain.genesis import Genesis
    from chain.spec import ChainSpec


def anchor_of(spec: ChainSpec, genesis: Genesis) -> Anchor:
    """Return genesis as what is trusted first."""
    epoch, block_hash = genesis.epoch, genesis.header.hash
    authorities = tuple((bytes(key), weight) for key, weight in epoch.authorities)
    return Anchor(block_hash, 0, block_hash, spec.timestamp_ms, epoch.epoch, authorities, epoch.length)


def verify(database: Database, start: Anchor) -> Iterator[Finding | BlockNumber]:
    """Yield what is wrong, and block numbers as progress."""
    yield from check(database)
    yield from certificates(database, start)


def certificates(database: Database, start: Anchor) -> Iterator[Finding | BlockNumber]:
    """Check every certificate that is kept, from genesis on; see `verify`."""
    last = database.finalized()[0]
    anchor = start
    number: int | None = 1
    while number is not None and number <= last:
        number = database.certified_from(number, last - number + 1)
        if number is None:
            break
        if number % 1000 == 0:
            yield BlockNumber(number)
        try:
            anchor = _one(database, BlockNumber(number), anchor)
        except Rejected as bad:
            yield Finding(number, f"the certificate proves nothing: {bad.code}: {bad}")
            return  # whoever votes afterwards is not known
        number += 1
    if last and database.justification(last) is None:
        yield Finding(last, "the last final block has no certificate")


def _one(database: Database, number: BlockNumber, anchor: Anchor) -> Anchor:
    header = Header.decode(database.header(number) or b"")
    certificate = Certificate.decode(database.justification(number) or b"")
    if next_epoch_of(header.digest) is not None:
        return follow(anchor, header, certificate)
    final_headers(anchor, [header], certificate)
    return anchor
