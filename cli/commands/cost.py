"""`aitoken cost`: what a question would cost, side by side, before anything is paid."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from aitoken.errors import AiTokenError
from cli.amounts import show_amount
from cli.commands.ask import CHAT
from cli.paying import gateway_option, purse_option, shops_of
from cli.render import Output, output_option

if TYPE_CHECKING:
    from aitoken.client.pay.shop import Shop

MODELS_MAX: Final = 50
"""Models of one gateway that are asked about."""


@click.command()
@click.argument("task")
@click.option("--model", help="Only this model; all that answer text if none is named.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=500, show_default=True, help="Longest answer.")
@gateway_option
@purse_option
@output_option
def cost(task: str, model: str | None, max_tokens: int, gateways: Sequence[str], folder: Path, out: Output) -> None:
    """Show what a task may cost at most at each gateway, the cheapest first. Nothing is paid.

    Each figure is an offer the gateway has signed: for the next minutes it charges no more for exactly this request.
    """
    told = asyncio.run(_offers(task, model, max_tokens, gateways, folder))
    lines = [f"{show_amount(one['max_charge']):>24}  {one['model']:<20} {one['gateway']}" for one in told["offers"]]
    lines += [f"{'no answer':>24}  {one['reason']}" for one in told["silent"]]
    out.result(told, "\n".join(lines))


async def _offers(
    task: str, model: str | None, max_tokens: int, gateways: Sequence[str], folder: Path
) -> dict[str, Any]:
    import aiohttp

    from aitoken.client.pay.purse import open_purse

    async with aiohttp.ClientSession() as http:
        with open_purse(folder, spend=False) as purse:
            shops = shops_of(gateways, purse, http)
        found = await asyncio.gather(*(_of(shop, task, model, max_tokens) for shop in shops), return_exceptions=True)
    offers, silent = [], []
    for shop, one in zip(shops, found, strict=True):
        if isinstance(one, AiTokenError):
            silent.append({"gateway": shop.url, "reason": str(one)})
        elif isinstance(one, BaseException):
            raise one
        else:
            offers += one
    return {"offers": sorted(offers, key=lambda one: (one["max_charge"], one["gateway"])), "silent": silent}


async def _of(shop: Shop, task: str, model: str | None, max_tokens: int) -> list[dict[str, Any]]:
    import msgspec

    about = await shop.about()
    names = [one.name for one in about.models if one.name == model or (model is None and "chat" in one.kinds)]
    offers = []
    for name in names[:MODELS_MAX]:
        body = {"model": name, "messages": [{"role": "user", "content": task}], "max_tokens": max_tokens}
        quote = await shop.quote(CHAT, msgspec.json.encode(body))
        offers.append({"gateway": shop.url, "model": name, "max_charge": int(quote["max_charge"])})
    return offers
