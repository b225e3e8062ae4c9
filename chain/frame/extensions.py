"""The transaction extensions: nine, in this order, none of our own that carries data.

py-substrate-interface and async-substrate-interface hard-code the order and ignore metadata, dedot refuses to sign what
it does not know; so metering, sponsoring and the like are calls or storage, never a signed extension. What each does
is in `chain.frame.executive`, where the checks stand in one line of sight:

| extension | explicit | implicit | where |
|---|---|---|---|
| CheckNonZeroSender | | | `Executive.check_signature` |
| CheckSpecVersion, CheckTxVersion | | u32 each | `Executive.additional` |
| CheckGenesis | | H256 | `Executive.additional` |
| CheckMortality | Era | H256 | `Executive.additional` |
| CheckNonce | Compact u32 | | `_account_of`, `apply` |
| CheckWeight | | | `_has_room` |
| ChargeTransactionPayment | Compact u128 | | `apply`, the `Fees` pallet |
| CheckMetadataHash | mode | Option<[u8; 32]> | `Executive.additional`, `chain.frame.metadata_digest` |

Source: `frame_system::extensions`, `pallet_transaction_payment`, `frame_metadata_hash_extension`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aitoken.codec.base import AnyCodec, Composite, Field, Shape, Variant, Variants, path_of
from aitoken.codec.containers import UNIT, Option
from aitoken.codec.primitives import H256, U32, U128, Compact, FixedBytes
from aitoken.proto.era import ERA
from chain.frame.types import described


@dataclass(frozen=True, slots=True)
class Extension:
    """What metadata says of an extension."""

    identifier: str
    explicit: AnyCodec
    implicit: AnyCodec


def _extension(path: str, *fields: Field) -> AnyCodec:
    params = () if path.startswith("frame_metadata") else (("T", None),)
    return described(Shape(Composite(fields), path=path_of(path), params=params))


_MODE: Final = described(
    Shape(
        Variants((Variant("Disabled", 0), Variant("Enabled", 1))), path=path_of("frame_metadata_hash_extension::Mode")
    )
)
_CHECKS: Final = "frame_system::extensions"

EXTENSIONS: Final = (
    Extension("CheckNonZeroSender", _extension(f"{_CHECKS}::check_non_zero_sender::CheckNonZeroSender"), UNIT),
    Extension("CheckSpecVersion", _extension(f"{_CHECKS}::check_spec_version::CheckSpecVersion"), U32),
    Extension("CheckTxVersion", _extension(f"{_CHECKS}::check_tx_version::CheckTxVersion"), U32),
    Extension("CheckGenesis", _extension(f"{_CHECKS}::check_genesis::CheckGenesis"), H256),
    Extension(
        "CheckMortality", _extension(f"{_CHECKS}::check_mortality::CheckMortality", Field(ERA, type_name="Era")), H256
    ),
    Extension(
        "CheckNonce",
        _extension(f"{_CHECKS}::check_nonce::CheckNonce", Field(Compact(U32), type_name="T::Nonce")),
        UNIT,
    ),
    Extension("CheckWeight", _extension(f"{_CHECKS}::check_weight::CheckWeight"), UNIT),
    Extension(
        "ChargeTransactionPayment",
        _extension(
            "pallet_transaction_payment::ChargeTransactionPayment", Field(Compact(U128), type_name="BalanceOf<T>")
        ),
        UNIT,
    ),
    Extension(
        "CheckMetadataHash",
        _extension("frame_metadata_hash_extension::CheckMetadataHash", Field(_MODE, "mode", "Mode")),
        Option(FixedBytes(32)),
    ),
)
