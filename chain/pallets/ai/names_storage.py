"""Storage and constants of Names."""

from __future__ import annotations

from typing import Final

from aitoken.codec.hints import u8, u32
from aitoken.names import LENGTH_MIN
from aitoken.types import AIT, AccountId, Balance, Moment
from chain.frame.pallet import constant
from chain.frame.parameters import Parameter, parameter
from chain.frame.storage import BLAKE2_128_CONCAT, TWOX_64_CONCAT, Map, OptionMap, Value, storage_map, value
from chain.pallets.ai.names_types import Alert, Case, Commitment, Name, Registration, Reserved, Skeleton, Subject
from chain.params import DAY_MS

RENT: Final = Balance(5 * AIT)
YEAR_MS: Final = 365 * DAY_MS
YEARS_MAX: Final = 5
GRACE_MS: Final = 90 * DAY_MS
COMMIT_BLOCKS: Final = 5
"""So many leaders in a row would have to keep a registration back for somebody else to be first."""
COMMIT_MS: Final = DAY_MS
"""A commitment counts that long, so that nobody holds some for all good names."""
WARNING_MS: Final = 30 * DAY_MS
BOND_SIZE: Final = Balance(10 * AIT)
CHALLENGE_STEPS, APPEAL_STEPS = 14, 7
"""How long the committee has, in steps (a day, on a public network)."""
SCARCE: Final = {3: 20, 4: 5}
"""How many times the rent names of so many characters cost."""
NAME_BYTES: Final = 800
COMMITMENT_BYTES: Final = 110
SWEPT_A_BLOCK: Final = 2


class NamesStorage:
    """What Names keeps."""

    names: OptionMap[Name, Registration] = storage_map(BLAKE2_128_CONCAT, doc="Names.")
    skeletons: OptionMap[Skeleton, Name] = storage_map(
        BLAKE2_128_CONCAT, doc="The name that looks like this; there is one at most."
    )
    reserved: OptionMap[Skeleton, Reserved] = storage_map(
        BLAKE2_128_CONCAT, doc="Names that are not for everybody, by what they look like."
    )
    commitments: OptionMap[AccountId, Commitment] = storage_map(
        BLAKE2_128_CONCAT, doc="What an account will register; one at a time."
    )
    warnings: OptionMap[Subject, Alert] = storage_map(BLAKE2_128_CONCAT, doc="What wallets show in red.")
    agenda: OptionMap[tuple[u32, u32], Case] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="Names and warnings by when they are looked at next."
    )
    agenda_counts: Map[u32, u32] = storage_map(TWOX_64_CONCAT, doc="How many were entered for a slot of time.")
    agenda_front: Value[tuple[u32, u32]] = value(doc="Slot and position the agenda has been read to.")

    min_length: u32 = constant(LENGTH_MIN, doc="The least number of characters of a name.")
    grace: Moment = constant(GRACE_MS, doc="How long an expired name can be renewed, in milliseconds.")
    max_years: u8 = constant(YEARS_MAX, doc="How many years ahead a name can be paid for.")
    commit_blocks: u32 = constant(COMMIT_BLOCKS, doc="How many blocks old a commitment must be.")
    bond: Balance = constant(BOND_SIZE, doc="What a challenge or an appeal puts down.")
    step_ms: Moment = constant(
        lambda env: env.params.case_step_ms,
        name="Step",
        doc="A challenge is decided within 14 of these, an appeal within 7, in milliseconds.",
    )

    rent: Parameter[Balance] = parameter(
        0, RENT, bounds=(AIT // 100, 10_000 * AIT),
        doc="What a year of a name of five characters or more costs; 5 times that for four, 20 times for three.",
    )  # fmt: skip
