"""What `doctor` looks at; each check answers with one finding and, where it is bad, a cure."""

from __future__ import annotations

import fcntl
import importlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from aitoken.errors import AiTokenError
from cli.session import Client
from cli.specs import read_spec
from cli.status import holds_back, in_words, is_moving, look, trouble_in

FREE_BYTES_BAD: Final = 500 * 1024 * 1024
FREE_BYTES_LOW: Final = 5 * 1024 * 1024 * 1024
CLOCK_DRIFT_MS_MAX: Final = 2_500
"""A validator's clock may be half a second off; blocks of an idle devnet are two seconds apart."""

NATIVE_LIBRARIES: Final = ("nacl.bindings", "sr25519", "plyvel", "cryptography", "xxhash", "msgpack")
State = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw."""

    check: str
    state: State
    says: str
    cure: str = ""


def python_version(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Python 3.11 and 3.12 are the versions with every library."""
    says = f"{version[0]}.{version[1]}"
    if version in {(3, 11), (3, 12)}:
        return Finding("python", "ok", says)
    return Finding("python", "bad", f"{says} is not supported", "install Python 3.11 or 3.12 and run: make setup")


def optimised(optimise: int = sys.flags.optimize) -> Finding:
    """-O removes checks."""
    if not optimise:
        return Finding("optimisation", "ok", "off, so all checks are on")
    cure = "unset PYTHONOPTIMIZE and start without -O"
    return Finding("optimisation", "bad", "Python runs with -O, which removes safety checks", cure)


def libraries(names: tuple[str, ...] = NATIVE_LIBRARIES) -> Finding:
    """The compiled libraries load on this machine."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            return Finding("libraries", "bad", f"{name} cannot be loaded: {error}", "run: make setup")
    return Finding("libraries", "ok", "all load")


def data_folder(folder: Path, chain: Path | None) -> list[Finding]:
    """Whether a node can work in its data folder."""
    if not folder.is_dir():
        return [Finding("data folder", "bad", f"{folder} does not exist", "start the node once, or correct --data-dir")]
    findings = [_permissions(folder), disk_space(folder), _lock(folder)]
    if chain is not None:
        findings.append(_genesis_file(chain))
    return findings


def _permissions(folder: Path) -> Finding:
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding(
            "data folder", "bad", f"this user cannot write to {folder}", f"chown it: chown -R $USER {folder}"
        )
    open_files = [
        path for path in folder.rglob("*") if "key" in path.name and path.is_file() and path.stat().st_mode & 0o077
    ]
    if open_files:
        names = ", ".join(str(path.relative_to(folder)) for path in open_files[:3])
        return Finding("data folder", "bad", f"others can read {names}", f"chmod 600 the files in {folder}")
    return Finding("data folder", "ok", "can be written, keys are private")


def disk_space(folder: Path, free_of: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free) -> Finding:
    """A full disk stops a node at once."""
    free = free_of(folder)
    says = f"{free // 1024**2:_} MiB free"
    if free < FREE_BYTES_BAD:
        return Finding("disk", "bad", says, "make room: a node stops when the disk is full")
    return Finding("disk", "warn" if free < FREE_BYTES_LOW else "ok", says, "")


def _lock(folder: Path) -> Finding:
    """Whether a node works here now; the lock is released at once, and only if nobody held it."""
    lock = folder / "db" / "lock"
    if not lock.is_file():
        return Finding("lock", "warn", "no node ever ran on this folder", "")
    with lock.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return Finding("lock", "ok", "a node runs on this folder")
    return Finding("lock", "ok", "no node runs on this folder now")


def _genesis_file(chain: Path) -> Finding:
    try:
        from cli.genesis import facts_of

        facts = facts_of(read_spec(chain))
    except AiTokenError as error:
        return Finding("genesis file", "bad", str(error), f"check it: aitoken chain-spec check {chain}")
    return Finding("genesis file", "ok", f"genesis hash 0x{facts.hash.hex()}")


async def running_node(client: Client, chain: Path | None) -> list[Finding]:
    """Whether the node that answers is on the right chain, has peers, moves, and agrees about the time."""
    facts = await look(client)
    findings = [Finding("node", "ok", f"{facts['name']} {facts['version']} on {facts['chain']}")]
    if chain is not None:
        findings.append(_same_genesis(facts, chain))
    lines, well = in_words(facts)
    waits = [f"it waits: {words}"] if (words := holds_back(facts.get("round"))) else []
    findings.append(Finding("network", "ok" if well else "bad", "; ".join([*trouble_in(lines), *waits])))
    if await is_moving(client):
        findings.append(Finding("chain", "ok", "blocks become final"))
    else:
        cure = "more than two thirds of the stake must be up and see each other: aitoken node status on each validator"
        findings.append(Finding("chain", "bad", f"no block became final for a while (last: {facts['final']})", cure))
    findings.append(clock(await _chain_time_ms(client), time.time_ns() // 1_000_000))
    return findings


def unreachable(url: str, why: str) -> Finding:
    """Nobody answers: is nothing there, or something that is no node?"""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 9944), timeout=2):
            cure = "stop what listens there, or name the node's address with --url"
            return Finding("node", "bad", f"something listens at {url} and is no node: {why}", cure)
    except (OSError, ValueError):
        cure = "start it (aitoken node run, or aitoken devnet), or name another address with --url"
        return Finding("node", "bad", f"nothing listens at {url}: {why}", cure)


def clock(chain_ms: int | None, own_ms: int) -> Finding:
    """The chain's time lags by the age of the last block; ahead of us means a clock is wrong."""
    if chain_ms is None:
        return Finding("clock", "warn", "the node does not tell the chain's time")
    ahead_ms = chain_ms - own_ms
    if ahead_ms > CLOCK_DRIFT_MS_MAX:
        cure = "set this machine's clock (NTP), then look at the validators' clocks"
        return Finding("clock", "bad", f"the chain's time is {ahead_ms} ms ahead of this machine's", cure)
    return Finding("clock", "ok", f"the last block is {max(0, -ahead_ms)} ms old by this machine's clock")


def _same_genesis(facts: dict[str, Any], chain: Path) -> Finding:
    expected = _genesis_file(chain)
    if expected.state == "bad":
        return expected
    if expected.says.endswith(str(facts["genesis"])):
        return Finding("genesis", "ok", "the node is on the chain of the genesis file")
    says = f"the node is on another chain: its genesis is {facts['genesis']}, the file has {expected.says}"
    return Finding("genesis", "bad", says, "give the node the right --chain, and a data folder of its own")


async def _chain_time_ms(client: Client) -> int | None:
    try:
        return int(await client.query("Timestamp", "Now"))
    except (AiTokenError, TypeError, ValueError):
        return None
