"""The `aitoken` command: its subcommands, imported when used, and the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from aitoken.errors import AiTokenError, Bug
from cli.exits import Exit, exit_of, sentence_of

COMMANDS: dict[str, tuple[str, str]] = {
    "allowance": (
        "cli.commands.allowance:allowance",
        "Let other keys spend your money within limits, and stop them.",
    ),
    "arbiter": ("cli.commands.arbiter:arbiter", "Judge challenged work of campaigns, and disputes about payments."),
    "ask": ("cli.commands.ask:ask", "Ask a model, pay, and show the answer and what it cost."),
    "audit": (
        "cli.commands.audit:audit",
        "Check all receipts again: signatures, order, prices, and that the chain paid no more than they come to.",
    ),
    "balance": ("cli.commands.balance:balance", "Show what an account owns."),
    "book": ("cli.commands.book:book", "Make price files."),
    "campaign": ("cli.commands.campaign:campaign", "Pay people for work that helps, and earn by doing it."),
    "chain-spec": ("cli.commands.chain_spec:chain_spec", "Build, check and hash genesis files."),
    "checkpoint": (
        "cli.commands.checkpoint:checkpoint",
        "Print a checkpoint, as a light client or a new node takes it.",
    ),
    "close": (
        "cli.commands.close:close",
        "Close sessions: take the last receipts, countersign them, and get the rest of the money back.",
    ),
    "cost": (
        "cli.commands.cost:cost",
        "Show what a task may cost at most at each gateway, the cheapest first.",
    ),
    "coupon": (
        "cli.commands.coupon:coupon",
        "Make, print, claim and cancel codes that are worth tokens or credit.",
    ),
    "devnet": ("cli.commands.devnet:devnet", "Run a network of validators on this machine."),
    "dispute": ("cli.commands.dispute:dispute", "Complain about what you have paid for, and answer complaints."),
    "doctor": ("cli.commands.doctor:doctor", "Say in words what is wrong with a node."),
    "facilitator": ("cli.commands.facilitator:facilitator", "Settle x402 payments until SIGTERM or Ctrl-C."),
    "gateway": ("cli.commands.gateway:gateway", "Sell AI by the unit until SIGTERM or Ctrl-C."),
    "gift": ("cli.commands.gift:gift", "Make a link worth VALUE AIT for one person, and show it once."),
    "identity": (
        "cli.commands.identity:identity",
        "Say who you are, and see who others are and who vouches for them.",
    ),
    "invite": ("cli.commands.invite:invite", "Bring people here, and share the fees that they burn."),
    "issuer": (
        "cli.commands.issuer:issuer",
        "Vouch for accounts, providers and things, with a stake behind it.",
    ),
    "key": ("cli.commands.key:key", "Make, look at and list keys."),
    "name": ("cli.commands.name:name", "Have, show and challenge readable names."),
    "node": ("cli.commands.node:node", "Run one node, or ask how it is."),
    "provider": ("cli.commands.provider:provider", "Become a seller of AI, and see how one is."),
    "person": (
        "cli.commands.person:person",
        "Show that you are one person, once, without showing who; or let persons in.",
    ),
    "proxy": (
        "cli.commands.proxy:proxy",
        "Pay for any OpenAI tool until SIGTERM or Ctrl-C: give it the address printed here as its base URL.",
    ),
    "query": ("cli.commands.query:query", "Read one storage item of the chain."),
    "rating": (
        "cli.commands.rating:rating",
        "Rate what you have paid for, and see what others say who have paid.",
    ),
    "receipts": ("cli.commands.receipts:receipts", "List what was paid for, the newest first."),
    "signer": ("cli.commands.signer:signer", "Hold a validator's keys in a process of their own."),
    "topup": (
        "cli.commands.topup:topup",
        "Put money down with a provider: into the session there is, or a new one.",
    ),
    "transfer": ("cli.commands.transfer:transfer", "Send tokens."),
    "validator": (
        "cli.commands.validator:validator",
        "Become a validator, see how one is, change its keys, leave.",
    ),
}
"""Name -> where it is defined, and its line in the help (a test keeps it equal to the command's own)."""


class Lazy(click.Group):
    """A group that imports a command when it is called, so that help and mistakes answer at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import the module of a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def main(  # type: ignore[override]  # click's two overloads in one
        self, args: Sequence[str] | None = None, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Run a command and end with the exit code its outcome has.

        No traceback for what is wrong with the input, the chain or the network; a bug shows all there is.
        """
        code = _run(lambda: super(Lazy, self).main(args, standalone_mode=False, **extra))
        if standalone_mode:
            sys.exit(code)
        return code


def _run(command: Callable[[], object]) -> int:
    try:
        outcome = command()
    except click.ClickException as error:
        error.show(sys.stderr)
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return Exit.INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Bug:
        raise
    except AiTokenError as error:
        click.echo(f"error: {sentence_of(error)} [{error.code}]", err=True)
        return exit_of(error)
    return outcome if isinstance(outcome, int) else Exit.OK


@click.group(
    cls=Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 ok, 1 bug, 2 usage, 3 refused by the chain, 4 unreachable, 5 unusable folder, port or key, "
    "6 unhealthy, 7 fate of a sent transaction unknown, 70 a running node failed.",
)
@click.version_option(package_name="aitoken-node", prog_name="aitoken", message="%(prog)s %(version)s")
def main() -> None:
    """AI Token: a proof-of-stake network for paying AI services by the unit."""
