"""Arguments of the chain's session calls, in the form `Client.call` takes, from what `aitoken.pay` computes with.

client.call("Sessions", "open", params=open_params(params), deposit=amount)
client.call("Sessions", "claim", claims=[session_claims(session, [(claim, signature), ...])])
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aitoken.pay.layouts import OpenParams
from aitoken.pay.rules import Claim
from aitoken.types import Hash32


def open_params(params: OpenParams) -> dict[str, Any]:
    """Return the parameters of a session."""
    return {name: getattr(params, name) for name in type(params).scale_fields}


def claim_item(claim: Claim, signature: bytes) -> dict[str, Any]:
    """Return one claim by a cumulative voucher with its signature; the chain puts the rest of the voucher back."""
    voucher = claim.voucher
    end: Any = "Acked"
    if claim.receipt_hash is not None:
        end = {"Tail": {"total": claim.total, "receipt_hash": claim.receipt_hash}}
    return {
        "lane": voucher.lane, "flags": voucher.flags, "seq": voucher.seq, "acked": voucher.acked,
        "ceiling": voucher.ceiling, "valid_until": voucher.valid_until, "ack": voucher.ack, "signature": signature,
        "end": end,
    }  # fmt: skip


def session_claims(session: Hash32, claims: Iterable[tuple[Claim, bytes]]) -> dict[str, Any]:
    """Return claims on one session; a call takes a list of these, 256 claims in all."""
    return {"session": session, "items": [claim_item(claim, signature) for claim, signature in claims]}
