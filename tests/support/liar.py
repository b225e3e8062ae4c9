"""A validator that lies, for tests against real nodes: `python -m tests.support.liar FOLDER node run ...`.

It is a node like any other, but for its driver: in the first whole epoch after the file `FOLDER/lie` is there, each
own vote is followed by one that excludes it, signed beside the sign-state, the journal and all rules; and it does not
listen to accusations.

Production code knows nothing of this: the composition root is told another class to make drivers of.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from aitoken.crypto.derive import pair_from_uri
from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, Vote, sign_bytes
from aitoken.types import Hash32
from consensus.messages import Evidence, Message, Proposal
from consensus.types import Peer
from node import service
from node.driver.driver import Driver

NOWHERE: Final = Hash32(b"\x5a" * 32)
"""A block that nobody ever made."""
EXCLUDED_BY: Final = {NOTARIZE: (NOTARIZE, NOWHERE), FINALIZE: (NULLIFY, NO_BLOCK), NULLIFY: (FINALIZE, NOWHERE)}


def make_liar(folder: Path, key: Any) -> type[Driver]:
    """Return the class of a driver that lies with a key."""

    class Liar(Driver):
        lying_in = -1

        def broadcast(self, message: Message) -> None:
            super().broadcast(message)
            vote = message.vote if isinstance(message, Proposal) else message
            if isinstance(vote, Vote) and vote.signer == self.core.state.me and self._lies(vote.epoch):
                kind, block = EXCLUDED_BY[vote.kind]
                signature = key.sign(sign_bytes(self.genesis_hash, kind, vote.epoch, vote.view, block))
                self.transport.broadcast(Vote(kind, vote.epoch, vote.view, block, vote.signer, signature))

        def receive(self, peer: Peer, message: Message) -> None:
            if not isinstance(message, Evidence):
                super().receive(peer, message)

        def _lies(self, epoch: int) -> bool:
            if self.lying_in < 0 and (folder / "lie").exists():
                self.lying_in = epoch + 1
            return epoch == self.lying_in

    return Liar


def run() -> None:
    """Run a node that lies with its development key."""
    from cli.main import main

    folder, *arguments = sys.argv[1:]
    key = pair_from_uri(arguments[arguments.index("--dev-key") + 1], "ed25519")
    service.Driver = make_liar(Path(folder), key)  # type: ignore[misc]
    main(arguments)


if __name__ == "__main__":
    run()
