"""Every order of events of a small network, not a random one: an explicit-state search over the voting rules.

Three honest validators and one liar of equal weight. The liar signs anything, so two honest votes make a certificate;
leaders are adversarial and may equivocate; anybody may use any certificate that could be formed; nobody has a current
view, a timer or a final view, so an honest validator may at any moment cast any vote that R1 to R4 allow. That is a
superset of what the protocol can do: what holds here holds for every schedule.

R4 is decided by the core's own `consensus.ancestry.judge`, the quorum by its `Validators`, R1 and R3 by `Rules` below,
which tests switch off to see the search find the fork. Honest validators are interchangeable: states are kept sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias

from aitoken.proto.votes import NO_BLOCK, NOTARIZE, NULLIFY, Certificate, Vote
from aitoken.types import Hash32
from consensus.ancestry import OK, judge
from consensus.epochs import Epoch
from consensus.state import Offer, State
from consensus.types import Block, Pace
from consensus.validators import Validators

HONEST: Final = 3
NONE: Final = -1

Ballot: TypeAlias = tuple[tuple[int, ...], bool, int]
"""One honest validator in one view: blocks notarized, nullified, block finalized or NONE."""
Validator: TypeAlias = tuple[Ballot, ...]
Network: TypeAlias = tuple[Validator, ...]


class Certificates(NamedTuple):
    """What could be certified: blocks by view, views, blocks by view."""

    notarized: tuple[frozenset[int], ...]
    nullified: tuple[bool, ...]
    finalized: tuple[frozenset[int], ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules an honest validator keeps; each can be dropped to see that the search bites."""

    one_notarize: bool = True
    no_finalize_and_nullify: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the search found: how many states, and None or what went wrong."""

    states: int
    violation: str | None
    complete: bool = True


class Explorer:
    """A search over `views` views, `blocks_per_leader` different blocks in each, with the block at `terminal` last."""

    def __init__(
        self, views: int, *, blocks_per_leader: int = 2, terminal: int = 1000, rules: Rules | None = None
    ) -> None:
        self._views = views
        self._salts = blocks_per_leader
        self._rules = rules or Rules()
        base = Block(Hash32(b"B" * 32), 0, NO_BLOCK, 0, 0, 0, 0, 0)
        validators = Validators([(bytes([i]) * 32, 1) for i in range(HONEST + 1)])
        self._needed = validators.quorum - 1  # the liar's vote is always there
        self._epoch = Epoch(0, validators, b"", base, terminal)
        self._blocks: list[Block] = [base]
        self._ids: dict[tuple[int, int, int, int], int] = {}
        self._candidates: dict[tuple[tuple[frozenset[int], ...], tuple[bool, ...]], list[list[int]]] = {}

    def search(self, states_max: int = 10_000_000) -> Verdict:
        """Visit every reachable state."""
        first: Network = ((((), False, NONE),) * self._views,) * HONEST
        seen = {first}
        stack = [first]
        while stack:
            network = stack.pop()
            certificates = self._certificates(network)
            violation = self._violation(certificates)
            if violation is not None:
                return Verdict(len(seen), violation)
            for following in self._successors(network, certificates):
                if following not in seen:
                    seen.add(following)
                    stack.append(following)
            if len(seen) > states_max:
                return Verdict(len(seen), None, complete=False)
        return Verdict(len(seen), None)

    def _certificates(self, network: Network) -> Certificates:
        notarized, nullified, finalized = [], [], []
        for view in range(self._views):
            ballots = [validator[view] for validator in network]
            notarized.append(self._supported([block for ballot in ballots for block in ballot[0]]))
            nullified.append(sum(ballot[1] for ballot in ballots) >= self._needed)
            finalized.append(self._supported([ballot[2] for ballot in ballots]))
        return Certificates(tuple(notarized), tuple(nullified), tuple(finalized))

    def _supported(self, votes: list[int]) -> frozenset[int]:
        return frozenset(block for block in votes if block != NONE and votes.count(block) >= self._needed)

    def _violation(self, certificates: Certificates) -> str | None:
        final: list[int] = []
        for view in range(self._views):
            if len(certificates.notarized[view]) > 1:
                return f"two blocks notarized in view {view + 1}"
            if certificates.finalized[view] and certificates.nullified[view]:
                return f"view {view + 1} final and nullified"
            final += certificates.finalized[view]
        for first in final:
            for second in final:
                if not self._is_ancestor(first, second) and not self._is_ancestor(second, first):
                    return f"blocks {first} and {second} are final and conflict"
        return None

    def _is_ancestor(self, above: int, below: int) -> bool:
        block = self._blocks[below]
        target = self._blocks[above]
        by_hash = {known.hash: known for known in self._blocks}
        while block.number > target.number:
            block = by_hash[block.parent_hash]
        return block.hash == target.hash

    def _successors(self, network: Network, certificates: Certificates) -> list[Network]:
        found: list[Network] = []
        allowed = self._allowed(certificates)
        for index, validator in enumerate(network):
            if index and validator == network[index - 1]:
                continue  # interchangeable with the one before
            for view, (notarize, nullify, finalize) in enumerate(validator):
                ballots: list[Ballot] = []
                if not notarize or not self._rules.one_notarize:
                    fresh = (block for block in allowed[view] if block not in notarize)
                    ballots += [(tuple(sorted((*notarize, block))), nullify, finalize) for block in fresh]
                may = self._rules.no_finalize_and_nullify
                if not nullify and (finalize == NONE or not may):
                    ballots.append((notarize, True, finalize))
                if finalize == NONE and (not nullify or not may):
                    ballots += [(notarize, nullify, block) for block in sorted(certificates.notarized[view])]
                for ballot in ballots:
                    changed = (*validator[:view], ballot, *validator[view + 1 :])
                    found.append(tuple(sorted((*network[:index], changed, *network[index + 1 :]))))
        return found

    def _allowed(self, certificates: Certificates) -> list[list[int]]:
        """Return for each view the blocks that R4 lets an honest validator notarize."""
        key = (certificates.notarized, certificates.nullified)
        found = self._candidates.get(key)
        if found is None:
            found = [self._allowed_in(view, certificates) for view in range(1, self._views + 1)]
            self._candidates[key] = found
        return found

    def _allowed_in(self, view: int, certificates: Certificates) -> list[int]:
        allowed: dict[int, None] = {}
        for parent_view in range(view):
            parents = [0] if parent_view == 0 else sorted(certificates.notarized[parent_view - 1])
            for parent in parents:
                again = Offer(view, parent_view, self._blocks[parent].hash, again=True, vote=_VOTE)
                state = self._state(certificates, parent_view, parent)
                if judge(state, again) == OK:
                    allowed[parent] = None
                for salt in range(self._salts):
                    block = self._block(view, parent_view, parent, salt)
                    state.blocks[self._blocks[block].hash] = self._blocks[block]
                    offer = Offer(view, parent_view, self._blocks[block].hash, again=False, vote=_VOTE)
                    if judge(state, offer) == OK:
                        allowed[block] = None
        return list(allowed)

    def _state(self, certificates: Certificates, parent_view: int, parent: int) -> State:
        """Return a core's memory in which everything certified is known, and `parent` as notarized at its view."""
        state = State(self._epoch, None, Pace(0, 0, 1), _refuse, voting=False)
        state.blocks = {block.hash: block for block in self._blocks}
        for view in range(1, self._views + 1):
            found = state.round(view)
            if certificates.nullified[view - 1]:
                found.nullified = Certificate(NULLIFY, 0, view, NO_BLOCK, b"\x0f", ())
            if view == parent_view:
                found.notarized = Certificate(NOTARIZE, 0, view, self._blocks[parent].hash, b"\x0f", ())
        return state

    def _block(self, view: int, parent_view: int, parent: int, salt: int) -> int:
        key = (view, parent_view, parent, salt)
        found = self._ids.get(key)
        if found is None:
            above = self._blocks[parent]
            block_hash = Hash32(blake2b(repr(key).encode(), digest_size=32).digest())
            leader = self._epoch.leader(view)
            number = above.number + 1
            self._blocks.append(Block(block_hash, number, above.hash, 0, view, parent_view, leader, number))
            found = self._ids[key] = len(self._blocks) - 1
        return found


_VOTE: Final = Vote(NOTARIZE, 0, 1, NO_BLOCK, 0, bytes(64))


def _refuse(kind: int, epoch: int, view: int, block_hash: Hash32) -> bytes:
    raise NotImplementedError(f"nobody signs here: {kind} {epoch} {view} {block_hash.hex()}")
