"""`aitoken arbiter`: the court of campaigns, by hand or by a service."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from cli import campaigns as words
from cli.amounts import parse_amount, show_amount
from cli.judging import judging_options, library_at, put_at_stake, serve, take_stake_back
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, signer_options

if TYPE_CHECKING:
    from aitoken.client.client import Client as Library
    from aitoken.client.court import Opinion, Sat, Trial
    from cli.works import Library as Works

_DONE: Final = (
    ("seated", "drew the panel on"), ("judged", "judged"), ("unveiled", "opened the vote on"), ("ruled", "ended"),
)  # fmt: skip


@click.group()
def arbiter() -> None:
    """Say whether challenged work of campaigns is a fraud.

    Arbiters are drawn by chance, by stake, and paid out of the bond of who was wrong or the stake of who was bribed.
    Who is drawn and says nothing loses 5 % of its stake.
    """


@arbiter.command()
@click.argument("amount")
@signer_options
@node_option
@output_option
def stake(amount: str, signer: Signer, session: Session, out: Output) -> None:
    """Put AMOUNT at stake, beside what is there, and be drawn from now on; 100 AIT is the least.

    Arbiters are drawn for disputes about payments too, which are judged by the calls `Disputes.commit` and `reveal`.
    """
    told = put_at_stake(session, signer, out, ("Disputes", "register_arbiter"), stake=parse_amount(amount))
    out.result(told, f"{show_amount(told['stake'])} are at stake: keep `aitoken arbiter judge --service` running")


@arbiter.command()
@signer_options
@node_option
@output_option
def retire(signer: Signer, session: Session, out: Output) -> None:
    """Be drawn no more, and take the stake back; not while you sit on a panel."""
    take_stake_back(session, signer, out, ("Disputes", "retire_arbiter"))


@arbiter.command()
@node_option
@output_option
def cases(session: Session, out: Output) -> None:
    """Show what is challenged, where that stands, and who sits on the panel."""
    from aitoken.client.campaigns import Following
    from aitoken.client.court import trials

    async def look(client: Client) -> list[Trial]:
        library = cast("Library", client)
        return await trials(library, Following(library))

    rows = [
        {
            "submission": trial.work.number, "campaign": trial.work.facts["campaign"], "stand": trial.stand.value,
            "since": words.show_time(trial.challenge["since"]), "work": trial.work.facts["content"],
            "evidence": trial.challenge["evidence"], "panel": ", ".join(seat["arbiter"] for seat in trial.panel),
        }
        for trial in session.run(look)
    ]  # fmt: skip
    out.table(rows, ("submission", "campaign", "stand", "since", "work", "evidence", "panel"))


@arbiter.command()
@judging_options
@click.option("--fraud", "frauds", type=int, multiple=True, metavar="SUBMISSION", help="This one is a fraud.")
@click.option("--good", "goods", type=int, multiple=True, metavar="SUBMISSION", help="This one is none.")
@signer_options
@node_option
@output_option
def judge(
    place: str | None, command: str | None, seconds: float, service: bool, every: float, seed_file: Path | None,
    frauds: Sequence[int], goods: Sequence[int], signer: Signer, session: Session, out: Output,
) -> None:  # fmt: skip
    """Do what can be done about challenges now: draw panels, judge, open what was judged, carry rulings out.

    Once, or as a service. The check is that of attesters: it has the work on standard input and the evidence in the
    file AITOKEN_EVIDENCE; exit code 0 says that the work is good, 1 that it is a fraud.
    """
    from aitoken.client.court import Juror

    pair, secret = signer.pair(), words.secret(seed_file)
    by_hand = dict.fromkeys(frauds, True) | dict.fromkeys(goods, False)

    async def look(opinion: Opinion) -> Sat:
        async with session.client() as client:
            juror = Juror(cast("Library", client), pair, secret, opinion)
            while True:
                done = await juror.step()
                for name, verb in _DONE:
                    if numbers := getattr(done, name):
                        out.progress(f"{verb} {', '.join(map(str, numbers))}")
                if not service:
                    return done
                await asyncio.sleep(every)

    async def work() -> Sat | None:
        async with library_at(place) as library:
            opinion = _opinion(library, command, seconds, by_hand, out)
            if not service:
                return await look(opinion)
            await serve(lambda: look(opinion), every, out)
            return None

    done = asyncio.run(work())
    told = {name: getattr(done, name, []) for name in ("seated", "judged", "unveiled", "ruled", "silent")}
    out.result(told, ", ".join(f"{name} {len(numbers)}" for name, numbers in told.items()))


def _opinion(
    library: Works | None, command: str | None, seconds: float, by_hand: dict[int, bool], out: Output
) -> Opinion:
    """The opinion of this run: what a person said, and the check for all else."""
    from cli.works import Check

    check = None if command is None else Check(command, seconds)

    async def opinion(trial: Trial) -> bool | None:
        facts, number = trial.work.facts, trial.work.number
        if number in by_hand or check is None or library is None:
            return by_hand.get(number)
        text = facts["content"] and await library.get(facts["content"])
        if text is None:
            out.progress(f"submission {number}: the work is not there, or not what was sealed")
            return None
        evidence = await library.get(trial.challenge["evidence"])
        with tempfile.TemporaryDirectory(prefix="aitoken-") as folder:
            given = {"campaign": facts["campaign"], "submission": number, "who": facts["who"]}
            if evidence is not None:
                path = Path(folder) / "evidence"
                path.write_bytes(evidence)
                given["evidence"] = os.fspath(path)
            verdict = await check(text, given)
        said = {True: "good", False: "a fraud", None: "no verdict"}[verdict.accepts]
        out.progress(f"submission {number}: {said}: {verdict.told[:200]}")
        return None if verdict.accepts is None else not verdict.accepts

    return opinion
