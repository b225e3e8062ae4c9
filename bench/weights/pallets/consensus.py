"""Consensus: evidence against a validator with four pages of nominators."""

from aitoken.crypto.derive import pair_from_uri
from aitoken.proto.votes import NOTARIZE, Vote
from aitoken.types import Hash32
from bench.weights.world import Run, World, ait, scenario
from chain.pallets.consensus import EquivocationProof, proof_of
from chain.pallets.staking.election import Exposure
from chain.pallets.staking.types import PAGE_SIZE

NOMINATORS = 4 * PAGE_SIZE


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
