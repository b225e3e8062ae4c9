"""Where agreement stands, in words an operator can act on: the first thing to look at when a chain stalls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consensus.core import Core
from consensus.state import Round
from node.driver.follower import Follower


@dataclass(frozen=True, slots=True)
class RoundState:
    """A snapshot. Weights are of votes held for the current view.

    Attributes:
        holds_back: one sentence on what finality waits for, or "nothing".
        silent: validators no vote of whom is here for the current view, this one included.
        votes_made, votes_missed: own votes, and views without one, since the process started.
        unreachable: validators this node has no connection to; their votes may come through others.
    """

    epoch: int
    view: int
    leader: int
    entered_ms: int
    final_view: int
    final_number: int
    committed_number: int
    quorum: int
    total: int
    notarize_weight: int
    nullify_weight: int
    finalize_weight: int
    has_proposal: bool
    voting: bool
    stopped: bool
    holds_back: str
    silent: tuple[int, ...]
    unreachable: tuple[int, ...]
    votes_made: int = 0
    votes_missed: int = 0


def round_state(
    core: Core, follower: Follower, now_ms: int, is_connected: Callable[[bytes], bool], *, stopped: bool
) -> RoundState:
    """Return the snapshot of one node; `is_connected` tells of a validator's key whether its peer is here."""
    state = core.state
    validators = core.epoch.validators
    found = state.rounds.get(core.view)
    notarize = max((tally.weight for tally in found.notarize.values()), default=0) if found is not None else 0
    nullify = found.nullify.weight if found is not None else 0
    finalize = max((tally.weight for held in state.rounds.values() for tally in held.finalize.values()), default=0)
    return RoundState(
        epoch=core.epoch.index,
        view=core.view,
        leader=core.epoch.leader(max(core.view, 1)),
        entered_ms=state.entered_ms,
        final_view=core.final.view,
        final_number=core.final.number,
        committed_number=follower.committed.number,
        quorum=validators.quorum,
        total=validators.total,
        notarize_weight=notarize,
        nullify_weight=nullify,
        finalize_weight=finalize,
        has_proposal=found is not None and bool(found.offers),
        voting=core.voting,
        stopped=stopped,
        holds_back=_holds_back(core, follower, found, now_ms, stopped=stopped),
        silent=tuple(index for index in range(len(validators)) if found is None or not _voted(found, index)),
        unreachable=tuple(
            index for index, key in enumerate(validators.keys) if index != state.me and not is_connected(key)
        ),
    )


def _voted(found: Round, index: int) -> bool:
    tallies = (found.nullify, *found.notarize.values(), *found.finalize.values())
    return any(index in tally.signatures for tally in tallies)


def _holds_back(core: Core, follower: Follower, found: Round | None, now_ms: int, *, stopped: bool) -> str:
    state = core.state
    if stopped:
        return "this node stopped after an alarm"
    if follower.target is not None:
        return f"fetching or executing blocks up to the final one of view {follower.target.view}"
    waited = now_ms - state.entered_ms
    if core.done or waited <= state.pace.idle_interval_ms + state.pace.delta_ms:
        return "nothing"
    leader = core.epoch.leader(max(core.view, 1))
    if found is None or not found.offers:
        return f"no proposal of leader {leader} in view {core.view} for {waited} ms"
    missing = core.epoch.validators.quorum - max((t.weight for t in found.notarize.values()), default=0)
    return f"{max(missing, 0)} of {core.epoch.validators.total} weight missing to notarize view {core.view}"
