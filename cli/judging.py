"""What attesters and arbiters have in common: where work lies, what looks at it, and going on as a service."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal as signals
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from aitoken.errors import Unavailable
from cli import campaigns as words
from cli.amounts import show_amount
from cli.exits import BadInput, WouldFail
from cli.render import Output
from cli.session import Client, Session
from cli.signing import Signer, facts_of, submit_final

if TYPE_CHECKING:
    from cli.works import Library

_STAKED: Final = ("ArbiterRegistered", "AttesterStaked")

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


def put_at_stake(
    session: Session, signer: Signer, out: Output, call: tuple[str, str], least: int, **amount: int
) -> dict[str, Any]:  # fmt: skip
    """Put something at stake by a call, "Pallet" and name; return its facts, with all that is at stake then.

    Raises:
        WouldFail: the chain would refuse it, perhaps because it is less than `least`; nothing was sent.
    """
    pair = signer.pair()

    async def put(client: Client) -> dict[str, Any]:
        try:
            receipt = await submit_final(client, pair, [client.call(*call, **amount)], out)
        except WouldFail as error:
            if "StakeTooLow" not in str(error):
                raise
            raise WouldFail(
                f"{show_amount(least)} at stake are the least, unless root has changed it: {error}"
            ) from None
        whole = next(event.fields["stake"] for event in receipt.events if event.name in _STAKED)
        return facts_of(receipt) | {"stake": whole}

    return session.run(put)


def take_stake_back(session: Session, signer: Signer, out: Output, call: tuple[str, str]) -> None:
    """Judge no more, by a call, and say that the stake is there again."""
    pair = signer.pair()

    async def leave(client: Client) -> dict[str, Any]:
        return facts_of(await submit_final(client, pair, [client.call(*call)], out))

    out.result(session.run(leave), "the stake is yours again")


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
