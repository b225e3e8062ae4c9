"""Talking to a node from a command: one connection, one event loop, and what is asked of the client library."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Literal, Protocol, TypeVar

import click

from cli.exits import BadInput

DEFAULT_URL: Final = "ws://127.0.0.1:9944"
Wait = Literal["none", "in_block", "final"]
Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result")


class Client(Protocol):
    """The part of `aitoken.client` the commands use."""

    @property
    def chain(self) -> Any:
        """What the metadata says: names, keys and coders (`aitoken.client.chain.Chain`)."""

    async def request(self, method: str, params: Sequence[Any] | None = None) -> Any:
        """Call a JSON-RPC method."""

    def constant(self, pallet: str, name: str) -> Any:
        """Return a constant of the runtime."""

    async def query(self, pallet: str, item: str, *keys: Any) -> Any:
        """Read a storage item, decoded."""

    def query_map(self, pallet: str, item: str, *keys: Any) -> AsyncIterator[tuple[tuple[Any, ...], Any]]:
        """Go through the entries of a map."""

    async def runtime_call(self, api: str, method: str, *arguments: Any) -> Any:
        """Call a runtime API, decoded."""

    async def account(self, address: str) -> Any:
        """Read `System.Account` of an address."""

    def call(self, pallet: str, name: str, /, **arguments: Any) -> Any:
        """Make a call."""

    async def rehearse(self, call: Any, pair: Any) -> Any:
        """Why a call would fail now; None if it would not, or the node does not say."""

    async def submit(self, call: Any, pair: Any, wait: Wait = "none", tip: int = 0) -> Any:
        """Sign and send a call; wait for `none`, `in_block` or `final`."""

    def subscribe_heads(self, *, final: bool = True) -> AsyncIterator[Any]:
        """Heads as they come."""

    async def close(self) -> None:
        """Close the connection."""


Connect = Callable[[str], Awaitable[Client]]


async def connect_to_node(url: str) -> Client:
    """Connect the client library; imported here, because it is most of a command's start-up time."""
    from aitoken.client.client import Client as Library

    return await Library.connect(url)


class Session:
    """The node a command talks to."""

    def __init__(self, url: str, connect: Connect) -> None:
        self.url = url
        self._connect = connect

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A connection, closed at the end."""
        client = await self._connect(self.url)
        try:
            yield client
        finally:
            await client.close()

    def run(self, talk: Callable[[Client], Coroutine[Any, Any, Result]]) -> Result:
        """Connect, have `talk` ask, and close."""

        async def conversation() -> Result:
            async with self.client() as client:
                return await talk(client)

        return asyncio.run(conversation())


def node_option(command: Command) -> Command:
    """Add `--url` to a command; its function gets a `Session` as `session`."""

    @click.pass_context
    @functools.wraps(command)
    def with_session(ctx: click.Context, /, *arguments: Any, url: str, **options: Any) -> Any:
        if not url.startswith(("ws://", "wss://")):
            raise BadInput(f"{url!r} is no address of a node: it starts with ws:// or wss://")
        connect = ctx.obj if callable(ctx.obj) else connect_to_node
        return command(*arguments, session=Session(url, connect), **options)

    option = click.option(
        "--url",
        envvar="AITOKEN_URL",
        default=DEFAULT_URL,
        show_default=True,
        help="The node to ask (WebSocket); also the variable AITOKEN_URL.",
    )
    return option(with_session)  # type: ignore[return-value]  # the wrapper is what click sees
