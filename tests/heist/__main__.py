"""Claims before the eyes of a thief: `make heist CODES=10000 SEED=1`.

    python -m tests.heist [--codes N] [--seed S]

Holders who have nothing claim codes on a network of real pools, the real runtime and the real builder, whose messages
an adversary sees first, copies, forges, holds back and reorders. Exits with 1 if one code is stolen or lost, or one
claim is not final within two blocks.
"""

from __future__ import annotations

import asyncio
import sys

import click

from tests.heist.game import Game


@click.command()
@click.option("--codes", default=10_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(codes: int, seed: int) -> None:
    """Have codes claimed before the eyes of a thief."""
    outcome = asyncio.run(Game(codes, seed).play())
    print(outcome.report())
    sys.exit(int(not outcome.is_good))


if __name__ == "__main__":
    main()
