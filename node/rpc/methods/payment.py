"""`payment_*`: what a transaction would cost; the signature is not looked at.

`weight` is the reference time as one number: the type polkadot-js has for this deprecated call is a u64.
Source: `pallet_transaction_payment_rpc`.
"""

from __future__ import annotations

from typing import Any, Final

from aitoken.codec.containers import Option, Tuple
from aitoken.codec.primitives import U8, U128, CompactU64
from aitoken.types import Hash32
from node.rpc.params import HexBytes
from node.rpc.query import Query
from node.rpc.registry import rpc

_DISPATCH_INFO: Final = Tuple(Tuple(CompactU64, CompactU64), U8, U128)
_FEE_DETAILS: Final = Tuple(Option(Tuple(U128, U128, U128)), U128)
_CLASSES: Final = ("normal", "operational", "mandatory")


@rpc("payment_queryInfo", aliases=["payment_queryInfoAt"], cost=5)
def query_info(query: Query, extrinsic: HexBytes, at: Hash32 | None = None) -> dict[str, Any]:
    """Return weight, class and fee (without tip) of an extrinsic."""
    raw = query.call(at, "TransactionPaymentApi_query_info", _with_length(extrinsic))
    (ref_time, _), dispatch_class, fee = _DISPATCH_INFO.decode(raw)
    return {"weight": ref_time, "class": _CLASSES[dispatch_class], "partialFee": str(fee)}


@rpc("payment_queryFeeDetails", aliases=["payment_queryFeeDetailsAt"], cost=5)
def query_fee_details(query: Query, extrinsic: HexBytes, at: Hash32 | None = None) -> dict[str, Any]:
    """Return the parts of the fee; null for an extrinsic that pays none."""
    raw = query.call(at, "TransactionPaymentApi_query_fee_details", _with_length(extrinsic))
    inclusion, _ = _FEE_DETAILS.decode(raw)
    if inclusion is None:
        return {"inclusionFee": None}
    base, length, weight = inclusion
    return {"inclusionFee": {"baseFee": hex(base), "lenFee": hex(length), "adjustedWeightFee": hex(weight)}}


def _with_length(extrinsic: bytes) -> bytes:
    return extrinsic + len(extrinsic).to_bytes(4, "little")
