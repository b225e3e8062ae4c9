"""Run by `bench.yardstick` with the interpreter of its own environment: vouchers of x402's batch settlement, checked.

    _x402_vouchers.py COUNT        prints {"per_second": ..., "backend": ...}

What is timed is the SDK's own check of a voucher (EIP-712 hash, recovery of the key, comparison), as its server makes
it for every request; the vouchers differ and are signed beforehand by the SDK's client.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from eth_account import Account
from eth_keys.backends import get_backend
from x402.mechanisms.evm.batch_settlement.client.voucher import sign_voucher
from x402.mechanisms.evm.batch_settlement.facilitator.utils import verify_batch_settlement_voucher_typed_data
from x402.mechanisms.evm.signers import EthAccountSigner

NETWORK, CHAIN = "eip155:84532", 84532


def main(count: int) -> None:
    account: Any = Account.from_key("0x" + "11" * 32)
    signer = EthAccountSigner(account)
    channel = "0x" + "22" * 32
    vouchers = [sign_voucher(signer, channel, 1_000 + number, NETWORK) for number in range(count)]
    begin = time.process_time()
    for voucher in vouchers:
        good = verify_batch_settlement_voucher_typed_data(
            signer=None, channel_id=voucher.channel_id, max_claimable_amount=voucher.max_claimable_amount,
            payer_authorizer=account.address, payer=account.address, signature=voucher.signature, chain_id=CHAIN,
        )  # fmt: skip
        if not good:
            raise SystemExit("a good voucher was refused")
    took = time.process_time() - begin
    print(json.dumps({"per_second": count / took, "backend": type(get_backend()).__name__}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
