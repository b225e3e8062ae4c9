"""An account's side of the chain, through a node's JSON-RPC; a connection that breaks is opened again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aitoken.client.client import Client
from aitoken.crypto.signature import Signer
from aitoken.errors import Rejected, Unavailable
from aitoken.types import Hash32
from gateway.ports import ChainDown


class NodeAccount:
    """A connection, and an account that sends transactions.

    Attributes:
        genesis: names the chain.
        signer: signs the account's transactions.
        sending: held while a transaction is on its way, so that two never take one nonce.
    """

    def __init__(self, url: str, client: Client, signer: Signer) -> None:
        self.genesis = Hash32(client.chain.genesis_hash)
        self.signer = signer
        self.sending = asyncio.Lock()
        self._url = url
        self._client: Client | None = client
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            await self._client.close()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Client]:
        """Give the connection; what goes wrong with it inside is `ChainDown`.

        Raises:
            ChainDown: the node does not answer, or not as expected.
        """
        client = await self._open()
        try:
            yield client
        except ChainDown:
            raise
        except (Unavailable, Rejected) as error:
            raise await self._down(error) from error

    async def _open(self) -> Client:
        async with self._opening:
            if self._client is None:
                try:
                    self._client = await Client.connect(self._url)
                except (Unavailable, Rejected) as error:
                    raise ChainDown(f"no node answers at {self._url}: {error}") from error
            return self._client

    async def _down(self, error: Exception) -> ChainDown:
        """Drop a connection that broke; a refusal leaves it as it is."""
        client = self._client
        if isinstance(error, Unavailable) and client is not None:
            self._client = None
            await client.close()
        return ChainDown(str(error))
