"""What the commands that pay for AI have in common: whose money, which purse, which gateways, and how much at most."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from cli.amounts import parse_amount
from cli.exits import BadInput
from cli.session import Session
from cli.wallet import account_of, load_pair

if TYPE_CHECKING:
    import aiohttp

    from aitoken.client.client import Client
    from aitoken.client.pay.ledger import SpendKey
    from aitoken.client.pay.payer import Payer
    from aitoken.client.pay.purse import Purse
    from aitoken.client.pay.shop import Shop
    from aitoken.crypto.derive import Pair

PURSE: Final = Path("~/.aitoken/purse")
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Paying:
    """Whose money is spent, from which purse, and how much at most."""

    folder: Path
    who: str | None
    grant: SpendKey | None
    key_file: Path | None
    suri_file: Path | None
    request: str
    session: str
    total: str

    def pair(self) -> Pair:
        """The key whose money it is."""
        return load_pair(self.who, "sr25519", self.key_file, self.suri_file)

    @contextlib.asynccontextmanager
    async def payer(self, node: Session) -> AsyncIterator[Payer]:
        """A purse at work."""
        import aiohttp

        from aitoken.client.pay.ledger import NodeLedger
        from aitoken.client.pay.payer import Caps, Payer
        from aitoken.client.pay.purse import open_purse

        pair, session = self.pair(), parse_amount(self.session)
        usual = Caps()
        caps = Caps(
            request=parse_amount(self.request), exposure=session, deposit=min(usual.deposit, session), session=session,
            total=parse_amount(self.total),
        )  # fmt: skip
        with open_purse(self.folder) as purse:
            async with node.client() as client, aiohttp.ClientSession(auto_decompress=False) as http:
                payer = Payer(purse, NodeLedger(cast("Client", client), pair, self.grant), http, caps)
                await payer.recover()
                yield payer


def purse_option(command: Command) -> Command:
    """Add `--purse`."""
    return click.option(
        "--purse", "folder", type=click.Path(path_type=Path), default=PURSE, show_default=True,
        envvar="AITOKEN_PURSE", help="Folder of sessions and receipts.",
        callback=lambda _, __, value: value.expanduser(),
    )(command)  # fmt: skip


def paying_options(command: Command) -> Command:
    """Add what says whose money and how much; the function gets a `Paying` as `paying`."""

    @functools.wraps(command)
    def with_paying(
        *arguments: Any, folder: Path, who: str | None, grant: SpendKey | None, key_file: Path | None,
        suri_file: Path | None, max_request: str, max_session: str, max_total: str, **options: Any,
    ) -> Any:  # fmt: skip
        paying = Paying(folder, who, grant, key_file, suri_file, max_request, max_session, max_total)
        return command(*arguments, paying=paying, **options)

    decorated: Any = with_paying
    for option in (
        click.option("--max-total", metavar="AIT", default="20", show_default=True, help="All sessions may hold this."),
        click.option(
            "--max-session", metavar="AIT", default="10", show_default=True, help="One session may hold this."
        ),
        click.option("--max-request", metavar="AIT", default="0.1", show_default=True, help="A request may cost this."),
        click.option("--suri-file", type=click.Path(path_type=Path), help="File with the secret phrase of who pays."),
        click.option("--key-file", type=click.Path(path_type=Path), help="Encrypted key file of who pays."),
        click.option(
            "--grant",
            metavar="OWNER/NUMBER",
            callback=_spend_key,
            help="OWNER pays: what --from names is a key OWNER has allowed to spend, see aitoken allowance.",
        ),
        click.option("--from", "who", metavar="WHO", help="Who pays: //Name on a devnet, or a kept key."),
        purse_option,
    ):
        decorated = option(decorated)
    return cast("Command", decorated)


def _spend_key(_: click.Context, __: click.Parameter, text: str | None) -> SpendKey | None:
    from aitoken.client.pay.ledger import SpendKey
    from aitoken.types import AccountId

    if text is None:
        return None
    owner, slash, number = text.rpartition("/")
    if not (slash and owner and number.isascii() and number.isdigit() and len(number) < 20):
        raise BadInput(f"{text!r} is no grant: write OWNER/NUMBER, as aitoken allowance give has told it")
    return SpendKey(AccountId(account_of(owner)), int(number))


def gateway_option(command: Command) -> Command:
    """Add `--gateway`."""
    return click.option(
        "--gateway", "gateways", metavar="URL", multiple=True, envvar="AITOKEN_GATEWAYS",
        help="A gateway's address; several, the first choice first. Default: those the purse has sessions with.",
    )(command)  # fmt: skip


def shops_of(gateways: Sequence[str], purse: Purse | None, http: aiohttp.ClientSession) -> list[Shop]:
    """The gateways a command means.

    Raises:
        BadInput: there is none, or one is no address.
    """
    from aitoken.client.pay.purse import OPEN
    from aitoken.client.pay.shop import Shop

    known = [] if purse is None else [kept.url for kept in purse.sessions() if kept.state == OPEN]
    urls = list(dict.fromkeys(gateways or known))
    if not urls:
        raise BadInput("no gateway is known: name one with --gateway http://...")
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise BadInput(f"{url!r} is no address of a gateway: it starts with http:// or https://")
    return [Shop(url, http) for url in urls]
