"""The node processes of a devnet: started, watched for their death, stopped in order."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cli.devnet.plan import NodePlan, Plan

STOP_SECONDS: Final = 8
"""What a node has for closing its database; with the rest, the whole devnet is down within ten."""
KILL_SECONDS: Final = 1
LAST_LINES: Final = 15
LOG_BYTES_MAX: Final = 64 * 1024 * 1024
"""A log longer than this is put aside (`.log.1`) at the next start."""
_TAIL_BYTES: Final = 64 * 1024


@dataclass(slots=True)
class NodeProcess:
    """A node that was started."""

    plan: NodePlan
    process: asyncio.subprocess.Process
    log_start: int
    """Where in the log file this run begins."""

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.returncode is None

    def obituary(self) -> str:
        """How it ended, in words, with its last lines."""
        lines = last_lines(self.plan.log, self.log_start)
        ending = ending_of(self.process.returncode)
        text = f"node {self.plan.index} ({self.plan.name}) {ending}; its last words in {self.plan.log}:"
        return "\n".join([text, *(f"    {line}" for line in lines)])


def command_of(plan: Plan, node: NodePlan) -> list[str]:
    """The command line of a node."""
    return [*plan.program(node), *plan.arguments(node), "--stop-with-parent"]


async def start(plan: Plan, node: NodePlan, *extra: str) -> NodeProcess:
    """Start one node, with `extra` arguments for this time only; its output goes to its log file."""
    if node.log.exists() and node.log.stat().st_size > LOG_BYTES_MAX:
        node.log.replace(node.log.with_suffix(".log.1"))
    with node.log.open("ab") as log:
        log_start = log.tell()
        process = await asyncio.create_subprocess_exec(
            *command_of(plan, node),
            *extra,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches the devnet alone, which stops its nodes in order
            env=_environment(),
        )
    return NodeProcess(node, process, log_start)


async def stop(nodes: list[NodeProcess]) -> list[NodeProcess]:
    """Ask every node to stop, then make it; the ones that had to be killed are returned."""
    running = [node for node in nodes if node.alive]
    for node in running:
        _signal(node, signal.SIGTERM)
    waits = [asyncio.ensure_future(node.process.wait()) for node in running]
    if waits:
        await asyncio.wait(waits, timeout=STOP_SECONDS)
    stubborn = [node for node in running if node.alive]
    for node in stubborn:
        _signal(node, signal.SIGKILL)
    if stubborn:
        await asyncio.wait(waits, timeout=KILL_SECONDS)
    return stubborn


async def wait_until_serving(node: NodeProcess, seconds: int) -> bool:
    """Wait until the RPC port answers; False when the node died or took too long."""
    deadline = time.monotonic() + seconds
    while node.alive and time.monotonic() < deadline:
        try:
            async with asyncio.timeout(1):
                _, writer = await asyncio.open_connection("127.0.0.1", node.plan.rpc_port)
        except (OSError, TimeoutError):
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return True
    return False


def ending_of(returncode: int | None) -> str:
    """An exit status in words."""
    if returncode is None:
        return "still runs"
    if returncode < 0:
        try:
            return f"was ended by {signal.Signals(-returncode).name}"
        except ValueError:
            return f"was ended by signal {-returncode}"
    return f"ended with exit code {returncode}"


def last_lines(log: Path, start: int) -> list[str]:
    """The last lines a run wrote to its log."""
    try:
        with log.open("rb") as stream:
            return _tail(stream, start)
    except OSError as error:
        return [f"(cannot read it: {error.strerror})"]


def _tail(stream: IO[bytes], start: int) -> list[str]:
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(start, end - _TAIL_BYTES) if end >= start else 0)
    return stream.read(_TAIL_BYTES).decode(errors="replace").splitlines()[-LAST_LINES:]


def _signal(node: NodeProcess, number: signal.Signals) -> None:
    try:
        node.process.send_signal(number)
    except ProcessLookupError:
        pass


def _environment() -> dict[str, str]:
    """Ours without settings of a node: every node of a devnet is told by flags, the same on each machine."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AITOKEN_")}
