"""Work that attesters look at, and what looks at it.

The chain has the hash of work alone. The work itself lies in a folder under that hash, which whoever runs the campaign
may serve by any web server; nobody has to be trusted with it, because the hash is checked.

A check is a command: it gets the work on standard input and says by its exit code what it thinks: 0 accepted, 1
rejected, anything else no verdict. It has so many seconds, and what it prints is cut and shown to nobody but us.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.exits import BadInput

if TYPE_CHECKING:
    import aiohttp

WORK_BYTES_MAX: Final = 4 * 1024 * 1024
FETCH_SECONDS: Final = 30
TOLD_BYTES_MAX: Final = 2_000
ACCEPTED: Final = 0
REJECTED: Final = 1


def hash_of(work: bytes) -> bytes:
    """The content a campaign knows work by."""
    from aitoken.crypto.hashing import blake2_256

    return blake2_256(work)


def read_work(path: Path) -> bytes:
    """Read a file of work.

    Raises:
        BadInput: it cannot be read, or is too large for attesters.
    """
    try:
        with path.open("rb") as stream:
            found = stream.read(WORK_BYTES_MAX + 1)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None
    if len(found) > WORK_BYTES_MAX:
        raise BadInput(f"{path} is larger than {WORK_BYTES_MAX >> 20} MiB: submit a text that says where it is")
    return found


def publish(work: bytes, folder: Path) -> Path:
    """Put work where attesters find it, under its hash."""
    path = folder / hash_of(work).hex()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(work)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}") from None
    return path


@dataclass(frozen=True, slots=True)
class Library:
    """Where work lies: a folder, or the address it is served at."""

    place: str
    http: aiohttp.ClientSession | None = None

    async def get(self, content: bytes) -> bytes | None:
        """Return the work with this hash, None where it is not there, too large, or something else."""
        found = await self._fetch(content.hex())
        return found if found is not None and len(found) <= WORK_BYTES_MAX and hash_of(found) == content else None

    async def _fetch(self, name: str) -> bytes | None:
        import aiohttp

        if self.http is None:
            path = Path(self.place) / name
            return await asyncio.to_thread(_read_or_none, path)
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        try:
            async with self.http.get(f"{self.place.rstrip('/')}/{name}", timeout=timeout) as answer:
                if answer.status != 200:
                    return None
                parts, size = [], 0
                async for part in answer.content.iter_any():
                    size += len(part)
                    if size > WORK_BYTES_MAX:
                        return None
                    parts.append(part)
                return b"".join(parts)
        except (aiohttp.ClientError, TimeoutError):
            return None


def _read_or_none(path: Path) -> bytes | None:
    try:
        with path.open("rb") as stream:
            return stream.read(WORK_BYTES_MAX + 1)
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check said: True, False, or None with the reason."""

    accepts: bool | None
    told: str


@dataclass(frozen=True, slots=True)
class Check:
    """The command that judges work."""

    command: str
    seconds: float

    async def __call__(self, work: bytes, facts: dict[str, Any]) -> Verdict:
        """Run it on some work; `facts` are given to it in the environment."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        try:
            program, *arguments = shlex.split(self.command)
            process = await asyncio.create_subprocess_exec(
                program, *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT, start_new_session=True,
                env=kept | {f"AITOKEN_{name.upper()}": str(value) for name, value in facts.items()},
            )  # fmt: skip
        except (OSError, ValueError) as error:
            return Verdict(None, f"the check does not start: {error}")
        try:
            async with asyncio.timeout(self.seconds):
                told = await _talk(process, work)
                code = await process.wait()
        except TimeoutError:
            return Verdict(None, f"no verdict within {self.seconds:g} s")
        finally:
            with contextlib.suppress(ProcessLookupError):  # whatever it started ends with it
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        text = told.decode(errors="replace").strip()
        return Verdict({ACCEPTED: True, REJECTED: False}.get(code), text or f"exit code {code}")


async def _talk(process: asyncio.subprocess.Process, work: bytes) -> bytes:
    """Write the work, read what is said; no more than a little of it is kept."""
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        return b""

    async def write() -> None:
        with contextlib.suppress(ConnectionError):  # a check need not read all of it
            stdin.write(work)
            await stdin.drain()
        stdin.close()

    async def read() -> bytes:
        kept = b""
        while part := await stdout.read(65_536):
            kept = (kept + part)[:TOLD_BYTES_MAX]
        return kept

    _, told = await asyncio.gather(write(), read())
    return told
