"""The ledger of a campaign: who paid in, who earned what, for which evidence. What every way to compute it shares.

    paid in == left + earned + taken out            to the unit

What sponsors put in first is paid out first. A node tells a ledger in pages (`rewards_campaignLedger`,
`docs/spec/rewards.md`); `differences` holds two ledgers of one block against each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

NO_CAMPAIGN: Final = 4101
"""The JSON-RPC code of a node that knows no such campaign."""


@dataclass(slots=True)
class Earned:
    """Work, what it was promised, what it was paid, and what that rests on.

    Attributes:
        content: hash of the work, None while it is not disclosed.
        accepted, rejected: the attesters that said so.
        state: of the submission, in a word: open, vesting or over.
        challenged: whether somebody says it is a fraud, and nobody has ruled yet.
    """

    submission: int
    who: str
    reward: int
    content: bytes | None = None
    accepted: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    paid: int = 0
    state: str = "open"
    challenged: bool = False


@dataclass(slots=True)
class Ledger:
    """All money of a campaign at a block.

    Attributes:
        block: the hash it was read at.
        paid_in: what each sponsor put in; known from events alone once sponsors have taken something out.
        remains: what of that is still there.
        taken_out: what went back to sponsors.
        left: what is still held.
    """

    campaign: int
    block: str
    paid_in: Counter[str]
    remains: Counter[str]
    taken_out: Counter[str]
    left: int
    works: dict[int, Earned]

    @property
    def earned(self) -> int:
        """What was paid for work."""
        return sum(work.paid for work in self.works.values())

    def by_person(self) -> Counter[str]:
        """Return what each person earned."""
        found: Counter[str] = Counter()
        for work in self.works.values():
            if work.paid:
                found[work.who] += work.paid
        return found

    def disclosed(self) -> Ledger:
        """Return the ledger without work that was never disclosed, which nobody is paid for; a node tells that."""
        works = {number: work for number, work in self.works.items() if work.content is not None}
        return Ledger(self.campaign, self.block, self.paid_in, self.remains, self.taken_out, self.left, works)


def remains_of(parts: Iterable[tuple[int, int]], paid: int) -> int:
    """Return what remains of what a sponsor put in, once `paid` was paid out of what was put in first.

    Args:
        parts: how much others and it had put in before, and how much it then did.
        paid: what the campaign has paid out in all.
    """
    return sum(max(0, start + amount - max(start, paid)) for start, amount in parts)


def from_pages(pages: Sequence[Mapping[str, Any]]) -> Ledger:
    """Return the ledger a node tells in its pages of one block, of which there is at least one."""
    first = pages[0]
    sponsors = [row for page in pages for row in page["sponsors"]]
    works = {
        row["submission"]: Earned(
            row["submission"], row["who"], int(row["reward"]), bytes.fromhex(row["content"][2:]), row["accepted"],
            row["rejected"], int(row["paid"]), row["state"], row["challenged"],
        )
        for page in pages for row in page["works"]
    }  # fmt: skip
    return Ledger(
        first["campaign"], first["block"],
        Counter({row["sponsor"]: int(row["paidIn"]) for row in sponsors}),
        Counter({row["sponsor"]: int(row["left"]) for row in sponsors}),
        Counter(), int(first["left"]), dict(sorted(works.items())),
    )  # fmt: skip


def told_wrong(pages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Return in what the rows of a node's pages do not come to the totals it tells with them."""
    ledger, total = from_pages(pages), pages[0]
    if any(page["block"] != total["block"] or page["campaign"] != total["campaign"] for page in pages):
        yield "the pages are not of one block and campaign"
    sums = (
        ("paidIn", sum(ledger.paid_in.values())),
        ("left", sum(ledger.remains.values())),
        ("earned", ledger.earned),
    )
    for name, found in sums:
        if found != int(total[name]):
            yield f"{name} is told as {total[name]}, and the rows come to {found}"


def differences(one: Ledger, other: Ledger) -> Iterator[str]:
    """Return in what two ledgers of one block differ; where sponsors took something out, in what both still know."""
    if one.left != other.left:
        yield f"left: {one.left}, or {other.left}"
    for who in sorted(one.paid_in.keys() | other.paid_in.keys()):
        mine, theirs = (one.paid_in[who], one.remains[who]), (other.paid_in[who], other.remains[who])
        if who not in one.taken_out and who not in other.taken_out and mine != theirs:
            yield f"{who} paid in {mine[0]} of which {mine[1]} remain, or {theirs[0]} and {theirs[1]}"
    for number in sorted(one.works.keys() | other.works.keys()):
        here, there = one.works.get(number), other.works.get(number)
        if here is None or there is None or _facts(here) != _facts(there):
            yield f"submission {number}: {here}, or {there}"


def unbalanced(ledger: Ledger) -> Iterator[str]:
    """Return what is missing in a ledger that knows all that was ever put in."""
    put_in, spent = sum(ledger.paid_in.values()), ledger.left + ledger.earned + sum(ledger.taken_out.values())
    if put_in != spent:
        yield f"{put_in} was paid in, {spent} is accounted for"


def _facts(work: Earned) -> Sequence[object]:
    verdicts = sorted(work.accepted), sorted(work.rejected)
    return work.who, work.reward, work.content, verdicts, work.paid, work.state, work.challenged
