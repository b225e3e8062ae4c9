"""The real x402 server for Python, in front of FastAPI, sells through our facilitator; its real client buys.

Arguments: the facilitator, the genesis hash, and the account that is paid. Prints what was paid, as JSON.
"""

import asyncio
import base64
import json
import sys
from types import SimpleNamespace

import httpx
import uvicorn
from fastapi import FastAPI, Response
from x402 import x402Client
from x402.http import FacilitatorConfig, HTTPFacilitatorClient, decode_payment_response_header
from x402.http.clients.httpx import x402HttpxClient
from x402.http.middleware.fastapi import payment_middleware
from x402.http.types import PaymentOption, RouteConfig
from x402.http.utils import encode_payment_signature_header
from x402.server import x402ResourceServer

from aitoken.client.pay.x402 import ExactScheme, Limits, UptoScheme, controls, network_of
from aitoken.client.pay.x402_seller import PricedIn
from aitoken.crypto.derive import pair_from_uri
from aitoken.types import AIT, Balance, Hash32

facilitator, genesis_hex, payee = sys.argv[1:]
GENESIS = Hash32(bytes.fromhex(genesis_hex))
NETWORK = network_of(GENESIS)
CAP = Balance(AIT)
USED = AIT // 50


def option(scheme, price):
    return RouteConfig(accepts=PaymentOption(scheme=scheme, pay_to=payee, price=price, network=NETWORK))


def shop():
    server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=facilitator)))
    for scheme in ("exact", "upto"):
        server.register(NETWORK, PricedIn(scheme))
    routes = {
        "GET /weather": option("exact", "0.05 AIT"),
        "GET /words": option("upto", "0.2 AIT"),
        "GET /broken": option("exact", {"amount": str(AIT), "asset": "native"}),
    }
    app = FastAPI()
    app.middleware("http")(payment_middleware(routes, server))

    @app.get("/weather")
    async def weather():
        return {"weather": "fair"}

    @app.get("/words")
    async def words(response: Response):
        response.headers["Settlement-Overrides"] = json.dumps({"amount": str(USED)})
        return {"words": "some"}

    @app.get("/broken")
    async def broken():
        return Response(status_code=500)

    return app


class Crooked(ExactScheme):
    """Signs something else than what is asked for."""

    def __init__(self, *arguments, **changes):
        super().__init__(*arguments)
        self.changes = changes

    def create_payment_payload(self, requirements):
        names = ("network", "asset", "amount", "pay_to", "max_timeout_seconds", "extra")
        asked = {name: getattr(requirements, name) for name in names} | self.changes
        return super().create_payment_payload(SimpleNamespace(**asked))


def paying(scheme, seen=None):
    client = x402Client().register(NETWORK, scheme)
    if seen is not None:
        client.on_after_payment_creation(lambda context: seen.append(context.payment_payload))
    return x402HttpxClient(client.set_spend_controls(controls(GENESIS, CAP)), timeout=60)


def reason_of(response):
    assert response.status_code == 402, response.text
    return json.loads(base64.b64decode(response.headers["PAYMENT-REQUIRED"]))["error"]


async def main():
    config = uvicorn.Config(shop(), host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.05)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    dave, limits, seen, told = pair_from_uri("//Dave"), Limits(CAP, Balance(5 * AIT)), [], {}

    for name, scheme, path, price in (
        ("exact", ExactScheme(dave, GENESIS, limits), "/weather", AIT // 20),
        ("upto", UptoScheme(dave, GENESIS, limits), "/words", USED),
    ):
        async with paying(scheme, seen) as http:
            response = await http.get(url + path)
        assert response.status_code == 200, (response.text, response.headers)
        settled = decode_payment_response_header(response.headers["PAYMENT-RESPONSE"])
        assert settled.success
        assert settled.transaction.startswith("0x")
        assert (settled.network, settled.amount) == (NETWORK, str(price))
        told[name] = price

    async with httpx.AsyncClient(timeout=60) as plain:
        again = await plain.get(
            url + "/weather", headers={"PAYMENT-SIGNATURE": encode_payment_signature_header(seen[0])}
        )
    told["replay"] = reason_of(again)
    for name, changes in (
        ("amount", {"amount": str(AIT // 20 - 1)}),
        ("payee", {"pay_to": f"0x{dave.public.hex()}"}),
        ("expired", {"max_timeout_seconds": 0}),
    ):
        async with paying(Crooked(dave, GENESIS, limits, **changes)) as http:
            told[name] = reason_of(await http.get(url + "/weather"))
    async with paying(ExactScheme(dave, GENESIS, limits)) as http:
        assert (await http.get(url + "/broken")).status_code == 500  # and is not paid for

    server.should_exit = True
    await serving
    print(json.dumps(told))


asyncio.run(main())
