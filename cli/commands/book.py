"""`aitoken book`: price files from other people's price lists."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import click

from cli.exits import BadInput


@click.group()
def book() -> None:
    """Make price files."""


@book.command(name="import-litellm")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--model", "patterns", multiple=True, help="Models to take, such as gpt-4o or 'gpt-*'. Default: all.")
@click.option("--provider", type=int, default=0, show_default=True, help="Your provider's number on chain.")
@click.option("--first-service", type=int, default=1, show_default=True, help="Number of the first model's service.")
@click.option("--margin", type=click.IntRange(0, 1_000_000), default=0, show_default=True, help="Percent to add.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the price file. Default: print it.")
def import_litellm(
    file: Path, patterns: tuple[str, ...], provider: int, first_service: int, margin: int, out: Path | None
) -> None:
    """Turn LiteLLM's cost map FILE into a price file, in dollars, exactly as it is written there.

    FILE is model_prices_and_context_window.json. Versions and services are counted up: change them to what the chain
    gave you. Prices that no book can say are named on standard error.
    """
    from gateway.litellm_map import import_model, read_map, write_price_file

    found = read_map(file.read_bytes())
    taken = {
        name: told for name, told in found.items()
        if not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }  # fmt: skip
    models = [import_model(name, told, margin) for name, told in sorted(taken.items())]
    priced = [one for one in models if one.book is not None]
    if not priced:
        raise BadInput("no model of that name has a price in this file")
    text = write_price_file(priced, provider, first_service)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
    for one in models:
        if one.left_out:
            click.echo(f"{one.model}: left out {', '.join(one.left_out)}", err=True)
    click.echo(f"{len(priced)} models, {sum(len(one.entries) for one in priced)} prices", err=True)
