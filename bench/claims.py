"""What this node aims at, as the table of `README.md` shows it, and what the regression gate watches.

A claim has the figure a person compares with the aim, and a ratio for the gate: the same work next to raw signature
checks, or next to itself without what is measured, in the same run. Ratios hold on a busy or another machine; times do
not. Where no honest ratio exists (latencies are made of pauses), the gate does not watch.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from bench.row import Row


class Figures:
    """The rows of a run; what was measured several times counts with its median."""

    def __init__(self, rows: Iterable[Row]) -> None:
        found: dict[tuple[str, str], list[float]] = {}
        for row in rows:
            found.setdefault((row.subject, row.what), []).append(row.figure)
        self._figures = {key: statistics.median(values) for key, values in found.items()}

    def get(self, subject: str, what: str) -> float:
        """A figure.

        Raises:
            KeyError: it was not measured.
        """
        return self._figures[subject, what]

    @property
    def raw(self) -> float:
        """Signatures a core checks a second."""
        return self.get("one core", "ed25519 verifications")


Of = Callable[[Figures], float]

AIMED_AT: Final = 27_100
"""Signatures a core checks a second on the machine the aims were set on: they equate 3,800 final transfers/s of four
validators on two cores with 0.28 of what these could check."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One aim.

    Attributes:
        what: in words.
        module: the bench that measures it.
        value: the figure.
        unit: of the figure.
        target: what it should reach.
        stretch: what would be very good.
        lower: a smaller figure is better.
        processor: nothing but processor time is in the figure, so it can be put into that of another machine.
        ratio: what the gate watches, the larger the better.
        quick: the same for the smaller sizes the gate runs, where these have other names.
    """

    what: str
    module: str
    value: Of
    unit: str
    target: float
    stretch: float
    lower: bool = False
    processor: bool = False
    ratio: Of | None = None

    def is_met(self, figure: float) -> bool:
        """Whether a figure reaches the target."""
        return figure <= self.target if self.lower else figure >= self.target

    def elsewhere(self, figure: float, raw: float) -> float | None:
        """What a figure would be on the machine the aims were set on, if all work takes as many raw checks there.

        Args:
            figure: as measured.
            raw: signatures a core checked a second where it was measured.
        """
        if not self.processor:
            return None
        return figure * raw / AIMED_AT if self.lower else figure * AIMED_AT / raw


def row(subject: str, what: str) -> Of:
    """A figure as it was measured."""
    return lambda figures: figures.get(subject, what)


def _first(*subjects: str, what: str) -> Of:
    """The figure of the first of these that was measured: full sizes first, then the gate's."""

    def find(figures: Figures) -> float:
        for subject in subjects:
            try:
                return figures.get(subject, what)
            except KeyError:
                continue
        raise KeyError(what)

    return find


def _verifications(us: Of) -> Of:
    """How many of what costs so many microseconds take as long as a signature check."""
    return lambda figures: 1e6 / us(figures) / figures.raw


IMPORT: Final = "import 100,000, 1,000 a block"
QUICK_IMPORT: Final = "import 20,000, 1,000 a block"
KNOWN: Final = _first(IMPORT, QUICK_IMPORT, what="all, pre-verified")
SATURATED: Final = "devnet saturated ws"
BATCHED: Final = "rpc http, batches of 50, of one core"
PAID: Final = "paid, 32 at a time, buyers in a process of their own, asyncio"
VOTES: Final = "a block: all of that"
POSTED: Final = "submissions, one POST each"
STEADY: Final = "devnet 500/s ws"
LONE: Final = "validator with a worker"
FULL_SYNC: Final = "full sync, 500 a block"

CLAIMS: Final = (
    Claim(
        "transfers imported on one core, 100,000 accounts, of raw signature checks", "import_blocks",
        row(IMPORT, "transfers over ed25519 verifications"), "", 0.33, 0.45,
        ratio=_first(IMPORT, QUICK_IMPORT, what="transfers over ed25519 verifications"),
    ),
    Claim(
        "the same with 1,000,000 accounts", "import_blocks",
        row("import 1,000,000, 1,000 a block", "transfers over ed25519 verifications"), "", 0.28, 0.38,
    ),
    Claim(
        "import of blocks whose signatures are checked, 100,000 accounts", "import_blocks",
        row(IMPORT, "all, pre-verified"), "us/transfer", 45, 32, lower=True, processor=True,
        ratio=_verifications(KNOWN),
    ),
    Claim(
        "cost of a transfer where there are 10,000,000 accounts, over that where there are 10,000", "growth",
        lambda f: f.get("growth, 10,000,000 accounts", "all") / f.get("growth, 10,000 accounts", "all"),
        "", 1.8, 1.5, lower=True,
    ),
    Claim(
        "final transfers, 4 validators and client on one machine, of signatures it could check", "devnet",
        row(SATURATED, "efficiency"), "", 0.28, 0.50, ratio=row(SATURATED, "efficiency"),
    ),
    Claim(
        "final transfers of one validator with a worker, client included, of what a core could check", "lone",
        row(LONE, "efficiency"), "", 0.29, 0.40, ratio=row(LONE, "efficiency"),
    ),
    Claim(
        "a new node executes full blocks from a peer, of signatures all cores check together", "full_sync",
        row(FULL_SYNC, "of raw signature checks on all cores"), "", 0.5, 0.7,
        ratio=row(FULL_SYNC, "of raw signature checks on all cores"),
    ),
    Claim(
        "submission to finality at 500/s, p50", "devnet", row(STEADY, "submission to finality, p50"), "ms", 100, 50,
        lower=True,
    ),
    Claim(
        "submission to finality at 500/s, p99", "devnet", row(STEADY, "submission to finality, p99"), "ms", 250, 100,
        lower=True,
    ),
    Claim(
        "1,000 WebSocket subscribers to heads and one account each: finality is later by", "subscribers",
        row("1,000 subscribers", "finality is later by"), "%", 10, 3, lower=True,
    ),
    Claim(
        "submissions accepted, one HTTP POST each, of one core's raw signature checks", "submissions",
        row(POSTED, "accepted, of one core, over ed25519 verifications"), "", 0.147, 0.257,
        ratio=row(POSTED, "accepted, of one core, over ed25519 verifications"),
    ),
    Claim(
        "system_health of a node that is sent ten times what the network can take, p99", "overload",
        row("overload", "system_health, p99"), "ms", 500, 100, lower=True,
    ),
    Claim(
        "start of a node with 1,000,000 accounts, until a new block is final", "start",
        row("node with 1,000,000 accounts", "start until a new block is final"), "s", 8, 4, lower=True,
    ),
    Claim(
        "memory of a validator with 1,000,000 accounts", "start", row("node with 1,000,000 accounts", "memory"), "MB",
        700, 500, lower=True,
    ),
    Claim(
        "idle devnet of 4", "devnet", row("devnet idle", "processor, all nodes"), "% of one core", 5, 3, lower=True,
    ),
    Claim(
        "state_getStorage in batches of 50, a core", "rpc", row(BATCHED, "state_getStorage"), "requests/s",
        20_000, 40_000, processor=True,
        ratio=row("rpc http, batches of 50, over raw signature checks", "state_getStorage"),
    ),
    Claim(
        "voucher admissions, of raw signature checks", "vouchers", row("voucher", "admissions of raw"), "%", 80, 90,
        ratio=row("voucher", "admissions of raw"),
    ),
    Claim(
        "payment adds to a request until it is answered, p50", "gateway",
        row("gateway", "added by payment until answered, p50"), "ms", 0.25, 0.15, lower=True, processor=True,
        ratio=lambda f: f.get("gateway", "unpaid, client and server, processor time")
        / f.get("gateway", "paid, client and server, processor time"),
    ),
    Claim(
        "paid HTTP requests, client, gateway and upstream", "gateway", row("gateway", PAID),
        "per second", 3_000, 5_000, processor=True,
        ratio=lambda f: f.get("gateway", "paid, 32 at a time, one process")
        / f.get("gateway", "unpaid, 32 at a time, one process"),
    ),
    Claim(
        "a block full of payouts of rewards, of what it is weighed", "rewards",
        row("a block of Rewards.pay", "time over weight"), "", 1.0, 0.7, lower=True,
    ),
    Claim(
        "a block of 100 validators, all votes, certificates and messages of it", "validators",
        row("100 validators", VOTES), "ms of one core", 25, 15, lower=True, processor=True,
        ratio=_verifications(lambda f: 1000 * _first("100 validators", "50 validators", what=VOTES)(f)),
    ),
)  # fmt: skip
"""Aims of the performance paper; `bench/README.md` has what was found."""
