"""`aitoken audit`: every receipt checked again, and what they come to held against what moved on chain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cli.amounts import show_amount
from cli.exits import Unhealthy
from cli.paying import purse_option
from cli.render import Output, output_option
from cli.session import Client, Session, node_option

if TYPE_CHECKING:
    from aitoken.client.pay.purse import Kept, Purse


@click.command()
@purse_option
@node_option
@output_option
def audit(folder: Path, session: Session, out: Output) -> None:
    """Check all receipts again: signatures, order, prices, and that the chain paid no more than they come to."""
    from aitoken.client.pay.purse import open_purse

    with open_purse(folder, spend=False) as purse:
        told = session.run(lambda client: _audited(client, purse))
    lines = [_line(one) for one in told["sessions"]]
    lines += [f"wrong: {finding}" for finding in told["findings"]]
    lines.append(f"{told['receipts']} receipts, {show_amount(told['total'])}, {len(told['findings'])} wrong")
    out.result(told, "\n".join(lines))
    if told["findings"]:
        raise Unhealthy("something does not add up: keep the receipts, they are proofs")


def _line(one: dict[str, Any]) -> str:
    moved = "ended" if one["claimed"] is None else f"{show_amount(one['claimed'])} moved on chain"
    return f"{one['session'][:16]}  provider {one['provider']:<4} receipts {show_amount(one['receipts'])}, {moved}"


async def _audited(client: Client, purse: Purse) -> dict[str, Any]:
    sessions, findings, receipts, total = [], [], 0, 0
    head = await client.request("chain_getFinalizedHead")
    for kept in purse.sessions():
        checked = _checked(purse, kept)
        receipts += checked.receipts
        total += checked.total
        findings += [
            f"receipt {f.seq} of lane {f.lane}, session {f.session_id.hex()}: {f.what}" for f in checked.findings
        ]
        found = await cast("Any", client).query("Sessions", "Sessions", kept.id, at=head)
        claimed = None if found is None else int(found["claimed"])
        come_to = checked.session_total(kept.id)
        if claimed is not None and claimed > come_to:
            findings.append(f"session {kept.id.hex()}: {claimed} moved on chain, receipts come to {come_to}")
        sessions.append({"session": kept.id.hex(), "provider": kept.provider, "receipts": come_to, "claimed": claimed})
    return {"sessions": sessions, "findings": findings, "receipts": receipts, "total": total}


def _checked(purse: Purse, kept: Kept) -> Any:
    from aitoken.pay.audit import Audit
    from aitoken.pay.book import BOOK
    from aitoken.pay.price import PriceList, price_list

    class OneBook(Mapping[tuple[int, int], PriceList]):
        """A session is bound to one book, whichever service of its provider answers."""

        def __init__(self) -> None:
            self._prices = price_list(BOOK.decode(kept.book))

        def __getitem__(self, place: tuple[int, int]) -> PriceList:
            if place[1] != kept.book_version:
                raise KeyError(place)
            return self._prices

        def __iter__(self) -> Any:
            return iter(())

        def __len__(self) -> int:
            return 1

    checked = Audit(kept.operator, OneBook())
    checked.add_all((signed.statement, signed.signature) for signed in purse.receipts(kept.id))
    return checked
