"""Planted bugs: what the simulator must find, or it proves nothing.

Each replaces one small thing in the real core or driver for the time of a run. The independent guards that would catch
it first (the signing table, the driver's check of durability) are opened where the bug is about what lies behind them.
`cast` and `first` point the search: the liars drawn, and where to begin, so that the whole list runs in the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

from aitoken.proto import votes
from aitoken.proto.votes import NULLIFY, Certificate, Vote
from consensus import ancestry, core, inputs, proposing, repair, tally, validators, voting
from consensus.core import Core
from consensus.effects import Broadcast, Persist, SetTimer, WantCertificates
from consensus.inputs import TimerKind
from consensus.permission import Permission
from consensus.signing import SigningTable
from consensus.state import State
from consensus.types import Block
from consensus.validators import Validators
from node.driver.driver import Driver
from node.driver.inbox import Inbox
from simulation.scenario import STRATEGIES, Scenario, draw
from simulation.world import Registry

Patches = list[Any]


def _as_drawn(scenario: Scenario) -> None:
    del scenario


def _lossy(scenario: Scenario) -> None:
    scenario.drop = 0.4
    scenario.gst_ms = max(scenario.gst_ms, 2000)


def _blackout(scenario: Scenario) -> None:
    scenario.drop = 1.0
    scenario.gst_ms = 15000
    scenario.crashes.clear()
    scenario.power_cut_ms = None


def _full_of(*strategies: str) -> Callable[[Scenario], None]:
    """As many liars as there may be, with these strategies in turn, on a lossy network."""

    def tweak(scenario: Scenario) -> None:
        scenario.weights = "equal"
        scenario.set_size = scenario.nodes
        scenario.prepared = True
        scenario.liars = {at: strategies[at % len(strategies)] for at in range((scenario.nodes - 1) // 3)}
        scenario.drop = max(scenario.drop, 0.15)
        scenario.gst_ms = max(scenario.gst_ms, 5000)
        scenario.wipes.clear()

    return tweak


def _wipe_somebody(scenario: Scenario) -> None:
    scenario.liars.clear()
    scenario.gst_ms = max(scenario.gst_ms, 5000)
    scenario.wipes = [(scenario.gst_ms - 3000 + 50 * (scenario.seed % 50), scenario.seed % scenario.nodes)]


def _short_epochs(scenario: Scenario) -> None:
    scenario.epoch_length = 3


def _many_light_liars(scenario: Scenario) -> None:
    scenario.weights = "random"
    scenario.set_size = scenario.nodes
    scenario.liars = dict.fromkeys(range((scenario.nodes - 1) // 2), "double-voter")


def _lossy_power_cut(scenario: Scenario) -> None:
    _lossy(scenario)
    scenario.power_cut_ms = scenario.gst_ms - 500


@dataclass(frozen=True, slots=True)
class Mutation:
    """A planted bug.

    Attributes:
        plant: makes the patches.
        budget: it must be found within so many seeds.
        first: the seed to begin with.
        cast: the liars drawn.
        tweak: changes the drawn scenario.
    """

    plant: Callable[[], Patches]
    budget: int
    first: int = 1
    cast: Sequence[str] = STRATEGIES
    tweak: Callable[[Scenario], None] = _as_drawn


def _patch(owner: object, name: str, value: object) -> Any:
    return mock.patch.object(owner, name, value)


def _open_table() -> Any:
    return _patch(SigningTable, "check", lambda *_: None)


def _no_barrier() -> Patches:
    """The disk says "synced" before it is (see `simulation.disk.Journal`)."""
    return []


def _finalize_after_nullify() -> Patches:
    real = voting.vote_to_finalize

    def forgetful(state: State) -> None:
        kept = {view: found.my_nullify for view, found in state.rounds.items()}
        for found in state.rounds.values():
            found.my_nullify = None
        real(state)
        for view, vote in kept.items():
            if view in state.rounds:
                state.rounds[view].my_nullify = vote

    return [_open_table(), _patch(core, "vote_to_finalize", forgetful)]


def _quorum(of: Callable[[int], int]) -> Patches:
    return [_patch(votes, "quorum", of), _patch(validators, "quorum", of)]


def _count_instead_of_stake() -> Patches:
    real = Validators.__init__

    def wrong(self: Validators, authorities: Sequence[tuple[bytes, int]]) -> None:
        real(self, [(key, 1) for key, _ in authorities])

    return [_patch(Validators, "__init__", wrong)]


def _no_nullification_check() -> Patches:
    return [_patch(State, "is_nullified", lambda *_: True)]


def _parent_not_checked() -> Patches:
    real = ancestry._judge_fresh  # noqa: SLF001 - bugs are planted inside

    def careless(state: State, offer: Any, parent_hash: Any) -> int:
        block = state.blocks.get(offer.hash)
        return real(state, offer, parent_hash if block is None else block.parent_hash)

    return [_patch(ancestry, "_judge_fresh", careless)]


def _wrong_leader_accepted() -> Patches:
    real = ancestry._judge_fresh  # noqa: SLF001

    def careless(state: State, offer: Any, parent_hash: Any) -> int:
        block = state.blocks.get(offer.hash)
        if block is None:
            return real(state, offer, parent_hash)
        with mock.patch.object(type(state.epoch), "leader", return_value=block.leader):
            return real(state, offer, parent_hash)

    def anybody(state: State, view: int, vote: Vote) -> bool:
        del state
        return view >= 1 and vote.view == view

    return [_patch(ancestry, "_judge_fresh", careless), _patch(core, "_is_leaders", anybody)]


def _not_validated() -> Patches:
    return [_patch(State, "have_valid", lambda state, block_hash: block_hash in state.blocks)]


def _terminal_extended() -> Patches:
    real = ancestry._judge_fresh  # noqa: SLF001

    def never_terminal(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(state: State, *rest: Any) -> Any:
            with mock.patch.object(State, "is_terminal", return_value=False):
                return call(state, *rest)

        return wrapped

    return [
        _patch(ancestry, "_judge_fresh", never_terminal(real)),
        _patch(core, "try_propose", never_terminal(proposing.try_propose)),
    ]


def _not_persisted(kind: type[object]) -> Patches:
    real = Driver._persist  # noqa: SLF001

    def forgetful(self: Driver, at: Core, effect: Persist) -> None:
        if not isinstance(effect.record, kind):
            real(self, at, effect)

    return [_patch(Driver, "_persist", forgetful)]


def _without_effect(kind: type[object], matches: Callable[[Any], bool] = lambda _: True) -> Patches:
    real = Core.step

    def quiet(self: Core, now_ms: int, event: inputs.Input) -> list[Any]:
        return [e for e in real(self, now_ms, event) if not (isinstance(e, kind) and matches(e))]

    return [_patch(Core, "step", quiet)]


def _no_ancestry_repair() -> Patches:
    return [
        *_without_effect(WantCertificates),
        _patch(proposing, "justification", lambda *_: ()),
        _patch(repair, "_certificates", lambda *_: []),
    ]


def _lock_dropped_at_restart() -> Patches:
    real = core._on_start  # noqa: SLF001

    def forgetful(state: State, event: inputs.Start) -> None:
        real(state, inputs.Start(event.committed, event.certificates, [], event.blocks))

    handlers = dict(core._HANDLERS)  # noqa: SLF001
    handlers[inputs.Start] = forgetful
    no_twin = _patch(tally, "_meet_doppelganger", lambda *_: None)
    return [_open_table(), no_twin, _patch(core, "_HANDLERS", handlers)]


def _lost_disk_forgotten() -> Patches:
    return [_patch(Permission, "holds", False), _patch(Permission, "may_vote", lambda *_: True)]


def _vote_counted_twice() -> Patches:
    def wants(state: State, vote: Vote) -> bool:
        return state.in_window(vote.view) and vote.signer < len(state.epoch.validators) and not state.done

    return [_patch(tally, "wants_vote", wants)]


def _old_epoch_accepted() -> Patches:
    def always(_: Inbox, __: object, epoch: int, message: object) -> bool:
        del epoch, message
        return True

    return [_patch(Inbox, "_is_current", always)]


def _signature_not_checked() -> Patches:
    return [_patch(Registry, "verify", lambda *_: True)]


def _no_timeouts() -> Patches:
    return _without_effect(SetTimer, lambda e: e.kind in (TimerKind.LEADER, TimerKind.VIEW))


def _no_retry() -> Patches:
    """Nobody says anything twice, nor where it stands."""
    return _without_effect(SetTimer, lambda e: e.kind in (TimerKind.RETRY, TimerKind.STATUS))


MUTATIONS: Final[dict[str, Mutation]] = {
    "no-barrier": Mutation(_no_barrier, 20),
    "finalize-after-nullify": Mutation(_finalize_after_nullify, 60),
    "quorum-two-thirds": Mutation(lambda: _quorum(lambda total: 2 * total // 3), 60, tweak=_full_of("double-voter")),
    "quorum-half": Mutation(
        lambda: _quorum(lambda total: total // 2 + 1), 100, first=14, tweak=_full_of("double-voter")
    ),
    "count-instead-of-stake": Mutation(_count_instead_of_stake, 100, tweak=_many_light_liars),
    "no-nullification-check": Mutation(_no_nullification_check, 300, first=8, tweak=_full_of("forker")),
    "parent-not-checked": Mutation(_parent_not_checked, 200, first=25, tweak=_full_of("forker")),
    "wrong-leader-accepted": Mutation(_wrong_leader_accepted, 100, cast=("usurper",)),
    "not-validated": Mutation(_not_validated, 100, cast=("equivocator",)),
    "terminal-extended": Mutation(_terminal_extended, 100, tweak=_short_epochs),
    "certificates-not-durable": Mutation(lambda: _not_persisted(Certificate), 300, first=23, tweak=_lossy_power_cut),
    "blocks-not-durable": Mutation(lambda: _not_persisted(Block), 300, tweak=_lossy_power_cut),
    "own-votes-not-durable": Mutation(lambda: _not_persisted(Vote), 20),
    "no-retry": Mutation(_no_retry, 20, tweak=_blackout),
    "no-ancestry-repair": Mutation(_no_ancestry_repair, 400, first=100, tweak=_full_of("withholder")),
    "lock-dropped-at-restart": Mutation(_lock_dropped_at_restart, 100, first=8),
    "lost-disk-forgotten": Mutation(_lost_disk_forgotten, 60, tweak=_wipe_somebody),
    "vote-counted-twice": Mutation(_vote_counted_twice, 100),
    "old-epoch-accepted": Mutation(_old_epoch_accepted, 100),
    "signature-not-checked": Mutation(_signature_not_checked, 100, cast=("garbage",)),
    "no-timeouts": Mutation(_no_timeouts, 20, tweak=_full_of("silent")),
    "nullify-not-sent": Mutation(
        lambda: _without_effect(Broadcast, lambda e: isinstance(e.message, Vote) and e.message.kind == NULLIFY), 100
    ),
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Plant a bug."""
    with ExitStack() as stack:
        for patch in MUTATIONS[name].plant():
            stack.enter_context(patch)
        yield


def mutated_scenario(name: str, seed: int) -> Scenario:
    """Return the scenario in which a planted bug is searched."""
    mutation = MUTATIONS[name]
    scenario = draw(seed, mutation.cast)
    mutation.tweak(scenario)
    return scenario
