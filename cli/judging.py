"""What attesters and arbiters have in common: where work lies, what looks at it, and going on as a service."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal as signals
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from aitoken.errors import Unavailable
from cli import campaigns as words
from cli.exits import BadInput
from cli.render import Output

if TYPE_CHECKING:
    from cli.works import Library

Command = TypeVar("Command", bound=Callable[..., Any])


def judging_options(command: Command) -> Command:
    """Add what says how work is judged, and whether that goes on."""

    @functools.wraps(command)
    def checked(*arguments: Any, **options: Any) -> Any:
        if (options["command"] is None) != (options["place"] is None):
            raise BadInput("a check needs --works, and --works needs --check")
        if options["command"] is None and options["service"]:
            raise BadInput("a service needs a check: --check COMMAND --works FOLDER")
        return command(*arguments, **options)

    decorated: Any = checked
    for option in (
        click.option("--seed-file", type=click.Path(path_type=Path),
                     help=f"Secret that seals come from and are opened with; {words.SEED} if not given."),
        click.option("--every", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True,
                     help="Seconds between looks."),
        click.option("--service", is_flag=True, help="Go on until SIGTERM or Ctrl-C."),
        click.option("--seconds", type=click.FloatRange(0.1, 3600), default=60.0, show_default=True,
                     help="For one check."),
        click.option("--check", "command", help="Command that judges: work on its standard input, exit code 0 accepts, "
                     "1 rejects, anything else is no verdict."),
        click.option("--works", "place", metavar="FOLDER|URL", help="Where work lies under its hash."),
    ):  # fmt: skip
        decorated = option(decorated)
    return cast("Command", decorated)


@contextlib.asynccontextmanager
async def library_at(place: str | None) -> AsyncIterator[Library | None]:
    """Open the place where work lies."""
    import aiohttp

    from cli.works import Library

    if place is None or not place.startswith(("http://", "https://")):
        yield None if place is None else Library(place)
        return
    async with aiohttp.ClientSession() as http:
        yield Library(place, http)


async def serve(look: Callable[[], Awaitable[object]], every: float, out: Output) -> None:
    """Look again and again until a signal comes; a node that is gone for a while is waited for."""
    from aitoken.client.errors import TransactionDropped, TransactionRefused

    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for each in (signals.SIGTERM, signals.SIGINT):
        loop.add_signal_handler(each, lambda: task.cancel() if task is not None else None)
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            try:
                await look()
            except (Unavailable, TransactionRefused, TransactionDropped) as error:
                out.progress(f"trying again: {error}")
                await asyncio.sleep(every)
