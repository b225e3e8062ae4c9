"""Signatures of vouchers, checked by a process beside the gateway while many requests are there at once.

A check takes a quarter of what a paid request takes, and the gateway's event loop is what is full first. So the
signatures of all requests that came in one turn of the loop go together, in one message, to another process, and the
loop does other work meanwhile. A thread would do no good: it takes turns with the loop. A request that is nearly alone
is checked where it is, because the way there and back takes as long as a check.

Nothing is decided here: the lane's rules are applied by who asked, when the verdict is there. Where there is no second
core, the process is not there yet, or it is lost, the loop checks; a lost one is replaced after a while.
`aitoken.crypto.checks` is the process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, cast

from aitoken.crypto.checks import Check, pack
from gateway.store import finished

log = logging.getLogger(__name__)

CROWD: Final = 4
"""From how many requests at once on the process is asked."""

PART: Final = 12
"""After how many checks the process answers, so that the loop need not wait for a whole group."""

VERDICTS_MAX: Final = 4096
"""How many verdicts are read at a time."""

SILENCE_S: Final = 5.0
"""A process that owes an answer and is silent for so long is lost."""

AGAIN_S: Final = 60.0
"""How long to do without, once it was lost."""


_Asked = tuple[Check, Callable[[bool], None]]


class Checks:
    """Checks signatures; `run` keeps the process.

    Attributes:
        helped: how many the process has checked.
        ready: set while the process is there.
        process: its number, while it is there.
    """

    def __init__(self, at_once: Callable[[], int]) -> None:
        """Check for requests of which `at_once` tells how many are there."""
        self._at_once = at_once
        self._waiting: list[_Asked] = []
        self._away: deque[_Asked] = deque()
        self._to: asyncio.WriteTransport | None = None
        self._wanted = asyncio.Event()
        self.helped = 0
        self.ready = asyncio.Event()
        self.process: int | None = None

    @property
    def crowded(self) -> bool:
        """Whether it is worth while to `ask` before a signature is needed."""
        if self._at_once() < CROWD:
            return False
        if self._to is None:
            self._wanted.set()
            return False
        return True

    def ask(self, check: Check, then: Callable[[bool], None]) -> None:
        """Tell `then` whether a signature is good, as soon as that is known."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)  # after all requests of this turn
        self._waiting.append((check, then))

    def _send(self) -> None:
        group, self._waiting = self._waiting, []
        if self._to is None:
            _check_here(group)
        else:
            self._away.extend(group)
            self._to.write(pack([check for check, _ in group], PART))

    def take(self, verdicts: bytes) -> None:
        """Take what the process said, a byte a verdict."""
        self.helped += len(verdicts)
        for good in verdicts:
            self._away.popleft()[1](good == 1)

    async def run(self) -> None:
        """Keep the process while it is wanted, until cancelled."""
        if len(os.sched_getaffinity(0)) < 2:
            return
        while True:
            await self._wanted.wait()
            try:
                await self._with_process()
            except OSError as failure:
                log.warning("no process to check signatures", extra={"reason": str(failure)})
            await asyncio.sleep(AGAIN_S)

    async def _with_process(self) -> None:
        """Have a process until it is lost."""
        helper = _Helper(self.take)
        start = asyncio.get_running_loop().subprocess_exec(
            lambda: helper, sys.executable, "-P", "-m", "aitoken.crypto.checks", stderr=None,
            start_new_session=True,  # Ctrl-C is for the gateway, which closes the pipe
        )  # fmt: skip
        transport, _ = await finished(start)  # half a start would leave its pipes open
        try:
            self._to = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
            with suppress(AttributeError):  # asyncio's own only; it would make room for 256 KiB each time
                transport.get_pipe_transport(1).max_size = VERDICTS_MAX  # type: ignore[union-attr]  # a pipe has it
            self.process = transport.get_pid()
            self.ready.set()
            before = -1
            while before != self.helped or not self._away:  # not silent
                before = self.helped if self._away else -1
                if await _happens(helper.lost, SILENCE_S):
                    break
            log.warning("the process that checks signatures is lost")
        finally:
            self._to = self.process = None
            self.ready.clear()
            transport.close()
            left, self._away = self._away, deque()
            _check_here(left)
            await finished(helper.over.wait())


class _Helper(asyncio.SubprocessProtocol):
    """The process, as the event loop tells of it."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self.lost = asyncio.Event()
        self.over = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - there is one
        if not self.lost.is_set():
            self._take(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - either
        self.lost.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it is over anyway
        self.lost.set()
        self.over.set()


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Tell whether something happens within some seconds."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _check_here(asked: Iterable[_Asked]) -> None:
    for check, then in asked:
        then(check.run())
