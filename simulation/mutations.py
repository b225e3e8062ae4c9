"""Planted bugs: what the simulator must find, or it proves nothing.

Each replaces one small thing in the real core or driver for the time of a run. The independent guards that would catch
it first (the signing table, the driver's check of durability) are opened where the bug is about what lies behind them.
`cast` and `first` point the search: the liars drawn, and where to begin, so that the whole list runs in the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest import mock

from aitoken.proto import votes
from aitoken.proto.digest import NextEpoch
from aitoken.proto.votes import NOTARIZE, NULLIFY, Certificate, Vote
from aitoken.types import Hash32
from consensus import ancestry, core, inputs, proposing, repair, tally, validators, voting
from consensus.core import Core
from consensus.effects import Broadcast, Finalized, Persist, Report, SetTimer, WantCertificates
from consensus.epochs import Epoch
from consensus.inputs import TimerKind
from consensus.journal import replay
from consensus.permission import Permission
from consensus.signing import SigningTable
from consensus.state import State
from consensus.types import Block
from consensus.validators import Validators
from node.driver import driver as driver_module
from node.driver.driver import Driver
from node.driver.headers import epoch_after
from node.driver.inbox import Inbox
from node.driver.voting import Voting
from simulation.scenario import STRATEGIES, Scenario, draw
from simulation.world import Registry

Patches = list[Any]


def _as_drawn(scenario: Scenario) -> None:
    del scenario


def _four_at_least(scenario: Scenario) -> None:
    if scenario.nodes < 4:
        scenario.nodes = scenario.set_size = 4
    scenario.births.clear()
    scenario.sizes_vary = False


def _lossy(scenario: Scenario) -> None:
    scenario.drop = 0.4
    scenario.gst_ms = max(scenario.gst_ms, 2000)


def _blackout(scenario: Scenario) -> None:
    scenario.drop = 1.0
    scenario.gst_ms = 15000
    scenario.crashes.clear()
    scenario.power_cut_ms = None


def _full_of(*strategies: str) -> Callable[[Scenario], None]:
    """As many liars as there may be, with these strategies in turn, on a lossy network; nobody votes them out."""

    def tweak(scenario: Scenario) -> None:
        _four_at_least(scenario)
        scenario.weights = "equal"
        scenario.set_size = scenario.nodes
        scenario.epoch_length = 1000
        scenario.prepared = True
        scenario.liars = {at: strategies[at % len(strategies)] for at in range((scenario.nodes - 1) // 3)}
        scenario.drop = max(scenario.drop, 0.15)
        scenario.gst_ms = max(scenario.gst_ms, 5000)
        scenario.wipes.clear()

    return tweak


def _wipe_somebody(scenario: Scenario) -> None:
    _four_at_least(scenario)
    scenario.liars.clear()
    scenario.gst_ms = max(scenario.gst_ms, 5000)
    scenario.wipes = [(scenario.gst_ms - 3000 + 50 * (scenario.seed % 50), scenario.seed % scenario.nodes)]


def _short_epochs(scenario: Scenario) -> None:
    scenario.epoch_length = 3
    scenario.lengths_vary = False


def _lossy_short_epochs(scenario: Scenario) -> None:
    _lossy(scenario)
    _short_epochs(scenario)


def _rotations(scenario: Scenario) -> None:
    _short_epochs(scenario)
    scenario.prepared = True
    scenario.rotations = 1.0
    scenario.gst_ms = 5000
    scenario.crashes += [(time, time // 100 % scenario.nodes, 5) for time in range(500, 5000, 300)]


def _changing_weights(scenario: Scenario) -> None:
    _four_at_least(scenario)
    _short_epochs(scenario)
    scenario.prepared = True
    scenario.weights = "edge"
    scenario.restakes = 1.0
    scenario.churn = "some"
    scenario.liars = dict.fromkeys(range((scenario.nodes - 1) // 2), "double-voter")


def _many_light_liars(scenario: Scenario) -> None:
    _four_at_least(scenario)
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
    real = ancestry._judge_fresh

    def careless(state: State, offer: Any, parent_hash: Any) -> int:
        block = state.blocks.get(offer.hash)
        return real(state, offer, parent_hash if block is None else block.parent_hash)

    return [_patch(ancestry, "_judge_fresh", careless)]


def _wrong_leader_accepted() -> Patches:
    real = ancestry._judge_fresh

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
    real = ancestry._judge_fresh

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
    real = Driver._persist

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
    real = core._on_start

    def forgetful(state: State, event: inputs.Start) -> None:
        real(state, inputs.Start(event.committed, event.certificates, [], event.blocks))

    handlers = dict(core._HANDLERS)
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


def _proof_of_another_view() -> Patches:
    real = Voting.prove_view

    def wrong(self: Voting, epoch: Epoch, view: int) -> bytes | None:
        return real(self, epoch, view + 1)

    return [_patch(Voting, "prove_view", wrong)]


def _signature_not_checked() -> Patches:
    return [_patch(Registry, "verify", lambda *_: True)]


def _no_timeouts() -> Patches:
    return _without_effect(SetTimer, lambda e: e.kind in (TimerKind.LEADER, TimerKind.VIEW))


def _no_retry() -> Patches:
    """Nobody says anything twice, nor where it stands."""
    return _without_effect(SetTimer, lambda e: e.kind in (TimerKind.RETRY, TimerKind.STATUS))


def _timers_not_reset() -> Patches:
    """A timer of an earlier view is left to run, and the new one is not set."""
    real = Driver._set_timer
    due: dict[tuple[int, TimerKind], int] = {}

    def stubborn(self: Driver, at: Core, effect: SetTimer) -> None:
        now, which = self.clock.now_ms(), (id(self), effect.kind)
        if effect.kind in (TimerKind.LEADER, TimerKind.VIEW):
            if now < due.get(which, 0):
                return
            due[which] = now + effect.delay_ms
        real(self, at, effect)

    return [_patch(Driver, "_set_timer", stubborn)]


# Epochs.


def _begun_with(change: Callable[[Epoch, Epoch], Epoch]) -> Patches:
    """A new epoch is begun with something of the old one."""

    def wrong(terminal: Block, announced: NextEpoch) -> Epoch:
        new = epoch_after(terminal, announced)
        return change(running[-1], new) if running else new

    def begin(self: Driver, epoch: Epoch, *rest: Any) -> None:
        running.append(epoch)
        real(self, epoch, *rest)

    real = Driver._begin
    running: list[Epoch] = []
    return [_patch(driver_module, "epoch_after", wrong), _patch(Driver, "_begin", begin)]


def _quorum_of_the_old_set() -> Patches:
    def change(old: Epoch, new: Epoch) -> Epoch:
        new.validators.quorum, new.validators.third = old.validators.quorum, old.validators.third
        return new

    return _begun_with(change)


def _announced_set_ignored() -> Patches:
    return _begun_with(lambda old, new: replace(new, validators=old.validators))


def _leaders_of_the_old_seed() -> Patches:
    return _begun_with(lambda old, new: replace(new, seed=old.seed))


def _seat_of_another_epoch() -> Patches:
    real = Voting.me
    seats: dict[int, int | None] = {}

    def first(self: Voting, epoch: Epoch) -> int | None:
        return seats.setdefault(id(self), real(self, epoch))

    return [_patch(Voting, "me", first)]


def _old_epoch_goes_on() -> Patches:
    """The last block is final and committed, and for a while the core of its epoch goes on."""
    real = Driver._between_effects
    ended: dict[Hash32, int] = {}

    def late(self: Driver) -> None:
        base = self._next_base
        if base is not None and self.clock.now_ms() < ended.setdefault(base.hash, self.clock.now_ms() + 2000):
            self.clock.call_later(2000, lambda: late(self))
        else:
            real(self)

    return [_patch(Driver, "_between_effects", late), _patch(tally, "note_final_block", lambda _: None)]


def _begun_on_a_notarized_end() -> Patches:
    real = tally.add_certificate

    def hasty(state: State, certificate: Certificate) -> None:
        real(state, certificate)
        block = state.blocks.get(certificate.hash)
        if block is not None and certificate.kind == NOTARIZE and state.is_terminal(block):
            state.emit(Finalized(certificate))

    return [_patch(tally, "add_certificate", hasty)]


def _terminal_not_proposed_again() -> Patches:
    real = proposing._propose

    def only_new(state: State, found: Any, parent_view: int, block: Block, *, again: bool) -> None:
        if again:
            state.building = found.view
            voting.nullify(state, found.view)
        else:
            real(state, found, parent_view, block, again=False)

    return [_patch(proposing, "_propose", only_new)]


def _terminal_not_voted_for_again() -> Patches:
    real = ancestry.judge
    return [_patch(voting, "judge", lambda state, offer: ancestry.BAD if offer.again else real(state, offer))]


def _ended_epoch_not_told() -> Patches:
    return [_patch(Inbox, "_answer_old_epoch", lambda *_: None)]


def _rotated_key_not_chosen() -> Patches:
    return [_patch(Voting, "choose_key", lambda *_: None)]


def _journal_of_the_old_key_refused() -> Patches:
    def strict(self: Voting, journal: Sequence[bytes] | None, epoch: Epoch) -> Any:
        if journal is None:
            return None, False
        return replay(journal, self._driver.genesis_hash, self.key, epoch.index), True

    return [_patch(Voting, "read", strict)]


MUTATIONS: Final[dict[str, Mutation]] = {
    "no-barrier": Mutation(_no_barrier, 20),
    "finalize-after-nullify": Mutation(_finalize_after_nullify, 60),
    "quorum-two-thirds": Mutation(lambda: _quorum(lambda total: 2 * total // 3), 60, tweak=_full_of("double-voter")),
    "quorum-half": Mutation(
        lambda: _quorum(lambda total: total // 2 + 1), 100, first=14, tweak=_full_of("double-voter")
    ),
    "count-instead-of-stake": Mutation(_count_instead_of_stake, 100, tweak=_many_light_liars),
    "no-nullification-check": Mutation(_no_nullification_check, 300, first=8, tweak=_full_of("forker")),
    "parent-not-checked": Mutation(_parent_not_checked, 200, first=75, tweak=_full_of("forker")),
    "wrong-leader-accepted": Mutation(_wrong_leader_accepted, 100, cast=("usurper",)),
    "not-validated": Mutation(_not_validated, 100, cast=("equivocator",)),
    "terminal-extended": Mutation(_terminal_extended, 100, tweak=_short_epochs),
    "certificates-not-durable": Mutation(lambda: _not_persisted(Certificate), 300, first=80, tweak=_lossy_power_cut),
    "blocks-not-durable": Mutation(lambda: _not_persisted(Block), 300, tweak=_lossy_power_cut),
    "own-votes-not-durable": Mutation(lambda: _not_persisted(Vote), 20),
    "no-retry": Mutation(_no_retry, 20, tweak=_blackout),
    "no-ancestry-repair": Mutation(_no_ancestry_repair, 400, first=360, tweak=_full_of("withholder")),
    "lock-dropped-at-restart": Mutation(_lock_dropped_at_restart, 100, first=8),
    "lost-disk-forgotten": Mutation(_lost_disk_forgotten, 60, tweak=_wipe_somebody),
    "vote-counted-twice": Mutation(_vote_counted_twice, 100),
    "old-epoch-accepted": Mutation(_old_epoch_accepted, 100),
    "signature-not-checked": Mutation(_signature_not_checked, 100, cast=("garbage",)),
    "proof-of-another-view": Mutation(_proof_of_another_view, 10),
    "no-timeouts": Mutation(_no_timeouts, 20, tweak=_full_of("silent")),
    "nullify-not-sent": Mutation(
        lambda: _without_effect(Broadcast, lambda e: isinstance(e.message, Vote) and e.message.kind == NULLIFY), 100
    ),
    "timers-not-reset": Mutation(_timers_not_reset, 60, tweak=_full_of("silent")),
    "evidence-ignored": Mutation(lambda: _without_effect(Report), 60, tweak=_full_of("double-voter")),
    "quorum-of-the-old-set": Mutation(_quorum_of_the_old_set, 100, tweak=_changing_weights),
    "announced-set-ignored": Mutation(_announced_set_ignored, 60, tweak=_short_epochs),
    "leaders-of-the-old-seed": Mutation(_leaders_of_the_old_seed, 60, tweak=_short_epochs),
    "seat-of-another-epoch": Mutation(_seat_of_another_epoch, 60, tweak=_short_epochs),
    "old-epoch-goes-on": Mutation(_old_epoch_goes_on, 60, tweak=_short_epochs),
    "begun-on-a-notarized-end": Mutation(_begun_on_a_notarized_end, 60, tweak=_short_epochs),
    "terminal-not-proposed-again": Mutation(_terminal_not_proposed_again, 200, tweak=_lossy_short_epochs),
    "terminal-not-voted-for-again": Mutation(_terminal_not_voted_for_again, 200, tweak=_lossy_short_epochs),
    "ended-epoch-not-told": Mutation(_ended_epoch_not_told, 200, tweak=_lossy_short_epochs),
    "rotated-key-not-chosen": Mutation(_rotated_key_not_chosen, 60, tweak=_rotations),
    "journal-of-the-old-key-refused": Mutation(_journal_of_the_old_key_refused, 100, tweak=_rotations, first=100),
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
