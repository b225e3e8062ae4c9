"""Blocks are built, checked and refused; transactions are validated in the order clients rely on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aitoken.codec.base import compact_encode
from aitoken.crypto.derive import pair_from_uri
from aitoken.errors import Bug
from aitoken.proto.digest import Digest, DigestItem, SmpxDigest, leading_items_of
from aitoken.proto.era import Era
from aitoken.proto.extrinsic import Extrinsic, bare_extrinsic, encode_extra, with_signature
from aitoken.proto.header import Header
from aitoken.proto.randomness import UNPROVEN
from aitoken.types import AIT, AccountId, BlockNumber
from chain.frame import errors
from chain.frame.builder import BlockBuilder
from chain.frame.runtime import Instance, Runtime
from chain.frame.schema import Schema
from chain.frame.types import NEW_LOGIC
from tests.support import small_runtime as small
from tests.support.small_runtime import ALICE, BOB, CHARLIE, Chain, account


@pytest.fixture
def chain() -> Chain:
    return Chain()


def runtime_of(chain: Chain) -> Runtime:
    def build(schema: Schema, metadata: dict[int, bytes]) -> Instance:
        machine, system, _, payment, executive = small.assemble(schema)
        return Instance(
            machine, system, executive, (small.CoreApis(machine, executive, metadata), small.CallPaymentApis(payment))
        )

    return Runtime(chain.schema, build)


def transfer(chain: Chain, nonce: int, amount: int = AIT, **options: Any) -> Extrinsic:
    return chain.sign(ALICE, "Balances.transfer_keep_alive", account(BOB), amount, nonce=nonce, **options)


def names(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_transfer_emits_the_events_clients_expect_in_their_order(chain: Chain) -> None:
    chain.block(transfer(chain, 0, tip=5))

    assert names(chain.events_of(0)) == ["ExtrinsicSuccess"]
    withdraw, moved, paid, success = chain.events_of(1)
    assert names([withdraw, moved, paid, success]) == ["Withdraw", "Transfer", "TransactionFeePaid", "ExtrinsicSuccess"]
    assert (moved.from_, moved.to, moved.amount) == (account(ALICE), account(BOB), AIT)
    assert withdraw.amount == paid.actual_fee
    assert paid.tip == 5
    assert chain.free(account(ALICE)) == 999 * AIT - paid.actual_fee
    assert chain.free(account(BOB)) == 1001 * AIT


def test_a_failed_call_costs_fee_and_nonce_and_nothing_else(chain: Chain) -> None:
    chain.block(transfer(chain, 0, 10**6 * AIT))

    withdraw, paid, failed = chain.events_of(1)
    assert names([withdraw, paid, failed]) == ["Withdraw", "TransactionFeePaid", "ExtrinsicFailed"]
    assert failed.dispatch_error.scale == errors.FundsUnavailable.scale
    assert chain.free(account(ALICE)) == 1000 * AIT - paid.actual_fee
    chain.block(transfer(chain, 1))


def test_a_new_account_starts_with_the_block_number_as_nonce(chain: Chain) -> None:
    chain.block()
    chain.block(chain.sign(ALICE, "Balances.transfer_allow_death", account(CHARLIE), AIT, nonce=0))

    assert names(chain.events_of(1))[1:4] == ["NewAccount", "Endowed", "Transfer"]
    assert chain.system.account.get(account(CHARLIE)).nonce == 2
    assert chain.system.account.get(account(CHARLIE)).flags == NEW_LOGIC
    chain.block(chain.sign(CHARLIE, "System.remark", b"", nonce=2))


def test_the_author_gets_a_share_and_half_of_the_fees_is_burned(chain: Chain) -> None:
    before = chain.balances.total_issuance.get()
    chain.balances.build_genesis([(small.AUTHOR, AIT)])
    chain = Chain({account(ALICE): 1000 * AIT, account(BOB): 1000 * AIT, small.AUTHOR: AIT})
    chain.block(transfer(chain, 0, tip=1000))
    paid = chain.events_of(1)[2].actual_fee
    fee = paid - 1000

    assert before == 2000 * AIT
    assert chain.free(small.AUTHOR) == AIT + (fee - fee * 50 // 100 - fee * 30 // 100) + 1000
    # The treasury does not exist and its share is below the existential deposit, so it is burned too.
    assert chain.balances.total_issuance.get() == 2001 * AIT - fee * 50 // 100 - fee * 30 // 100


def test_a_block_is_accepted_only_as_it_was_built(chain: Chain) -> None:
    runtime = runtime_of(chain)
    state, parent = chain.state, chain.header
    block = chain.block(transfer(chain, 0), transfer(chain, 1))

    again = runtime.execute_block(state, parent, block.header, block.body)
    assert again.header == block.header
    assert again.state.root == block.header.state_root

    header = block.header
    wrong = {
        "parent": Header(header.state_root, header.number, header.state_root, header.extrinsics_root, header.digest),
        "number": Header(header.parent_hash, BlockNumber(2), header.state_root, header.extrinsics_root, header.digest),
        "state": Header(header.parent_hash, header.number, header.parent_hash, header.extrinsics_root, header.digest),
        "extrinsics": Header(header.parent_hash, header.number, header.state_root, header.parent_hash, header.digest),
        "digest": Header(
            header.parent_hash,
            header.number,
            header.state_root,
            header.extrinsics_root,
            Digest((*header.digest.logs, DigestItem(8))),
        ),
    }
    for changed in wrong.values():
        with pytest.raises(errors.InvalidBlock):
            runtime.execute_block(state, parent, changed, block.body)
    bodies = {
        "no inherent": block.body[1:],
        "empty": (),
        "swapped": (block.body[0], block.body[2], block.body[1]),
        "twice": (*block.body, block.body[2]),
        "left out": block.body[:-1],
        "inherent twice": (block.body[0], *block.body),
        "other time": (bare_extrinsic(chain.schema.make_call("Timestamp.set", 5).encode()), *block.body[1:]),
    }
    for body in bodies.values():
        with pytest.raises(errors.InvalidBlock):
            runtime.execute_block(state, parent, block.header, body)


def test_block_hashes_are_remembered_and_genesis_for_ever() -> None:
    chain = Chain(params=replace(small.PRESETS["devnet"], block_hash_count=3))
    for _ in range(8):
        chain.block()

    hashes = chain.system.block_hash
    assert [number for number in range(9) if hashes.contains(BlockNumber(number))] == [0, 5, 6, 7]
    assert hashes.get(BlockNumber(0)) == chain.genesis_hash
    assert hashes.get(BlockNumber(7)) == chain.blocks[6].header.hash
    chain.block(transfer(chain, 0))


def validation(chain: Chain, extrinsic: Extrinsic) -> type[Exception] | None:
    try:
        runtime_of(chain).validate(chain.state, chain.header.number, chain.header.hash, extrinsic)
    except errors.InvalidTransaction as error:
        return type(error)
    return None


def rejected(chain: Chain, extrinsic: Extrinsic) -> type[Exception]:
    """Return what applying raises, after making sure that nothing changed and validation says the same."""
    chain.open()
    before = chain.machine.store.changes()
    with pytest.raises(errors.InvalidTransaction) as caught:
        chain.executive.apply(extrinsic)
    assert chain.machine.store.changes() == before
    verdict = validation(chain, extrinsic)
    assert verdict is (None if caught.type is errors.Future else caught.type)
    return caught.type


def forged(chain: Chain, **changes: Any) -> Extrinsic:
    good = transfer(chain, 0)
    parts: dict[str, Any] = {
        "signer": good.signer, "signature_kind": good.signature_kind, "signature": good.signature,
        "extra": good.extra, "call": good.call_bytes,
    }  # fmt: skip
    return with_signature(**{**parts, **changes})


def test_what_is_wrong_is_named_in_the_order_of_the_contract(chain: Chain) -> None:
    poor = pair_from_uri("//Poor", "ed25519")
    good = transfer(chain, 0)
    far = Era.mortal(64, 23)
    cases: list[tuple[Extrinsic, type[Exception]]] = [
        (bare_extrinsic(chain.schema.make_call("Timestamp.set", 1).encode()), errors.MandatoryValidation),
        (bare_extrinsic(good.call_bytes), errors.NoUnsignedValidator),
        (Extrinsic(other_address(good)), errors.UnknownLookup),
        (forged(chain, extra=good.extra[:-1] + b"\x01"), errors.BadProof),
        (forged(chain, signer=bytes(32)), errors.BadSigner),
        (transfer(chain, 0, era=far, birth=bytes(32)), errors.AncientBirthBlock),
        (forged(chain, signature=bytes(64)), errors.BadProof),
        (forged(chain, signature_kind=1), errors.BadProof),
        (forged(chain, signature_kind=2, signature=bytes(65)), errors.BadProof),
        (forged(chain, extra=encode_extra(good.era, 1, 0)), errors.BadProof),
        (transfer(chain, 0, birth=bytes(32)), errors.BadProof),
        (transfer(chain, 1), errors.Future),
        (chain.sign(poor, "System.remark", b"", nonce=0), errors.CannotPay),
        (transfer(chain, 0, tip=1000 * AIT), errors.CannotPay),
        (chain.sign(ALICE, "System.remark", bytes(2 * 1024 * 1024), nonce=0), errors.ExhaustsResources),
    ]
    assert [rejected(chain, extrinsic).__name__ for extrinsic, _ in cases] == [kind.__name__ for _, kind in cases]
    chain.block(transfer(chain, 0))
    assert rejected(chain, transfer(chain, 0)) is errors.Stale


def other_address(good: Extrinsic) -> bytes:
    body = b"\x84\x01\x00" + good.signature + good.extra + good.call_bytes
    return compact_encode(len(body)) + body


def test_mortal_transactions_live_exactly_their_period(chain: Chain) -> None:
    for _ in range(5):
        chain.block()
    era = Era.mortal(4, 4)
    birth = chain.blocks[era.birth(6) - 1].header.hash
    for _ in range(2):
        assert chain.header.number + 1 < era.death(6)
        assert validation(chain, transfer(chain, 0, era=era, birth=birth)) is None
        chain.block()
    late = transfer(chain, 0, era=era, birth=birth)
    assert chain.header.number + 1 == era.death(6)
    assert rejected(chain, late) is errors.AncientBirthBlock
    chain.executive.load(chain.state)
    chain.block()
    assert rejected(chain, late) is errors.BadProof


def test_validation_orders_by_nonce_and_remembers_the_signature(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtime_of(chain)
    first, third = transfer(chain, 0), transfer(chain, 2)
    at = (chain.state, chain.header.number, chain.header.hash)

    valid, later = runtime.validate(*at, first), runtime.validate(*at, third)

    assert valid.requires == ()
    assert valid.provides == (account(ALICE) + bytes(4),)
    assert valid.longevity == 2**64 - 1 - 1
    assert later.requires == (account(ALICE) + b"\x01\0\0\0",)
    monkeypatch.setattr("chain.frame.executive.verify_multi", lambda *_: pytest.fail("verified again"))
    chain.block(first)


def test_a_higher_tip_has_a_higher_priority(chain: Chain) -> None:
    runtime = runtime_of(chain)
    at = (chain.state, chain.header.number, chain.header.hash)

    low, high = (runtime.validate(*at, transfer(chain, 0, tip=tip)).priority for tip in (0, 1))

    assert high > low


def test_a_full_block_refuses_more_but_stays_valid() -> None:
    chain = Chain(params=replace(small.PRESETS["devnet"], block_weight_ms=10))
    chain.open()
    room = (10_000 * 75 // 100) // (20 + 40)
    for nonce in range(room):
        chain.executive.apply(transfer(chain, nonce))
    with pytest.raises(errors.ExhaustsResources):
        chain.executive.apply(transfer(chain, room))
    state, parent = chain.state, chain.header
    block = chain.seal()
    runtime_of(chain).execute_block(state, parent, block.header, block.body)
    assert chain.payment.next_fee_multiplier.get() > 10**18


def test_an_open_block_is_not_disturbed_by_questions(chain: Chain) -> None:
    runtime = runtime_of(chain)
    digest = leading_items_of(SmpxDigest(1, 0, 1, 0, 0, chain.time_ms + 250, *UNPROVEN))
    builder = runtime.open_block(chain.state, chain.header, digest)
    other = runtime.open_block(chain.state, chain.header, digest)
    builder.apply(transfer(chain, 0))
    runtime.validate(chain.state, 0, chain.header.hash, transfer(chain, 0))
    nonce = runtime.call(chain.state, "AccountNonceApi_account_nonce", account(ALICE))

    block, empty = builder.seal(), other.seal()

    assert nonce == bytes(4)
    assert (len(block.body), len(empty.body)) == (2, 1)
    assert runtime.call(block.state, "AccountNonceApi_account_nonce", account(ALICE)) == b"\x01\0\0\0"
    with pytest.raises(Bug):
        builder.apply(transfer(chain, 1))


def test_a_machine_that_continues_its_own_block_gives_the_same_roots(chain: Chain) -> None:
    runtime, fresh = runtime_of(chain), runtime_of(chain)
    state, header = chain.state, chain.header
    for view in range(1, 6):
        items = leading_items_of(SmpxDigest(1, 0, view, view - 1, 0, chain.time_ms + 250 * view, *UNPROVEN))
        builder: BlockBuilder = runtime.open_block(state, header, items)
        builder.apply(transfer(chain, view - 1))
        block = builder.seal()
        assert fresh.execute_block(state, header, block.header, block.body).header == block.header
        state, header = block.state, block.header


def test_validation_follows_the_chain_as_if_it_read_everything_anew(chain: Chain) -> None:
    following = runtime_of(chain)
    fork = chain.state, chain.header
    for nonce in range(3):
        following.validate(chain.state, chain.header.number, chain.header.hash, transfer(chain, nonce))
        chain.block(transfer(chain, nonce), chain.sign(BOB, "Balances.burn", 2 * AIT, True, nonce=nonce))
        stale = transfer(chain, nonce)
        for runtime in (following, runtime_of(chain)):
            at = (chain.state, chain.header.number, chain.header.hash)
            with pytest.raises(errors.Stale):
                runtime.validate(*at, stale)
            assert runtime.validate(*at, transfer(chain, nonce + 1)).requires == ()
            with pytest.raises(errors.CannotPay):
                runtime.validate(*at, chain.sign(BOB, "System.remark", b"", nonce=nonce + 1, tip=(999 - nonce) * AIT))
    following.validate(fork[0], 0, fork[1].hash, transfer(chain, 0))


def test_runtime_calls_answer_and_refuse(chain: Chain) -> None:
    runtime = runtime_of(chain)
    raw = transfer(chain, 0).raw
    block = chain.block(transfer(chain, 0))

    info = runtime.call(block.state, "TransactionPaymentApi_query_info", raw + len(raw).to_bytes(4, "little"))
    fee = int.from_bytes(info[-16:], "little")
    details = runtime.call(block.state, "TransactionPaymentApi_query_fee_details", raw + len(raw).to_bytes(4, "little"))
    parts = [int.from_bytes(details[1 + 16 * i : 17 + 16 * i], "little") for i in range(3)]

    assert sum(parts) == fee
    chain.block(transfer(chain, 1))
    assert chain.events_of(1)[0].amount == fee
    assert runtime.call(block.state, "Core_version", b"") == chain.schema.version_bytes
    assert runtime.call(block.state, "Metadata_metadata_versions", b"").hex() == "080e0000000f000000"
    assert runtime.call(block.state, "Metadata_metadata_at_version", b"\x10\0\0\0") == b"\x00"
    answer = runtime.call(block.state, "Metadata_metadata_at_version", b"\x0e\0\0\0")
    assert answer[0] == 1
    assert answer.endswith(runtime.metadata(14))
    unsigned = bare_extrinsic(b"\x00\x00\x00").raw
    for name, sent, expected in [
        ("stale", raw, "010003"),
        ("unsigned", unsigned, "010101"),
    ]:
        verdict = runtime.call(
            block.state, "TaggedTransactionQueue_validate_transaction", b"\x02" + sent + block.header.hash
        )
        assert verdict.hex() == expected, name
    with pytest.raises(errors.UnknownApi):
        runtime.call(block.state, "No_such", b"")


def test_accounts_are_32_bytes_everywhere() -> None:
    assert len(AccountId(account(ALICE))) == 32


def test_an_unsigned_call_that_asks_for_an_impossible_key_is_refused(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(_: Any) -> Any:
        chain.system.block_hash.get(2**40)

    monkeypatch.setitem(chain.executive._unsigned, "System", check)
    chain.open()
    with pytest.raises(errors.InvalidTransaction):
        chain.executive.apply(bare_extrinsic(chain.schema.make_call("System.remark", b"").encode()))
