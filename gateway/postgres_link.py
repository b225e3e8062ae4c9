"""A gateway's connections to its database, from when it finds the database there until it finds it away."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

CONNECTIONS: Final = 8
CONNECT_S: Final = 60.0
"""How long one waits for a connection."""
CLOSE_S: Final = 5.0

Connection = psycopg.AsyncConnection[TupleRow]

AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
"""What is no fault of ours: the database is gone, goes, comes, is full, or may only be read."""

CONFLICTS: Final = (
    psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.errors.LockNotAvailable,
)  # fmt: skip
"""What another try may do."""


class Link:
    """Some connections. Build it, and `open` it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._taken: set[Connection] = set()
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url, min_size=2, max_size=CONNECTIONS, open=False, timeout=CONNECT_S, configure=_configure,
            kwargs={"autocommit": True},
        )  # fmt: skip

    async def open(self) -> None:
        """Connect.

        Raises:
            psycopg.Error: the database is not there.
        """
        await (await psycopg.AsyncConnection.connect(self._url)).close()  # the pool would try again and again
        await self._pool.open(wait=True, timeout=CONNECT_S)

    async def take(self) -> Connection:
        """Take a connection, until it is given back."""
        connection = await self._pool.getconn()
        self._taken.add(connection)
        return connection

    async def give_back(self, connection: Connection) -> None:
        """Give a connection back."""
        self._taken.discard(connection)
        await self._pool.putconn(connection)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Use a connection."""
        connection = await self.take()
        try:
            yield connection
        finally:
            await self.give_back(connection)

    async def close(self) -> None:
        """End all connections; whoever waits for an answer on one of them is told that it ended."""
        for connection in self._taken:
            with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)
        await self._pool.close(CLOSE_S)


async def _configure(connection: Connection) -> None:
    """Read what is committed, statement by statement; wait for the disk only where it is said."""
    await connection.execute("SET default_transaction_isolation TO 'read committed'")
    await connection.execute("SET synchronous_commit TO off")


def words_of(error: Exception) -> str:
    """Return what went wrong, in one line."""
    return " ".join(str(error).split()) or "it does not answer"
