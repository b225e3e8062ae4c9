"""Who was punished, why, and what became of it, in words."""

from __future__ import annotations

from typing import Any, Final

from aitoken.errors import Rejected
from cli.amounts import show_amount
from cli.names import name_of
from cli.session import Client

_DEEDS: Final = {
    "DoubleNotarize": "notarized two different blocks",
    "DoubleFinalize": "finalized two different blocks",
    "FinalizeAndNullify": "finalized a block and nullified the view",
}


async def offences(client: Client) -> dict[str, Any] | None:
    """What the chain knows of offences; None where the node does not tell."""
    try:
        found: dict[str, Any] = await client.request("smpx_offences")
    except Rejected:
        return None
    return found


def in_words(history: dict[str, Any] | None, only: str | None = None) -> list[str]:
    """Lines a person reads, of all validators or of one address."""
    if history is None:
        return []
    era = history["activeEra"]
    chosen = [each for each in history["offenders"] if only in (None, each["validator"])]
    if not chosen:
        return ["no validator was ever punished"] if only is None else ["never punished"]
    return [line for each in chosen for line in _of_one(each, era)]


def _of_one(offender: dict[str, Any], era: int) -> list[str]:
    lines = [f"punished: {name_of(offender['validator'])} {offender['validator']}"]
    for row in offender["equivocations"]:
        deed = _DEEDS.get(row["offence"], row["offence"])
        where = f"in view {row['view']} of epoch {row['epoch']}, era {row['era']}"
        lines.append(f"  {where} it {deed}: {_percent(row['fraction'])} (reported in block {row['reportedAt']:_})")
    for row in offender["penalties"]:
        own, others, payout = (show_amount(int(row[name])) for name in ("own", "others", "payout"))
        lines.append(f"  of its stake of era {row['era']}, {own} and {others} of its nominators: {_fate(row, era)}")
        if row["reporter"] is not None and row["state"] != "cancelled":
            lines.append(f"    {payout} of it for {name_of(row['reporter'])}, who reported it; the rest is burned")
    return lines


def _fate(penalty: dict[str, Any], era: int) -> str:
    if penalty["state"] == "cancelled":
        return "cancelled, nothing is taken"
    if penalty["state"] == "taken":
        return f"taken when era {penalty['due']} started"
    return f"to be taken when era {penalty['due']} starts (now: era {era}), unless it is cancelled"


def _percent(fraction: int) -> str:
    """Billionths as percent, exact."""
    whole, rest = divmod(fraction, 10**7)
    return f"{whole}.{rest:07d}".rstrip("0").rstrip(".") + " %"
