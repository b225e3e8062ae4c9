"""Real openai-python pays: through the proxy by its address alone, and through a transport of httpx.

Arguments: the proxy's base URL, the gateway, the node, and a folder for a purse.
"""

import sys
from pathlib import Path

import httpx2
from openai import APIStatusError, OpenAI

from aitoken.client.pay.httpx_transport import PayingTransport
from aitoken.client.pay.payer import Caps
from aitoken.crypto.derive import pair_from_uri
from aitoken.types import AIT, Balance

CAPS = Caps(request=Balance(AIT // 5), exposure=Balance(AIT))
ASKED = [{"role": "user", "content": "hello chain"}]


def use(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="echo", messages=ASKED, max_tokens=8)
    assert whole.choices[0].message.content
    flow = client.chat.completions.create(model="echo", messages=ASKED, max_tokens=8, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in flow if chunk.choices)
    assert text == whole.choices[0].message.content
    refused = None
    try:
        client.chat.completions.create(model="nothing", messages=ASKED)
    except APIStatusError as error:
        refused = error
    assert refused is not None
    assert (refused.status_code, refused.code) == (404, "buyer.not_sold")


base, gateway, node, folder = sys.argv[1:]
proxied = OpenAI(base_url=base, api_key="none")
assert "echo" in [model.id for model in proxied.models.list()]
use(proxied)
transport = PayingTransport(gateway, node=node, pair=pair_from_uri("//Charlie"), purse=Path(folder), caps=CAPS)
with httpx2.Client(transport=transport) as http:
    use(OpenAI(base_url="http://gateway/v1", api_key="none", http_client=http))
    (tab,) = transport.payer.tabs
    assert tab.session.spent == 2 * (4 + 8) * 10**9, tab.session.spent
print("paid", tab.session.spent)
