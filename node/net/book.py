"""The address book: where nodes might be found, and which ones we did reach.

Two shelves. On `new` lies what others told us; on `tried` only what we dialled and shook hands with ourselves, so a
flood of invented addresses displaces other hearsay and nothing more. Both are bounded, in all and for each source or
neighbourhood. The three longest-lived outbound connections are the `anchors`, dialled first after a restart, so that a
restart is no occasion to surround a node.

Smaller than the bucket scheme of the paper (section 15.1): groups are counted instead of hashed to buckets.
Source: the eclipse defences of Bitcoin Core as summed up in the consensus paper, section 15.1.
"""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import msgpack

from node.net.addresses import HOST_SIZE_MAX, Address, group, wide_group

NEW_MAX: Final = 1024
NEW_PER_SOURCE_MAX: Final = 64
TRIED_MAX: Final = 256
TRIED_PER_GROUP_MAX: Final = 8
ANCHORS: Final = 3
OWN_MAX: Final = 32
FAILURES_MAX: Final = 8
"""A tried address that failed so often in a row is forgotten when there is no room."""
FILE_SIZE_MAX: Final = 1024 * 1024

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Entry:
    """What is known of an address."""

    source: str
    failures: int = 0
    retry_at: float = 0.0


class Book:
    """The addresses this node knows."""

    def __init__(self, path: Path | None = None, random: Random | None = None) -> None:
        self._path = path
        self._random = random or Random()  # noqa: S311 - picks addresses, no secret
        self._new: OrderedDict[Address, Entry] = OrderedDict()
        self._tried: OrderedDict[Address, Entry] = OrderedDict()
        self.anchors: list[Address] = []
        self._own: OrderedDict[Address, None] = OrderedDict()
        self.dirty = False

    def __len__(self) -> int:
        return len(self._new) + len(self._tried)

    def add(self, address: Address, source: str) -> bool:
        """Note hearsay from `source` (a host); whether it was new and there was room."""
        host, port = address
        if not host or len(host) > HOST_SIZE_MAX or not 0 < port < 65_536:
            return False
        if address in self._tried or address in self._new or address in self._own:
            return False
        origin = wide_group(source)
        own = [known for known, entry in self._new.items() if entry.source == origin]
        if len(own) >= NEW_PER_SOURCE_MAX:
            del self._new[own[0]]
        elif len(self._new) >= NEW_MAX:
            self._new.popitem(last=False)
        self._new[address] = Entry(origin)
        self.dirty = True
        return True

    def reached(self, address: Address) -> None:
        """We dialled `address` and shook hands: it moves to the tried shelf."""
        entry = self._tried.pop(address, None) or self._new.pop(address, None) or Entry("")
        entry.failures, entry.retry_at = 0, 0.0
        neighbours = [known for known in self._tried if group(known[0]) == group(address[0])]
        if len(neighbours) >= TRIED_PER_GROUP_MAX:
            self._drop_worst(neighbours)
        elif len(self._tried) >= TRIED_MAX:
            self._drop_worst(list(self._tried))
        self._tried[address] = entry
        self.dirty = True

    def failed(self, address: Address, now: float) -> None:
        """A dial failed: wait longer before the next; hearsay that failed twice is forgotten."""
        entry = self._tried.get(address) or self._new.get(address)
        if entry is None:
            return
        entry.failures += 1
        entry.retry_at = now + min(600.0, 5.0 * 2.0 ** min(entry.failures, 10))
        if address in self._new and entry.failures >= 2:
            del self._new[address]
        self.dirty = True

    def forget(self, address: Address, *, own: bool = False) -> None:
        """Drop an address: it is of another chain, or our own and never to be noted again."""
        self._new.pop(address, None)
        self._tried.pop(address, None)
        if own:
            self._own[address] = None
            if len(self._own) > OWN_MAX:
                self._own.popitem(last=False)

    def pick(self, now: float, allowed: Callable[[Address], bool]) -> Address | None:
        """Return an address to dial: tried ones and hearsay with even chances, random within a shelf."""
        shelves = [self._tried, self._new]
        self._random.shuffle(shelves)
        for shelf in shelves:
            ready = [address for address, entry in shelf.items() if entry.retry_at <= now and allowed(address)]
            if ready:
                return self._random.choice(ready)
        return None

    def sample(self, count: int, public_only: Callable[[str], bool]) -> list[Address]:
        """Return up to `count` addresses we reached ourselves, to tell others."""
        known = [address for address in self._tried if public_only(address[0])]
        return self._random.sample(known, min(count, len(known)))

    def load(self) -> None:
        """Read the file; a missing or damaged one is an empty book, for nothing here is precious."""
        if self._path is None or not self._path.exists() or self._path.stat().st_size > FILE_SIZE_MAX:
            return
        try:
            shelves = msgpack.unpackb(self._path.read_bytes(), use_list=False)
            tried, new, anchors = (list(map(_address, shelf)) for shelf in shelves)
        except (ValueError, TypeError, OSError, msgpack.exceptions.UnpackException):
            return
        for address in tried[-TRIED_MAX:]:
            self.reached(address)
        for address in new[-NEW_MAX:]:
            self._new[address] = Entry("")
        self.anchors = anchors[:ANCHORS]
        self.dirty = False

    def save(self, anchors: Iterable[Address]) -> None:
        """Write the file, whole or not at all."""
        self.anchors = list(anchors)[:ANCHORS]
        self.dirty = False
        if self._path is None:
            return
        packed = msgpack.packb((list(self._tried), list(self._new), self.anchors))
        scratch = self._path.with_suffix(".tmp")
        try:
            scratch.write_bytes(packed)
            scratch.replace(self._path)
        except OSError as error:  # addresses are found again; a node that stops for a full disk has other worries
            log.warning("the address book was not written", extra={"path": str(self._path), "failure": str(error)})
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)

    def _drop_worst(self, candidates: list[Address]) -> None:
        worst = max(candidates, key=lambda address: self._tried[address].failures)
        if self._tried[worst].failures < FAILURES_MAX:
            worst = candidates[0]
        del self._tried[worst]


def _address(value: object) -> Address:
    if type(value) is not tuple or len(value) != 2:
        raise ValueError("not an address")
    host, port = value
    if type(host) is not str or type(port) is not int or not host or not 0 < port < 65_536:
        raise ValueError("not an address")
    return host, port
