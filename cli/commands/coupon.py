"""`aitoken coupon`: codes that are handed out, printed or as links, and claimed by people who have nothing yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from cli import coupons as kept_codes
from cli.amounts import parse_amount, show_amount
from cli.exits import BadInput, CallFailed
from cli.money import show_money
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, facts_of, signer_options, submit_final
from cli.wallet import account_of, address_of, write_new

if TYPE_CHECKING:
    from aitoken.client.client import Client as Library

DAY_MS: Final = 86_400_000
VOIDED_A_CALL: Final = 64
SWEPT_A_CALL: Final = 64
CALLS_A_TRANSACTION: Final = 16


@click.group()
def coupon() -> None:
    """Make, print, claim and cancel codes that are worth tokens or credit."""


@coupon.command()
@click.argument("count", type=click.IntRange(1, 65_536))
@click.argument("value")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--days", type=click.IntRange(1, 730), default=90, show_default=True, help="How long they can be claimed."
)
@click.option("--work", type=click.IntRange(0, 20), default=0, show_default=True, help="Zero bits a claim has to show.")
@click.option(
    "--provider", "providers", type=int, multiple=True, help="Credit for this provider alone; may be several."
)
@click.option(
    "--credit-days", type=click.IntRange(1, 730), help="How long credit can be spent; as --days if not given."
)
@click.option(
    "--persons", type=click.IntRange(1, 8), metavar="N", help="One for each person, for whom N issuers have to vouch."
)
@signer_options
@node_option
@output_option
def make(
    count: int, value: str, file: Path, days: int, work: int, providers: Sequence[int], credit_days: int | None,
    persons: int | None, signer: Signer, session: Session, out: Output,
) -> None:  # fmt: skip
    """Make COUNT codes worth VALUE AIT each, put the money down, and keep their seed in FILE.

    FILE is written first, never over another, readable by you alone. Whoever reads it has the codes; without it they
    cannot be printed again, but their money can be taken back (cancel).
    """
    from aitoken.types import Hash32

    if persons is not None and providers:
        raise BadInput("--persons and --provider exclude each other: credit is for anybody who has a code")
    amount, pair = parse_amount(value), signer.pair()

    async def put_down(client: Client) -> dict[str, Any]:
        terms = await _terms(client, days, providers, credit_days, persons)
        kept = kept_codes.make(file, Hash32(cast("Library", client).chain.genesis_hash), count)
        receipt, batch = await create(client, pair, kept.book().root, count, amount, work, terms, out)
        kept_codes.note_number(kept, batch)
        return facts_of(receipt) | {"batch": batch, "count": count, "value": amount, "file": str(file)}

    told = session.run(put_down)
    out.result(told, f"batch {told['batch']}: {count} codes worth {show_amount(amount)} each, kept in {file}")


async def _terms(
    client: Client, days: int, providers: Sequence[int], credit_days: int | None, persons: int | None
) -> dict[str, Any]:
    from aitoken.credentials import EVERYWHERE

    now = await client.query("Timestamp", "Now")
    terms: Any = "Tokens"
    if providers:
        terms = {"Credit": {"providers": list(providers), "until": now + (credit_days or days) * DAY_MS}}
    if persons is not None:
        terms = {"ForPersons": {"scope": EVERYWHERE, "issuers": persons}}
    return {"expires": now + days * DAY_MS, "terms": terms}


async def create(
    client: Client, pair: Any, root: bytes, count: int, value: int, work: int, terms: dict[str, Any], out: Output
) -> tuple[Any, int]:
    """Put down the money of a batch; return the receipt and the batch's number."""
    from aitoken.client.coupons import number_in

    fee = client.constant("Codes", "ClaimFee")
    whole = await show_money(client, count * (value + fee))
    out.progress(f"{whole} are put down, {show_amount(fee)} a code for the claim, and a deposit that comes back")
    call = client.call("Codes", "create", root=root, count=count, value=value, work=work, **terms)
    receipt = await submit_final(client, pair, [call], out)
    return receipt, number_in(receipt)


@coupon.command(name="print")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write a PDF with QR codes, 12 on a page."
)
@click.option("--title", default="", help="First line on each coupon; the value if not given.")
@click.option("--note", default="Scan me with your phone.", show_default=True, help="Last line on each coupon.")
@click.option("--all", "everything", is_flag=True, help="Those that were used, too.")
@kept_codes.page_option
@node_option
@output_option
def print_codes(
    file: Path, sheet: Path | None, title: str, note: str, everything: bool, page: str | None,
    session: Session, out: Output,
) -> None:  # fmt: skip
    """Print the codes of FILE that nobody has used: as a sheet to cut, or as links, one a line."""
    from aitoken.client.coupons import batch_of
    from cli.sheet import Slip
    from cli.sheet import sheet as sheet_of

    kept = kept_codes.read(file)
    book = kept.book()

    async def look(client: Client) -> Any:
        return await batch_of(cast("Library", client), await kept_codes.number_of(client, kept, book))

    batch = session.run(look)
    wanted = range(kept.count) if everything else batch.unused
    codes = book.coupons(kept.genesis, batch.number)
    rows = [(index + 1, kept_codes.link_of(codes[index], page)) for index in wanted]
    if sheet is None:
        out.result([{"number": at, "link": link} for at, link in rows], "\n".join(link for _, link in rows))
        return
    if page is None:
        raise BadInput("a printed coupon leads to a claim page: add --page https://HOST/claim")
    out.progress(f"drawing {len(rows)} codes")
    value = show_amount(batch.facts["value"]).replace("_", " ")
    slips = [
        Slip(link, (title or value, *([value] if title else []), f"no. {batch.number}-{at}", note)) for at, link in rows
    ]
    write_new(sheet, sheet_of(slips))
    out.result(
        {"sheet": str(sheet), "codes": len(rows)},
        f"{len(rows)} coupons in {sheet}: print it, cut it, guard it like money",
    )


@coupon.command()
@click.argument("code", required=False)
@click.option("--to", "dest", metavar="ACCOUNT", required=True, help="Who gets the value: an address, or a kept key.")
@click.option("--code-file", type=click.Path(path_type=Path), help="File with the code or link as its only line.")
@signer_options
@node_option
@output_option
def claim(code: str | None, dest: str, code_file: Path | None, signer: Signer, session: Session, out: Output) -> None:
    """Claim a code: CODE is the link or what follows its #; it is asked for if it is not given.

    Nothing is needed but an address: the account may be empty, and there is no fee. Where so many claim at once that
    it takes too long, whoever has an account can pay the usual fee with --from; the value goes to the same address.
    """
    from aitoken.client import coupons
    from aitoken.pay.coupons import parse
    from aitoken.types import AccountId
    from cli.wallet import prompt_secret, secret_line

    text = secret_line(code_file) if code_file is not None else code or prompt_secret("Code or link")
    found, to = parse(text), AccountId(account_of(dest))
    payer = signer.pair() if signer.is_given else None

    async def take(client: Client) -> tuple[Any, str]:
        receipt = await coupons.claim(cast("Library", client), found, to, payer)
        if receipt.success is False:
            raise CallFailed(f"the code was not claimed: {receipt.error}. {receipt.reason}")
        fields = next(event.fields for event in receipt.events if (event.pallet, event.name) == ("Codes", "Claimed"))
        told = facts_of(receipt) | {"batch": found.batch, "index": found.index, "value": fields["value"]}
        return told, await show_money(client, fields["value"])

    told, worth = session.run(take)
    out.result(told, f"{worth} for {address_of(to)}, final in block {told['block_number']:_}")


@coupon.command()
@click.argument("which", metavar="FILE|BATCH")
@node_option
@output_option
def status(which: str, session: Session, out: Output) -> None:
    """Show how many codes of a batch were used, and until when the others can be claimed."""
    told = session.run(lambda client: _standing(client, which))
    out.result(told, "\n".join(f"{name:<8} {_shown(name, value)}" for name, value in told.items()))


async def _standing(client: Client, which: str) -> dict[str, Any]:
    batch = await _batch(client, which)
    facts = batch.facts
    return {
        "batch": batch.number, "sponsor": facts["sponsor"], "value": facts["value"], "count": facts["count"],
        "used": facts["used"], "unused": facts["count"] - facts["used"], "expires": facts["expires"],
        "work": facts["work"], "terms": facts["terms"],
    }  # fmt: skip


def _shown(name: str, value: Any) -> str:
    from datetime import UTC, datetime

    if name == "value":
        return show_amount(value)
    return f"{datetime.fromtimestamp(value // 1000, UTC):%Y-%m-%d %H:%M} UTC" if name == "expires" else str(value)


async def _batch(client: Client, which: str) -> Any:
    from aitoken.client.coupons import batch_of

    library = cast("Library", client)
    if which.isascii() and which.isdigit() and len(which) < 20:
        return await batch_of(library, int(which))
    kept = kept_codes.read(Path(which))
    return await batch_of(library, await kept_codes.number_of(client, kept, kept.book()))


@coupon.command()
@click.argument("which", metavar="FILE|BATCH")
@click.option(
    "--code", "numbers", type=click.IntRange(min=1), multiple=True, help="Only this one, as printed; may be several."
)
@signer_options
@node_option
@output_option
def cancel(which: str, numbers: Sequence[int], signer: Signer, session: Session, out: Output) -> None:
    """Make codes void that nobody has claimed, and take their money back; without --code all of them.

    A batch with nothing left is closed, and its deposit comes back too. Credit that was claimed stays its holder's.
    """
    pair = signer.pair()

    async def void(client: Client) -> dict[str, Any]:
        batch = await _batch(client, which)
        unused = batch.unused
        chosen = sorted({number - 1 for number in numbers}) if numbers else unused
        if strange := [index + 1 for index in chosen if index not in frozenset(unused)]:
            raise BadInput(f"used or not in the batch: {', '.join(map(str, strange))}; nothing was sent")
        calls = [
            client.call("Codes", "void", batch=batch.number, indices=chosen[at : at + VOIDED_A_CALL])
            for at in range(0, len(chosen), VOIDED_A_CALL)
        ]
        is_over = len(chosen) == len(unused) and "Credit" not in batch.facts["terms"]
        if is_over:  # what is kept of persons is swept, so many codes a call
            times = 1 if batch.facts["terms"] == "Tokens" else -(-batch.facts["count"] // SWEPT_A_CALL)
            calls += times * [client.call("Codes", "close", batch=batch.number)]
        for at in range(0, len(calls), CALLS_A_TRANSACTION):
            await submit_final(client, pair, calls[at : at + CALLS_A_TRANSACTION], out)
        return {"batch": batch.number, "void": len(chosen), "closed": is_over}

    told = session.run(void)
    out.result(told, f"{told['void']} codes of batch {told['batch']} are void" + ("; it is closed" * told["closed"]))
