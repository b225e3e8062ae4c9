"""Consensus: evidence against a validator with four pages of nominators, and the random value of each block."""

from aitoken.crypto.derive import pair_from_uri
from aitoken.proto import randomness
from aitoken.proto.digest import Digest, NextEpoch, SmpxDigest, leading_items_of
from aitoken.proto.votes import NOTARIZE, Vote
from aitoken.types import Hash32
from bench.weights.world import Run, World, ait, scenario
from chain.pallets.consensus import EquivocationProof, proof_of
from chain.pallets.staking.election import Exposure
from chain.pallets.staking.types import PAGE_SIZE

NOMINATORS = 4 * PAGE_SIZE
VALIDATORS = 400


@scenario("Consensus.on_initialize")
def on_initialize(world: World) -> Run:
    """A block that comes from elsewhere, so its VRF proof is checked, with many validators."""
    pair = pair_from_uri("//Alice", "ed25519")
    authorities = [(world.person(index), 1) for index in range(VALIDATORS)]
    epoch = NextEpoch(0, [*authorities, (pair.public, 1)], bytes(32), 0, 30)
    world.consensus.current_epoch.put(epoch)
    proof = randomness.prove(pair, world.genesis_hash, bytes(epoch.seed), 0, 2)
    digest = SmpxDigest(1, 0, 2, 1, VALIDATORS, world.time_ms + 250, randomness.output_of(proof), proof)
    world.system.initialize(2, world.header.hash, Digest(leading_items_of(digest)))

    def run() -> object:
        world.consensus.on_initialize(2)
        return world.consensus.check_given(2)

    return run


def _evidence(world: World) -> EquivocationProof:
    members = world.historical.members_of(0)
    pair = pair_from_uri("//Alice", "ed25519")
    signer = next(index for index, member in enumerate(members) if member.key == pair.public)
    rows = [(world.person(index), ait(500)) for index in range(NOMINATORS)]
    exposure = Exposure(ait(500 * (NOMINATORS + 1)), ait(500), rows)
    world.staking._exposures.put(0, members[signer].validator, exposure)
    votes = []
    for byte in (1, 2):
        block = Hash32(bytes([byte]) * 32)
        unsigned = Vote(NOTARIZE, 0, 5, block, signer, bytes(64))
        votes.append(Vote(NOTARIZE, 0, 5, block, signer, pair.sign(unsigned.sign_bytes(world.genesis_hash))))
    return proof_of(*votes)


@scenario("Consensus.report_equivocation")
def report_equivocation(world: World) -> Run:
    return world.call(world.person(0), "Consensus.report_equivocation", _evidence(world))


@scenario("Consensus.report_equivocation_unsigned")
def report_equivocation_unsigned(world: World) -> Run:
    """It is checked when it is let in and once more when it is judged."""
    evidence = _evidence(world)
    checked = world.make("Consensus.report_equivocation_unsigned", evidence)
    run = world.call("NOBODY", "Consensus.report_equivocation_unsigned", evidence)

    def both() -> object:
        world.consensus.check_unsigned(checked)
        return run()

    return both
