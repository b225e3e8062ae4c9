"""Transactions among nodes: pushed where they must be at once, announced to everybody else, pulled once.

* The first transaction that becomes ready goes out at once; what follows within 15 ms (or 256 transactions) goes as one
  batch. No timer runs while nothing comes.
* A transaction that came in here (from a wallet, not from a peer) is pushed in full to the validators of a small mesh,
  or to the next leaders of a large one. Everybody else is told its hash.
* What a validator of a small mesh pushed to us, it pushed to the other validators too: they are not told again.
* An announced transaction we lack is asked for from one peer at a time; after a time-out from the next announcer.
* Duplicates cost a peer nothing; only what can be valid in no state does.

Source: section 16 of the consensus paper; batching from the gossip figures of the performance paper.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Final

from aitoken.crypto.hashing import blake2_256
from aitoken.types import Hash32
from node.net.channels import KIB, MIB, Channel
from node.net.known import RollingSet
from node.net.messages import Announce, GetTransactions, Transactions
from node.net.peer import Peer
from node.net.ports import Neighbours, PooledTransaction, TransactionPool
from node.net.score import Deed
from node.net.wire import ANNOUNCED_MAX, HASH_SIZE, encode
from node.tasks import cancel, spawn

BATCH_INTERVAL_S: Final = 0.015
BATCH_COUNT: Final = 256
BATCH_SIZE_MAX: Final = 200 * KIB
"""Bytes of one message: below what a stranger may send unasked."""
SMALL_MESH: Final = 16
LEADERS: Final = 4
KNOWN_CAPACITY: Final = 32 * KIB
PULL_COUNT: Final = 64
PULL_DEADLINE_S: Final = 2.0
PULLS_MAX: Final = 8192
PULLS_PER_PEER: Final = 2048
ANNOUNCERS_MAX: Final = 3
ANSWER_SIZE_MAX: Final = MIB
ARRIVING_MAX: Final = 16_384
"""Transactions handed to the pool and not judged yet; more are dropped and may be announced again."""
GREETING_COUNT: Final = 1024
NEVER_VALID: Final = frozenset({"pool.undecodable", "pool.too_large", "transaction.bad_signature"})
"""Codes of refusals that do not depend on the state."""


class Origin(IntEnum):
    """Where a transaction came from."""

    HERE = 0
    PEER = 1
    MESH = 2


class _Pull:
    __slots__ = ("announcers", "asked", "asked_at")

    def __init__(self, asked: Peer, asked_at: float) -> None:
        self.asked = asked
        self.asked_at = asked_at
        self.announcers: list[Peer] = []


class Gossip:
    """Passes transactions between the pool and the peers."""

    def __init__(
        self,
        pool: TransactionPool,
        neighbours: Neighbours,
        is_behind: Callable[[], bool],
        next_leaders: Callable[[], Sequence[Peer]] | None = None,
        counts: Counter[str] | None = None,
    ) -> None:
        """Store what it is made of.

        Args:
            pool: where transactions wait.
            neighbours: whom they are told to.
            is_behind: while True, transactions are neither announced nor asked for.
            next_leaders: the peers that lead soon, for large meshes; the first validators where not given.
            counts: where to count what happens.
        """
        self._counts: Counter[str] = Counter() if counts is None else counts
        self._pool = pool
        self._neighbours = neighbours
        self._is_behind = is_behind
        self._next_leaders = next_leaders
        self._known: dict[Peer, RollingSet] = {}
        self._pushing: list[PooledTransaction] = []
        self._announcing: list[tuple[Hash32, Origin]] = []
        self._timer: asyncio.Handle | None = None
        self._arriving: dict[Hash32, tuple[bytes, Origin]] = {}
        self._pulls: dict[Hash32, _Pull] = {}
        self._pulls_from: Counter[Peer] = Counter()
        self._pull_timer: asyncio.TimerHandle | None = None
        self._just_sent: list[set[Hash32]] = [set(), set(), set()]
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Listen to the pool."""
        self._pool.on_ready(self._on_ready)

    async def stop(self) -> None:
        """Forget what is under way."""
        for timer in (self._timer, self._pull_timer):
            if timer is not None:
                timer.cancel()
        await cancel(tuple(self._tasks))

    def find(self, tx_hash: Hash32) -> bytes | None:
        """Return a transaction that the pool has or is about to judge."""
        xt = self._pool.lookup(tx_hash)
        if xt is not None:
            return xt.raw
        arriving = self._arriving.get(tx_hash)
        return arriving[0] if arriving is not None else None

    def is_fresh(self, tx_hash: Hash32) -> bool:
        """Whether peers may not have this transaction yet, because we sent it just now or are about to."""
        return any(tx_hash in batch for batch in self._just_sent)

    # -- peers come and go

    def opened(self, peer: Peer) -> None:
        """Tell a new peer what waits here."""
        self._known[peer] = RollingSet(KNOWN_CAPACITY)
        if self._is_behind():
            return
        hashes = [blake2_256(raw) for raw in self._pool.ready()[:GREETING_COUNT]]
        if hashes:
            self._known[peer].update(hashes)
            peer.send(Announce(b"".join(hashes)))

    def closed(self, peer: Peer) -> None:
        """Forget a peer."""
        self._known.pop(peer, None)

    # -- out

    def _on_ready(self, txs: Sequence[PooledTransaction]) -> None:
        arriving, announcing, nobody_there = self._arriving, self._announcing, not self._known
        for tx in txs:
            arrived = arriving.pop(tx.hash, None)
            if nobody_there or not tx.propagate:
                continue
            origin = Origin.HERE if arrived is None else arrived[1]
            if origin is Origin.HERE:
                self._pushing.append(tx)
                self._just_sent[0].add(tx.hash)
            announcing.append((tx.hash, origin))
        if len(announcing) >= BATCH_COUNT:
            self.flush()
        elif announcing and self._timer is None:
            self._timer = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Send what was collected."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pushing, self._pushing = self._pushing, []
        announcing, self._announcing = self._announcing, []
        if announcing:
            if self._is_behind():
                return
            targets = self._push_targets() if pushing else []
            if targets:
                self._push(pushing, targets)
            self._announce(announcing, set(targets))
        self._just_sent = [set(), *self._just_sent[:2]]
        if announcing or any(self._just_sent):  # a few empty rounds follow, until nothing sent is young any more
            self._timer = asyncio.get_running_loop().call_later(BATCH_INTERVAL_S, self.flush)

    def _push_targets(self) -> list[Peer]:
        validators = list(self._neighbours.validator_peers())
        if len(validators) <= SMALL_MESH:
            return validators
        return list(self._next_leaders()) if self._next_leaders is not None else validators[:LEADERS]

    def _push(self, pushing: list[PooledTransaction], targets: list[Peer]) -> None:
        for batch in _batches([tx.xt.raw for tx in pushing]):
            data = encode(Transactions(batch))
            for peer in targets:
                peer.send_encoded(Channel.TRANSACTIONS, data)
        hashes = [tx.hash for tx in pushing]
        self._counts["transactions_pushed"] += len(hashes) * len(targets)
        for peer in targets:
            known = self._known.get(peer)
            if known is not None:
                known.update(hashes)
        names = [peer.identity.hex() for peer in targets]
        for tx_hash in hashes:
            self._pool.note_broadcast(tx_hash, names)

    def _announce(self, announcing: list[tuple[Hash32, Origin]], pushed_to: set[Peer]) -> None:
        small = len(self._neighbours.validator_peers()) <= SMALL_MESH
        for peer, known in self._known.items():
            in_mesh = small and self._neighbours.is_validator(peer)
            hashes = [
                tx_hash
                for tx_hash, origin in announcing
                if not (in_mesh and origin is Origin.MESH)
                and not (origin is Origin.HERE and peer in pushed_to)
                and tx_hash not in known
            ]
            for start in range(0, len(hashes), ANNOUNCED_MAX):
                some = hashes[start : start + ANNOUNCED_MAX]
                known.update(some)
                self._counts["transactions_announced"] += len(some)
                peer.send(Announce(b"".join(some)))

    # -- in

    def on_transactions(self, peer: Peer, message: Transactions) -> None:
        """Take transactions to the pool, once each."""
        origin = self._origin(peer)
        fresh: list[bytes] = []
        hashes: list[Hash32] = []
        arriving, pulls, lookup = self._arriving, self._pulls, self._pool.lookup
        arrived = [Hash32(blake2_256(raw)) for raw in message.transactions]
        known = self._known.get(peer)
        if known is not None:
            known.update(arrived)
        for raw, tx_hash in zip(message.transactions, arrived, strict=True):
            if tx_hash in pulls:
                self._end_pull(tx_hash)
            if tx_hash in arriving or lookup(tx_hash) is not None or len(arriving) >= ARRIVING_MAX:
                continue
            arriving[tx_hash] = (raw, origin)
            fresh.append(raw)
            hashes.append(tx_hash)
        self._counts["transactions_received"] += len(arrived)
        self._counts["transactions_duplicate"] += len(arrived) - len(fresh)
        if fresh:
            task = spawn(self._submit(peer, fresh, hashes), "net: transactions to the pool")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def on_announce(self, peer: Peer, message: Announce) -> None:
        """Ask for what is new."""
        known = self._known.get(peer)
        if known is None or self._is_behind():
            return
        wanted: list[Hash32] = []
        now = asyncio.get_running_loop().time()
        for tx_hash in _split(message.hashes):
            known.add(tx_hash)
            if tx_hash in self._arriving or self._pool.lookup(tx_hash) is not None:
                continue
            pull = self._pulls.get(tx_hash)
            if pull is not None:
                if len(pull.announcers) < ANNOUNCERS_MAX:
                    pull.announcers.append(peer)
            elif len(self._pulls) < PULLS_MAX and self._pulls_from[peer] < PULLS_PER_PEER:
                self._pulls[tx_hash] = _Pull(peer, now)
                self._pulls_from[peer] += 1
                wanted.append(tx_hash)
        self._ask(peer, wanted)

    def on_get(self, peer: Peer, message: GetTransactions) -> None:
        """Answer with what we have, in messages of bounded size, up to a bound in all."""
        if peer.waiting_bytes > ANSWER_SIZE_MAX:
            return  # it asks faster than it reads
        known = self._known.get(peer)
        found: list[bytes] = []
        size = 0
        for tx_hash in _split(message.hashes):
            xt = self._pool.lookup(tx_hash)
            if xt is None:
                continue
            size += len(xt.raw)
            if size > ANSWER_SIZE_MAX:
                break
            if known is not None:
                known.add(tx_hash)
            found.append(xt.raw)
        for batch in _batches(found):
            peer.send(Transactions(batch))

    async def _submit(self, peer: Peer, raws: list[bytes], hashes: list[Hash32]) -> None:
        outcomes: Sequence[object] = ()
        try:
            outcomes = await self._pool.submit_many(raws, peer.identity.hex(), hashes)
        finally:
            for tx_hash in hashes:
                self._arriving.pop(tx_hash, None)
        bad = sum(1 for outcome in outcomes if type(outcome) is not bytes and is_peers_fault(outcome))
        for _ in range(min(bad, 10)):
            self._neighbours.punish(peer, Deed.BAD_TRANSACTION, "transactions that can be valid in no state")
        if outcomes and not bad:
            self._neighbours.punish(peer, Deed.USEFUL)

    # -- pulling

    def _ask(self, peer: Peer, wanted: list[Hash32]) -> None:
        self._counts["transactions_asked_for"] += len(wanted)
        for start in range(0, len(wanted), PULL_COUNT):
            peer.send(GetTransactions(b"".join(wanted[start : start + PULL_COUNT])))
        if wanted and self._pull_timer is None:
            self._pull_timer = asyncio.get_running_loop().call_later(PULL_DEADLINE_S, self._pull_again)

    def _pull_again(self) -> None:
        """Ask the next announcer for what did not come; give up what nobody else announced."""
        loop = asyncio.get_running_loop()
        self._pull_timer = None
        again: dict[Peer, list[Hash32]] = {}
        for tx_hash, pull in list(self._pulls.items()):
            if loop.time() - pull.asked_at < PULL_DEADLINE_S * 0.9:
                continue
            following = next((peer for peer in pull.announcers if peer.is_open), None)
            if following is None:
                self._end_pull(tx_hash)
                continue
            pull.announcers.remove(following)
            self._pulls_from[pull.asked] -= 1
            self._pulls_from[following] += 1
            pull.asked, pull.asked_at = following, loop.time()
            again.setdefault(following, []).append(tx_hash)
        for peer, wanted in again.items():
            self._ask(peer, wanted)
        if self._pulls and self._pull_timer is None:
            self._pull_timer = loop.call_later(PULL_DEADLINE_S, self._pull_again)

    def _end_pull(self, tx_hash: Hash32) -> None:
        pull = self._pulls.pop(tx_hash)
        self._pulls_from[pull.asked] -= 1
        if self._pulls_from[pull.asked] <= 0:
            del self._pulls_from[pull.asked]

    def _origin(self, peer: Peer) -> Origin:
        small = len(self._neighbours.validator_peers()) <= SMALL_MESH
        return Origin.MESH if small and self._neighbours.is_validator(peer) else Origin.PEER


def is_peers_fault(outcome: object) -> bool:
    """Whether the pool's answer means that no honest node of this version would have passed the transaction on."""
    codes = {getattr(outcome, "code", ""), getattr(getattr(outcome, "cause", None), "code", "")}
    return not codes.isdisjoint(NEVER_VALID)


def _split(hashes: bytes) -> Iterable[Hash32]:
    return (Hash32(hashes[at : at + HASH_SIZE]) for at in range(0, len(hashes), HASH_SIZE))


def _batches(raws: list[bytes]) -> Iterable[tuple[bytes, ...]]:
    batch: list[bytes] = []
    size = 0
    for raw in raws:
        if batch and size + len(raw) > BATCH_SIZE_MAX:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(raw)
        size += len(raw) + 5
    if batch:
        yield tuple(batch)
