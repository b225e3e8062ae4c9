"""Attest on the whole runtime: credentials of empty accounts in real blocks, which mean the same to who checks them."""

from __future__ import annotations

import pytest

from aitoken.credentials import Request
from aitoken.pay import codes
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AIT, AccountId
from chain.frame.errors import InvalidBlock, Stale
from chain.pallets.ai.attest import FEE, key_deposit
from chain.pallets.ai.attest_types import Accept, Accepted, Class, Issuer
from chain.pallets.ai.codes import CodeRefused
from chain.pallets.ai.codes_types import ForPersons
from tests.support.identity_chain import KEYS, METHOD, SCOPE
from tests.support.pay_chain import PayChain
from tests.support.staking_chain import account, pair

COUNT = 5


def test_empty_accounts_become_persons_in_real_blocks_and_whoever_checks_agrees() -> None:
    chain = PayChain(proven=True)
    issuer = account("payer")
    chain.run("payer", "Attest.register_issuer", Class.Personhood, 100 * AIT, METHOD)
    judge = chain.schema.make_call("Attest.judge_issuer", issuer, Class.Personhood, Accept(COUNT), METHOD)
    chain.run("root", "Sudo.sudo", judge)
    assert chain.attest.issuers.get((issuer, Class.Personhood)) == Issuer(100 * AIT, METHOD, Accepted(COUNT))
    now = int(chain.timestamp.now.get())
    chain.run("payer", "Attest.publish_key", SCOPE, KEYS[0].modulus, now, now + 3_600_000, COUNT)
    strangers = [AccountId(index.to_bytes(2, "little") + bytes(30)) for index in range(1, COUNT + 1)]

    def credential(to: AccountId) -> Extrinsic:
        request = Request.make(chain.genesis_hash, 0, KEYS[0].modulus)
        return chain.unsigned("Attest.post_nullifier", *request.finish(KEYS[0].sign_blind(request.blinded), to))

    parent, header = chain.state, chain.header
    made = [credential(each) for each in strangers]
    chain.time_ms += 500
    builder = chain.runtime.open_block(chain.state, chain.header, chain.items())
    for each in made:
        builder.apply(each)
    block = builder.seal()
    checked = chain.runtime.execute_block(parent, header, block.header, block.body)
    assert checked.header == block.header
    chain.state, chain.header = block.state, block.header
    chain.look()

    assert all(chain.attest.is_person(each, SCOPE) for each in strangers)
    asked = chain.runtime.call(chain.state, "AttestApi_issuers_of_person", strangers[0] + SCOPE)
    assert asked == (1).to_bytes(4, "little")
    assert all(chain.system.account.find(each) is None for each in strangers)
    assert chain.balances.held(chain.attest.HoldReason.Funded, issuer) == 0
    assert chain.balances.held(chain.attest.HoldReason.Deposit, issuer) == key_deposit(COUNT)
    assert FEE > 0
    chain.check_money()
    with pytest.raises(InvalidBlock):
        chain.runtime.execute_block(parent, header, block.header, (*block.body, block.body[-1]))
    with pytest.raises(Stale):
        chain.runtime.validate(chain.state, chain.header.number, chain.header.hash, made[0])


def test_an_empty_account_becomes_a_person_and_claims_a_code_for_persons_all_without_a_fee() -> None:
    chain = PayChain(proven=True)
    chain.run("payer", "Attest.register_issuer", Class.Personhood, 100 * AIT, METHOD)
    judge = chain.schema.make_call("Attest.judge_issuer", account("payer"), Class.Personhood, Accept(COUNT), METHOD)
    chain.run("root", "Sudo.sudo", judge)
    now = int(chain.timestamp.now.get())
    chain.run("payer", "Attest.publish_key", SCOPE, KEYS[0].modulus, now, now + 3_600_000, COUNT)
    keys, stranger = [pair("one"), pair("two")], AccountId(b"a stranger".ljust(32))
    public = [key.public for key in keys]
    proofs, root = codes.proofs_of(public), codes.root_of(public)
    terms = ForPersons(SCOPE, 1)
    created = chain.run("other", "Codes.create", root, 2, AIT, now + 3_600_000, 0, terms)
    batch = next(event.batch for event in created if type(event).__name__ == "Created")

    def claim(index: int) -> Extrinsic:
        signature = keys[index].sign(codes.claim_bytes(chain.genesis_hash, batch, index, stranger))
        args = batch, index, public[index], proofs[index], stranger, 0, signature
        return chain.unsigned("Codes.claim_as_person", *args)

    with pytest.raises(CodeRefused, match=r"Codes\.NotPerson"):
        chain.runtime.validate(chain.state, chain.header.number, chain.header.hash, claim(0))
    request = Request.make(chain.genesis_hash, 0, KEYS[0].modulus)
    credential = request.finish(KEYS[0].sign_blind(request.blinded), stranger)
    chain.block(chain.unsigned("Attest.post_nullifier", *credential), claim(0))
    assert chain.system.account.get(stranger).free == AIT
    with pytest.raises(CodeRefused, match=r"Codes\.HadOne"):
        chain.runtime.validate(chain.state, chain.header.number, chain.header.hash, claim(1))
    chain.check_money()
