"""A provider for LiteLLM whose requests are paid from a purse: models are named `aitoken/...`.

    import litellm
    from aitoken.client.pay.httpx_transport import PayingTransport
    from aitoken.client.pay.litellm_provider import AiToken

    transport = PayingTransport("http://gateway.example:8402", node="ws://127.0.0.1:9944", pair=pair, purse=folder)
    litellm.custom_provider_map = [{"provider": "aitoken", "custom_handler": AiToken(transport)}]
    litellm.completion(model="aitoken/echo", messages=[{"role": "user", "content": "hello"}])

What a request cost is in `response._hidden_params["aitoken"]`. Without this module LiteLLM pays as any OpenAI tool
does: through `aitoken proxy`, by its address alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

try:
    from litellm import CustomLLM, ModelResponse
    from litellm.llms.custom_llm import CustomLLMError
except ImportError as missing:
    raise ImportError("this module is for programs that use LiteLLM: install litellm") from missing

import msgspec

from aitoken.client.pay.httpx_transport import Client, PayingTransport

PATH: Final = "http://gateway/v1/chat/completions"
DONE: Final = "[DONE]"
TOLD: Final = ("ai-cost", "ai-receipt", "ai-session-left")


class AiToken(CustomLLM):
    """Chat completions paid from the purse of a transport."""

    def __init__(self, transport: PayingTransport) -> None:
        super().__init__()
        self._http = Client(transport=transport, timeout=None)

    def completion(
        self, model: str, messages: list[Any], model_response: Any, optional_params: Mapping[str, Any], **_: Any
    ) -> Any:
        """Ask, and wait for the whole answer."""
        body = _body(model, messages, optional_params, stream=False)
        response = self._http.post(PATH, content=body, headers={"Content-Type": "application/json"})
        if response.status_code != 200:
            raise _refusal(response.status_code, response.content)
        answer = msgspec.json.decode(response.content)
        told = ModelResponse(**{**answer, "usage": _usage(answer.get("usage"))})
        told._hidden_params = {  # noqa: SLF001 - where LiteLLM keeps what is not the model's
            **model_response._hidden_params,  # noqa: SLF001 - as above
            "aitoken": {name: response.headers[name] for name in TOLD if name in response.headers},
        }
        return told

    def streaming(
        self, model: str, messages: list[Any], optional_params: Mapping[str, Any], **_: Any
    ) -> Iterator[dict[str, Any]]:
        """Ask, and give the answer as it comes."""
        body = _body(model, messages, optional_params, stream=True)
        with self._http.stream("POST", PATH, content=body, headers={"Content-Type": "application/json"}) as response:
            if response.status_code != 200:
                raise _refusal(response.status_code, response.read())
            for line in response.iter_lines():
                data = line.removeprefix("data:").strip()
                if line.startswith("data:") and data and data != DONE:
                    yield from _chunks(msgspec.json.decode(data))

    async def acompletion(
        self, model: str, messages: list[Any], model_response: Any, optional_params: Mapping[str, Any], **_: Any
    ) -> Any:
        """Ask, and wait for the whole answer."""
        return await asyncio.to_thread(self.completion, model, messages, model_response, optional_params)

    async def astreaming(
        self, model: str, messages: list[Any], optional_params: Mapping[str, Any], **_: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Ask, and give the answer as it comes."""
        chunks = self.streaming(model, messages, optional_params)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk


def _body(model: str, messages: list[Any], optional_params: Mapping[str, Any], *, stream: bool) -> bytes:
    asked = {name: value for name, value in optional_params.items() if name not in ("stream", "stream_options")}
    extra = asked.pop("extra_body", None) or {}
    told = {"model": model, "messages": messages, **asked, **extra}
    if stream:
        told |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(told)


def _usage(told: Any) -> Any:
    """Return a usage without its cost, which LiteLLM would take for dollars."""
    return {name: value for name, value in told.items() if not name.startswith("cost")} if told else told


def _chunks(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give an event of a chat completion as LiteLLM's chunks."""
    if "error" in told:
        raise _refusal(502, msgspec.json.encode(told))
    usage = _usage(told.get("usage"))
    for choice in told.get("choices") or [{}]:
        delta, reason = choice.get("delta") or {}, choice.get("finish_reason")
        calls = delta.get("tool_calls") or [None]
        for number, call in enumerate(calls):
            yield {
                "text": (delta.get("content") or "") if number == 0 else "", "tool_use": call,
                "is_finished": reason is not None and number == len(calls) - 1, "finish_reason": reason or "",
                "usage": usage, "index": choice.get("index", 0),
            }  # fmt: skip


def _refusal(status: int, body: bytes) -> Exception:
    try:
        told = msgspec.json.decode(body)
        message = str(told["error"]["message"])
    except (msgspec.DecodeError, TypeError, KeyError):
        message = "the gateway does not answer the request"
    error: Exception = CustomLLMError(status_code=status, message=message)
    return error
