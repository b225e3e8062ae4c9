"""Asking a node without trusting it: the options of `--light` and what stands behind them."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from cli.exits import BadInput

if TYPE_CHECKING:
    from aitoken.client.chain import Chain
    from aitoken.client.light import LightClient
    from cli.session import Client

Command = TypeVar("Command", bound=Callable[..., Any])
HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Light:
    """How a person wants proofs."""

    checkpoint: str
    trusting_hours: int | None

    async def open(self, client: Client) -> LightClient:
        """Go from the checkpoint to the last final block; a checkpoint in a file is moved on to where we came.

        Raises:
            Rejected: the node lies, or the checkpoint is too old; the sentence says which.
        """
        from aitoken.client import checkpoint
        from aitoken.client.light import TRUSTING_PERIOD_MS, LightClient

        period = TRUSTING_PERIOD_MS if self.trusting_hours is None else self.trusting_hours * HOUR_MS
        trusted = checkpoint.parse(self.checkpoint)
        light = await LightClient.start(client.request, trusted, now_ms=_now_ms(), trusting_period_ms=period)
        if light.anchor.hash != trusted.hash and not self.checkpoint.startswith("0x"):
            _replace(self.checkpoint, checkpoint.to_json(light.anchor) + "\n")
        return light


def light_options(command: Command) -> Command:
    """Add `--light` and what belongs to it to a command; its function gets a `Light` or None as `light`."""

    @functools.wraps(command)
    def with_light(
        *arguments: Any, light: bool, checkpoint: str | None, trusting_period: int | None, **options: Any
    ) -> Any:
        if light and checkpoint is None:
            raise BadInput("--light needs --checkpoint: a block you trust, such as the genesis hash")
        if not light and (checkpoint is not None or trusting_period is not None):
            raise BadInput("--checkpoint and --trusting-period mean something with --light only")
        chosen = Light(checkpoint, trusting_period) if light and checkpoint is not None else None
        return command(*arguments, light=chosen, **options)

    for option in (
        click.option(
            "--trusting-period", type=click.IntRange(1), metavar="HOURS", help="How old the checkpoint may be."
        ),
        click.option(
            "--checkpoint", metavar="FILE|HASH", help="What is trusted: a file (moved on), genesis or an epoch's end."
        ),
        click.option("--light", is_flag=True, help="Believe the node only what it proves."),
    ):
        with_light = option(with_light)
    return with_light  # type: ignore[return-value]  # the wrapper is what click sees


def own_description(proven_version: bytes | None, theirs: Chain) -> Chain | None:
    """What this program itself knows of the runtime that is proven to run; None when it is another one.

    The bytes of a value are proven, their meaning is not: it stands in the metadata, which a node could twist.

    Args:
        proven_version: the value of `System.LastRuntimeUpgrade`, read with a proof.
        theirs: what the node told.
    """
    from aitoken.client.chain import Chain
    from aitoken.client.metadata import parse
    from aitoken.codec.base import compact_encode
    from chain.frame.metadata import write_metadata
    from chain.params import PRESETS
    from chain.runtime import SPEC_VERSION, TRANSACTION_VERSION, build_schema
    from chain.spec import SPEC_NAME

    if proven_version != compact_encode(SPEC_VERSION) + compact_encode(len(SPEC_NAME)) + SPEC_NAME.encode():
        return None
    metadata = parse(write_metadata(build_schema(PRESETS["main"]), 15))
    return Chain(metadata, theirs.genesis_hash, SPEC_VERSION, TRANSACTION_VERSION, theirs.prefix)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _replace(name: str, text: str) -> None:
    file = Path(name).expanduser()
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.write_text(text, encoding="ascii")
    os.replace(unfinished, file)  # noqa: PTH105 - the one call that names what it does
