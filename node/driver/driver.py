"""The consensus driver: the core's effects carried out in order, epoch after epoch, over the ports of the shell.

Effects form one queue. At a `Barrier` the queue stands still until the journal is on disk; inputs are still taken and
their effects wait behind. So no own vote leaves before it is durable, and the driver refuses (`Bug`) to send one that
is not: the process must then die rather than go on. A failed sync never calls back; the journal ends the process.

Votes are signed by whoever holds the key. Where it refuses one, the vote is not made; where it does not answer, the
node follows without voting until it is back.

Restart: the shell passes the committed block, its certificate, the running epoch and the journal's records. Own votes
are counted again, finalizations above the committed block are followed again; nothing of a peer is looked at before.
When a terminal block is committed, and the queue is empty, the next epoch begins with a new core and a new journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from aitoken.errors import Bug
from aitoken.proto.votes import FINALIZE, Certificate, Vote
from aitoken.types import Hash32
from consensus import effects, inputs
from consensus.core import Core
from consensus.epochs import Epoch
from consensus.evidence import from_certificates
from consensus.journal import Opening, encode_record
from consensus.messages import (
    WANTS_STATUS,
    FinalityNote,
    GetBlock,
    GetCertificates,
    Message,
    Proposal,
    Status,
)
from consensus.types import Block, Pace, Peer
from node.driver.blocks import Blocks
from node.driver.follower import Follower
from node.driver.headers import epoch_after
from node.driver.inbox import Inbox
from node.driver.ports import Archive, Executor, Journal, Observer, Signer, Transport, Verify, VotingRecord
from node.driver.relays import Relays
from node.driver.requests import Requests
from node.driver.roundstate import RoundState, round_state
from node.driver.voting import Voting
from node.ports import Clock

JOURNAL_BYTES_MAX: Final = 8 * 1024 * 1024
"""A journal segment is started anew beyond this size, with only what is unsettled, and twice what it started with."""


_SPEECH: Final[frozenset[type]] = frozenset({Vote, Proposal})


class VoteNotDurable(Bug):
    """An own vote was about to leave before it was on disk."""

    code = "consensus.vote_not_durable"


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Where the node wakes up.

    Attributes:
        genesis_hash: of the chain.
        committed: the last committed block.
        certificate: its finalization; None at genesis.
        epoch: the running epoch: that of the committed block, or the next one where that block was terminal.
        journal: the records found, in order; None when there is no journal or it is damaged.
        force_sign: the operator says that no other copy of this key ever voted.
        watch_ms: how long to listen for votes by our key before the first own one.
    """

    genesis_hash: Hash32
    committed: Block
    certificate: Certificate | None
    epoch: Epoch
    journal: Sequence[bytes] | None
    force_sign: bool = False
    watch_ms: int = 0


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside."""

    clock: Clock
    journal: Journal
    record: VotingRecord
    transport: Transport
    executor: Executor
    archive: Archive
    signer: Signer | None
    verify: Verify
    observer: Observer


class Driver:
    """Runs consensus for one node."""

    def __init__(self, ports: Ports, pace: Pace, start: StartPoint) -> None:
        self._ports = ports
        self._pace = pace
        self.clock = ports.clock
        self.transport = ports.transport
        self.archive = ports.archive
        self.verify = ports.verify
        self.observer = ports.observer
        self.genesis_hash = start.genesis_hash
        self.requests = Requests(ports.clock, ports.transport)
        self.blocks = Blocks(ports.executor, self._on_verdict)
        self.follower = Follower(
            start.committed,
            self.blocks,
            ports.executor,
            self.requests,
            holders=self._signers_of,
            on_committed=self._on_committed,
            on_missing=ports.observer.behind,
            on_conflict=self._on_conflict,
        )
        self.follower.certificate = start.certificate
        self.inbox = Inbox(self, start.epoch)
        self._start_point = start
        self._voting = Voting(self, ports.signer, ports.record, pace, start.epoch, start.watch_ms)
        self._watch = self._voting.guard.watch
        self._queue: deque[tuple[Core, effects.Effect]] = deque()
        self._pumping = False
        self._waiting = False
        self._stopped = False
        self._next_base: Block | None = None
        self._timers = {kind: ports.clock.timer(partial(self._fire, kind)) for kind in inputs.TimerKind}
        self._timer_views: dict[inputs.TimerKind, int] = {}
        self._undurable: set[Vote] = set()
        self._relays = Relays(self, pace)
        self._work = False
        self._seen_view = 0
        self._journal_started_with = 0
        self.core = Core(start.epoch, None, pace, self._voting.sign, voting=False)
        self._perform: dict[type[Any], Callable[[Core, Any], None]] = {
            effects.Persist: self._persist,
            effects.Barrier: self._barrier,
            effects.Count: self._count,
            effects.Broadcast: lambda _, effect: self.broadcast(effect.message),
            effects.Send: lambda _, effect: self.send(effect.peer, effect.message),
            effects.SendValidator: self._send_validator,
            effects.SetTimer: self._set_timer,
            effects.Build: self._build,
            effects.Verify: lambda _, effect: self.blocks.execute(effect.block),
            effects.WantBlock: self._want_block,
            effects.WantCertificates: self._want_certificates,
            effects.Head: lambda _, effect: self.observer.head(effect.hash),
            effects.Finalized: self._finalized,
            effects.Report: self._report,
            effects.Doppelganger: self._doppelganger,
            effects.Panic: self._panic,
        }

    # What the shell calls.

    def start(self) -> None:
        """Replay the journal and begin; call before anything else.

        Raises:
            DamagedJournal: the journal is another chain's or key's, or does not read.
            SignerForgot: the signer's memory is older than the journal.
        """
        point = self._start_point
        index = point.epoch.index
        found, goes_on = self._voting.read(point.journal, point.epoch)
        self._voting.begin(point.epoch, found, force=point.force_sign)
        if not goes_on:
            self._wait_for_journal([self._voting.opening(index)])
        certificate = point.certificate
        certificates = [] if certificate is None or certificate.epoch != index else [certificate]
        votes: list[Vote] = []
        blocks: list[Block] = []
        if found is not None:
            certificates += found.certificates
            votes = found.own_votes
            blocks = [block for block in found.blocks if block.number > point.committed.number]
        for block in blocks:
            self.blocks.add(block)
        self._begin(point.epoch, certificates, votes, [block for block in blocks if block.epoch == index])
        self._voting.look_at_hold()
        self._voting.ask_while_holding()

    def receive(self, peer: Peer, message: Message) -> None:
        """Handle a message of a peer, already within the limits of `consensus.messages`."""
        if not self._stopped:
            if type(message) in _SPEECH:
                self._relays.heard(peer)
            if self._watch.active:
                self._watch.heard()
            self.inbox.receive(peer, message)

    def connected(self, peer: Peer) -> None:
        """A connection came up, or the peer proved a validator key."""
        self._relays.connected(peer)
        if not self._stopped:
            self.step(inputs.Connected(peer))

    def disconnected(self, peer: Peer) -> None:
        """A connection is gone."""
        self._relays.forget(peer)

    def set_work(self, *, available: bool) -> None:
        """Say whether the pool has something to put into a block."""
        if available != self._work:
            self._work = available
            self.step(inputs.WorkChanged(available))

    def synced(self, blocks: Sequence[Block], certificate: Certificate) -> None:
        """Take a range of blocks fetched by the syncer, ending at the block of a finalization of the running epoch.

        Raises:
            Rejected: the certificate is wrong (its sender is to blame); nothing was taken.
        """
        if certificate.epoch != self.core.epoch.index or certificate.kind != FINALIZE:
            return
        self.inbox.check_certificate(certificate)
        for block in blocks:
            self.take_block(block)
        if self.core.wants_certificate(certificate):
            self.step(inputs.CertificateReceived(certificate))
        elif self.blocks.get(certificate.hash) is not None:
            self.follower.add(certificate)

    def round_state(self) -> RoundState:
        """Return where agreement stands, for people and health checks."""
        now_ms, validator = self.clock.now_ms(), self.transport.validator
        return replace(
            round_state(
                self.core, self.follower, now_ms, lambda key: validator(key) is not None, stopped=self._stopped
            ),
            votes_made=self._voting.guard.made,
            votes_missed=self._voting.guard.missed,
        )

    def signer_is_back(self) -> None:
        """The signer answers again."""
        self._voting.guard.signer_is_back()

    @property
    def stopped(self) -> bool:
        """Whether this node does nothing any more."""
        return self._stopped

    def is_behind(self) -> bool:
        """Whether the chain is known to be ahead of us."""
        return self.follower.target is not None or self.inbox.heard_of_later_epoch()

    @property
    def committed(self) -> Block:
        """The last committed block."""
        return self.follower.committed

    @property
    def target(self) -> Certificate | None:
        """The highest finalization known that is not committed; None when in step."""
        return self.follower.target

    def stop(self) -> None:
        """Do nothing any more."""
        self._stopped = True
        self.follower.stop()
        self._voting.guard.stop()
        self._cancel_timers()

    # What the rooms of the driver call.

    def step(self, event: inputs.Input) -> None:
        """Give the core an input and carry out what it wants."""
        if self._stopped:
            return
        core = self.core
        wanted = core.step(self.clock.now_ms(), event)
        if wanted:
            self._queue.extend([(core, effect) for effect in wanted])
            self._pump()
        if self._voting.guard.lost and self.core.voting:
            self.core.step(self.clock.now_ms(), inputs.VotingSuspended())
        if wanted and (view := self.core.view) != self._seen_view:  # no view is entered without
            self._seen_view = view
            self._voting.guard.entered(view, is_validator=self._voting.me(self.core.epoch) is not None)
        if self._voting.permission.holds:
            self._voting.look_in_view()

    def broadcast(self, message: Message) -> None:
        """Send to every validator, and to peers that asked to be passed everything."""
        message = self._outgoing(message, self.transport.peers)
        self.transport.broadcast(message)
        if isinstance(message, Status) and not self._knows_a_validator():
            self.transport.announce(message)  # those of our epoch have other keys by now, or are gone
        self._relays.send_to_others(message)

    def send(self, peer: Peer, message: Message) -> None:
        """Send to one peer."""
        self.transport.send(peer, self._outgoing(message, lambda: (peer,)))

    def relay(self, source: Peer, message: Message) -> None:
        """Pass something new and right on to the peers that do not hear a quorum themselves."""
        self._relays.pass_on(source, message)

    def write_down(self, record: Opening) -> None:
        """Put a record on disk before anything that is sent from now on."""
        self._queue.append((self.core, effects.Persist(record)))
        self._queue.append((self.core, effects.Barrier()))
        self._pump()

    def take_block(self, block: Block) -> None:
        """Take a block that was asked for."""
        self.blocks.add(block)
        self.step(inputs.BlockReceived(block))
        self.follower.advance()

    def note_peer(self, peer: Peer, status: Status) -> None:
        """Learn from a peer's status."""
        self._relays.note(peer, status)
        self._voting.hear(peer, status)

    # Epochs.

    def _begin(
        self, epoch: Epoch, certificates: Sequence[Certificate], votes: Sequence[Vote], blocks: Sequence[Block]
    ) -> None:
        voting = self._voting.begin_epoch(epoch, votes)
        me, floor = self._voting.me(epoch), self._voting.permission.floor(epoch.index)
        self.core = Core(epoch, me, self._pace, self._voting.sign, voting=voting, floor=floor)
        self._seen_view = 0
        self.transport.begin_epoch(epoch.validators.keys)
        self.step(inputs.Start(self.follower.committed, certificates, votes, blocks))
        if self._work:
            self.step(inputs.WorkChanged(available=True))

    def _on_committed(self, block: Block, certificate: Certificate) -> None:
        self._relays.moved()
        if certificate.epoch == self.core.epoch.index and self.core.epoch.is_terminal(block.number):
            self._next_base = block
        if block.hash == self.core.final.hash:
            if not self.core.holds(block.hash):
                self.step(inputs.BlockReceived(block))
            self.step(inputs.Verified(block.hash, valid=True))
        self.transport.announce(FinalityNote(block.header, certificate))
        self._between_effects()

    def _between_effects(self) -> None:
        """Change epoch or journal, once nothing is under way."""
        if self._queue or self._waiting or self._pumping or self._stopped:
            return
        base = self._next_base
        if base is not None:
            self._next_base = None
            self._cancel_timers()
            epoch = epoch_after(base, self.archive.next_epoch(base))
            self.follower.begin_epoch()
            self._voting.choose_key(epoch)
            self._wait_for_journal([self._voting.opening(epoch.index)])
            self._begin(epoch, [], [], [])
            self.inbox.begin_epoch()
        elif self._ports.journal.size > max(JOURNAL_BYTES_MAX, 2 * self._journal_started_with):
            certificates, votes, blocks = self.core.unsettled()
            self._wait_for_journal([self._voting.opening(self.core.epoch.index), *blocks, *certificates, *votes])

    def _wait_for_journal(self, records: Sequence[Opening | Vote | Certificate | Block]) -> None:
        self._waiting = True
        data = [encode_record(record) for record in records]
        self._journal_started_with = sum(map(len, data))
        self._ports.journal.restart(data, self._on_durable)

    # The queue.

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        queue, perform = self._queue, self._perform
        while queue and not (self._waiting or self._stopped):
            core, effect = queue.popleft()
            perform[type(effect)](core, effect)
        self._pumping = False
        self._between_effects()

    def _persist(self, core: Core, effect: effects.Persist) -> None:
        del core
        if isinstance(effect.record, Vote):
            self._undurable.add(effect.record)
            self._voting.guard.voted(effect.record.view)
        self._ports.journal.append(encode_record(effect.record))

    def _barrier(self, core: Core, effect: effects.Barrier) -> None:
        del core, effect
        self._waiting = True
        self._ports.journal.barrier(self._on_durable)

    def _count(self, core: Core, effect: effects.Count) -> None:
        if core is self.core:
            self.step(inputs.VoteReceived(effect.vote))

    def _on_durable(self) -> None:
        self._waiting = False
        self._undurable.clear()
        self._pump()

    def _outgoing(self, message: Message, peers: Callable[[], Sequence[Peer]]) -> Message:
        if self._undurable:
            vote = message.vote if isinstance(message, Proposal) else message
            if vote in self._undurable:
                raise VoteNotDurable(repr(vote))
        if isinstance(message, Status):
            wants = self._relays.wish(peers()) | (WANTS_STATUS if self._voting.permission.holds else 0)
            return replace(message, flags=message.flags | wants) if wants else message
        return message

    def _send_validator(self, core: Core, effect: effects.SendValidator) -> None:
        peer = self.transport.validator(core.epoch.validators.keys[effect.index])
        if peer is not None:
            self.send(peer, effect.message)

    def _set_timer(self, core: Core, effect: effects.SetTimer) -> None:
        if core is self.core:
            self._timer_views[effect.kind] = effect.view
            self._timers[effect.kind].set(effect.delay_ms)

    def _fire(self, kind: inputs.TimerKind) -> None:
        self.step(inputs.TimerFired(kind, self._timer_views[kind]))

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _build(self, core: Core, effect: effects.Build) -> None:
        def built(block: Block | None) -> None:
            if block is not None:
                self.blocks.note_built(block)
            if core is self.core:
                self.step(inputs.Built(effect.slot.view, block))

        proof = self._voting.prove_view(core.epoch, effect.slot.view)
        if proof is None:
            built(None)
        else:
            self._ports.executor.build(effect.parent.hash, effect.slot, proof, built)

    def _on_verdict(self, block_hash: Hash32, valid: bool) -> None:  # noqa: FBT001 - a plain callback
        self.step(inputs.Verified(block_hash, valid))

    def _want_block(self, core: Core, effect: effects.WantBlock) -> None:
        block_hash = effect.hash
        known = self.blocks.get(block_hash)
        if known is not None:
            self.step(inputs.BlockReceived(known))
            return
        self.requests.ask(
            block_hash,
            GetBlock(block_hash),
            self._peers_of(core, effect.holders),
            lambda: self.blocks.get(block_hash) is not None,
        )

    def _want_certificates(self, core: Core, effect: effects.WantCertificates) -> None:
        low, high = effect.low, effect.high
        self.requests.ask(
            (core.epoch.index, low),
            GetCertificates(core.epoch.index, low, high),
            self._peers_of(core, effect.holders),
            lambda: core is not self.core or not core.lacks_certificates(low, high),
        )

    def _finalized(self, core: Core, effect: effects.Finalized) -> None:
        if core is self.core:
            self._voting.table.settle(effect.certificate.view)
            known = self.blocks.get(effect.certificate.hash)
            if known is not None and not self.core.holds(known.hash):
                self.step(inputs.BlockReceived(known))
            self.follower.add(effect.certificate)

    def _report(self, core: Core, effect: effects.Report) -> None:
        del core
        if self.inbox.accusations.is_news(effect.evidence):
            self.observer.evidence(effect.evidence)
            self.broadcast(effect.evidence)

    def _doppelganger(self, core: Core, effect: effects.Doppelganger) -> None:
        vote = effect.vote
        if not self._voting.is_twin(vote, present=core is self.core):
            return
        where = f"a vote by our key in epoch {core.epoch.index}, view {vote.view} is not ours: another process signs "
        if self._voting.guard.watch.active:
            self.observer.alarm("signer.key_in_use", where + "with this key. This node signed nothing and stops.")
            return
        self.observer.alarm(
            "consensus.doppelganger",
            where + "with this key, or the journal was replaced. This node signs nothing more; stop one of the two and "
            "restart.",
        )

    def _panic(self, core: Core, effect: effects.Panic) -> None:
        del core
        first, second = effect.certificates
        for evidence in from_certificates(first, second):
            self.observer.evidence(evidence)
        self._on_conflict(effect.reason, second)

    def _on_conflict(self, reason: str, certificate: Certificate) -> None:
        self.follower.stop()
        self._stopped = True
        self.observer.alarm(
            "consensus.safety",
            f"{reason} (epoch {certificate.epoch}, view {certificate.view}). This node signs and commits nothing more. "
            "Keep its data directory, compare with other operators, and do not restart it before the cause is known.",
        )

    # Peers and keys.

    def _peers_of(self, core: Core, indices: Sequence[int]) -> list[Peer]:
        keys = core.epoch.validators.keys
        peers = (self.transport.validator(keys[index]) for index in indices)
        return [peer for peer in peers if peer is not None]

    def _signers_of(self, certificate: Certificate) -> list[Peer]:
        if certificate.epoch != self.core.epoch.index:
            return []
        return self._peers_of(self.core, certificate.signers())

    def _knows_a_validator(self) -> bool:
        """Whether a validator of this epoch other than ourselves is connected, as far as it proved to be one."""
        keys = self.core.epoch.validators.keys
        return any(key != self._voting.key and self.transport.validator(key) is not None for key in keys)
