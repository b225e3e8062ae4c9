"""Storage and constants of Sessions, and the small questions its parts ask of them."""

from __future__ import annotations

from typing import Annotated, Final

from aitoken.codec.hints import TypeName, u8, u16, u32, u64
from aitoken.types import AIT, Balance, BlockNumber, Hash32, Moment
from chain.frame.pallet import Ev, constant
from chain.frame.parameters import Parameter, parameter
from chain.frame.storage import (
    BLAKE2_128_CONCAT,
    TWOX_64_CONCAT,
    Map,
    OptionMap,
    OptionValue,
    Value,
    storage_map,
    value,
)
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.sessions_types import (
    ITEMS_MAX,
    LANES_A_PAGE,
    LANES_MAX,
    LanePage,
    LaneState,
    Punished,
    Session,
    SessionId,
    Tombstone,
)
from chain.params import DAY_MS

MIN_DEPOSIT: Final = Balance(AIT // 100)
DEMAND_BOND: Final = Balance(AIT // 10)
LIFE_MS: Final = 90 * DAY_MS
GRACE_MAX_MS: Final = 30 * DAY_MS
FEE_DEFAULT: Final = 1_000
FEE_MAX: Final = 20_000
FEE_ONE: Final = 1_000_000
SESSION_BYTES: Final = 400
LANE_BYTES: Final = 60
TOMBSTONE_BYTES: Final = 100


def session_deposit(max_lanes: int) -> Balance:
    """Return the deposit for a session and all the lanes it may have."""
    return deposit(SESSION_BYTES + LANE_BYTES * max_lanes)


def pages_of(max_lanes: int) -> range:
    """Return the numbers of the pages a session's lanes may be on."""
    return range(-(-max_lanes // LANES_A_PAGE))


class SessionsStorage:
    """What Sessions keeps; a part of the pallet that its helpers may see."""

    sessions: OptionMap[SessionId, Session] = storage_map(BLAKE2_128_CONCAT, doc="Sessions, by their id.")
    lanes: Map[tuple[SessionId, Annotated[int, u8, TypeName("Page")]], LanePage] = storage_map(
        BLAKE2_128_CONCAT, TWOX_64_CONCAT, doc="Lanes of a session in pages of 64: lane 130 is on page 2."
    )
    punished: Map[SessionId, Punished] = storage_map(
        BLAKE2_128_CONCAT, doc="What the provider was slashed for: lane, number of the receipt, proof."
    )
    tombstones: OptionMap[SessionId, Tombstone] = storage_map(
        BLAKE2_128_CONCAT, doc="Sessions that are over and whose id could still come back."
    )

    tail_queue: OptionMap[u64, tuple[SessionId, u16]] = storage_map(
        TWOX_64_CONCAT, doc="Tails in the order in which they ripen, by ticket: session and lane."
    )
    tail_front: Value[u64] = value(doc="The first ticket that is in the queue.")
    tail_end: Value[u64] = value(doc="The next ticket.")
    demand_queue: OptionMap[u64, tuple[SessionId, u16]] = storage_map(
        TWOX_64_CONCAT, doc="Demands in the order in which their time ends: session and lane."
    )
    demand_front: Value[u64] = value(doc="The first place of that queue that is taken.")
    demand_end: Value[u64] = value(doc="The first place of that queue that is free.")
    agenda: OptionMap[tuple[BlockNumber, u32], SessionId] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="Which sessions to look after in which block."
    )
    agenda_count: Map[BlockNumber, u32] = storage_map(TWOX_64_CONCAT, doc="How many those are.")
    agenda_behind: OptionValue[tuple[BlockNumber, u32]] = value(
        doc="Where the agenda stands when it is behind; absent when it is not."
    )
    busy_blocks: Value[u32] = value(doc="Blocks that had no room left for claims; grace does not count them.")

    min_deposit: Balance = constant(MIN_DEPOSIT, doc="The least deposit.")
    demand_bond: Balance = constant(DEMAND_BOND, doc="What stands behind the demand for a receipt.")
    min_grace: u32 = constant(lambda env: env.params.grace_blocks_min, doc="The least grace, in blocks.")
    max_grace: u32 = constant(lambda env: GRACE_MAX_MS // env.params.block_time_ms, doc="The longest grace, in blocks.")
    max_life: u32 = constant(
        lambda env: LIFE_MS // env.params.block_time_ms, doc="How many blocks ahead a session may expire."
    )
    tail_window: Moment = constant(lambda env: env.params.tail_ms, doc="How long a tail waits for a proof.")
    tail_blocks: u32 = constant(
        lambda env: env.params.tail_ms // env.params.idle_interval_ms, doc="And how many blocks at least."
    )
    answer_period: Moment = constant(lambda env: env.params.notice_ms, doc="How long a demanded receipt can be shown.")
    proof_blocks: u32 = constant(
        lambda env: env.params.notice_ms // env.params.block_time_ms,
        doc="How many blocks after its end lies about a session can be proved.",
    )
    max_lanes: u16 = constant(LANES_MAX, doc="Most lanes of a session.")
    max_items: u16 = constant(ITEMS_MAX, doc="Most claims in one call.")
    protocol_fee: Parameter[u32] = parameter(
        0, FEE_DEFAULT, bounds=(0, FEE_MAX), doc="The fee on what is claimed, in millionths."
    )

    def emit(self, event: Ev) -> None:
        """Record an event; the pallet's own method."""
        raise NotImplementedError

    def lane(self, session: Hash32, number: int) -> LaneState | None:
        """Return a lane, None where nothing was claimed on it or there can be none."""
        if number >= LANES_MAX:
            return None
        return self.lanes.get((session, number // LANES_A_PAGE)).get(number)

    def put_lane(self, session: Hash32, number: int, state: LaneState) -> None:
        """Set a lane."""
        key = (session, number // LANES_A_PAGE)
        self.lanes.put(key, self.lanes.get(key) | {number: state})

    def grace_left(self, number: BlockNumber, since: BlockNumber, busy: int, grace: int) -> int:
        """Return how many more blocks that are not busy a grace lasts; 0 once it is over.

        Args:
            number: the block that is being made.
            since: the block in which the grace began.
            busy: how many busy blocks there were until then.
            grace: how long it is.
        """
        calm = number - since - (self.busy_blocks.get() - busy)
        return max(0, grace - calm)
