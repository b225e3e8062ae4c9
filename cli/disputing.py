"""Disputes about payments in words: what a case is about, where it stands, and who may do what until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.amounts import show_amount
from cli.campaigns import show_time

if TYPE_CHECKING:
    from aitoken.client.disputes import Case


def percent(award: int) -> str:
    """An award as people write it: hundredths of a percent as `12.5 %`."""
    whole, rest = divmod(award, 100)
    fraction = f".{rest:02d}".rstrip("0").rstrip(".")
    return f"{whole}{fraction} %"


def subject_of(case: Case) -> str:
    """What was paid."""
    ((kind, what),) = case.facts["subject"].items()
    if kind == "Session":
        return f"session {what.hex()}"
    return f"subscription {what['subscription']}, period {what['period']}"


def stand_of(case: Case) -> str:
    """Where it stands, in a sentence: who may do what now, until when, and what silence means."""
    detail, due = case.detail, case.is_due
    if case.phase == "Ended":
        return f"over: the buyer was paid {show_amount(detail['paid'])}"
    if case.phase == "Drawing":
        return "the panel can be drawn" if due else f"a panel is drawn in epoch {detail['epoch']}, now is {case.epoch}"
    until = show_time(detail["until"])
    match case.phase:
        case "Opened" if due:
            return "the seller was silent: the buyer gets everything"
        case "Opened":
            return f"the seller may answer until {until}; silence gives the buyer everything"
        case "Committing":
            return "the panel has judged" if due else f"the panel judges until {until}"
        case "Revealing":
            return "the votes can be counted" if due else f"the panel opens its votes until {until}"
    ruling = f"{percent(detail['award'])} for the buyer"
    return f"ruled: {ruling}, to be paid now" if due else f"ruled: {ruling}, unless one appeals until {until}"


def facts_in(case: Case) -> dict[str, Any]:
    """A case for programs."""
    facts, detail = case.facts, case.detail
    told = {
        "case": case.number, "subject": subject_of(case), "buyer": facts["claimant"], "provider": facts["provider"],
        "amount": facts["amount"], "phase": case.phase.lower(), "due": case.is_due, "stand": stand_of(case),
        "evidence": facts["evidence"], "answer": facts["answer"], "bond": facts["bond"], "deposit": facts["deposit"],
        "answer_bond": _money(facts["answer_bond"]), "offer": _money(facts["offer"]), "appeal": _money(facts["appeal"]),
        "ruling": facts["ruling"], "panel": list(case.panel),
    }  # fmt: skip
    return told | {name: detail[name] for name in ("until", "epoch", "award", "paid") if name in detail}


def words_of(case: Case) -> str:
    """A case for people."""
    facts = case.facts
    lines = [
        f"case {case.number}: {facts['claimant']} wants {show_amount(facts['amount'])} back of provider "
        f"{facts['provider']}",
        f"about     {subject_of(case)}",
        f"stands    {stand_of(case)}",
        f"evidence  {facts['evidence'].hex()}",
        f"answer    {'none' if facts['answer'] is None else facts['answer'].hex()}",
    ]
    bonds = [("buyer", facts["bond"]), ("seller", _money(facts["answer_bond"])), ("appeal", _money(facts["appeal"]))]
    held = ", ".join(f"{who} {show_amount(amount)}" for who, amount in bonds if amount)
    if held:
        lines.append(f"bonds     {held}")
    if facts["offer"] is not None:
        lines.append(f"offered   {show_amount(facts['offer']['amount'])}, by the seller: aitoken dispute accept")
    if facts["ruling"] is not None:
        lines.append(f"appealed  the first panel said {percent(facts['ruling'])} for the buyer")
    lines += [f"seat      {seat['arbiter']}: {_said(seat)}" for seat in case.panel]
    return "\n".join(lines)


def _money(stake: Any) -> int:
    return 0 if stake is None else int(stake["amount"])


def _said(seat: Any) -> str:
    if seat["vote"] is not None:
        return f"{percent(seat['vote'])} for the buyer"
    return "nothing yet" if seat["commitment"] is None else "has judged"
