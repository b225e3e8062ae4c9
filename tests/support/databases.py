"""A PostgreSQL cluster of the tests' own, without a network, and places to keep a gateway's store in."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

WHERE = "/usr/lib/postgresql/*/bin"
MISSING = f"no PostgreSQL (initdb and postgres in PATH or {WHERE}), or psycopg is not installed"
START_S = 60
REQUIRED = os.environ.get("REQUIRE_POSTGRES") == "1"
"""Whether a test that finds no PostgreSQL fails; else it is skipped."""


def binaries() -> Path | None:
    """Where initdb and postgres are; None where they are not, or the gateway cannot talk to them."""
    try:
        import psycopg_pool  # noqa: F401 - whether it can be
    except ImportError:
        return None
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/").glob(WHERE[1:]), reverse=True)
    return next((place for place in places if (place / "postgres").exists() and (place / "initdb").exists()), None)


class Cluster:
    """A cluster of the tests' own; `place` makes a fresh store in it."""

    def __init__(self, folder: Path, command: list[str], user: str | None) -> None:
        self._sockets = folder
        self._command = command
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._places: dict[str, str] = {}

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        last = time.monotonic() + START_S
        log = self._sockets / "log"
        while True:
            if self._process is None or self._process.poll() is not None:
                with log.open("ab") as out:  # what a killed server left may still be in use for a moment
                    self._process = subprocess.Popen(
                        self._command, stdout=out, stderr=out, user=self._user, cwd=self._sockets,
                        preexec_fn=_follow_parent,
                    )  # fmt: skip
            if self._answers():
                return
            if time.monotonic() > last:
                raise RuntimeError(log.read_text())
            time.sleep(0.05)

    def _answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self.url):
                return True
        except psycopg.OperationalError:
            return False

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT in order, SIGQUIT at once, SIGKILL it and all its processes."""
        if self._process is None:
            return
        others = _children(self._process.pid) if number is signal.SIGKILL else []
        self._process.send_signal(number)
        for other in others:
            with suppress(ProcessLookupError):
                os.kill(other, number)
        self._process.wait(30)
        self._process = None

    def freeze(self) -> AbstractContextManager[None]:
        """Let the server's processes stand still, as behind a network that is cut."""
        return _frozen([] if self._process is None else [self._process.pid, *_children(self._process.pid)])

    @property
    def url(self) -> str:
        return f"postgresql:///postgres?host={quote(str(self._sockets), safe='')}&user=postgres"

    def place(self, name: str) -> str:
        """Return the URL of a schema that belongs to a name; it is made when it is asked for first."""
        import psycopg

        if name not in self._places:
            schema = f"store_{len(self._places) + 1}"
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(f"CREATE SCHEMA {schema}")
            self._places[name] = f"{self.url}&options={quote(f'-c search_path={schema}', safe='')}"
        return self._places[name]

    def bury(self, name: str) -> None:
        """Let the leases of all gateways of a store run out, and another one take their work."""
        import psycopg

        from gateway.postgres_tables import SWEEP

        with psycopg.connect(self.place(name), autocommit=True) as connection:
            connection.execute("UPDATE gateways SET until = clock_timestamp() - interval '1 s'")
            for sql in SWEEP:
                connection.execute(sql)

    def rename(self, name: str, other: str) -> None:
        """Let the store of a name be found under another one as well."""
        self._places[other] = self.place(name)


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


@contextmanager
def _frozen(processes: list[int]) -> Iterator[None]:
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def _follow_parent() -> None:
    """End with the process that started this one."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a cluster; root runs it as the user `postgres`, which is not allowed to be root."""
    programs = binaries()
    if programs is None:
        raise RuntimeError(MISSING)
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="aitoken-pg-"))
    try:
        if user is not None:
            shutil.chown(folder, user, user)
        data = folder / "data"
        initdb = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"]
        subprocess.run([*initdb, "--locale=C"], check=True, capture_output=True, user=user, cwd=folder)
        command = [str(programs / "postgres"), "-D", str(data), "-k", str(folder), "-c", "listen_addresses="]
        for setting in ("fsync=off", "max_connections=300", "shared_buffers=32MB", "log_min_messages=fatal"):
            command += ["-c", setting]
        running = Cluster(folder, command, user)
        try:
            running.start()
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
