"""`aitoken dispute`: cases about payments, for buyers and sellers; who judges them has `aitoken arbiter`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cli.amounts import parse_amount, show_amount
from cli.disputing import facts_in, stand_of, words_of
from cli.exits import BadInput
from cli.hashes import hash_in
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.signing import Signer, facts_of, signer_options, submit_final
from cli.wallet import account_of, address_of

if TYPE_CHECKING:
    from aitoken.client.client import Client as Library
    from aitoken.client.disputes import Case, Payment


case_argument = click.argument("case", type=click.IntRange(0, 2**64 - 1))
publish_option = click.option(
    "--publish", type=click.Path(file_okay=False, path_type=Path),
    help="Put the file into this folder, under its hash, where arbiters find it.",
)  # fmt: skip


@click.group()
def dispute() -> None:
    """Complain about what you have paid for, and answer complaints.

    A buyer opens a case; the seller answers, and arbiters drawn by chance say how much the buyer gets back, out of the
    seller's bond. Both put down a bond, which who is wrong loses. A seller who is silent loses the case.
    """


@dispute.command(name="open")
@click.argument("paid", metavar="SESSION|SUBSCRIPTION")
@click.argument("evidence", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--amount", metavar="AIT", help="What you want back. Default: all that the seller has of it.")
@click.option("--receipt", "receipts", metavar="HASH", multiple=True, help="Hash of a receipt it is about; up to 16.")
@publish_option
@signer_options
@node_option
@output_option
def open_case(
    paid: str, evidence: Path, amount: str | None, receipts: tuple[str, ...], publish: Path | None, signer: Signer,
    session: Session, out: Output,
) -> None:  # fmt: skip
    """Want money back for a session (its 64 digits, as `receipts` shows) or the present period of a subscription.

    EVIDENCE is a file that says what was wrong: its hash goes on chain, what it says is for the arbiters.
    2 % of the amount, 1 AIT at least, are held as your bond until the case is over. There is one case about each.
    """
    if len(receipts) > 16:
        raise BadInput("a case names 16 receipts at most")
    hashes, wanted = [hash_in(each) for each in receipts], None if amount is None else parse_amount(amount)
    content, pair = _content(evidence, publish), signer.pair()

    async def complain(client: Client) -> tuple[Any, Case]:
        from aitoken.client.disputes import case_of

        library = cast("Library", client)
        found = await _payment(library, paid)
        if found.payer != address_of(pair.public):
            raise BadInput(f"{found.payer} has paid that: only who paid may complain")
        asked = found.paid if wanted is None else wanted
        if not 0 < asked <= found.paid:
            raise BadInput(f"the seller has {show_amount(found.paid)} of it: ask for more than nothing, and no more")
        call = client.call(
            "Disputes", "open", subject=found.subject, amount=asked, evidence=content, receipts=hashes
        )  # fmt: skip
        receipt = await submit_final(client, pair, [call], out)
        number = next(event.fields["case"] for event in receipt.events if event.name == "CaseOpened")
        return receipt, await case_of(library, number)

    receipt, case = session.run(complain)
    told = f"case {case.number} is open, {show_amount(case.facts['bond'])} are held as your bond: {stand_of(case)}"
    out.result(facts_of(receipt) | facts_in(case), told)


async def _payment(client: Library, paid: str) -> Payment:
    from aitoken.client.disputes import payment_by_session, payment_by_subscription

    if re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", paid):
        return await payment_by_session(client, hash_in(paid))
    if re.fullmatch(r"[0-9]{1,19}", paid):
        return await payment_by_subscription(client, int(paid))
    raise BadInput(f"{paid!r} is neither a session (64 hex digits) nor the number of a subscription")


def _content(file: Path, publish: Path | None) -> bytes:
    """The hash of a file that arbiters should see."""
    from cli import works

    text = works.read_work(file)
    if publish is not None:
        works.publish(text, publish)
    return works.hash_of(text)


def _does(name: str, text: str, note: str) -> click.Command:
    """Make a command that makes one call about a case, which takes nothing else."""

    @click.command(name=name, help=note)
    @case_argument
    @signer_options
    @node_option
    @output_option
    def act(case: int, signer: Signer, session: Session, out: Output) -> None:
        _tell(session, signer, out, case, name, text)

    return act


def _tell(
    session: Session, signer: Signer, out: Output, number: int, name: str, text: str, **arguments: Any
) -> None:  # fmt: skip
    """Make a call about a case, and say how the case stands then."""
    pair = signer.pair()

    async def send(client: Client) -> tuple[Any, Case | None]:
        from aitoken.client.disputes import NoSuchCase, case_of

        library = cast("Library", client)
        await case_of(library, number)
        receipt = await submit_final(client, pair, [client.call("Disputes", name, case=number, **arguments)], out)
        try:
            return receipt, await case_of(library, number)
        except NoSuchCase:
            return receipt, None

    receipt, case = session.run(send)
    data = {"case": number} if case is None else facts_in(case)
    out.result(facts_of(receipt) | data, text if case is None else f"{text}; {stand_of(case)}")


@dispute.command()
@case_argument
@click.argument("evidence", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@publish_option
@signer_options
@node_option
@output_option
def answer(case: int, evidence: Path, publish: Path | None, signer: Signer, session: Session, out: Output) -> None:
    """Answer a case as the seller (owner or operator), with a file that says your side; then a panel is drawn.

    A bond as high as the buyer's is held. Who does not answer in time loses the case.
    """
    _tell(session, signer, out, case, "respond", "answered", answer=_content(evidence, publish))


@dispute.command()
@case_argument
@click.argument("amount")
@signer_options
@node_option
@output_option
def offer(case: int, amount: str, signer: Signer, session: Session, out: Output) -> None:
    """Offer the buyer AMOUNT to settle, as the seller, in place of an earlier offer; it is held. 0 takes it back."""
    value = parse_amount(amount)
    text = f"{show_amount(value)} are offered" if value else "the offer is taken back"
    _tell(session, signer, out, case, "offer", text, amount=value)


for _command in (
    _does("accept", "the offer is accepted, and everybody has its bond back",
          "Take what the seller offers: the case is over, and everybody has its bond back."),
    _does("withdraw", "withdrawn", "Give up, as the buyer, before a panel sits.\n\n"
          "If the seller has answered, it gets your bond."),
    _does("appeal", "appealed", "Ask for a panel of nine, once, if the ruling does not give you everything.\n\n"
          "Three times the bond is held; it is lost if the second panel does not agree with you."),
    _does("advance", "moved on", "Move a case on whose time is over, without waiting for the chain to do it; "
          "anybody may."),
    _does("forget", "forgotten, and the deposit is back", "Remove the record of a case that is over, once what it was "
          "about is gone; anybody may.\n\nThe buyer has the deposit back."),
):  # fmt: skip
    dispute.add_command(_command)


@dispute.command()
@case_argument
@node_option
@output_option
def show(case: int, session: Session, out: Output) -> None:
    """Show a case: what it is about, who may do what until when, and what is held."""
    from aitoken.client.disputes import case_of

    found = session.run(lambda client: case_of(cast("Library", client), case))
    out.result(facts_in(found), words_of(found))


@dispute.command(name="list")
@click.option("--buyer", metavar="ACCOUNT", help="Only what this account complains about.")
@click.option("--provider", type=int, help="Only complaints about this seller.")
@click.option("--all", "everything", is_flag=True, help="Those that are over too.")
@node_option
@output_option
def show_list(buyer: str | None, provider: int | None, everything: bool, session: Session, out: Output) -> None:
    """List cases."""
    from aitoken.client.disputes import ENDED, cases

    who = None if buyer is None else address_of(account_of(buyer))
    rows = [
        facts_in(case) | {"amount": case.facts["amount"] if out.json else show_amount(case.facts["amount"])}
        for case in session.run(lambda client: cases(cast("Library", client)))
        if (everything or case.phase != ENDED)
        and who in (None, case.facts["claimant"])
        and provider in (None, case.facts["provider"])
    ]
    out.table(rows, ("case", "buyer", "provider", "amount", "stand"))
