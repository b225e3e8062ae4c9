"""Layouts of the client contract, made and judged with @polkadot/types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aitoken.codec.containers import fail, ok
from aitoken.codec.hints import codec_of
from aitoken.types import AccountId, BlockNumber
from chain.frame import errors
from chain.frame.apis import _VALIDITY, ValidTransactionRecord
from chain.frame.types import ACCOUNT_INFO, AccountInfo, RuntimeVersion, Weight
from chain.pallets.transaction_payment import FeeDetails, InclusionFee, RuntimeDispatchInfo
from tests.support.small_runtime import Chain
from tests.support.vectors import MADE

ROWS: dict[str, Any] = json.loads((MADE / "rpc" / "scale.json").read_text())


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def test_an_account_has_80_bytes() -> None:
    row = ROWS["account_info"]
    info = AccountInfo(*(row[name] for name in AccountInfo.scale_fields))

    assert ACCOUNT_INFO.encode(info) == unhex(row["scale"])
    assert ACCOUNT_INFO.decode(unhex(row["scale"])) == info
    assert ACCOUNT_INFO.encode(ACCOUNT_INFO.default())[-16:] == (1 << 127).to_bytes(16, "little")


def test_storage_keys_are_those_clients_compute() -> None:
    chain = Chain({})
    rows = ROWS["storage_keys"]
    alice = AccountId(unhex(ROWS["extrinsic_immortal_ed25519"]["alice_ed25519_public"]))
    ours = {
        "System.Account(alice ed25519)": chain.system.account.raw_key(alice),
        "System.Events": chain.system.events.raw_key(None),
        "System.Number": chain.system.number.raw_key(None),
        "System.BlockHash(0)": chain.system.block_hash.raw_key(BlockNumber(0)),
        "System.BlockHash(300)": chain.system.block_hash.raw_key(BlockNumber(300)),
        "Timestamp.Now": chain.machine.pallets["Timestamp"].now.raw_key(None),  # type: ignore[attr-defined]
        "Balances.TotalIssuance": chain.balances.total_issuance.raw_key(None),
    }

    assert {name: key.hex() for name, key in ours.items()} == {name: row[2:] for name, row in rows.items()}


def test_a_runtime_version_is_read_and_written_alike() -> None:
    data = unhex(ROWS["runtime_version"]["scale"])
    codec = codec_of(RuntimeVersion)
    version = codec.decode(data)

    assert codec.encode(version) == data
    assert (version.spec_name, version.spec_version, version.system_version) == ("aitoken-ref", 100, 1)
    assert [("0x" + name.hex(), number) for name, number in version.apis] == [
        tuple(row) for row in ROWS["runtime_version"]["json_legacy"]["apis"]
    ]


def test_what_a_transaction_costs_is_told_as_clients_read_it() -> None:
    info, details = ROWS["runtime_dispatch_info"], ROWS["fee_details"]
    parts = InclusionFee(details["base"], details["len"], details["weight"])

    answer = codec_of(RuntimeDispatchInfo).encode(RuntimeDispatchInfo(Weight(*info["weight"]), 0, info["partial_fee"]))
    assert answer == unhex(info["scale"])
    assert codec_of(FeeDetails).encode(FeeDetails(parts, 0)) == unhex(details["scale"])


def test_verdicts_about_transactions() -> None:
    row = ROWS["valid_transaction"]
    valid = ValidTransactionRecord(
        row["priority"], row["requires"], [unhex(tag) for tag in row["provides"]], row["longevity"], row["propagate"]
    )

    assert _VALIDITY.encode(ok(valid)) == unhex(row["scale_of_result_ok"])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("Call", errors.UnexpectedCall), ("Payment", errors.CannotPay), ("Future", errors.Future),
        ("Stale", errors.Stale), ("BadProof", errors.BadProof), ("AncientBirthBlock", errors.AncientBirthBlock),
        ("ExhaustsResources", errors.ExhaustsResources), ("MandatoryValidation", errors.MandatoryValidation),
        ("BadSigner", errors.BadSigner), ("CannotLookup", errors.UnknownLookup),
        ("NoUnsignedValidator", errors.NoUnsignedValidator),
    ],
)  # fmt: skip
def test_every_refusal_has_its_bytes(name: str, error: type[errors.InvalidTransaction]) -> None:
    assert _VALIDITY.encode(fail(error())) == unhex(ROWS["validity_errors"][name])


def test_the_list_of_refusals_is_complete() -> None:
    assert len(ROWS["validity_errors"]) == 11
