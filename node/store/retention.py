"""Which finality certificates are kept: enough to prove any block final, little enough to keep for ever.

Kept are the certificates of the last `RECENT` blocks, of every block that ends an epoch, and of the first certified
block at or above every multiple of `PERIOD`. With a hundred validators a certificate has 4.3 KB: all of them would be
190 MB a day at one block in two seconds, these are 0.4 MB.

A block whose own certificate is gone is final through the next one that is kept, less than two periods above it.
Source: section 10.4 of the consensus paper.
"""

from __future__ import annotations

from typing import Final

from aitoken.proto.digest import next_epoch_of
from aitoken.proto.header import Header
from node.store import schema
from node.store.leveldb import Batch, LevelDb

RECENT: Final = 1024
PERIOD: Final = 512


def prune_certificate(db: LevelDb, batch: Batch, number: int) -> None:
    """Drop the certificate that need not be kept once block `number` is final."""
    leaving = number - RECENT
    if leaving < 0:
        return
    own = schema.JUSTIFICATION + schema.number(leaving)
    if db.get(own) is None or _is_first(db, leaving) or _ends_epoch(db, leaving):
        return
    batch.delete(own)


def _is_first(db: LevelDb, number: int) -> bool:
    """Whether no block from the multiple of the period on is certified; a first one is never dropped itself."""
    start = schema.JUSTIFICATION + schema.number(number // PERIOD * PERIOD)
    return next(db.range(start, schema.JUSTIFICATION + schema.number(number)), None) is None


def _ends_epoch(db: LevelDb, number: int) -> bool:
    header = db.get(schema.HEADER + schema.number(number))
    return header is not None and next_epoch_of(Header.decode(header).digest) is not None
