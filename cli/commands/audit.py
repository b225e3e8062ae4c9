"""`aitoken audit`: every receipt checked again, and what they come to held against what moved on chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cli.amounts import show_amount
from cli.exits import Unhealthy
from cli.paying import purse_option
from cli.render import Output, output_option
from cli.session import Client, Session, node_option

if TYPE_CHECKING:
    from aitoken.client.pay.purse import Kept
    from aitoken.client.pay.recheck import Checked


@click.command()
@purse_option
@node_option
@output_option
def audit(folder: Path, session: Session, out: Output) -> None:
    """Check all receipts again: signatures, order, prices, and that the chain paid no more than they come to."""
    from aitoken.client.pay.purse import open_purse
    from aitoken.client.pay.recheck import recheck

    with open_purse(folder, spend=False) as purse:
        sessions = purse.sessions()
    # The chain first: what it has paid by then, receipts that are there by now have to bear out.
    claimed = session.run(lambda client: _claimed(client, sessions))
    told = _told(recheck(folder), claimed)
    lines = [_line(one) for one in told["sessions"]]
    lines += [f"wrong: {finding}" for finding in told["findings"]]
    lines.append(
        f"{told['receipts']} receipts, {show_amount(told['total'])}, {show_amount(told['moved'])} moved on chain, "
        f"{told['wrong']} wrong"
    )
    out.result(told, "\n".join(lines))
    if told["wrong"]:
        raise Unhealthy("something does not add up: keep the receipts, they are proofs")


def _line(one: dict[str, Any]) -> str:
    moved = "ended" if one["claimed"] is None else f"{show_amount(one['claimed'])} moved on chain"
    return f"{one['session'][:16]}  provider {one['provider']:<4} receipts {show_amount(one['receipts'])}, {moved}"


async def _claimed(client: Client, sessions: Sequence[Kept]) -> dict[bytes, int | None]:
    """What the chain has paid of each session; None of those it has forgotten."""
    head = await client.request("chain_getFinalizedHead")
    paid: dict[bytes, int | None] = {}
    for kept in sessions:
        found = await cast("Any", client).query("Sessions", "Sessions", kept.id, at=head)
        paid[kept.id] = None if found is None else int(found["claimed"])
    return paid


def _told(done: Sequence[Checked], claimed: Mapping[bytes, int | None]) -> dict[str, Any]:
    sessions, findings, wrong = [], [], 0
    for checked in done:
        kept, moved = checked.kept, claimed.get(checked.kept.id)
        wrong += checked.wrong
        findings += [
            f"receipt {f.seq} of lane {f.lane}, session {f.session_id.hex()}: {f.what}" for f in checked.findings
        ]
        if moved is not None and moved > checked.total:
            wrong += 1
            findings.append(f"session {kept.id.hex()}: {moved} moved on chain, receipts come to {checked.total}")
        one = {"session": kept.id.hex(), "provider": kept.provider, "receipts": checked.total, "claimed": moved}
        sessions.append(one)
    return {
        "sessions": sessions, "findings": findings, "wrong": wrong, "receipts": sum(one.receipts for one in done),
        "total": sum(one.charged for one in done), "moved": sum(paid or 0 for paid in claimed.values()),
    }  # fmt: skip
