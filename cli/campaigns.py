"""Campaigns in words and pictures: durations as people write them, tables of a report, and its plot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.amounts import show_amount
from cli.exits import BadInput

if TYPE_CHECKING:
    from aitoken.client.campaigns import Campaign, Work
    from aitoken.pay.campaign_ledger import Ledger

UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
KINDS: Final = (
    "Feedback", "Evaluation", "Testing", "BugReport", "Workflow", "Tutorial", "Tool", "Data", "Moderation",
)  # fmt: skip
SEED: Final = Path("~/.aitoken/seals/seed")
SEED_BYTES: Final = 32
WIDTH: Final = 720
HEIGHT: Final = 300


def parse_persons(scope: str | None, issuers: int) -> dict[str, Any] | None:
    """Read who may submit: persons of a scope, or anybody.

    Raises:
        BadInput: the scope is not 64 hexadecimal digits.
    """
    if scope is None:
        return None
    found = re.fullmatch(r"(?:0x)?([0-9a-fA-F]{64})", scope, re.ASCII)
    if found is None:
        raise BadInput(f"{scope!r} is no scope: write 64 hexadecimal digits")
    return {"scope": bytes.fromhex(found[1]), "issuers": issuers}


def parse_duration(text: str) -> int:
    """Read `90s`, `10m`, `2h` or `30d` as milliseconds; `0` is none.

    Raises:
        BadInput: it is none of them.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text, re.ASCII)
    if found is None:
        if text == "0":
            return 0
        raise BadInput(f"{text!r} is no time: write 90s, 10m, 2h or 30d")
    return int(found[1]) * UNITS_MS[found[2]]


def show_duration(ms: int) -> str:
    """Milliseconds in the largest unit that is exact."""
    unit = next((name for name in "dhms" if ms and ms % UNITS_MS[name] == 0), None)
    return f"{ms // UNITS_MS[unit]}{unit}" if unit else f"{ms} ms" if ms else "at once"


def show_time(ms: int) -> str:
    """A moment, to the minute."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%d %H:%M} UTC"


def secret(file: Path | None) -> bytes:
    """The secret that seals of work and verdicts come from, made when it is first needed."""
    import secrets

    from aitoken.keystore.files import KeyFileMissing, read_private, write_private

    path = (file or SEED).expanduser()
    try:
        found = read_private(path)
    except KeyFileMissing:
        found = secrets.token_bytes(SEED_BYTES)
        write_private(path, found)
    if len(found) != SEED_BYTES:
        raise BadInput(f"{path} is no file of a secret for seals")
    return found


def describe(campaign: Campaign) -> dict[str, Any]:
    """What a campaign asks for and pays, and how it stands."""
    facts, terms, persons = campaign.facts, campaign.terms, campaign.terms["persons"]
    persons = persons and {"scope": "0x" + persons["scope"].hex(), "issuers": persons["issuers"]}
    return {
        "campaign": campaign.number, "owner": facts["owner"], "kind": terms["kind"],
        "task_hash": "0x" + terms["task_hash"].hex(), "open": campaign.is_open, "ended": facts["ended"],
        "reward": terms["reward"], "stake": terms["stake"], "per_person": terms["per_person"],
        "per_day": terms["per_day"], "threshold": terms["threshold"], "attesters": facts["attesters"],
        "missing": campaign.missing, "step_ms": terms["step_ms"], "vesting_ms": terms["vesting_ms"],
        "until": terms["until"], "persons": persons, "left": facts["left"], "promised": facts["promised"],
        "submitted": facts["submitted"], "pending": facts["pending"],
    }  # fmt: skip


def in_words(told: dict[str, Any], reward: str = "") -> str:
    """The same for a person; the reward in money where that is known."""
    state = "open" if told["open"] else "ended" if told["ended"] else "not open yet" if told["missing"] else "over"
    free = told["left"] - told["promised"]
    lines = [
        f"campaign {told['campaign']} ({told['kind']}), {state}",
        f"pays {reward or show_amount(told['reward'])} for work that {told['threshold']} of {len(told['attesters'])} "
        "attesters accept, " + ("at once" if not told["vesting_ms"] else f"over {show_duration(told['vesting_ms'])}"),
        f"you put {show_amount(told['stake'])} at risk",
        f"{told['per_person']} times a person, {told['per_day']} a day in all",
        f"each phase lasts {show_duration(told['step_ms'])}: disclosing, voting, revealing, challenging",
        f"until {show_time(told['until'])}; {show_amount(free)} are free, {show_amount(told['promised'])} promised",
        f"task {told['task_hash']}",
    ]
    if told["persons"]:
        lines.append("for persons in the scope {scope}, vouched for by {issuers}".format(**told["persons"]))
    if told["missing"]:
        lines.append(f"waits for {', '.join(told['missing'])} to join")
    return "\n".join(lines)


def report_rows(ledger: Ledger) -> list[dict[str, object]]:
    """A row for each submission: who, for what evidence, who said so, and what was paid."""
    return [
        {
            "submission": work.submission, "who": work.who, "state": work.state, "yes": len(work.accepted),
            "no": len(work.rejected), "reward": work.reward, "paid": work.paid, "content": work.content,
            "challenged": work.challenged,
        }
        for work in ledger.works.values()
    ]  # fmt: skip


def plot(campaign: Campaign, works: Sequence[Work]) -> str:
    """An SVG: submissions and accepted ones over time, and where the money is."""
    times = sorted(work.facts["since"] for work in works)
    good = sorted(work.facts["since"] for work in works if work.paid)
    first = times[0] if times else campaign.now
    span = max(1, campaign.now - first)
    most = max(1, len(times))
    left, facts = 48, campaign.facts
    paid = sum(work.paid for work in works)
    whole = max(1, paid + facts["left"])

    def steps(moments: Sequence[int]) -> str:
        points = [(left, HEIGHT - 80)]
        for count, at in enumerate(moments, 1):
            x = left + (WIDTH - left - 16) * (at - first) // span
            points += [(x, points[-1][1]), (x, HEIGHT - 80 - (HEIGHT - 120) * count // most)]
        points.append((WIDTH - 16, points[-1][1]))
        return " ".join(f"{x},{y}" for x, y in points)

    free = facts["left"] - facts["promised"]
    money = (("paid", paid, "#2a7"), ("promised", facts["promised"], "#e9a"), ("free", free, "#9bd"))
    bars, at = [], left
    for _, amount, colour in money:
        width = (WIDTH - left - 16) * amount // whole
        bars.append(f'<rect x="{at}" y="{HEIGHT - 48}" width="{width}" height="16" fill="{colour}"/>')
        at += width
    legend = ", ".join(f"{name} {show_amount(amount)}" for name, amount, _ in money)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="sans-serif" font-size="13">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            f'<text x="{left}" y="20">campaign {campaign.number}: {len(times)} submitted, {len(good)} paid</text>',
            f'<text x="{left - 6}" y="46" text-anchor="end">{most}</text>',
            f'<text x="{left - 6}" y="{HEIGHT - 76}" text-anchor="end">0</text>',
            f'<polyline points="{steps(times)}" fill="none" stroke="#888" stroke-width="2"/>',
            f'<polyline points="{steps(good)}" fill="none" stroke="#2a7" stroke-width="2"/>',
            f'<text x="{left}" y="{HEIGHT - 60}">{show_time(first)}</text>',
            f'<text x="{WIDTH - 16}" y="{HEIGHT - 60}" text-anchor="end">{show_time(campaign.now)}</text>',
            *bars,
            f'<text x="{left}" y="{HEIGHT - 12}">{legend}</text>',
            "</svg>",
        ]
    )  # fmt: skip
