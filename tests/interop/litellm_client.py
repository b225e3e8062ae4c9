"""Real LiteLLM pays: as a client of the proxy by its address alone, and through its own provider.

Arguments: the proxy's base URL, the gateway, the node, and a folder for a purse. Prints what was paid, as JSON.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

from aitoken.client.pay.httpx_transport import PayingTransport
from aitoken.client.pay.litellm_provider import AiToken
from aitoken.client.pay.payer import Caps
from aitoken.crypto.derive import pair_from_uri
from aitoken.types import AIT, Balance

CAPS = Caps(request=Balance(AIT // 5), exposure=Balance(AIT))
ASKED = [{"role": "user", "content": "hello chain"}]
PRICE = (4 + 8) * 10**9


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def use(**how):
    whole = litellm.completion(messages=ASKED, max_tokens=8, **how)
    said = whole.choices[0].message.content
    assert said
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (4, 4), whole.usage
    assert text_of(litellm.completion(messages=ASKED, max_tokens=8, stream=True, **how)) == said
    return whole


async def use_async(**how):
    whole = await litellm.acompletion(messages=ASKED, max_tokens=8, **how)
    flow = await litellm.acompletion(messages=ASKED, max_tokens=8, stream=True, **how)
    assert text_of([chunk async for chunk in flow]) == whole.choices[0].message.content


base, gateway, node, folder = sys.argv[1:]
use(model="openai/echo", api_base=base, api_key="none")

transport = PayingTransport(gateway, node=node, pair=pair_from_uri("//Charlie"), purse=Path(folder), caps=CAPS)
litellm.custom_provider_map = [{"provider": "aitoken", "custom_handler": AiToken(transport)}]
answer = use(model="aitoken/echo")
assert answer._hidden_params["aitoken"]["ai-cost"].startswith("0.012000000000 AIT"), answer._hidden_params
asyncio.run(use_async(model="aitoken/echo"))
refused = None
try:
    litellm.completion(model="aitoken/nothing", messages=ASKED)
except Exception as error:  # noqa: BLE001 - LiteLLM has many
    refused = error
assert "no model 'nothing' is sold" in str(refused), refused
(tab,) = transport.payer.tabs
assert tab.session.spent == 4 * PRICE, tab.session.spent
assert transport.run(transport.payer.close(tab, transport.shops[0]))
transport.close()
print(json.dumps({"session": tab.kept.id.hex(), "spent": tab.session.spent}))
