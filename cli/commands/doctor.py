"""`aitoken doctor`: what is wrong with a node, in words, each with its cure."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from aitoken.errors import AiTokenError
from cli import checks
from cli.checks import Finding
from cli.exits import Unhealthy, sentence_of
from cli.render import Output, output_option
from cli.session import Session, node_option

SIGNS = {"ok": "ok   ", "warn": "warn ", "bad": "BAD  "}


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Also look at a node's data folder.")
@click.option("--chain", type=click.Path(path_type=Path), help="The genesis file the node should have.")
@node_option
@output_option
def doctor(data_dir: Path | None, chain: Path | None, session: Session, out: Output) -> None:
    """Say in words what is wrong with a node.

    Looks at this machine (Python, clock, disk, ports), at the node's data folder, and at the running node.

    Exit codes: 0 nothing is wrong, 6 something is.
    """
    findings = [checks.python_version(), checks.optimised(), checks.libraries()]
    if data_dir is not None:
        findings += checks.data_folder(data_dir, chain)
    findings += asyncio.run(_node(session, chain))
    if out.json:
        out.table([{"check": f.check, "state": f.state, "says": f.says, "cure": f.cure} for f in findings], ())
    else:
        for finding in findings:
            cure = f"\n      -> {finding.cure}" if finding.cure else ""
            click.echo(f"{SIGNS[finding.state]} {finding.check}: {finding.says}{cure}")
    bad = [finding for finding in findings if finding.state == "bad"]
    if bad:
        raise Unhealthy(f"{len(bad)} thing{'' if len(bad) == 1 else 's'} wrong: {', '.join(f.check for f in bad)}")


async def _node(session: Session, chain: Path | None) -> list[Finding]:
    """Look at the running node, if one answers."""
    try:
        async with session.client() as client:
            return await checks.running_node(client, chain)
    except (AiTokenError, OSError, TimeoutError) as error:
        return [checks.unreachable(session.url, sentence_of(error))]
