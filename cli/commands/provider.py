"""`aitoken provider`: become a seller of AI, and see how one is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.amounts import parse_amount, show_amount
from cli.exits import BadInput
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.wallet import account_of, address_of, load_pair

HOUR_MS = 3_600_000


@click.group()
def provider() -> None:
    """Become a seller of AI, and see how one is."""


@provider.command()
@click.argument("owner")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--operator", required=True, help="The gateway's ed25519 key: a kept key's name, address, 0x or //Name.")
@click.option("--endpoint", default="", help="URL of the gateway, where buyers find it.")
@click.option("--payout", help="Account the money goes to. Default: OWNER.")
@click.option("--bond", metavar="AMOUNT", help="AIT that a lie would cost. Default: the least the chain takes.")
@click.option("--fund", metavar="AMOUNT", default="5", show_default=True, help="AIT the operator has for fees.")
@click.option("--in-hours", type=click.IntRange(0, 8_000), default=0, help="When new books count. Default: at once.")
@click.option("--type", "scheme", type=click.Choice(["sr25519", "ed25519"]), default="sr25519", show_default=True)
@click.option("--key-file", type=click.Path(path_type=Path), help="Encrypted key file of OWNER.")
@click.option("--suri-file", type=click.Path(path_type=Path), help="File with the secret phrase of OWNER.")
@node_option
@output_option
def setup(
    owner: str,
    file: Path,
    operator: str,
    endpoint: str,
    payout: str | None,
    bond: str | None,
    fund: str,
    in_hours: int,
    scheme: str,
    key_file: Path | None,
    suri_file: Path | None,
    session: Session,
    out: Output,
) -> None:
    """Bring a price FILE to the chain, and the chain's numbers into the file.

    With `provider = 0` in it OWNER is registered as a new provider. Models and books the chain does not know are
    published; run it again after you have added some. A dearer book needs a notice: --in-hours.
    """
    import time

    from cli.selling import Seller, publish

    pair = load_pair(owner, scheme, key_file, suri_file)
    seller = Seller(
        account_of(operator, "ed25519"), pair.public if payout is None else account_of(payout), endpoint,
        None if bond is None else parse_amount(bond), parse_amount(fund),
    )  # fmt: skip
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise BadInput(f"{endpoint!r} is no http:// or https:// URL")
    since = int(time.time() * 1000) + in_hours * HOUR_MS if in_hours else 0

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {file}: {error}") from None

    async def bring(client: Client) -> Any:
        return await publish(client, pair, text, seller, since)

    told, written = session.run(bring)
    if written != text:
        file.write_text(written, encoding="utf-8")
    facts = {
        "provider": told.provider, "books": sorted(told.versions.values()), "services": dict(told.services),
        "file": str(file),
    }  # fmt: skip
    out.result(facts, f"provider {told.provider} sells {', '.join(told.services)}; {file} has the chain's numbers")


@provider.command()
@click.argument("number", type=click.IntRange(0))
@node_option
@output_option
def show(number: int, session: Session, out: Output) -> None:
    """Show a provider: who runs it, what stands behind it, what it sells and was paid."""

    async def ask(client: Client) -> dict[str, Any]:
        found = await client.query("Providers", "Providers", number)
        if found is None:
            raise BadInput(f"there is no provider {number}")
        stats = await client.query("Providers", "Stats", number)
        models = [
            bytes(service["terms"]["model"]).decode(errors="replace")
            async for _, service in client.query_map("Providers", "Services")
            if int(service["provider"]) == number
        ]
        return {
            "provider": number,
            "owner": address_of(client.chain.account_id(found["owner"])),
            "payout": address_of(client.chain.account_id(found["payout"])),
            "endpoint": bytes(found["endpoint"]).decode(errors="replace"),
            "paused": bool(found["paused"]),
            "bond": int(found["bond"]),
            "models": models,
            "books": int(found["books"]),
            "sessions": int(stats["sessions"]),
            "settled": int(stats["settled"]),
            "slashed": int(stats["slashed"]),
            "refunded": int(stats["refunded"]),
        }

    told = session.run(ask)
    out.result(told, "\n".join(_line(name, value) for name, value in told.items()))


def _line(name: str, value: Any) -> str:
    if name in {"bond", "settled", "slashed", "refunded"}:
        value = show_amount(value)
    return f"{name:<10} {', '.join(value) if isinstance(value, list) else value}"
