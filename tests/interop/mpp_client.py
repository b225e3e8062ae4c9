"""The real MPP client for Python pays from a session, by a method that was registered with it.

Arguments: the gateway, the node, and a folder for a purse. Prints what was paid, as JSON.
"""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
import httpx
from mpp import Credential
from mpp.client import PaymentTransport
from mpp.methods import Method
from mpp.runtime import ClientMethod
from pydantic import BaseModel

from aitoken.client.client import Client
from aitoken.client.pay.ledger import NodeLedger
from aitoken.client.pay.mpp import INTENT, METHOD, MppSession
from aitoken.client.pay.payer import Caps, Payer
from aitoken.client.pay.purse import open_purse
from aitoken.client.pay.shop import Shop
from aitoken.client.pay.x402 import SessionScheme
from aitoken.crypto.derive import pair_from_uri
from aitoken.pay.headers import decode_signed
from aitoken.pay.layouts import Receipt
from aitoken.types import AIT, Balance

gateway, node, folder = sys.argv[1:]
URL = f"{gateway}/v1/chat/completions"
ASKED = {"model": "echo", "messages": [{"role": "user", "content": "hello chain"}], "max_tokens": 8}
PRICE = (4 + 8) * 10**9


def transport_of(paying, tried):
    async def create(asked):
        challenge = asked.challenge
        tried.append(challenge.id)
        payload = paying.payload(challenge.request)
        return Credential(challenge=challenge.to_echo(), payload=payload).to_authorization()

    method = Method(name=METHOD, intent=INTENT, request_model=BaseModel, payload_model=BaseModel)
    transport = PaymentTransport([ClientMethod(method=method, create_credential=create)])
    transport.on_payment_response(lambda told: paying.take(told["response"].headers))
    return transport


async def main():
    async with (
        await Client.connect(node) as client,
        aiohttp.ClientSession(auto_decompress=False) as http,
    ):
        with open_purse(Path(folder)) as purse:
            caps = Caps(request=Balance(AIT // 5), exposure=Balance(AIT))
            payer = Payer(purse, NodeLedger(client, pair_from_uri("//Charlie")), http, caps)
            shop = Shop(gateway, http)
            tab = await payer.open(shop, Balance(3 * AIT))
            scheme, tried = SessionScheme(payer, tab), []
            flows = tab.session.max_lanes + 2
            async with httpx.AsyncClient(transport=transport_of(MppSession(scheme), tried), timeout=60) as paid:
                for _ in range(3):
                    response = await paid.post(URL, json=ASKED)
                    assert response.status_code == 200, response.text
                    receipt = Receipt.decode(decode_signed(response.headers["AI-Receipt"])[0])
                    assert (receipt.charge, receipt.session_id) == (PRICE, tab.kept.id)
                for _ in range(flows):
                    # Nobody sees the receipts of these; the last ones find their lane where the first ones left it.
                    flow = await paid.post(URL, json=ASKED | {"stream": True})
                    assert flow.status_code == 200, flow.text
                    assert "event: aitp.receipt" in flow.text
            assert "pay-out_of_step" in tried
            await scheme.catch_up(shop)
            assert tab.session.spent == (3 + flows) * PRICE, tab.session.spent
            assert await payer.close(tab, shop)
            print(json.dumps({"session": tab.kept.id.hex(), "spent": tab.session.spent}))


asyncio.run(main())
