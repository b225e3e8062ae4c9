"""Feedback on services through a node: given with receipts from a purse, read, answered, taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aitoken.errors import Rejected
from aitoken.pay.layouts import Receipt

if TYPE_CHECKING:
    from aitoken.client.client import Client
    from aitoken.client.pay.purse import Purse
    from aitoken.pay.seller import Signed
    from aitoken.types import Hash32

MICRO: Final = 1_000_000


class NothingToRate(Rejected):
    """The purse has no session with the provider that has paid enough and was not rated."""

    code = "rating.nothing"


class NoService(Rejected):
    """There is no such service."""

    code = "rating.no_service"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What feedback rests on: a session that has paid, and a receipt of it."""

    session: Hash32
    lane: int
    service: int
    receipt: Signed


@dataclass(frozen=True, slots=True)
class Standing:
    """What is said of a service.

    Attributes:
        score: the mean of 0 to 100, as it counts today; None where nothing counts.
        persons: the same of persons only.
        weight: what all of it counts, in units of what the least spending burns.
        rows: feedback, with the session it is about.
    """

    service: int
    provider: int
    count: int
    score: int | None
    persons: int | None
    weight: int
    rows: tuple[tuple[bytes, Mapping[str, Any]], ...]


async def evidence_of(client: Client, purse: Purse, provider: int, payer: bytes) -> Evidence:
    """Find a session with a provider that can be rated, and the last receipt of it that was paid.

    Raises:
        NothingToRate: there is none.
    """
    least = client.chain.constant("Reputation", "MinSpend")
    for kept in purse.sessions():
        if kept.provider != provider or kept.payer != payer:
            continue
        found = await client.query("Sessions", "Sessions", kept.id)
        if found is None or await client.query("Reputation", "Feedbacks", provider, kept.id) is not None:
            continue
        paid = found["claimed"] - found["refunded"]
        if paid < least:
            continue
        for span in purse.spans(kept.id):
            for seq in range(span.upto, span.after, -1):
                signed = purse.receipt(kept.id, span.lane, seq)
                if signed is None:
                    continue
                receipt = Receipt.decode(signed.statement)
                if receipt.lane_total <= paid:
                    return Evidence(kept.id, span.lane, receipt.service, signed)
    raise NothingToRate(
        f"no session with provider {provider} can be rated: it has to be there still, to have paid {least} units at "
        "least, and not to be rated"
    )


async def standing_of(client: Client, service: int) -> Standing:
    """Return what is said of a service.

    Raises:
        NoService: there is none.
    """
    found = await client.query("Providers", "Services", service)
    if found is None:
        raise NoService(f"there is no service {service}")
    total = await client.runtime_call("ReputationApi", "summary", service)
    provider = found["provider"]
    rows = [
        (bytes(keys[1]), row)
        async for keys, row in client.query_map("Reputation", "Feedbacks", provider)
        if row["service"] == service
    ]
    weight = total["everybody"]["weight"] // MICRO
    return Standing(
        service, provider, total["count"], _mean(total["everybody"]), _mean(total["persons"]), weight, tuple(rows)
    )


def _mean(tally: Mapping[str, int]) -> int | None:
    return round_half_up(tally["scores"], tally["weight"]) if tally["weight"] >= MICRO // 100 else None


def round_half_up(total: int, count: int) -> int:
    """Return the nearest whole number of a quotient."""
    return (2 * total + count) // (2 * count)
