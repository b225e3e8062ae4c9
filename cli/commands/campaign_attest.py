"""`aitoken campaign join|attest|hire|challenge`: judging the work of campaigns, by hand or by a service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from aitoken.types import AIT
from cli import campaigns as words
from cli.amounts import parse_amount, show_amount
from cli.exits import BadInput
from cli.judging import judging_options, library_at, put_at_stake, serve, take_stake_back
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, facts_of, signer_options, submit_final
from cli.wallet import account_of, address_of

if TYPE_CHECKING:
    from aitoken.client.attester import Judge
    from aitoken.client.campaigns import Campaign, Work
    from aitoken.client.client import Client as Library
    from cli.works import Library as Works

LEAST: Final = 10 * AIT
number_argument = click.argument("number", type=click.IntRange(0, 2**64 - 1))


@click.command()
@click.argument("amount")
@signer_options
@node_option
@output_option
def stake(amount: str, signer: Signer, session: Session, out: Output) -> None:
    """Put AMOUNT at stake to judge work, beside what is there: 10 AIT is the least.

    Who accepts a fraud loses all of it.
    """
    told = put_at_stake(session, signer, out, ("Rewards", "stake"), LEAST, amount=parse_amount(amount))
    out.result(told, f"{show_amount(told['stake'])} are at stake")


@click.command()
@signer_options
@node_option
@output_option
def retire(signer: Signer, session: Session, out: Output) -> None:
    """Judge no more, and take the stake back; it is free once it stands for no campaign."""
    take_stake_back(session, signer, out, ("Rewards", "retire"))


@click.command()
@number_argument
@signer_options
@node_option
@output_option
def join(number: int, signer: Signer, session: Session, out: Output) -> None:
    """Judge the work of a campaign: put down what is missing of the stake it needs, and stand for it."""
    from aitoken.client.campaigns import campaign_of

    pair = signer.pair()

    async def stand(client: Client) -> dict[str, Any]:
        library = cast("Library", client)
        found = await campaign_of(library, number)
        short = await library.runtime_call("RewardsApi", "shortfalls", found.terms, [pair.public])
        missing = short[0]["needed"] - short[0]["stake"] if short else 0
        if missing:
            out.progress(f"{show_amount(missing)} are put at stake until the campaign is gone")
        calls = [client.call("Rewards", "stake", amount=missing)] if missing else []
        calls.append(client.call("Rewards", "join", campaign=number))
        return facts_of(await submit_final(client, pair, calls, out)) | {"campaign": number, "staked": missing}

    told = session.run(stand)
    out.result(told, f"you judge campaign {number}")


@click.command()
@click.argument("key")
@click.option("--fees", default="5", show_default=True, metavar="AIT", help="What the key may spend on fees in all.")
@click.option("--days", type=click.IntRange(1, 365), default=90, show_default=True, help="How long.")
@signer_options
@node_option
@output_option
def hire(key: str, fees: str, days: int, signer: Signer, session: Session, out: Output) -> None:
    """Let KEY vote for you: it can do nothing else, and its fees are yours.

    So the key of your stake stays where it is safe, and a service has its own. Whoever steals that can accept frauds,
    which costs your stake: `Allowances.revoke` ends it at once.
    """
    pair, total = signer.pair(), parse_amount(fees)

    async def grant(client: Client) -> dict[str, Any]:
        expires = await client.query("Timestamp", "Now") + days * words.UNITS_MS["d"]
        limits = {"per_transaction": total, "per_period": total, "total": total, "period": 0}
        call = client.call(
            "Allowances", "grant", key=account_of(key), limits=limits, expires=expires, parent=None,
            scope={"purposes": ["Attest"], "payees": []},
        )  # fmt: skip
        receipt = await submit_final(client, pair, [call], out)
        number = next(event.fields["grant"] for event in receipt.events if event.name == "Granted")
        return facts_of(receipt) | {"grant": number, "owner": address_of(pair.public)}

    told = session.run(grant)
    out.result(told, f"grant {told['grant']}: attest --for {told['owner']} --grant {told['grant']}")


@click.command()
@click.argument("submission", type=click.IntRange(0, 2**64 - 1))
@click.argument("evidence", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--publish", type=click.Path(file_okay=False, path_type=Path), help="Put the evidence into this folder, "
              "under its hash, where arbiters find it.")  # fmt: skip
@signer_options
@node_option
@output_option
def challenge(
    submission: int, evidence: Path, publish: Path | None, signer: Signer, session: Session, out: Output
) -> None:
    """Say that work is a fraud, for the reasons in the file EVIDENCE: nothing of it is paid until arbiters have ruled.

    It puts a bond at risk. If they agree, you have it back with a part of what the attesters lose that accepted the
    work; else the bond goes to who had to wait, and to the arbiters.
    """
    from aitoken.client.court import bond_for
    from cli import works

    pair, text = signer.pair(), works.read_work(evidence)
    if publish is not None:
        works.publish(text, publish)

    async def say(client: Client) -> dict[str, Any]:
        bond = await bond_for(cast("Library", client), submission)
        out.progress(f"{show_amount(bond)} are put at risk: lost if arbiters do not call it a fraud")
        call = client.call("Rewards", "challenge", submission=submission, evidence=works.hash_of(text))
        return facts_of(await submit_final(client, pair, [call], out)) | {"submission": submission, "bond": bond}

    told = session.run(say)
    out.result(told, f"submission {submission} is challenged: arbiters are drawn and rule (aitoken arbiter cases)")


@click.command()
@number_argument
@judging_options
@click.option("--accept", type=int, multiple=True, metavar="SUBMISSION", help="Accept this one, looked at by yourself.")
@click.option("--reject", type=int, multiple=True, metavar="SUBMISSION", help="Reject this one.")
@click.option("--for", "owner", metavar="ACCOUNT", help="Vote for this attester, who has hired your key.")
@click.option("--grant", type=int, help="The number of that permission.")
@signer_options
@node_option
@output_option
def attest(
    number: int, place: str | None, command: str | None, seconds: float, accept: Sequence[int],
    reject: Sequence[int], service: bool, every: float, owner: str | None, grant: int | None,
    seed_file: Path | None, signer: Signer, session: Session, out: Output,
) -> None:  # fmt: skip
    """Judge work: vote where it is time to vote, open votes where it is time for that.

    Once, or as a service that goes on by itself. Nothing has to be kept but the secret of the seals.
    """
    from aitoken.client.attester import Attester, Grant
    from aitoken.types import AccountId

    if (owner is None) != (grant is None):
        raise BadInput("--for needs --grant, and --grant needs --for")
    pair, secret = signer.pair(), words.secret(seed_file)
    permission = None if owner is None or grant is None else Grant(AccountId(account_of(owner)), grant)
    by_hand = dict.fromkeys(accept, True) | dict.fromkeys(reject, False)

    async def look(judge: Judge) -> dict[str, Any]:
        async with session.client() as client:
            attester = Attester(cast("Library", client), pair, secret, number, judge, permission)
            while True:
                done = await attester.step()
                for verb, those in (("voted on", done.voted), ("opened the vote on", done.revealed)):
                    if those:
                        out.progress(f"{verb} {', '.join(map(str, those))}")
                if not service:
                    return {"voted": done.voted, "revealed": done.revealed, "silent": done.silent}
                await asyncio.sleep(every)

    async def work() -> dict[str, Any]:
        async with library_at(place) as library:
            judge = _judge(library, command, seconds, by_hand, out)
            if not service:
                return await look(judge)
            await serve(lambda: look(judge), every, out)
            return {"voted": [], "revealed": [], "silent": []}

    told = asyncio.run(work())
    out.result(
        told, f"voted on {len(told['voted'])}, opened {len(told['revealed'])}, no verdict on {len(told['silent'])}"
    )


def _judge(library: Works | None, command: str | None, seconds: float, by_hand: dict[int, bool], out: Output) -> Judge:
    """The judge of this run: what a person said, and the check for all else."""
    from cli.works import Check

    check = None if command is None else Check(command, seconds)
    known = dict(by_hand)

    async def judge(campaign: Campaign, work: Work) -> bool | None:
        if work.number in known or check is None or library is None:
            return known.get(work.number)
        text = await library.get(work.facts["content"])
        if text is None:
            out.progress(f"submission {work.number}: the work is not there, or not what was sealed")
            return None
        facts = {"campaign": campaign.number, "submission": work.number, "who": work.facts["who"],
                 "task": "0x" + campaign.terms["task_hash"].hex()}  # fmt: skip
        verdict = await check(text, facts)
        out.progress(f"submission {work.number}: {_NAMES[verdict.accepts]}: {verdict.told[:200]}")
        if verdict.accepts is not None:
            known[work.number] = verdict.accepts
        return verdict.accepts

    return judge


_NAMES: Final = {True: "accepted", False: "rejected", None: "no verdict"}
