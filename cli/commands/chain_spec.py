"""`aitoken chain-spec`: build, check and hash genesis files."""

from __future__ import annotations

from pathlib import Path

import click

from cli.amounts import show_amount
from cli.exits import BadInput
from cli.genesis import facts_of, raw_hash
from cli.render import Output, output_option, plain
from cli.specs import is_raw, read_spec, validators_of, with_preset, with_validators, write_spec

FILE = click.argument("file", type=click.Path(path_type=Path), default=Path("genesis.json"))


@click.group(name="chain-spec")
def chain_spec() -> None:
    """Build, check and hash genesis files."""


@chain_spec.command()
@FILE
@click.option("-n", "count", type=int, help="Development validators; as many as FILE has unless given.")
@click.option("--preset", type=click.Choice(["devnet", "main"]), help="Pace and periods.")
@click.option("--name", help="The name wallets show.")
@click.option("--id", "identity", help="Short name of the chain, for folders.")
def build(file: Path, count: int | None, preset: str | None, name: str | None, identity: str | None) -> None:
    """Derive a genesis file from FILE and print it: other validators, pace or name."""
    spec = with_preset(read_spec(file), preset)
    spec = with_validators(spec, count if count is not None else len(validators_of(spec)))
    changes = {"name": name, "id": identity}
    spec = spec | {field: value for field, value in changes.items() if value is not None}
    facts_of(spec)  # what cannot be started is not printed
    click.echo(write_spec(spec), nl=False)


@chain_spec.command()
@FILE
@output_option
def check(file: Path, out: Output) -> None:
    """Check a genesis file and show what it comes to.

    Exit codes: 0 a chain can start from it, 2 it is wrong (the message says where).
    """
    spec = read_spec(file)
    if is_raw(spec):
        raise BadInput(
            f"{file} is a raw Substrate chain spec; only its hash can be shown: aitoken chain-spec hash {file}"
        )
    facts = facts_of(spec)
    data = {"name": facts.name, "hash": facts.hash, "stateRoot": facts.state_root, "entries": facts.entries}
    data |= {"validators": len(validators_of(spec)), "issuance": facts.issuance}
    lines = [f"{name:<11} {show_amount(value) if name == 'issuance' else value}" for name, value in plain(data).items()]
    out.result(data, "\n".join(lines))


@chain_spec.command(name="hash")
@FILE
@click.option("--state-version", type=click.Choice(["0", "1"]), help="Of a raw spec: how its state root is computed.")
@output_option
def hash_(file: Path, state_version: str | None, out: Output) -> None:
    """Print the genesis hash of FILE: one of our genesis files, or any raw Substrate chain spec."""
    spec = read_spec(file)
    if is_raw(spec):
        block_hash = raw_hash(spec, int(state_version or "0"))
    elif state_version is not None:
        raise BadInput("--state-version is for raw Substrate chain specs; ours is always 1")
    else:
        block_hash = facts_of(spec).hash
    out.result({"hash": block_hash}, "0x" + block_hash.hex())
