"""`aitoken devnet`: a network of validators on this machine."""

from __future__ import annotations

import asyncio
import shlex
import signal
from pathlib import Path
from typing import Any

import click

from cli.devnet import watch
from cli.devnet.plan import Plan, check_ports, clean, locked, make_plan, prepare
from cli.devnet.prices import parse_price, report
from cli.devnet.processes import NodeProcess, start, stop, wait_until_serving
from cli.exits import BadInput, Unhealthy
from cli.session import Connect, connect_to_node

START_SECONDS = 60
"""A node that does not serve by then is given up; on a busy machine the first start takes long."""


@click.command()
@click.option("-n", "count", type=int, help="Validators; as many as the genesis file has unless given.")
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path("data/devnet"), show_default=True)
@click.option("--chain", type=click.Path(path_type=Path), default=Path("genesis.json"), show_default=True)
@click.option("--base-port", type=int, default=9944, show_default=True, help="RPC port of node 0; node i has +i.")
@click.option("--p2p-base-port", type=int, help="Peer port of node 0  [default: base port + 20389]")
@click.option(
    "--preset", type=click.Choice(["devnet", "main"]), help="Pace and periods, instead of the genesis file's."
)
@click.option(
    "--price", default="1.00", show_default=True, help='Price of 1 AIT in US dollars, reported as a test, or "none".'
)
@click.option("--clean", "afresh", is_flag=True, help="Delete the devnet's chain, keys and logs first.")
@click.pass_context
def devnet(
    ctx: click.Context,
    count: int | None,
    data_dir: Path,
    chain: Path,
    base_port: int,
    p2p_base_port: int | None,
    preset: str | None,
    price: str,
    afresh: bool,
) -> None:
    """Run a network of validators on this machine.

    A second start continues the same chain. Ctrl-C stops all nodes in order.

    Exit codes: 0 stopped by you, 2 wrong options, 5 a port or the folder cannot be used, 6 a node died.
    """
    data_dir = data_dir.absolute()
    reported = None if price == "none" else parse_price(price)
    if reported is None and price != "none":
        raise BadInput(f'--price {price!r} is no price: write 1.25, or "none"')
    if afresh:
        clean(data_dir)
    plan = make_plan(
        folder=data_dir,
        chain=chain,
        count=count,
        base_port=base_port,
        p2p_base_port=p2p_base_port,
        preset=preset,
    )
    data_dir.mkdir(parents=True, exist_ok=True)
    with locked(data_dir):
        check_ports(plan)
        prepare(plan)
        asyncio.run(_run(plan, ctx.obj if callable(ctx.obj) else connect_to_node, reported))


async def _run(plan: Plan, connect: Connect, price: tuple[int, int] | None) -> None:
    """Start, show, wait for the end, stop.

    Raises:
        Unhealthy: a node died that was not told to.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    nodes: list[NodeProcess] = []
    try:
        # Who comes a moment late to a new chain would otherwise have to find out first whether its key voted before.
        extra = ("--force-sign",) if plan.begins else ()
        nodes.extend([await start(plan, node, *extra) for node in plan.nodes])
        dead = await _until_end(plan, nodes, connect, ended, price)
    finally:
        click.echo("stopping", err=True)
        for stubborn in await stop(nodes):
            click.echo(f"node {stubborn.plan.index} did not stop in time and was killed", err=True)
    if dead:
        raise Unhealthy(f"{dead} of {len(nodes)} nodes died")


async def _until_end(
    plan: Plan, nodes: list[NodeProcess], connect: Connect, ended: asyncio.Event, price: tuple[int, int] | None
) -> int:
    """Serve until told to end or nobody is left; how many nodes died meanwhile."""
    told = asyncio.ensure_future(ended.wait())
    works: set[asyncio.Future[Any]] = {asyncio.ensure_future(_show(plan, nodes, connect))}
    if price is not None:
        works.add(asyncio.ensure_future(report(plan, nodes, connect, price)))
    deaths: dict[asyncio.Future[Any], NodeProcess] = {
        asyncio.ensure_future(node.process.wait()): node for node in nodes
    }
    dead = 0
    try:
        while dead < len(nodes):
            done, _ = await asyncio.wait({told, *deaths, *works}, return_when="FIRST_COMPLETED")
            if told in done:
                return dead
            for death in done & deaths.keys():
                node = deaths.pop(death)
                dead += 1
                click.echo(node.obituary(), err=True)
                if dead < len(nodes):
                    again = shlex.join(["aitoken", *plan.arguments(node.plan)])
                    click.echo(f"the others go on; to start it again: {again}", err=True)
            for work in done & works:
                works.remove(work)
                work.result()  # an error of the display is an error of the devnet
        return dead
    finally:
        tasks = [told, *works, *deaths]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _show(plan: Plan, nodes: list[NodeProcess], connect: Connect) -> None:
    click.echo(f"starting {len(nodes)} validators; data and logs in {plan.folder}", err=True)
    serving = await asyncio.gather(*(wait_until_serving(node, START_SECONDS) for node in nodes))
    for node, answers in zip(nodes, serving, strict=True):
        if not answers and node.alive:
            click.echo(
                f"node {node.plan.index} does not answer on port {node.plan.rpc_port}; see {node.plan.log}", err=True
            )
    if not any(serving):
        return
    watch.show(watch.addresses(plan))
    watch.show("\n" + watch.pace(plan))
    watch.show("")
    watch.show(await watch.accounts(plan, nodes, connect))
    watch.show("")
    await watch.follow(nodes, connect, watch.show)
