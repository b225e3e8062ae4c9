"""The real x402 client for Python pays: by single payments of both kinds, and from a session.

Arguments: the gateway, the node, and a folder for a purse. Prints what was paid, as JSON.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

import aiohttp
import httpx
from x402 import x402Client
from x402.http import decode_payment_response_header
from x402.http.clients.httpx import PaymentError, x402HttpxClient
from x402.http.utils import encode_payment_signature_header

from aitoken.client.client import Client
from aitoken.client.pay.ledger import NodeLedger
from aitoken.client.pay.payer import Caps, Payer
from aitoken.client.pay.purse import open_purse
from aitoken.client.pay.shop import Shop
from aitoken.client.pay.x402 import ExactScheme, Limits, SessionScheme, UptoScheme, controls, network_of
from aitoken.crypto.derive import pair_from_uri
from aitoken.pay.headers import decode_signed
from aitoken.pay.layouts import Receipt
from aitoken.types import AIT, Balance, Hash32

gateway, node, folder = sys.argv[1:]
URL = f"{gateway}/v1/chat/completions"
ASKED = {"model": "echo", "messages": [{"role": "user", "content": "hello chain"}], "max_tokens": 8}
PRICE = (4 + 8) * 10**9
CAP = Balance(AIT // 5)


def receipt_of(response):
    settled = decode_payment_response_header(response.headers["PAYMENT-RESPONSE"])
    assert settled.success
    receipt = Receipt.decode(decode_signed(settled.extra["receipt"])[0])
    assert int(settled.amount) == receipt.charge
    return settled, receipt


def paying(genesis, scheme, cap=CAP, seen=None):
    client = x402Client().register(network_of(genesis), scheme)
    if seen is not None:
        client.on_after_payment_creation(lambda context: seen.append(context.payment_payload))
    return x402HttpxClient(client.set_spend_controls(controls(genesis, cap)), timeout=60)


async def single(genesis, uri, kind):
    scheme = kind(pair_from_uri(uri), genesis, Limits(CAP, Balance(AIT)))
    seen = []
    async with paying(genesis, scheme, seen=seen) as http:
        response = await http.post(URL, json=ASKED)
        assert response.status_code == 200, response.text
        assert response.json()["choices"][0]["message"]["content"]
        settled, receipt = receipt_of(response)
        assert settled.transaction.startswith("0x")
        sent = encode_payment_signature_header(seen[0])
        body = response.request.content
    async with httpx.AsyncClient(timeout=60) as plain:
        head = {"PAYMENT-SIGNATURE": sent, "Content-Type": "application/json"}
        again = await plain.post(URL, content=body, headers=head)
        assert (again.status_code, again.content) == (200, response.content)
        assert again.headers["AI-Repeated"] == "1"
        other = await plain.post(URL, json=ASKED | {"max_tokens": 7}, headers=head)
        assert (other.status_code, other.json()["code"]) == (402, "gateway.bad_order"), other.text
    return receipt.charge


async def refused(genesis):
    """Caps of the scheme hold whatever the library was told, and those of the library hold as well."""
    for limit, cap in ((10**9, CAP), (CAP, 10**9)):
        scheme = UptoScheme(pair_from_uri("//Dave"), genesis, Limits(Balance(limit), Balance(AIT)))
        async with paying(genesis, scheme, Balance(cap)) as http:
            why = ""
            try:
                await http.post(URL, json=ASKED)
            except PaymentError as error:
                why = str(error)
            assert "payment may be" in why or "max_amount" in why, why
        assert scheme.signed == 0


async def session(genesis, client, purse, http):
    caps = Caps(request=CAP, exposure=Balance(AIT))
    payer = Payer(purse, NodeLedger(client, pair_from_uri("//Charlie")), http, caps)
    shop = Shop(gateway, http)
    tab = await payer.open(shop, Balance(3 * AIT))
    scheme = SessionScheme(payer, tab)
    flows = tab.session.max_lanes + 2
    async with paying(genesis, scheme) as paid:
        for _ in range(3):
            response = await paid.post(URL, json=ASKED)
            assert response.status_code == 200, response.text
            settled, receipt = receipt_of(response)
            assert (settled.transaction, receipt.charge) == ("", PRICE)
        for _ in range(flows):
            # The library sees no receipt of these; the last ones find their lane where the first ones left it.
            flow = await paid.post(URL, json=ASKED | {"stream": True})
            assert flow.status_code == 200, flow.text
            assert "event: aitp.receipt" in flow.text
    await scheme.catch_up(shop)
    assert tab.session.spent == (3 + flows) * PRICE, tab.session.spent
    assert await payer.close(tab, shop)
    return {"session": tab.kept.id.hex(), "spent": tab.session.spent}


async def malformed():
    async with httpx.AsyncClient(timeout=60) as plain:
        for payload in ({"authorization": "0x00", "signature": "0x"}, {"voucher": "x"}, {}, {"authorization": 7}):
            text = base64.b64encode(json.dumps({"x402Version": 2, "payload": payload}).encode()).decode()
            response = await plain.post(URL, json=ASKED, headers={"PAYMENT-SIGNATURE": text})
            assert response.status_code == 400, response.text


async def main():
    async with (
        await Client.connect(node) as client,
        aiohttp.ClientSession(auto_decompress=False) as http,
    ):
        genesis = Hash32(client.chain.genesis_hash)
        told = {
            "upto": await single(genesis, "//Dave", UptoScheme),
            "exact": await single(genesis, "//Ferdie", ExactScheme),
        }
        await refused(genesis)
        await malformed()
        with open_purse(Path(folder)) as purse:
            told |= await session(genesis, client, purse, http)
    assert told["upto"] == PRICE
    print(json.dumps(told))


asyncio.run(main())
