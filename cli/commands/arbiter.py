"""`aitoken arbiter`: the court of campaigns and disputes about payments, by hand or by a service."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from aitoken.pay.seals import FULL_AWARD
from aitoken.types import AIT
from cli import campaigns as words
from cli.amounts import parse_amount, show_amount
from cli.disputing import stand_of, subject_of
from cli.exits import BadInput
from cli.judging import judging_options, library_at, put_at_stake, serve, take_stake_back
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, signer_options

if TYPE_CHECKING:
    from aitoken.client import disputes
    from aitoken.client.client import Client as Library
    from aitoken.client.court import Opinion, Sat, Trial
    from cli.works import Library as Works

LEAST: Final = 100 * AIT
_DONE: Final = (
    ("seated", "drew the panel on"), ("judged", "judged"), ("unveiled", "opened the vote on"), ("ruled", "ended"),
)  # fmt: skip


@click.group()
def arbiter() -> None:
    """Judge challenged work of campaigns, and disputes about payments.

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

    Arbiters are drawn for challenged work and for disputes about payments.
    """
    call = ("Disputes", "register_arbiter")
    told = put_at_stake(session, signer, out, call, LEAST, stake=parse_amount(amount))
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
    """Show what is to be judged, where that stands, and who sits on the panel.

    That is challenged work of campaigns, and disputes about payments: `aitoken dispute show` says more of these.
    """
    from aitoken.client import disputes
    from aitoken.client.campaigns import Following
    from aitoken.client.court import trials

    async def look(client: Client) -> tuple[list[Trial], list[disputes.Case]]:
        library = cast("Library", client)
        return await trials(library, Following(library)), await disputes.cases(library)

    challenges, payments = session.run(look)
    rows = [
        {
            "submission": trial.work.number, "campaign": trial.work.facts["campaign"], "stand": trial.stand.value,
            "since": words.show_time(trial.challenge["since"]), "work": trial.work.facts["content"],
            "evidence": trial.challenge["evidence"], "panel": ", ".join(seat["arbiter"] for seat in trial.panel),
        }
        for trial in challenges
    ]  # fmt: skip
    rows += [
        {
            "dispute": case.number, "stand": stand_of(case), "evidence": case.facts["evidence"],
            "answer": case.facts["answer"], "panel": ", ".join(seat["arbiter"] for seat in case.panel),
        }
        for case in payments
        if case.phase != disputes.ENDED
    ]  # fmt: skip
    out.table(rows, ("submission", "campaign", "dispute", "stand", "since", "work", "evidence", "answer", "panel"))


@arbiter.command()
@judging_options
@click.option("--fraud", "frauds", type=int, multiple=True, metavar="SUBMISSION", help="This one is a fraud.")
@click.option("--good", "goods", type=int, multiple=True, metavar="SUBMISSION", help="This one is none.")
@click.option("--award", "awards", type=(int, str), multiple=True, metavar="DISPUTE PERCENT",
              help="So much of the amount of a dispute goes to the buyer.")  # fmt: skip
@click.option("--check-disputes", "second", metavar="COMMAND", help="Command that judges disputes: the buyer's "
              "evidence on its standard input, exit code 0 for the seller, 1 for the buyer.")  # fmt: skip
@signer_options
@node_option
@output_option
def judge(
    place: str | None, command: str | None, seconds: float, service: bool, every: float, seed_file: Path | None,
    frauds: Sequence[int], goods: Sequence[int], awards: Sequence[tuple[int, str]], second: str | None,
    signer: Signer, session: Session, out: Output,
) -> None:  # fmt: skip
    """Do what can be done now: draw panels on challenges, judge, open what was judged, carry rulings out.

    Once, or as a service. The check is that of attesters: it has the work on standard input and the evidence in the
    file AITOKEN_EVIDENCE; exit code 0 says that the work is good, 1 that it is a fraud. Disputes about payments have a
    check of their own, with the seller's answer in the file AITOKEN_ANSWER; by hand, `--award 7 25` gives the buyer of
    case 7 a quarter. Without either, the service says which dispute waits for you.
    """
    from aitoken.client.court import Juror
    from aitoken.client.disputes import Panelist

    if second is not None and place is None:
        raise BadInput("a check needs --works")
    pair, secret = signer.pair(), words.secret(seed_file)
    by_hand = dict.fromkeys(frauds, True) | dict.fromkeys(goods, False)
    parts = {number: _award(percent) for number, percent in awards}

    async def look(opinion: Opinion, award: disputes.Opinion) -> tuple[Sat, disputes.Sat]:
        async with session.client() as client:
            library = cast("Library", client)
            juror, panelist = Juror(library, pair, secret, opinion), Panelist(library, pair, secret, award)
            while True:
                done, also = await juror.step(), await panelist.step()
                for name, verb in _DONE:
                    if numbers := getattr(done, name):
                        out.progress(f"{verb} {', '.join(map(str, numbers))}")
                    if numbers := getattr(also, name, None):
                        out.progress(f"{verb} dispute {', '.join(map(str, numbers))}")
                if not service:
                    return done, also
                await asyncio.sleep(every)

    async def work() -> tuple[Sat, disputes.Sat] | None:
        async with library_at(place) as library:
            opinion = _opinion(library, command, seconds, by_hand, out)
            award = _opinion_of_disputes(library, second, seconds, parts, out)
            if not service:
                return await look(opinion, award)
            await serve(lambda: look(opinion, award), every, out)
            return None

    done, also = asyncio.run(work()) or (None, None)
    told: dict[str, Any] = {
        name: getattr(done, name, []) for name in ("seated", "judged", "unveiled", "ruled", "silent")
    }
    text = ", ".join(f"{name} {len(numbers)}" for name, numbers in told.items())
    told["disputes"] = {name: getattr(also, name, []) for name in ("judged", "unveiled", "silent")}
    text += "; disputes: " + ", ".join(f"{name} {len(numbers)}" for name, numbers in told["disputes"].items())
    out.result(told, text)


def _award(text: str) -> int:
    """A part of an amount in hundredths of a percent.

    Raises:
        BadInput: it is none.
    """
    found = re.fullmatch(r"(\d{1,3})(?:\.(\d{1,2}))?", text, re.ASCII)
    award = -1 if found is None else int(found[1] + (found[2] or "").ljust(2, "0"))
    if not 0 <= award <= FULL_AWARD:
        raise BadInput(f"{text!r} is no part: write 0 to 100 percent, with two decimals at most")
    return award


def _opinion(
    library: Works | None, command: str | None, seconds: float, by_hand: dict[int, bool], out: Output
) -> Opinion:
    """The opinion of this run on challenges: what a person said, and the check for all else."""

    async def opinion(trial: Trial) -> bool | None:
        facts, number = trial.work.facts, trial.work.number
        if number in by_hand or command is None or library is None:
            return by_hand.get(number)
        text = facts["content"] and await library.get(facts["content"])
        if text is None:
            out.progress(f"submission {number}: the work is not there, or not what was sealed")
            return None
        evidence = ("evidence", await library.get(trial.challenge["evidence"]))
        given = {"campaign": facts["campaign"], "submission": number, "who": facts["who"]}
        accepts, told = await _verdict(command, seconds, text, given, evidence)
        said = {True: "good", False: "a fraud", None: "no verdict"}[accepts]
        out.progress(f"submission {number}: {said}: {told}")
        return None if accepts is None else not accepts

    return opinion


def _opinion_of_disputes(
    library: Works | None, command: str | None, seconds: float, by_hand: dict[int, int], out: Output
) -> disputes.Opinion:
    """The opinion of this run on disputes about payments, likewise."""

    async def opinion(case: disputes.Case) -> int | None:
        facts, number = case.facts, case.number
        if number in by_hand:
            return by_hand[number]
        if command is None or library is None:
            out.progress(f"dispute {number}: {stand_of(case)}, and you sit on it: --award {number} PERCENT")
            return None
        text = await library.get(facts["evidence"])
        if text is None:
            out.progress(f"dispute {number}: the buyer's evidence is not there")
            return None
        answer = ("answer", await library.get(facts["answer"]))
        given = {"dispute": number, "subject": subject_of(case), "amount": facts["amount"]}
        accepts, told = await _verdict(command, seconds, text, given, answer)
        said = {True: "for the seller", False: "for the buyer", None: "no verdict"}[accepts]
        out.progress(f"dispute {number}: {said}: {told}")
        return None if accepts is None else FULL_AWARD * (not accepts)

    return opinion


async def _verdict(
    command: str, seconds: float, text: bytes, given: dict[str, Any], beside: tuple[str, bytes | None]
) -> tuple[bool | None, str]:
    """What a check says of a text, with another text in a file whose place the environment tells."""
    from cli.works import Check

    name, more = beside
    with tempfile.TemporaryDirectory(prefix="aitoken-") as folder:
        if more is not None:
            path = Path(folder) / name
            path.write_bytes(more)
            given[name] = os.fspath(path)
        verdict = await Check(command, seconds)(text, given)
    return verdict.accepts, verdict.told[:200]
