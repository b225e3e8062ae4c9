"""`aitoken campaign`: pay people for work that helps, and earn by doing it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from aitoken.errors import Rejected
from cli import campaigns as words
from cli.amounts import parse_amount, show_amount
from cli.commands.campaign_attest import attest, challenge, hire, join, retire, stake
from cli.exits import BadInput, Unhealthy
from cli.money import show_money
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, facts_of, signer_options, submit_final
from cli.wallet import account_of

if TYPE_CHECKING:
    from aitoken.client.client import Client as Library

CALLS_A_TRANSACTION: Final = 50
number_argument = click.argument("number", type=click.IntRange(0, 2**64 - 1))
seed_option = click.option(
    "--seed-file", type=click.Path(path_type=Path), help=f"Secret that seals come from; {words.SEED} if not given."
)


class StakesTooLow(Rejected):
    """Whoever corrupted the attesters could take more than they would lose."""

    code = "campaign.stakes_too_low"


@click.group()
def campaign() -> None:
    """Pay people for work that helps, and earn by doing it."""


for command in (stake, join, attest, challenge, hire, retire):
    campaign.add_command(command)


@campaign.command()
@click.argument("task_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--reward", required=True, metavar="AIT", help="For one accepted work.")
@click.option("--budget", required=True, metavar="AIT", help="Put down now; what is not earned comes back.")
@click.option("--attester", "attesters", required=True, multiple=True, metavar="ACCOUNT", help="Who judges; up to 8.")
@click.option("--threshold", type=int, help="How many of them have to agree; more than half if not given.")
@click.option("--kind", type=click.Choice(words.KINDS, case_sensitive=False), default="Feedback", show_default=True)
@click.option("--per-person", type=click.IntRange(min=1), default=1, show_default=True, help="Works of one account.")
@click.option("--persons", metavar="SCOPE", help="Takes work of persons in this scope alone: 64 hexadecimal digits.")
@click.option("--issuers", type=click.IntRange(1, 8), default=1, show_default=True, help="How many vouch for a person.")
@click.option("--per-day", type=click.IntRange(min=1), default=100, show_default=True, help="Works of all in a day.")
@click.option("--stake", metavar="AIT", help="A submission puts at risk; the least that the chain asks if not given.")
@click.option(
    "--step", default="1d", show_default=True, help="How long each of the four phases lasts, at least 1m: 10m, 2h, 1d."
)
@click.option("--vesting", default="0", show_default=True, help="Over how long a reward is paid; 0 for at once.")
@click.option("--days", type=click.IntRange(1, 365), default=30, show_default=True, help="How long work is taken.")
@click.option("--decay", type=int, nargs=3, default=(0, 0, 10_000), metavar="EVERY FALL LEAST",
              help="The reward falls by FALL after each EVERY works, to LEAST; hundredths of a percent.")  # fmt: skip
@signer_options
@node_option
@output_option
def create(
    task_file: Path, reward: str, budget: str, attesters: Sequence[str], threshold: int | None, kind: str,
    per_person: int, per_day: int, stake: str | None, step: str, vesting: str, days: int, decay: tuple[int, int, int],
    persons: str | None, issuers: int, signer: Signer, session: Session, out: Output,
) -> None:  # fmt: skip
    """Make a campaign that pays for the task described in TASK_FILE.

    It opens when all attesters have joined. Refused where their stakes are too low for what the campaign could pay
    who corrupts them: the error says whose, and by how much.
    """
    from cli.works import hash_of, read_work

    pair, worth, judges = signer.pair(), parse_amount(reward), [account_of(each) for each in attesters]
    terms = {
        "kind": kind, "task_hash": hash_of(read_work(task_file)), "reward": worth,
        "decay": dict(zip(("every", "fall", "least"), decay, strict=True)), "per_person": per_person,
        "per_day": per_day, "stake": 0, "threshold": threshold or len(judges) // 2 + 1,
        "step_ms": words.parse_duration(step), "vesting_ms": words.parse_duration(vesting),
        "persons": words.parse_persons(persons, issuers),
    }  # fmt: skip

    async def make(client: Client) -> dict[str, Any]:
        error = client.constant("Rewards", "ErrorPercent")
        least = -(-worth * error // (100 - error))
        terms["stake"] = least if stake is None else parse_amount(stake)
        terms["until"] = await client.query("Timestamp", "Now") + days * words.UNITS_MS["d"]
        short = await cast("Library", client).runtime_call("RewardsApi", "shortfalls", terms, judges)
        if short:
            lines = [
                f"{one['attester']} has {show_amount(one['stake'])} at stake, and needs {show_amount(one['needed'])}"
                for one in short
            ]
            raise StakesTooLow("; ".join(lines) + ": they stake more, or the campaign pays less a day")
        call = client.call("Rewards", "create", terms=terms, attesters=judges, budget=parse_amount(budget))
        receipt = await submit_final(client, pair, [call], out)
        return facts_of(receipt) | {"campaign": field_in(receipt, "CampaignCreated", "campaign")}

    told = session.run(make)
    out.result(told, f"campaign {told['campaign']}: it opens when its {len(judges)} attesters have joined")


def field_in(receipt: Any, event: str, name: str) -> int:
    """A field of an event of Rewards in a receipt."""
    return next(int(each.fields[name]) for each in receipt.events if (each.pallet, each.name) == ("Rewards", event))


@campaign.command()
@number_argument
@click.argument("amount")
@signer_options
@node_option
@output_option
def fund(number: int, amount: str, signer: Signer, session: Session, out: Output) -> None:
    """Put money into a campaign, your own or another's; what is not earned comes back to you by your part."""
    pair, value = signer.pair(), parse_amount(amount)

    async def put(client: Client) -> dict[str, Any]:
        return facts_of(
            await submit_final(client, pair, [client.call("Rewards", "fund", campaign=number, amount=value)], out)
        )

    out.result(session.run(put) | {"campaign": number, "amount": value}, f"{show_amount(value)} are in it")


@campaign.command()
@number_argument
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The task, to be checked.")
@node_option
@output_option
def task(number: int, file: Path | None, session: Session, out: Output) -> None:
    """Show what a campaign asks for, what it pays, and whether it takes work now."""
    from aitoken.client.campaigns import campaign_of
    from cli.works import hash_of, read_work

    async def look(client: Client) -> tuple[Any, str]:
        found = await campaign_of(cast("Library", client), number)
        return found, await show_money(client, found.terms["reward"])

    found, reward = session.run(look)
    told = words.describe(found)
    if file is not None and hash_of(read_work(file)) != found.terms["task_hash"]:
        raise BadInput(f"{file} is not the task of campaign {number}")
    out.result(told, words.in_words(told, reward))


@campaign.command()
@number_argument
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--publish", type=click.Path(file_okay=False, path_type=Path), help="Put the work into this folder, "
              "under its hash, where attesters find it.")  # fmt: skip
@seed_option
@signer_options
@node_option
@output_option
def submit(
    number: int, file: Path, publish: Path | None, seed_file: Path | None, signer: Signer, session: Session, out: Output
) -> None:
    """Submit the work in FILE: sealed first, so that nobody can copy it, then disclosed.

    If it is cut off, say it again: work that was sealed and not disclosed is disclosed.
    """
    from aitoken.client.campaigns import all_works
    from aitoken.pay.seals import seal_of, work_salt
    from aitoken.types import AccountId, Hash32
    from cli import works

    pair, text = signer.pair(), works.read_work(file)
    content = Hash32(works.hash_of(text))
    salt = work_salt(words.secret(seed_file), number, content)
    seal = seal_of(number, AccountId(pair.public), content, salt)
    if publish is not None:
        works.publish(text, publish)

    async def send(client: Client) -> dict[str, Any]:
        found = [work for work in await all_works(cast("Library", client), number) if work.facts["seal"] == seal]
        if not found:
            call = client.call("Rewards", "submit", campaign=number, seal=seal)
            submission = field_in(await submit_final(client, pair, [call], out), "Submitted", "submission")
        else:
            submission = found[0].number
        if not found or found[0].facts["content"] is None:
            call = client.call("Rewards", "disclose", submission=submission, content=content, salt=salt)
            await submit_final(client, pair, [call], out)
        return {"campaign": number, "submission": submission, "content": content}

    told = session.run(send)
    out.result(told, f"submission {told['submission']}: sealed and disclosed as {'0x' + content.hex()}")


@campaign.command()
@number_argument
@signer_options
@node_option
@output_option
def pay(number: int, signer: Signer, session: Session, out: Output) -> None:
    """Have everything decided and paid that is due: anybody may, and pays the fees."""
    from aitoken.client.campaigns import all_works, campaign_of

    pair = signer.pair()

    async def settle(client: Client) -> dict[str, Any]:
        library = cast("Library", client)
        found, ruling = await campaign_of(library, number), client.constant("Rewards", "Ruling")
        sitting = client.constant("Rewards", "Judging") + client.constant("Rewards", "Unveiling")
        works = await all_works(library, number)
        due = [work.number for work in works if work.due(found.terms, found.now, ruling, sitting)]
        paid = 0
        for at in range(0, len(due), CALLS_A_TRANSACTION):
            calls = [client.call("Rewards", "settle", submission=each) for each in due[at : at + CALLS_A_TRANSACTION]]
            # One that somebody else has settled meanwhile must not undo the others.
            receipt = await submit_final(client, pair, [client.call("Utility", "force_batch", calls=calls)], out)
            paid += sum(event.fields["amount"] for event in receipt.events if event.name == "Paid")
        return {"campaign": number, "settled": len(due), "paid": paid}

    told = session.run(settle)
    out.result(told, f"{told['settled']} submissions settled, {show_amount(told['paid'])} paid")


@campaign.command()
@number_argument
@signer_options
@node_option
@output_option
def end(number: int, signer: Signer, session: Session, out: Output) -> None:
    """Take no more work, and give everybody back what is theirs once nothing can be paid any more.

    The owner may at any time, anybody after the campaign's time. Say it again while submissions are pending.
    """
    from aitoken.client.campaigns import all_works, campaign_of, shares_of

    pair = signer.pair()

    async def finish(client: Client) -> dict[str, Any]:
        library = cast("Library", client)
        found = await campaign_of(library, number)
        if not found.facts["ended"]:
            await submit_final(client, pair, [client.call("Rewards", "end", campaign=number)], out)
            found = await campaign_of(library, number)
        if found.facts["pending"]:
            return {"campaign": number, "pending": found.facts["pending"], "returned": 0}
        shares, works = await shares_of(library, number), await all_works(library, number)
        calls = [client.call("Rewards", "withdraw", campaign=number, sponsor=who) for who in shares]
        calls += [client.call("Rewards", "forget", submission=work.number) for work in works]
        returned = 0
        for at in range(0, len(calls), CALLS_A_TRANSACTION):
            receipt = await submit_final(client, pair, calls[at : at + CALLS_A_TRANSACTION], out)
            returned += sum(event.fields["amount"] for event in receipt.events if event.name == "Withdrawn")
        return {"campaign": number, "pending": 0, "returned": returned}

    told = session.run(finish)
    out.result(told, f"{told['pending']} submissions are pending: settle them first (pay)" if told["pending"]
               else f"{show_amount(told['returned'])} went back; the campaign is gone")  # fmt: skip


@campaign.command()
@number_argument
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a picture of it: an SVG file, anew each time.",
)
@node_option
@output_option
def report(number: int, plot: Path | None, session: Session, out: Output) -> None:
    """Show a campaign's submissions with what was paid for each, and how it goes in all."""
    from aitoken.client.campaign_ledger import stored
    from aitoken.client.campaigns import all_works, campaign_of

    async def look(client: Client) -> Any:
        library = cast("Library", client)
        block = await client.request("chain_getFinalizedHead")
        found = await campaign_of(library, number, at=block)
        return found, await all_works(library, number, at=block), await stored(library, number, at=block)

    found, works, ledger = session.run(look)
    if plot is not None:
        plot.write_text(words.plot(found, works), encoding="utf-8")
    if not out.json:
        out.result(None, words.in_words(words.describe(found)) + "\n")
    rows = [row | {"since": work.facts["since"]} for row, work in zip(words.report_rows(ledger), works, strict=True)]
    if not out.json:
        rows = [row | {"reward": show_amount(work.reward), "paid": show_amount(work.paid)}
                for row, work in zip(rows, ledger.works.values(), strict=True)]  # fmt: skip
    out.table(rows, ("submission", "who", "state", "yes", "no", "reward", "paid"))


@campaign.command()
@number_argument
@click.option("--check", is_flag=True, help="Compute it again from stored rows and from the events "
              "of all blocks, and compare.")  # fmt: skip
@click.option("--from-block", "first", type=click.IntRange(min=1), default=1, show_default=True, help="For --check.")
@node_option
@output_option
def ledger(number: int, check: bool, first: int, session: Session, out: Output) -> None:
    """Show all money of a campaign: who paid in, who earned what, for which evidence.

    The node tells it. --check trusts nobody's arithmetic; it needs a node that keeps the state of the campaign's
    blocks.
    """
    from aitoken.client import campaign_ledger as ways
    from aitoken.pay.campaign_ledger import differences, unbalanced

    async def look(client: Client) -> Any:
        library = cast("Library", client)
        block = await client.request("chain_getFinalizedHead")
        found, wrong = await ways.asked(library, number, at=block)
        if check:
            stored = await ways.stored(library, number, at=block)
            told = await ways.told(library, number, first=first, at=block)
            wrong += [f"node, or stored rows: {each}" for each in differences(found, stored.disclosed())]
            wrong += [f"stored rows, or events: {each}" for each in differences(stored, told)]
            wrong += unbalanced(told)
        return found, wrong

    now, wrong = session.run(look)
    data = {
        "campaign": number, "block": now.block, "paid_in": dict(now.paid_in), "remains": dict(now.remains),
        "left": now.left, "earned": now.earned, "by_person": dict(now.by_person()), "works": words.report_rows(now),
        "checked": check, "wrong": wrong,
    }  # fmt: skip
    lines = [f"{show_amount(amount):>24}  paid in by {who}, {show_amount(now.remains[who])} of it remain"
             for who, amount in now.paid_in.items()]  # fmt: skip
    lines += [f"{show_amount(-work.paid):>24}  to {work.who} for 0x{(work.content or b'').hex()}, accepted by "
              f"{len(work.accepted)}" for work in now.works.values() if work.paid]  # fmt: skip
    lines.append(f"{show_amount(now.left):>24}  left in block {now.block}")
    lines += [f"wrong: {each}" for each in wrong]
    lines += ["the node, the stored rows and the events of all blocks agree to the unit"] * (check and not wrong)
    out.result(data, "\n".join(lines))
    if wrong:
        raise Unhealthy("the ledger does not add up")
