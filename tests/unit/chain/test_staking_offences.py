"""Two votes that exclude each other cost stake, once, and never an honest validator's."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, sign_bytes
from aitoken.types import AIT, Hash32
from chain.frame import errors
from chain.pallets.consensus import EquivocationProof, SignedVote, proof_of
from chain.pallets.equivocations import Equivocation, Offence, Offender, ReportStatus
from chain.pallets.offences import EQUIVOCATION, fraction_of
from chain.pallets.staking import types as t
from tests.support.staking_chain import StakingChain, account, pair

ONE, OTHER = Hash32(b"\x01" * 32), Hash32(b"\x02" * 32)
TEN = dict.fromkeys("ABCDEFGHIJ", 1000)


def vote(chain: StakingChain, name: str, kind: int, block: bytes, epoch: int, view: int = 7) -> SignedVote:
    return SignedVote(kind, block, pair(name).sign(sign_bytes(chain.genesis_hash, kind, epoch, view, block)))


def proof(
    chain: StakingChain,
    name: str,
    *,
    epoch: int | None = None,
    first: tuple[int, bytes] = (NOTARIZE, ONE),
    second: tuple[int, bytes] = (NOTARIZE, OTHER),
    by: str | None = None,
) -> EquivocationProof:
    """What proves that somebody signed two votes in an epoch; `by` lets another key sign the second."""
    epoch = chain.session.current_index.get() if epoch is None else epoch
    members = [row.validator for row in chain.historical.members_of(epoch)]
    return EquivocationProof(
        epoch,
        7,
        members.index(account(name)),
        vote(chain, name, *first, epoch),
        vote(chain, by or name, *second, epoch),
    )


def refused(chain: StakingChain, error: str, evidence: EquivocationProof) -> None:
    with pytest.raises(errors.DispatchError) as caught:
        chain.call("X", "Consensus.report_equivocation", evidence)
    assert caught.value.code == f"Consensus.{error}"
    with pytest.raises(errors.InvalidTransaction):
        chain.block(chain.unsigned("Consensus.report_equivocation_unsigned", evidence))
    chain.look()


@pytest.fixture
def chain() -> StakingChain:
    return StakingChain(validators=TEN, nominators={"N": (100, ["A", "B"])}, others={"X": 100})


def test_the_fraction_grows_with_the_square_of_the_offending_weight() -> None:
    assert fraction_of(1, 1000) == 20_000_000
    assert fraction_of(1, 10) == 90_000_000
    assert fraction_of(2, 10) == 360_000_000
    assert fraction_of(1, 3) == fraction_of(3, 3) == 10**9


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((NOTARIZE, ONE), (NOTARIZE, OTHER)), ((FINALIZE, ONE), (FINALIZE, OTHER)),
        ((FINALIZE, ONE), (NULLIFY, NO_BLOCK)), ((NULLIFY, NO_BLOCK), (FINALIZE, OTHER)),
    ],
)  # fmt: skip
def test_pairs_that_exclude_each_other_are_punished(chain: StakingChain, first: Any, second: Any) -> None:
    events = chain.run("X", "Consensus.report_equivocation", proof(chain, "A", first=first, second=second))

    names = [type(event).__name__ for event in events]
    assert names == [
        "Withdraw", "Offence", "SlashReported", "Chilled", "ValidatorDisabled", "Equivocated", "Deposit",
        "TransactionFeePaid", "ExtrinsicSuccess",
    ]  # fmt: skip
    assert events[5].validator == account("A")
    weights = [weight for _, weight in chain.epoch().authorities]
    assert events[5].fraction == fraction_of(weights[0], sum(weights))
    assert chain.free("X") == 100 * AIT  # reporting is free
    assert not chain.staking.validators.contains(account("A"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((NOTARIZE, ONE), (NOTARIZE, ONE)), ((NOTARIZE, ONE), (NULLIFY, NO_BLOCK)),
        ((NOTARIZE, ONE), (FINALIZE, OTHER)),
        ((NULLIFY, NO_BLOCK), (NULLIFY, NO_BLOCK)), ((NULLIFY, ONE), (FINALIZE, ONE)), ((9, ONE), (9, OTHER)),
    ],
)  # fmt: skip
def test_legal_pairs_prove_nothing(chain: StakingChain, first: Any, second: Any) -> None:
    refused(chain, "InvalidEquivocationProof", proof(chain, "A", first=first, second=second))


def test_every_signature_counts(chain: StakingChain) -> None:
    chain.block()
    good = proof(chain, "A")
    refused(chain, "InvalidEquivocationProof", proof(chain, "A", by="B"))
    refused(chain, "InvalidEquivocationProof", EquivocationProof(good.epoch, 8, good.signer, good.first, good.second))
    refused(chain, "InvalidEquivocationProof", EquivocationProof(good.epoch, 7, 1, good.first, good.second))
    refused(chain, "InvalidEquivocationProof", EquivocationProof(good.epoch, 7, 10, good.first, good.second))
    refused(chain, "TooOld", EquivocationProof(99, 7, 0, good.first, good.second))


@pytest.mark.parametrize("epoch", [2**32, 2**64 - 1])
def test_an_epoch_that_cannot_be_is_refused_everywhere(chain: StakingChain, epoch: int) -> None:
    evidence = proof(chain, "A").copy()
    evidence.epoch = epoch
    refused(chain, "TooOld", evidence)
    with pytest.raises(errors.InvalidTransaction):
        chain.runtime.validate(
            chain.state, chain.header.number, chain.header.hash,
            chain.unsigned("Consensus.report_equivocation_unsigned", evidence),
        )  # fmt: skip


def test_once_an_epoch(chain: StakingChain) -> None:
    evidence = proof(chain, "A")
    chain.block(chain.unsigned("Consensus.report_equivocation_unsigned", evidence))
    assert len(chain.named("Equivocated")) == 1
    swapped = EquivocationProof(evidence.epoch, 7, evidence.signer, evidence.second, evidence.first)
    refused(chain, "DuplicateOffenceReport", evidence)
    refused(chain, "DuplicateOffenceReport", swapped)


def test_evidence_of_the_agreement_has_a_form_for_the_chain(chain: StakingChain) -> None:
    evidence = proof(chain, "A", first=(NULLIFY, NO_BLOCK), second=(FINALIZE, ONE))
    first, second = evidence.votes()

    assert proof_of(first, second) == proof_of(second, first) == evidence


def test_what_pools_are_told_of_a_report(chain: StakingChain) -> None:
    extrinsic = chain.unsigned("Consensus.report_equivocation_unsigned", proof(chain, "A"))
    valid = chain.runtime.validate(chain.state, chain.header.number, chain.header.hash, extrinsic)
    other = chain.unsigned("Consensus.report_equivocation_unsigned", proof(chain, "B"))

    assert valid.priority > 2**63
    assert (len(valid.provides), valid.requires) == (1, ())
    assert valid.provides != chain.runtime.validate(chain.state, 0, chain.header.hash, other).provides
    later = EquivocationProof(0, 9, 0, vote(chain, "A", NOTARIZE, ONE, 0, 9), vote(chain, "A", NOTARIZE, OTHER, 0, 9))
    same = chain.unsigned("Consensus.report_equivocation_unsigned", later)
    assert valid.provides == chain.runtime.validate(chain.state, 0, chain.header.hash, same).provides
    for name, args in (("Consensus.report_equivocation", (proof(chain, "A"),)), ("System.remark", (b"",))):
        with pytest.raises(errors.InvalidTransaction):
            chain.runtime.validate(chain.state, 0, chain.header.hash, chain.unsigned(name, *args))
    signed = chain.signed("X", "Consensus.report_equivocation_unsigned", proof(chain, "A"))
    chain.block(signed)
    assert chain.named("ExtrinsicFailed")


def test_a_slash_waits_and_then_takes_from_validator_and_nominators(chain: StakingChain) -> None:
    chain.until_era(1)
    exposure = chain.staking.eras_stakers_overview.get((1, account("A")))
    part = {row.who: row.value for row in chain.staking.eras_stakers_paged.get((1, account("A"), 0)).others}
    evidence = proof(chain, "A")
    chain.run("X", "Consensus.report_equivocation", evidence)
    fraction = chain.named("Equivocated")[0].fraction
    own, nominators = exposure.own * fraction // 10**9, part[account("N")] * fraction // 10**9
    assert chain.staking.unapplied_slashes.get(3) == [
        t.UnappliedSlash(account("A"), own, [(account("N"), nominators)], [account("X")], (own + nominators) // 20)
    ]
    assert chain.staking.validator_slash_in_era.get((1, account("A"))) == (fraction, own)
    assert chain.staking.nominator_slash_in_era.get((1, account("N"))) == nominators
    assert chain.offences.concurrent_reports_index.get((EQUIVOCATION, evidence.epoch.to_bytes(8, "little")))
    for payee in "AN":
        chain.run(payee, "Staking.set_payee", t.Stash())
    while chain.era < 3:  # rewards go to the free balance meanwhile
        bonded, reporter = {name: chain.bonded(name) for name in "AN"}, chain.free("X")
        chain.block()

    assert bonded["A"] - chain.bonded("A") == own
    assert bonded["N"] - chain.bonded("N") == nominators
    assert chain.free("X") - reporter == (own + nominators) // 20
    assert [event.staker for event in chain.named("Slashed") if hasattr(event, "staker")] == [
        account("A"),
        account("N"),
    ]
    assert chain.supply.burned_for.get(1) == own + nominators - (own + nominators) // 20
    chain.check_money()
    chain.until_era(8)
    assert chain.staking.validator_slash_in_era.get((1, account("A"))) is None
    assert chain.staking.nominator_slash_in_era.get((1, account("N"))) is None


def test_unbonding_after_the_offence_does_not_help(chain: StakingChain) -> None:
    chain.run("X", "Consensus.report_equivocation", proof(chain, "A"))
    (slash,) = chain.staking.unapplied_slashes.get(2)
    chain.run("A", "Staking.set_payee", t.Stash())
    chain.run("A", "Staking.unbond", 10**30)
    total = chain.staking.ledger.get(account("A")).total
    assert chain.bonded("A") == 0
    chain.until_era(2)

    assert total - chain.staking.ledger.get(account("A")).total == slash.own
    chain.check_money()
    chain.until_era(4)
    chain.run("A", "Staking.withdraw_unbonded", 0)
    assert chain.staking.ledger.get(account("A")) is None


def test_what_was_free_before_is_not_touched(chain: StakingChain) -> None:
    chain.run("N", "Staking.unbond", 40 * AIT)
    chain.until_era(3)
    early = chain.staking.ledger.get(account("N")).unlocking
    assert early[0].era <= 3
    chain.look()
    chain.staking._bonds.slash(account("N"), 10**30, 0, None)
    later = t.StakingLedger(account("N"), 40 * AIT, 0, early, [])
    assert chain.staking.ledger.get(account("N")) == (
        later if early[0].era < 3 else t.StakingLedger(account("N"), 0, 0, [], [])
    )


def test_a_waiting_slash_can_be_cancelled(chain: StakingChain) -> None:
    for name in "AB":
        chain.run("X", "Consensus.report_equivocation", proof(chain, name, epoch=0))
    assert len(chain.staking.unapplied_slashes.get(2)) == 3  # the second report raised the first one's fraction
    for error, indices in (
        ("EmptyTargets", []), ("NotSortedAndUnique", [1, 0]), ("NotSortedAndUnique", [1, 1]),
        ("InvalidSlashIndex", [0, 3]),
    ):  # fmt: skip
        with pytest.raises(errors.DispatchError) as caught:
            chain.call("ROOT", "Staking.cancel_deferred_slash", 2, indices)
        assert caught.value.code == f"Staking.{error}"
    cancel = chain.schema.make_call("Staking.cancel_deferred_slash", 2, [0, 2])
    kept = chain.staking.unapplied_slashes.get(2)[1]
    chain.block(chain.signed("root", "Sudo.sudo", cancel))
    assert chain.staking.unapplied_slashes.get(2) == [kept]
    chain.call("ROOT", "Staking.cancel_deferred_slash", 2, [0])
    assert not chain.staking.unapplied_slashes.contains(2)


def offenders(chain: StakingChain) -> list[Offender]:
    return chain.consensus.offences().offenders


def status(chain: StakingChain, evidence: EquivocationProof) -> ReportStatus:
    return chain.consensus.report_status(evidence)


def test_people_are_told_who_was_punished_why_and_what_became_of_it(chain: StakingChain) -> None:
    chain.until_era(1)
    epoch = chain.session.current_index.get()
    chain.run(
        "X", "Consensus.report_equivocation", proof(chain, "A", first=(NULLIFY, NO_BLOCK), second=(FINALIZE, ONE))
    )
    (slash,) = chain.staking.unapplied_slashes.get(3)
    fraction, at = chain.named("Equivocated")[0].fraction, chain.header.number
    others = sum(part for _, part in slash.others)
    penalty = t.Penalty(1, fraction, slash.own, others, 3, account("X"), slash.payout, cancelled=False)
    equivocation = Equivocation(account("A"), epoch, 7, Offence.FinalizeAndNullify, fraction, 1, at)
    assert offenders(chain) == [Offender(account("A"), [equivocation], [penalty])]

    chain.block(chain.unsigned("Consensus.report_equivocation_unsigned", proof(chain, "C", epoch=epoch)))
    first, second = offenders(chain)
    assert first.equivocations[0].fraction == second.equivocations[0].fraction > fraction
    assert [each.fraction for each in first.penalties] == [fraction, second.penalties[0].fraction]
    chain.until_era(8)
    assert offenders(chain) == [first, second]  # for ever


def test_a_cancelled_penalty_says_so_and_no_other(chain: StakingChain) -> None:
    for name in "AB":
        chain.run("X", "Consensus.report_equivocation", proof(chain, name, epoch=0))
    waiting = [slash.validator for slash in chain.staking.unapplied_slashes.get(2)]
    assert waiting == [account("A"), account("A"), account("B")]  # B's report raised the fraction of A

    for index, cancelled in ((0, [[True, False], [False]]), (1, [[True, False], [True]]), (0, [[True, True], [True]])):
        chain.call("ROOT", "Staking.cancel_deferred_slash", 2, [index])
        assert [[each.cancelled for each in found.penalties] for found in offenders(chain)] == cancelled


def test_what_a_report_would_meet(chain: StakingChain) -> None:
    evidence = proof(chain, "A")
    assert status(chain, evidence) is ReportStatus.Early
    chain.block()
    assert status(chain, evidence) is ReportStatus.Open
    early = EquivocationProof(9, 7, 0, evidence.first, evidence.second)
    assert status(chain, early) is ReportStatus.Early
    assert status(chain, proof(chain, "A", by="B")) is ReportStatus.Invalid
    chain.run("X", "Consensus.report_equivocation", evidence)
    assert status(chain, evidence) is ReportStatus.Punished
    last = proof(chain, "B", epoch=0)
    chain.until_era(3)
    assert status(chain, last) is ReportStatus.TooOld


def test_nobody_is_paid_for_a_report_of_itself(chain: StakingChain) -> None:
    chain.run("A", "Consensus.report_equivocation", proof(chain, "A"))
    (found,) = offenders(chain)
    assert (found.penalties[0].reporter, found.penalties[0].payout) == (None, 0)
    chain.run("B", "Consensus.report_equivocation", proof(chain, "C", epoch=0))
    assert offenders(chain)[1].penalties[0].reporter == account("B")
    report = chain.unsigned("Consensus.report_equivocation_unsigned", proof(chain, "D", epoch=0))
    chain.block(report, gap=chain.gap_before("D"))
    assert chain.authorship.current_author() == account("D")
    assert offenders(chain)[2].penalties[0].reporter is None
    chain.until_era(3)
    chain.check_money()


def test_offenders_of_one_epoch_are_punished_for_all_of_them_together(chain: StakingChain) -> None:
    first, second = proof(chain, "A"), proof(chain, "C")
    weights = [weight for _, weight in chain.epoch().authorities]
    chain.block(
        chain.unsigned("Consensus.report_equivocation_unsigned", first),
        chain.unsigned("Consensus.report_equivocation_unsigned", second),
    )
    fraction = fraction_of(weights[0] + weights[2], sum(weights))
    slashes = chain.staking.unapplied_slashes.get(2)

    assert chain.staking.validator_slash_in_era.get((0, account("A"))) == (fraction, 1000 * AIT * fraction // 10**9)
    assert chain.staking.validator_slash_in_era.get((0, account("C"))) == (fraction, 1000 * AIT * fraction // 10**9)
    assert sum(each.own for each in slashes if each.validator == account("A")) == 1000 * AIT * fraction // 10**9
    assert all(each.reporters == [chain.authorship.current_author()] for each in slashes)
    assert [index for index, _ in chain.session.disabled_validators.get()] == [0, 2]


def test_offenders_are_out_as_soon_as_sets_allow(chain: StakingChain) -> None:
    chain.run("X", "Consensus.report_equivocation", proof(chain, "A"))
    assert account("A") in chain.session.validators.get()
    chain.until_session(2)

    assert account("A") not in chain.session.validators.get()
    assert chain.session.disabled_validators.get() == []
    chain.until_era(3)
    assert account("A") not in chain.session.validators.get()
    assert len(chain.session.validators.get()) == 9


def test_evidence_is_good_while_the_stake_is_bonded_and_not_longer(chain: StakingChain) -> None:
    evidence = proof(chain, "A")
    last = proof(chain, "B")
    chain.until_era(2)
    chain.run("X", "Consensus.report_equivocation", evidence)
    assert list(dict(chain.staking.unapplied_slashes.items())) == [3]
    bonded = chain.bonded("A")
    chain.until_era(3)
    assert chain.bonded("A") < bonded

    refused(chain, "TooOld", last)
