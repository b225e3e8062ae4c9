"""Messages of peers on their way to the core: of which epoch, wanted at all, signatures right; and answers to requests.

A signature is checked only where the message could change something. Certificates are checked once, weight first, all
but the votes that were checked one by one before; one bad signature refuses the whole and is its sender's fault.
Messages across an epoch boundary: an older epoch is answered with the finalization that ended it; a few messages of the
next one are kept until it begins; further ahead only says that we are behind.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from aitoken.errors import Rejected
from aitoken.proto.votes import FINALIZE, BadSignature, Certificate, Vote
from consensus import inputs
from consensus.epochs import Epoch
from consensus.messages import (
    Again,
    BlockReply,
    Evidence,
    FinalityNote,
    Full,
    GetBlock,
    GetCertificates,
    Message,
    NotHave,
    Proposal,
    Status,
)
from consensus.types import Block, Peer
from node.driver.accusations import Accusations

if TYPE_CHECKING:
    from node.driver.driver import Driver

EARLY_PER_PEER_MAX: Final = 16
EARLY_PEERS_MAX: Final = 1024
EARLY_PROPOSAL_BYTES_MAX: Final = 64 * 1024
"""Larger proposals of the next epoch are not kept; repair brings them when it has begun."""
ANSWER_INTERVAL_MS: Final = 200


class Inbox:
    """Checks what peers send and passes on what is right and wanted."""

    def __init__(self, driver: Driver, epoch: Epoch) -> None:
        self._driver = driver
        self.accusations = Accusations(driver, epoch)
        self._early: dict[Peer, list[Message]] = {}
        self._later_epoch = 0
        self._answered: OrderedDict[Peer, int] = OrderedDict()
        self._handlers: dict[type[Any], Callable[[Peer, Any], None]] = {
            Vote: self._on_vote,
            Certificate: self._on_certificate,
            Proposal: self._on_proposal,
            Status: self._on_status,
            GetCertificates: self._on_get_certificates,
            GetBlock: self._on_get_block,
            BlockReply: self._on_block_reply,
            NotHave: self._on_not_have,
            Evidence: self._on_evidence,
            FinalityNote: self._on_finality_note,
        }

    def receive(self, peer: Peer, message: Message) -> None:
        """Handle one message; whatever is wrong with it is told to the transport, never raised."""
        handler = self._handlers.get(type(message))
        if handler is None:
            return
        try:
            handler(peer, message)
        except Rejected as error:
            self._driver.transport.misbehaved(peer, error.code)

    def begin_epoch(self) -> None:
        """Handle what was kept for the epoch that begins now."""
        self.accusations.begin_epoch(self._driver.core.epoch)
        early, self._early = self._early, {}
        for peer, messages in early.items():
            for message in messages:
                self.receive(peer, message)

    def heard_of_later_epoch(self) -> bool:
        """Whether anybody claims that a later epoch than ours runs."""
        return self._later_epoch > self._driver.core.epoch.index

    def _is_current(self, peer: Peer, epoch: int, message: Message) -> bool:
        current = self._driver.core.epoch.index
        if epoch == current:
            return True
        if epoch < current:
            if not isinstance(message, Certificate):
                self._answer_old_epoch(peer, epoch)
        else:
            self._later_epoch = max(self._later_epoch, epoch)
            if epoch == current + 1 and not isinstance(message, Status | GetCertificates):
                self._keep_early(peer, message)
            if not self._driver.core.done and self._may_answer(peer):
                self._driver.send(peer, self._driver.core.status())
        return False

    def _keep_early(self, peer: Peer, message: Message) -> None:
        if isinstance(message, Proposal) and isinstance(message.body, Full):
            size = sum(map(len, message.body.extrinsics)) + 64 * sum(len(c.signatures) for c in message.justification)
            if size > EARLY_PROPOSAL_BYTES_MAX:
                return
        if peer not in self._early and len(self._early) >= EARLY_PEERS_MAX:
            return
        kept = self._early.setdefault(peer, [])
        if len(kept) < EARLY_PER_PEER_MAX:
            kept.append(message)

    def _answer_old_epoch(self, peer: Peer, epoch: int) -> None:
        if self._may_answer(peer):
            certificate = self._driver.archive.terminal_certificate(epoch)
            if certificate is not None:
                self._driver.send(peer, certificate)

    def _may_answer(self, peer: Peer) -> bool:
        now = self._driver.clock.now_ms()
        last = self._answered.get(peer)
        if last is not None and now - last < ANSWER_INTERVAL_MS:
            return False
        self._answered[peer] = now
        self._answered.move_to_end(peer)
        if len(self._answered) > EARLY_PEERS_MAX:
            self._answered.popitem(last=False)
        return True

    def _check_vote(self, vote: Vote) -> None:
        driver = self._driver
        public = driver.core.epoch.validators.keys[vote.signer]
        if not vote.is_well_formed() or not driver.verify(vote.signature, vote.sign_bytes(driver.genesis_hash), public):
            raise BadSignature(f"vote of validator {vote.signer}")

    def check_certificate(self, certificate: Certificate) -> None:
        """Check weight and signatures of a certificate of the running epoch.

        Raises:
            Rejected: it is wrong.
        """
        driver = self._driver
        validators = driver.core.epoch.validators
        signers = certificate.check_weight(validators.weights)
        message = certificate.sign_bytes(driver.genesis_hash)
        checked = driver.core.checked_signatures(certificate)
        for signer, signature in zip(signers, certificate.signatures, strict=True):
            if checked.get(signer) != signature and not driver.verify(signature, message, validators.keys[signer]):
                raise BadSignature(f"certificate, validator {signer}")

    def _on_vote(self, peer: Peer, vote: Vote) -> None:
        if not self._is_current(peer, vote.epoch, vote):
            return
        driver = self._driver
        keys = driver.core.epoch.validators.keys
        if driver.core.wants_vote(vote):
            self._check_vote(vote)
            driver.relay(peer, vote)
            driver.step(inputs.VoteReceived(vote))
        elif vote.signer < len(keys) and driver.transport.validator(keys[vote.signer]) == peer:
            driver.core.note_seen(vote)

    def _on_certificate(self, peer: Peer, certificate: Certificate) -> None:
        if self._is_current(peer, certificate.epoch, certificate) and self._driver.core.wants_certificate(certificate):
            self.check_certificate(certificate)
            self._driver.relay(peer, certificate)
            self._driver.step(inputs.CertificateReceived(certificate))

    def _on_proposal(self, peer: Peer, proposal: Proposal) -> None:
        if not self._is_current(peer, proposal.epoch, proposal):
            return
        core = self._driver.core
        vote = proposal.vote
        wanted = []
        for certificate in proposal.justification:
            if certificate.epoch == proposal.epoch and core.wants_certificate(certificate):
                self.check_certificate(certificate)
                wanted.append(certificate)
        news = core.wants_proposal(proposal.view, vote)
        block = None
        if news or wanted:
            if vote.epoch != proposal.epoch or vote.signer >= len(core.epoch.validators):
                raise BadSignature("proposal with a vote of another epoch or nobody")
            self._check_vote(vote)
            block = self._read_body(proposal)
        if not news and not wanted:
            return
        self._driver.relay(peer, proposal)
        if block is not None and (block.epoch, block.view) == (proposal.epoch, proposal.view):
            self._driver.blocks.add(block)
        checked = Proposal(proposal.epoch, proposal.view, proposal.parent_view, vote, proposal.body, tuple(wanted))
        self._driver.step(inputs.ProposalReceived(peer, checked, block))
        if block is not None:
            self._driver.follower.advance()

    def _read_body(self, proposal: Proposal) -> Block | None:
        body = proposal.body
        if isinstance(body, Again):
            return None
        block = self._driver.archive.read(body.header, body.extrinsics)
        if block.hash != proposal.vote.hash:
            raise BadSignature("proposal with a vote for another block")
        return block

    def _on_status(self, peer: Peer, status: Status) -> None:
        self._driver.note_peer(peer, status)
        if self._is_current(peer, status.epoch, status):
            self._driver.step(inputs.StatusReceived(peer, status))

    def _on_get_certificates(self, peer: Peer, request: GetCertificates) -> None:
        if self._is_current(peer, request.epoch, request):
            self._driver.step(inputs.CertificatesWanted(peer, request))

    def _on_get_block(self, peer: Peer, request: GetBlock) -> None:
        block = self._driver.blocks.get(request.hash)
        parts = (block.header, block.extrinsics) if block is not None else self._driver.archive.block(request.hash)
        answer = NotHave(request.hash) if parts is None else BlockReply(*parts)
        self._driver.send(peer, answer)

    def _on_block_reply(self, _: Peer, reply: BlockReply) -> None:
        block = self._driver.archive.read(reply.header, reply.extrinsics)
        if self._driver.requests.is_open(block.hash):
            self._driver.requests.close(block.hash)
            self._driver.take_block(block)

    def _on_not_have(self, peer: Peer, answer: NotHave) -> None:
        self._driver.requests.not_here(answer.hash, peer)

    def _on_evidence(self, peer: Peer, evidence: Evidence) -> None:
        self.accusations.hear(peer, evidence)

    def _on_finality_note(self, peer: Peer, note: FinalityNote) -> None:
        if note.certificate.kind == FINALIZE:
            self._on_certificate(peer, note.certificate)
