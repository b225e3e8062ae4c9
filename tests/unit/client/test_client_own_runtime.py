"""The client, which knows nothing but metadata, against this project's own runtime: the two must agree."""

from __future__ import annotations

import pytest

from aitoken.client.answers import Head, receipt_of
from aitoken.client.chain import Chain as ClientChain
from aitoken.client.metadata import parse
from aitoken.crypto import ss58
from aitoken.crypto.derive import pair_from_uri
from aitoken.proto.era import Era
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AIT
from chain.frame.metadata import write_metadata
from tests.support.small_runtime import ALICE, BOB, Chain, account


@pytest.fixture
def chain() -> Chain:
    wallet = pair_from_uri("//Wallet")  # sr25519
    return Chain({account(ALICE): 1000 * AIT, account(BOB): 1000 * AIT, account(wallet): 1000 * AIT})


def client_of(chain: Chain, version: int) -> ClientChain:
    runtime = chain.schema.version
    metadata = parse(write_metadata(chain.schema, version))
    return ClientChain(metadata, chain.genesis_hash, runtime.spec_version, runtime.transaction_version)


@pytest.mark.parametrize("version", [14, 15])
def test_a_transfer_made_from_metadata_is_executed_and_explained(chain: Chain, version: int) -> None:
    client = client_of(chain, version)
    sender = pair_from_uri("//Wallet")
    chain.block()
    call = client.call("Balances", "transfer_keep_alive", dest=ss58.encode(account(BOB)), value=AIT)
    era, birth = Era.mortal(64, chain.header.number), chain.header.hash
    raw = client.sign(call, sender, nonce=0, tip=5, era=era, birth_hash=birth)

    block = chain.block(Extrinsic(raw))

    events = client.events(block.state.get(client.storage_key("System", "Events")))
    index = len(block.body) - 1
    receipt = receipt_of(client, "0x", Head(2, "0x", "0x", "0x", "0x", ()), index, events)
    assert receipt.success is True
    transfer = next(event for event in receipt.events if event.name == "Transfer")
    assert transfer.fields == {"from": ss58.encode(sender.public), "to": ss58.encode(account(BOB)), "amount": AIT}
    info = client.decode_value(
        "System", "Account", block.state.get(client.storage_key("System", "Account", sender.public))
    )
    assert receipt.fee is not None
    assert info["data"]["free"] == 1000 * AIT - AIT - receipt.fee
    assert info["nonce"] == 1
    assert len(client.draft(call, sender.public, tip=5)) == len(raw)


def test_a_failed_transfer_is_named(chain: Chain) -> None:
    client = client_of(chain, 15)
    sender = pair_from_uri("//Wallet")
    call = client.call("Balances", "transfer_keep_alive", dest=account(BOB), value=10**6 * AIT)

    block = chain.block(Extrinsic(client.sign(call, sender, nonce=0)))

    events = client.events(block.state.get(client.storage_key("System", "Events")))
    receipt = receipt_of(client, "0x", Head(1, "0x", "0x", "0x", "0x", ()), len(block.body) - 1, events)
    assert (receipt.success, receipt.error) == (False, "Token.FundsUnavailable")


@pytest.mark.parametrize("version", [14, 15])
def test_everything_in_the_state_reads(chain: Chain, version: int) -> None:
    client = client_of(chain, version)
    block = chain.block(chain.sign(ALICE, "Balances.transfer_keep_alive", account(BOB), AIT, nonce=0))
    read = 0

    for pallet in client.metadata.pallets.values():
        for constant in pallet.constants:
            client.constant(pallet.name, constant)
        for item in pallet.storage:
            for key, raw in block.state.iterate(client.storage_key(pallet.name, item)):
                value = client.decode_value(pallet.name, item, raw)
                keys = client.decode_keys(pallet.name, item, key)
                assert client.storage_key(pallet.name, item, *keys) == key
                assert value is not None
                read += 1

    assert read > 10
