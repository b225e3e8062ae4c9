"""`aitoken receipts`: what was paid for."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click

from cli.amounts import show_amount
from cli.paying import purse_option
from cli.render import Output, output_option


@click.command()
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many, the newest first.")
@purse_option
@output_option
def receipts(last: int, folder: Path, out: Output) -> None:
    """List what was paid for, the newest first."""
    from aitoken.client.pay.purse import open_purse
    from aitoken.pay.headers import encode_signed
    from aitoken.pay.layouts import Receipt, Status
    from aitoken.pay.units import UNITS

    found: list[dict[str, Any]] = []
    with open_purse(folder, spend=False) as purse:
        for kept in purse.sessions():
            for signed in purse.receipts(kept.id):
                receipt = Receipt.decode(signed.statement)
                found.append(
                    {
                        "finished": receipt.finished, "provider": kept.provider, "session": kept.id.hex(),
                        "lane": receipt.lane, "seq": receipt.seq, "hash": receipt.hash.hex(),
                        "status": Status(receipt.status).name.lower(),
                        "charge": receipt.charge,
                        "usage": {UNITS[u].name if u in UNITS else str(u): n for u, n in receipt.usage},
                        "signed": encode_signed(signed.statement, signed.signature),
                    }
                )  # fmt: skip
    found.sort(key=lambda one: (one["finished"], one["session"], one["lane"], one["seq"]), reverse=True)
    lines = [_line(one) for one in found[:last]]
    sessions: dict[str, dict[str, Any]] = {}
    for one in found:
        row = sessions.setdefault(one["session"], {"provider": one["provider"], "count": 0, "total": 0})
        row["count"] += 1
        row["total"] += one["charge"]
    lines += [
        f"session {number}: provider {row['provider']}, {row['count']} receipts, {show_amount(row['total'])}"
        for number, row in sessions.items()
    ]
    total = sum(one["charge"] for one in found)
    lines.append(f"{len(found)} receipts, {show_amount(total)} in all")
    data = {"receipts": found[:last], "sessions": sessions, "count": len(found), "total": total}
    out.result(data, "\n".join(lines))


def _line(one: dict[str, Any]) -> str:
    at = datetime.datetime.fromtimestamp(one["finished"] / 1000, tz=datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    usage = ", ".join(f"{quantity} {unit}" for unit, quantity in one["usage"].items())
    return f"{at}  provider {one['provider']:<4} {one['status']:<14} {show_amount(one['charge']):>22}  {usage}"
