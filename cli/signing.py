"""What the commands that send transactions have in common: who signs, and what is done about a call that failed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from cli.exits import CallFailed, WouldFail
from cli.render import Output
from cli.session import Client
from cli.wallet import address_of, load_pair

if TYPE_CHECKING:
    from aitoken.crypto.derive import Pair

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose key signs; it is asked for when it is needed."""

    who: str | None
    key_file: Path | None
    suri_file: Path | None
    scheme: str

    @property
    def is_given(self) -> bool:
        """Whether anybody was named."""
        return any(each is not None for each in (self.who, self.key_file, self.suri_file))

    def pair(self) -> Pair:
        """The key."""
        return load_pair(self.who, self.scheme, self.key_file, self.suri_file)


def signer_options(command: Command) -> Command:
    """Add what says who signs; the function gets a `Signer` as `signer`."""

    @functools.wraps(command)
    def with_signer(
        *arguments: Any, who: str | None, key_file: Path | None, suri_file: Path | None, scheme: str, **options: Any
    ) -> Any:
        return command(*arguments, signer=Signer(who, key_file, suri_file, scheme), **options)

    decorated: Any = with_signer
    for option in (
        click.option("--type", "scheme", type=click.Choice(["sr25519", "ed25519"]), default="sr25519",
                     show_default=True, help="Of a secret that does not say so itself."),
        click.option("--suri-file", type=click.Path(path_type=Path), help="File with the secret phrase of who signs."),
        click.option("--key-file", type=click.Path(path_type=Path), help="Encrypted key file of who signs."),
        click.option("--from", "who", metavar="WHO", help="Who signs and pays: //Name on a devnet, or a kept key."),
    ):  # fmt: skip
        decorated = option(decorated)
    return cast("Command", decorated)


async def submit_final(client: Client, pair: Any, calls: Sequence[Any], out: Output) -> Any:
    """Send calls in one transaction and wait until it is final. What would fail is not sent: failing costs the fee.

    Raises:
        WouldFail: it would do nothing, as the chain is now; nothing was sent.
        CallFailed: it was included and did nothing.
    """
    call = calls[0] if len(calls) == 1 else client.call("Utility", "batch_all", calls=calls)
    problem = await client.rehearse(call, pair)
    if problem is not None:
        raise WouldFail(f"it would fail, so nothing was sent: {problem.name}. {problem.docs}")
    out.progress(f"sending {', '.join(_short(call) for call in calls)} for {address_of(pair.public)}")
    receipt = await client.submit(call, pair, wait="final")
    if receipt.success is False:
        raise CallFailed(f"it failed and changed nothing; the fee was paid: {receipt.error}. {receipt.reason}")
    return receipt


def facts_of(receipt: Any) -> dict[str, Any]:
    """What of a receipt is shown."""
    names = ("hash", "block_hash", "block_number", "fee")
    return {name: getattr(receipt, name) for name in names if getattr(receipt, name) is not None}


def _short(call: Any) -> str:
    text = str(call)
    return text if len(text) <= 300 else text[:300] + "...)"
