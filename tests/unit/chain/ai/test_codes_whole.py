"""Codes on the whole runtime: claims of empty accounts in real blocks, which mean the same to who checks them."""

from __future__ import annotations

import pytest

from aitoken.pay import codes as bytes_of
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AIT, AccountId
from chain.frame.errors import InvalidBlock, Stale
from chain.pallets.ai.codes import FEE
from chain.pallets.ai.codes_types import Tokens
from chain.pallets.ai.free_lane import LaneFull
from tests.support.pay_chain import PayChain
from tests.support.staking_chain import account, pair

COUNT = 600


def test_empty_accounts_claim_in_real_blocks_up_to_the_share_and_whoever_checks_agrees() -> None:
    chain = PayChain(proven=True)
    keys = [pair(f"code {index}") for index in range(4)] * (COUNT // 4)
    public = [key.public for key in keys]
    proofs, value = bytes_of.proofs_of(public), AIT // 10
    expires = chain.time_ms + 3_600_000
    created = chain.run("payer", "Codes.create", bytes_of.root_of(public), COUNT, value, expires, 0, Tokens())
    number = next(event.batch for event in created if type(event).__name__ == "Created")
    strangers = [AccountId(index.to_bytes(2, "little") + bytes(30)) for index in range(1, COUNT + 1)]

    def claim(index: int) -> Extrinsic:
        message = bytes_of.claim_bytes(chain.genesis_hash, number, index, strangers[index])
        return chain.unsigned(
            "Codes.claim", number, index, public[index], proofs[index], strangers[index], 0, keys[index].sign(message)
        )

    parent, header = chain.state, chain.header
    chain.time_ms += 500
    claims = [claim(index) for index in range(COUNT)]
    builder = chain.runtime.open_block(chain.state, chain.header, chain.items())
    taken = 0
    for each in claims:
        try:
            builder.apply(each)
            taken += 1
        except LaneFull:
            break
    assert 10 < taken < COUNT
    with pytest.raises(LaneFull):
        builder.apply(claims[0])
    builder.apply(chain.signed("other", "Balances.transfer_keep_alive", account("payer"), AIT))  # there is room for all
    block = builder.seal()

    checked = chain.runtime.execute_block(parent, header, block.header, block.body)
    assert checked.header == block.header
    chain.state, chain.header = block.state, block.header
    chain.look()
    assert all(chain.system.account.get(who).free == value for who in strangers[:taken])
    assert chain.system.account.find(strangers[taken]) is None
    held = chain.balances.held(chain.codes.HoldReason.Funded, account("payer"))
    assert held == (COUNT - taken) * (value + FEE)
    chain.check_money()

    doubled = (*block.body[:2], block.body[1], *block.body[2:])
    with pytest.raises(InvalidBlock):
        chain.runtime.execute_block(parent, header, block.header, doubled)
    with pytest.raises(Stale):
        chain.runtime.validate(chain.state, chain.header.number, chain.header.hash, claims[0])
    chain.block(claims[taken])
    assert chain.system.account.get(strangers[taken]).free == value
