"""`aitoken node verify`, `export`, `import`: what a stopped node has on its disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from aitoken.errors import Unavailable
from cli.exits import BadInput, Unhealthy, Unusable, sentence_of
from cli.render import Output, output_option

if TYPE_CHECKING:
    from aitoken.types import Hash32
    from node.chain.opening import OpenChain

Command = TypeVar("Command", bound=Callable[..., Any])
PROGRESS_EVERY: Final = 10_000
FINDINGS_MAX: Final = 100


def _place(command: Command) -> Command:
    """Add the options that say which stopped node is meant."""
    path = click.Path(path_type=Path)
    chain = click.option("--chain", type=path, default=Path("genesis.json"), show_default=True, help="Genesis file.")
    data = click.option("--data-dir", type=path, required=True, help="Data folder of a node that does not run.")
    return chain(data(command))


@contextlib.contextmanager
def _opened(chain: Path, data_dir: Path, *, make: bool = False) -> Iterator[OpenChain]:
    """Open the database of a stopped node.

    Raises:
        Unusable: there is none, or a node runs on it.
    """
    from node.chain.opening import DATABASE, open_chain

    if not make and not (data_dir / DATABASE).is_dir():
        raise Unusable(f"there is no database in {data_dir}: name the --data-dir of a node")
    try:
        opened = open_chain(chain, data_dir, history_blocks=None)
    except Unavailable as error:
        raise Unusable(sentence_of(error)) from error
    try:
        yield opened
    finally:
        opened.database.close()


@click.command()
@_place
@output_option
def verify(chain: Path, data_dir: Path, out: Output) -> None:
    """Check everything a stopped node has on its disk.

    State root, blocks, links, bodies, past values, and every certificate with the validators of its epoch.

    Exit codes: 0 all is sound, 5 there is no database or it cannot be opened, 6 something is wrong.
    """
    from chain.genesis import build_genesis
    from node.chain.opening import load_spec
    from node.chain.verify import anchor_of
    from node.chain.verify import verify as verify_all
    from node.store.check import Finding

    findings: list[Finding] = []
    with _opened(chain, data_dir) as opened:
        database = opened.database
        spec, _ = load_spec(chain)
        start = anchor_of(spec, build_genesis(spec, opened.runtime))
        for item in verify_all(database, start):
            if isinstance(item, Finding):
                findings.append(item)
            elif item and item % PROGRESS_EVERY == 0:
                out.progress(f"block {item}")
            if len(findings) >= FINDINGS_MAX:
                break
        facts = {
            "firstBlock": database.first,
            "lastBlock": database.finalized()[0],
            "oldestState": database.oldest,
            "findings": [{"block": each.number, "what": each.what} for each in findings],
        }
    lines = [f"block {each.number}: {each.what}" for each in findings]
    lines.append(f"blocks {facts['firstBlock']} to {facts['lastBlock']}, states from {facts['oldestState']} on")
    out.result(facts, "\n".join(lines))
    if findings:
        raise Unhealthy("the database is damaged: move the folder away and synchronise anew")


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--from", "first", type=click.IntRange(1), help="First block; default: the first one here.")
@click.option("--to", "last", type=click.IntRange(1), help="Last block; default: the last one here.")
@_place
@output_option
def export_command(file: Path, first: int | None, last: int | None, chain: Path, data_dir: Path, out: Output) -> None:
    """Write blocks with their certificates into FILE, for `aitoken node import`."""
    from node.chain.exchange import export_blocks

    with _opened(chain, data_dir) as opened:
        database = opened.database
        start = max(1, database.first) if first is None else first
        end = database.finalized()[0] if last is None else last
        number = 0
        for number in export_blocks(database, opened.genesis_hash, file, start, end):
            if number % PROGRESS_EVERY == 0:
                out.progress(f"block {number}")
    out.result({"file": str(file), "from": start, "to": number}, f"blocks {start} to {number} are in {file}")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_place
@output_option
def import_command(file: Path, chain: Path, data_dir: Path, out: Output) -> None:
    """Execute and verify the blocks in FILE, next to those a stopped node has; a new folder begins at genesis.

    Nothing in the file is believed: bodies, state roots and certificates are checked.
    """
    from node.chain.exchange import Importer, read_blocks

    async def run(importer: Importer, genesis_hash: Hash32) -> None:
        async for number in importer.run(read_blocks(file, genesis_hash)):
            if number % 1000 == 0:
                out.progress(f"block {number}")

    with _opened(chain, data_dir, make=True) as opened:
        importer = Importer(opened)
        asyncio.run(run(importer, opened.genesis_hash))
        last = opened.database.finalized()[0]
        if importer.left_over:
            raise BadInput(
                f"{importer.left_over} blocks at the end of {file} have no certificate; {last} is the last one"
            )
    facts = {"imported": importer.imported, "known": importer.known, "lastBlock": last}
    out.result(facts, f"{importer.imported} blocks imported, {importer.known} were here, {last} is the last one")
