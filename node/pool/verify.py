"""Signature checks, the dearest part of a transaction (about 40 us): in slices on the event loop, or in a process.

Inline suits a host with more validators than cores. A worker process suits a free core; bytes go over a pipe in
batches. Threads suit neither: a busy event loop starves them (performance paper, 3.3).
"""

from __future__ import annotations

import asyncio
import logging
import struct
import sys
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, NamedTuple, Protocol

from aitoken.crypto.signature import verify_multi
from aitoken.errors import Unavailable

SLICE_SECONDS: Final = 0.002
"""How long checks may hold the event loop: votes wait no longer than this."""
BATCH_MAX: Final = 256
ANSWER_SECONDS: Final = 10.0
"""A worker that is silent for so long is broken."""
FRAME: Final = struct.Struct("<II")
"""Bytes that follow, checks in them."""
CHECK: Final = struct.Struct("<BB32sI")
"""Kind, signature length, public key, payload length; signature and payload follow."""

log = logging.getLogger(__name__)


class Check(NamedTuple):
    """One signature to check: the arguments of `verify_multi`."""

    kind: int
    signature: bytes
    payload: bytes
    public: bytes

    def run(self) -> bool:
        """Check it here and now."""
        return verify_multi(self.kind, self.signature, self.payload, self.public)


class WorkerLost(Unavailable):
    """The process that checks signatures does not answer."""

    code = "pool.worker_lost"


class Verifier(Protocol):
    """Checks many signatures."""

    @property
    def inline(self) -> bool:
        """Whether the caller had better check one by one between its other work."""

    async def verify(self, checks: Sequence[Check]) -> list[bool]:
        """The verdict on each, in order."""

    async def close(self) -> None:
        """Give back what it holds."""


class InlineVerifier:
    """Checks on the event loop, letting others run after each slice."""

    inline = True

    def __init__(self, seconds: Callable[[], float] = perf_counter) -> None:
        """`seconds` is a monotonic clock."""
        self._seconds = seconds

    async def verify(self, checks: Sequence[Check]) -> list[bool]:
        """The verdict on each, in order."""
        verdicts: list[bool] = []
        end = self._seconds() + SLICE_SECONDS
        for check in checks:
            verdicts.append(check.run())
            if self._seconds() >= end:
                await asyncio.sleep(0)
                end = self._seconds() + SLICE_SECONDS
        return verdicts

    async def close(self) -> None:
        """Nothing to give back."""


def pack(checks: Sequence[Check]) -> bytes:
    """A frame for the worker."""
    parts: list[bytes] = []
    for check in checks:
        parts.append(CHECK.pack(check.kind, len(check.signature), check.public, len(check.payload)))
        parts.append(check.signature)
        parts.append(check.payload)
    body = b"".join(parts)
    return FRAME.pack(len(body), len(checks)) + body


def unpack(body: bytes, count: int) -> list[Check]:
    """The checks of a frame, which came from our own process and is trusted to be well-formed."""
    checks: list[Check] = []
    offset = 0
    for _ in range(count):
        kind, signature_size, public, payload_size = CHECK.unpack_from(body, offset)
        offset += CHECK.size
        signature = body[offset : offset + signature_size]
        offset += signature_size
        checks.append(Check(kind, signature, body[offset : offset + payload_size], public))
        offset += payload_size
    return checks


class WorkerVerifier:
    """Checks in a process of its own. When it is lost, what it had is checked inline and another one is started."""

    inline = False

    def __init__(self) -> None:
        """The process starts with the first batch."""
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._fallback = InlineVerifier()

    async def verify(self, checks: Sequence[Check]) -> list[bool]:
        """The verdict on each, in order."""
        verdicts: list[bool] = []
        for start in range(0, len(checks), BATCH_MAX):
            batch = checks[start : start + BATCH_MAX]
            try:
                async with self._turn, asyncio.timeout(ANSWER_SECONDS):
                    verdicts += await self._ask(batch)
            except (OSError, EOFError, TimeoutError, WorkerLost) as failure:
                log.warning("signature worker lost (%r): checking inline, starting another", failure)
                await self._stop()
                verdicts += await self._fallback.verify(batch)
        return verdicts

    async def _ask(self, batch: Sequence[Check]) -> list[bool]:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "node.pool.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the node, which closes the pipe
            )
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            raise WorkerLost("no pipe")
        to.write(pack(batch))
        await to.drain()
        return [verdict == 1 for verdict in await back.readexactly(len(batch))]

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def close(self) -> None:
        """End the process; it leaves by itself when its input closes."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), ANSWER_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def verifier_for(workers: int) -> Verifier:
    """What `--workers` asks for: 0 checks inline, 1 in a process (more are no use to one event loop)."""
    return WorkerVerifier() if workers else InlineVerifier()
