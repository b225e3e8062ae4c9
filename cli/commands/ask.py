"""`aitoken ask`: one question to a model, paid from the purse."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from cli.amounts import show_amount
from cli.paying import Paying, gateway_option, paying_options, shops_of
from cli.render import Output, output_option
from cli.session import Session, node_option

CHAT = "/v1/chat/completions"


@click.command()
@click.argument("question")
@click.option("--model", help="Which model; the gateway's first if none is named.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Longest answer.")
@gateway_option
@paying_options
@node_option
@output_option
def ask(
    question: str,
    model: str | None,
    max_tokens: int | None,
    gateways: Sequence[str],
    paying: Paying,
    session: Session,
    out: Output,
) -> None:
    """Ask a model, pay, and show the answer and what it cost."""
    told = asyncio.run(_ask(question, model, max_tokens, gateways, paying, session))
    out.progress(f"{told['model']}: {show_amount(told['cost'])}")
    out.result(told, told["answer"])


async def _ask(
    question: str, model: str | None, max_tokens: int | None, gateways: Sequence[str], paying: Paying, session: Session
) -> dict[str, Any]:
    import msgspec

    from aitoken.client.pay.errors import GatewayRefused, NotSold
    from aitoken.client.pay.exchange import Buyer
    from aitoken.client.pay.shop import problem_of

    async with paying.payer(session) as payer:
        missing: NotSold | None = None
        for shop in shops_of(gateways, payer.purse, payer.http):
            name = model or (await shop.about()).models[0].name
            body: dict[str, Any] = {"model": name, "messages": [{"role": "user", "content": question}]}
            if max_tokens is not None:
                body["max_tokens"] = max_tokens
            try:
                exchange = await Buyer(payer, shop).send(CHAT, msgspec.json.encode(body))
            except NotSold as error:
                missing = error
                continue
            raw = await exchange.read()
            if exchange.status != 200:
                problem = problem_of(raw)
                raise GatewayRefused(str(problem.get("detail", "no answer")), exchange.status, str(problem.get("code")))
            cost = 0 if exchange.receipt is None else exchange.receipt.charge
            answer = msgspec.json.decode(raw)["choices"][0]["message"]["content"]
            return {"answer": answer, "model": name, "gateway": shop.url, "cost": cost}
    raise missing or NotSold("no gateway is known")
