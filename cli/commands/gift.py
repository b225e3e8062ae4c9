"""`aitoken gift`: a link that is worth tokens, for one person."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, cast

import click

from cli import coupons as kept_codes
from cli.amounts import parse_amount, show_amount
from cli.commands.coupon import DAY_MS, create
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, facts_of, signer_options

if TYPE_CHECKING:
    from aitoken.client.client import Client as Library


@click.command()
@click.argument("value")
@click.option("--days", type=click.IntRange(1, 730), default=30, show_default=True, help="How long it can be claimed.")
@kept_codes.page_option
@signer_options
@node_option
@output_option
def gift(value: str, days: int, page: str | None, signer: Signer, session: Session, out: Output) -> None:
    """Make a link worth VALUE AIT for one person, and show it once.

    Whoever opens it first has the money; `aitoken coupon cancel BATCH` takes it back while nobody has.
    """
    amount, pair = parse_amount(value), signer.pair()
    told = session.run(lambda client: make_gift(client, pair, amount, days, page, out))
    out.progress(
        f"worth {show_amount(amount)} to whoever opens it first; to take it back: aitoken coupon cancel {told['batch']}"
    )
    out.result(told, told["link"])


async def make_gift(client: Client, pair: Any, amount: int, days: int, page: str | None, out: Output) -> dict[str, Any]:
    """Put down the money of one code; return its link with what became of the transaction."""
    from aitoken.pay.coupons import CouponBook
    from aitoken.types import Hash32

    book = CouponBook(secrets.token_bytes(kept_codes.SEED_BYTES), 1)
    now = await client.query("Timestamp", "Now")
    terms = {"expires": now + days * DAY_MS, "terms": "Tokens"}
    receipt, batch = await create(client, pair, book.root, 1, amount, 0, terms, out)
    code = book.coupons(Hash32(cast("Library", client).chain.genesis_hash), batch)[0]
    return facts_of(receipt) | {"batch": batch, "value": amount, "link": kept_codes.link_of(code, page)}
