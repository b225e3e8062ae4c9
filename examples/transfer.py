"""Send one AIT from Alice to Bob on a development chain, and wait until it is final.

    python examples/transfer.py
    python examples/transfer.py ws://127.0.0.1:9945 //Bob 5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty 2.5

Arguments, all optional: the node, the sender's secret URI (only ever a development key on a command line!), the
receiver, the amount.
"""

import asyncio
import sys
from decimal import Decimal

from aitoken.client.client import Client
from aitoken.crypto import ss58
from aitoken.crypto.derive import pair_from_uri


async def transfer(url: str, sender: str, receiver: str, amount: str) -> bool:
    """Send `amount` tokens; True when the transfer did what it should."""
    pair = pair_from_uri(sender)
    async with await Client.connect(url) as client:
        value = int(Decimal(amount).scaleb(client.token.decimals))
        call = client.call("Balances", "transfer_keep_alive", dest=receiver, value=value)
        print(f"{call}, fee about {await client.fee(call, pair)}")

        receipt = await client.submit(call, pair, wait="final")

        print(f"final in block {receipt.block_number} {receipt.block_hash}: {receipt.error or 'success'}")
        for event in receipt.events:
            print(f"  {event}")
        account = await client.account(pair)
        print(f"{ss58.encode(pair.public)} has {Decimal(account['data']['free']).scaleb(-client.token.decimals)} left")
    return receipt.success is True


if __name__ == "__main__":
    defaults = ["ws://127.0.0.1:9944", "//Alice", "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty", "1"]
    given = sys.argv[1:]
    url, sender, receiver, amount = given + defaults[len(given) :]
    sys.exit(0 if asyncio.run(transfer(url, sender, receiver, amount)) else 1)
