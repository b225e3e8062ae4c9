"""What strangers try on a node's peer port, one kind a method; used against real processes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter

from aitoken.crypto.noise import generate_private
from aitoken.types import Hash32
from consensus.messages import GetBlock
from node.net.channels import DEFLATED, FIN, Channel
from node.net.messages import Announce, GetBlocks, Reason, Transactions
from node.net.noise import Handshake
from node.net.peer import MAGIC, PROLOGUE
from node.net.records import frame
from node.net.wire import encode_hello
from tests.support.attacker import Attacker, dial, hang_up, hello, read_frame

NOISE = hashlib.shake_128(b"noise").digest(60_000)


class Attacks:
    """Attacks on one port; `done` says how often each was carried out to its end."""

    def __init__(self, port: int, genesis: bytes) -> None:
        self.done: Counter[str] = Counter()
        self._port = port
        self._payload = encode_hello(hello(genesis=genesis))
        self._all = (
            self.silence,
            self.random_bytes,
            self.half_open,
            self.other_chain,
            self.oversized,
            self.damaged_deflate,
            self.flood,
            self.bad_transactions,
        )

    async def run(self, until: float) -> None:
        """Do everything in turn, again and again, until `until` (monotonic seconds)."""
        while time.monotonic() < until:
            for attack in self._all:
                try:
                    async with asyncio.timeout(5):
                        await attack()
                except (OSError, EOFError, TimeoutError):
                    continue  # cut off half-way: just what should happen
                self.done[attack.__name__] += 1
            await asyncio.sleep(0.05)
            await hang_up()

    @property
    def all_were_done(self) -> bool:
        """Whether every kind of attack was carried out at least once."""
        return len(self.done) == len(self._all)

    async def silence(self) -> None:
        """Connect a hundred times and say nothing."""
        for _ in range(100):
            await dial(self._port)

    async def random_bytes(self) -> None:
        """Speak no protocol at all."""
        _, writer = await dial(self._port)
        writer.write(NOISE)

    async def half_open(self) -> None:
        """Begin fifty handshakes, take the answers and say no more; the node may cut off all but the first."""
        for answered in range(50):
            try:
                reader, writer = await dial(self._port)
                shake = Handshake(initiator=True, static=generate_private(), prologue=PROLOGUE)
                writer.write(MAGIC + frame(shake.write(b"")))
                await read_frame(reader)
            except (OSError, EOFError):
                if not answered:
                    raise
                return

    async def other_chain(self) -> None:
        """Be of another chain, and insist on being told."""
        attacker = await Attacker.connect(self._port, payload=encode_hello(hello(genesis=bytes(32))))
        words = await attacker.last_words()
        if words is None:
            raise EOFError("cut off without a word, as one of many")
        assert words.reason == Reason.OTHER_GENESIS

    async def oversized(self) -> None:
        """Send a message without end."""
        attacker = await Attacker.connect(self._port, payload=self._payload)
        for _ in range(20):
            attacker.record(Channel.PROPOSALS, NOISE, flags=0)

    async def damaged_deflate(self) -> None:
        """Send what cannot be inflated."""
        attacker = await Attacker.connect(self._port, payload=self._payload)
        attacker.record(Channel.SYNC, NOISE, FIN | DEFLATED)

    async def flood(self) -> None:
        """Ask a hundred times faster than anybody may."""
        attacker = await Attacker.connect(self._port, payload=self._payload)
        for number in range(3000):
            attacker.say(GetBlock(Hash32(hashlib.sha256(b"%d" % number).digest())))
            attacker.say(GetBlocks(number, 1, 64))
        attacker.say(Announce(NOISE[: 1024 * 32]))

    async def bad_transactions(self) -> None:
        """Send what is no transaction."""
        attacker = await Attacker.connect(self._port, payload=self._payload)
        attacker.say(Transactions(tuple(NOISE[at : at + 150] for at in range(0, 15_000, 150))))
