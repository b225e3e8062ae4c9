"""A light client believes what is proven and names every other thing a node may try."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aitoken.client.checkpoint import BadCheckpoint, Checkpoint, OtherCheckpoint, from_json, parse, to_json
from aitoken.client.light import LightClient, ProvesNothing, Stale, WentBack
from aitoken.errors import AiTokenError
from aitoken.proto.digest import Digest, NextEpoch, next_epoch_item, smpx_of
from aitoken.proto.finality import (
    BrokenLink,
    NoEpochEnd,
    OtherBlock,
    OtherEpoch,
    OtherGenesis,
    OtherValidators,
    TrustTooOld,
    anchor_at,
    follow,
)
from aitoken.proto.header import Header
from aitoken.proto.trie import IncompleteProof
from aitoken.proto.votes import BadSignature, Certificate, MalformedCertificate, TooLittleWeight
from aitoken.types import Hash32
from tests.support.proven_chain import (
    ALICE,
    COUNTER,
    ProvenChain,
    Shown,
    account_key,
    account_value,
    hexed,
    keys_of,
)

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def chain() -> ProvenChain:
    return ProvenChain(14, 4)


def trusted(chain: ProvenChain, number: int = 0) -> Checkpoint:
    return Checkpoint(chain.headers[number].hash, chain.genesis_hash)


async def start(node: Shown, checkpoint: Checkpoint | None = None, **options: Any) -> LightClient:
    options.setdefault("now_ms", node.chain.now_ms)
    return await LightClient.start(node.ask, checkpoint or trusted(node.chain), **options)


# what is true


@pytest.mark.parametrize("number", [0, 4, 8, 12])
async def test_from_any_checkpoint_it_reaches_the_last_final_block_and_reads(chain: ProvenChain, number: int) -> None:
    light = await start(Shown(chain), trusted(chain, number))

    assert (light.head.number, light.anchor.number, light.anchor.epoch) == (14, 12, 3)
    account = await light.account(ALICE)
    assert (account.nonce, account.free) == (7, 100 * 10**12)
    assert (await light.account(bytes(32))).free == 0
    assert (await light.read([COUNTER, b"gone13"])) == {COUNTER: (14).to_bytes(4, "little"), b"gone13": None}


async def test_the_genesis_hash_alone_is_a_checkpoint(chain: ProvenChain) -> None:
    light = await start(Shown(chain), parse("0x" + chain.genesis_hash.hex()))

    assert light.head.number == 14


@pytest.mark.parametrize("blocks", [0, 3, 4, 8])
async def test_the_last_final_block_may_be_genesis_or_the_end_of_an_epoch(blocks: int) -> None:
    light = await start(Shown(ProvenChain(blocks, 4)))

    assert light.head.number == blocks


async def test_it_goes_on_as_the_chain_grows_over_epochs(chain: ProvenChain) -> None:
    node = Shown(ProvenChain(3, 4))
    light = await start(node, trusted(chain))
    node.chain = chain

    head = await light.advance(now_ms=chain.now_ms)

    assert head.number == 14
    assert light.anchor.epoch == 3


async def test_an_epoch_that_ends_between_two_questions_is_caught_up_with() -> None:
    node = Shown(ProvenChain(5, 4))
    node.change("smpx_epochProof", lambda links: [] if node.asked.count("smpx_epochProof") == 1 else links)

    light = await start(node)

    assert light.head.number == 5


# what is not


def first_link(change: Any) -> Any:
    return lambda links: [change(links[0]), *links[1:]] if links else links


def with_certificate(chain: ProvenChain, number: int, **how: Any) -> Any:
    header = chain.headers[number]
    smpx = smpx_of(header.digest)
    epoch = how.pop("epoch", smpx.epoch)
    forged = chain.certify(header, epoch, smpx.view, **how)
    return first_link(lambda link: link | {"certificate": hexed(forged.encode())})


LIES_OVER_LINKS: dict[str, tuple[Any, type[AiTokenError]]] = {
    "of an epoch whose validators are not yet known": (lambda c: with_certificate(c, 4, epoch=1), OtherEpoch),
    "by other keys than the epoch's": (lambda c: with_certificate(c, 4, pairs=keys_of(9)), BadSignature),
    "by the validators of the epoch after": (lambda c: with_certificate(c, 4, pairs=keys_of(1)), BadSignature),
    "of another chain with the same validators": (lambda c: with_certificate(c, 4, genesis=bytes(32)), BadSignature),
    "below the quorum": (lambda c: with_certificate(c, 4, signers=[0, 1, 2]), TooLittleWeight),
    "with a bitmap of more validators": (lambda c: with_certificate(c, 4, pairs=keys_of(0, 9)), MalformedCertificate),
    "of another block": (lambda c: with_certificate(c, 8), OtherBlock),
    "of a block inside the epoch": (
        lambda c: first_link(
            lambda _: {"header": hexed(c.headers[2].encode()), "certificate": hexed(c.certificates[2].encode())}
        ),
        NoEpochEnd,
    ),
    "that skips an epoch": (lambda c: lambda links: links[1:], OtherEpoch),
}


@pytest.mark.parametrize("lie", LIES_OVER_LINKS)
async def test_a_certificate_that_is_none_is_refused_by_name(chain: ProvenChain, lie: str) -> None:
    make, error = LIES_OVER_LINKS[lie]
    node = Shown(chain)
    node.change("smpx_epochProof", make(chain))

    with pytest.raises(error):
        await start(node)


async def test_a_forged_header_is_refused_however_it_is_forged(chain: ProvenChain) -> None:
    end = chain.headers[4]
    mine = NextEpoch(1, [(keys_of(50)[0].public, 1)], bytes(32), 4, 4)
    digest = Digest((*end.digest.logs[:2], next_epoch_item(mine)))
    forged = Header(end.parent_hash, end.number, end.state_root, end.extrinsics_root, digest)
    node = Shown(chain)
    node.change("smpx_epochProof", first_link(lambda link: link | {"header": hexed(forged.encode())}))

    with pytest.raises(OtherBlock):
        await start(node)


def with_other_state(true: Header) -> Header:
    return Header(true.parent_hash, true.number, Hash32(bytes(32)), true.extrinsics_root, true.digest)


def head_lie(chain: ProvenChain, headers: list[Header], certificate: Certificate | None = None) -> Any:
    own = certificate or chain.certificates[headers[-1].number]
    assert own is not None
    return lambda _: {"headers": [hexed(each.encode()) for each in headers], "certificate": hexed(own.encode())}


async def test_a_forged_head_is_refused_by_name(chain: ProvenChain) -> None:
    true = chain.headers[14]
    other_state = with_other_state(true)
    lies: list[tuple[Any, type[AiTokenError]]] = [
        (head_lie(chain, [other_state], chain.certificates[14]), OtherBlock),
        (head_lie(chain, [chain.headers[12], true]), BrokenLink),
        (head_lie(chain, [with_other_state(chain.headers[13]), true]), BrokenLink),
        (head_lie(chain, [other_state], chain.certify(other_state, 3, 2, signers=[2])), TooLittleWeight),
        (head_lie(chain, [other_state], chain.certify(other_state, 3, 2, pairs=keys_of(8))), BadSignature),
        (head_lie(chain, [other_state], chain.certify(other_state, 2, 2)), OtherEpoch),
        (head_lie(chain, [chain.headers[10]]), WentBack),
    ]
    for lie, error in lies:
        node = Shown(chain)
        node.change("smpx_proveFinality", lie)
        with pytest.raises(error):
            await start(node)


async def test_a_node_that_goes_back_or_stands_still_is_found_out(chain: ProvenChain) -> None:
    node = Shown(chain)
    light = await start(node)
    node.change("smpx_proveFinality", head_lie(chain, [chain.headers[13]]))

    with pytest.raises(WentBack):
        await light.advance(now_ms=chain.now_ms)
    with pytest.raises(Stale):
        await start(Shown(chain), now_ms=chain.now_ms + 11 * 60_000)
    with pytest.raises(Stale):
        await start(Shown(chain), now_ms=chain.now_ms - 10 * 60_000)


async def test_a_node_that_hides_what_is_final_is_stale(chain: ProvenChain) -> None:
    node = Shown(chain)
    node.change("smpx_proveFinality", lambda _: None)
    node.change("smpx_epochProof", lambda _: [])

    assert (await start(node, trusted(chain, 4))).head.number == 4
    with pytest.raises(Stale):
        await start(node, trusted(chain, 4), head_age_max_ms=5_000)


def forged_value(answer: dict[str, Any]) -> dict[str, Any]:
    rich, poor = account_value(7, 10**24).hex(), account_value(7, 100 * 10**12).hex()
    assert any(poor in node for node in answer["proof"])
    return answer | {"proof": [node.replace(poor, rich) for node in answer["proof"]]}


async def test_a_wrong_value_a_wrong_proof_and_a_stale_proof_are_refused_by_name(chain: ProvenChain) -> None:
    for lie in (
        forged_value,
        lambda answer: answer | {"proof": answer["proof"][:-1]},
        lambda answer: answer | {"proof": [hexed(node) for node in chain.states[13].prove([account_key(ALICE)])]},
        lambda answer: answer | {"proof": [hexed(node) for node in chain.states[14].prove([b"other"])]},
        lambda answer: answer | {"proof": []},
    ):
        node = Shown(chain)
        light = await start(node)
        node.change("state_getReadProof", lie)
        with pytest.raises(IncompleteProof):
            await light.account(ALICE)


async def test_absence_must_be_proven_too(chain: ProvenChain) -> None:
    node = Shown(chain)
    light = await start(node)
    node.change(
        "state_getReadProof",
        lambda answer: answer | {"proof": [hexed(each) for each in chain.states[0].prove([COUNTER])]},
    )

    with pytest.raises(IncompleteProof):
        await light.read([COUNTER])


# where trust begins


async def test_a_checkpoint_of_another_chain_or_block_is_refused(chain: ProvenChain) -> None:
    other = ProvenChain(4, 4, extra={b"other": b"genesis"})
    with pytest.raises(OtherGenesis):
        await start(Shown(other), trusted(chain))
    with pytest.raises(ProvesNothing):
        await start(Shown(other), trusted(chain, 4))
    with pytest.raises(NoEpochEnd):
        await start(Shown(chain), trusted(chain, 5))
    liar = Shown(chain)
    liar.change("archive_v1_header", lambda _: hexed(chain.headers[7].encode()))
    with pytest.raises(OtherCheckpoint):
        await start(liar, trusted(chain, 4))


async def test_the_set_and_epoch_a_checkpoint_names_must_be_those_of_the_block(chain: ProvenChain) -> None:
    anchor = anchor_at(chain.genesis_hash, chain.headers[4])
    good = from_json(to_json(anchor).encode())
    assert (await start(Shown(chain), good)).head.number == 14
    for wrong in (
        Checkpoint(good.hash, good.genesis, good.number, 2, good.validators),
        Checkpoint(good.hash, good.genesis, good.number, good.epoch, Hash32(bytes(32))),
    ):
        with pytest.raises(OtherValidators):
            await start(Shown(chain), wrong)
    with pytest.raises(OtherCheckpoint):
        await start(Shown(chain), Checkpoint(good.hash, good.genesis, 8))


async def test_trust_that_is_too_old_is_refused_and_says_what_to_do(chain: ProvenChain) -> None:
    late = chain.now_ms + 10 * DAY_MS
    with pytest.raises(TrustTooOld, match=r"10\.0 days old.*newer checkpoint"):
        await start(Shown(chain), now_ms=late, head_age_max_ms=100 * DAY_MS)
    light = await start(Shown(chain), now_ms=late, head_age_max_ms=100 * DAY_MS, trusting_period_ms=11 * DAY_MS)
    assert light.head.number == 14


def test_a_set_that_can_be_none_is_no_set(chain: ProvenChain) -> None:
    anchor = anchor_at(chain.genesis_hash, chain.headers[4])
    end = chain.headers[8]
    for authorities in ([], [(bytes(32), 0)], [(bytes(32), 1), (bytes(32), 1)], [(bytes(32), 2**63)]):
        item = next_epoch_item(NextEpoch(2, authorities, bytes(32), 8, 4))
        header = Header(
            end.parent_hash, end.number, end.state_root, end.extrinsics_root, Digest((*end.digest.logs[:2], item))
        )
        with pytest.raises(OtherValidators):
            follow(anchor, header, chain.certify(header, 1, 4))
    back = replace(anchor, timestamp_ms=anchor.timestamp_ms + DAY_MS)
    with pytest.raises(NoEpochEnd):
        follow(back, end, chain.certify(end, 1, 4))


def test_an_epoch_cannot_be_ended_early_even_by_its_own_validators(chain: ProvenChain) -> None:
    anchor, block = anchor_at(chain.genesis_hash, chain.headers[4]), chain.headers[6]
    item = next_epoch_item(NextEpoch(2, [(keys_of(2)[0].public, 1)], bytes(32), 6, 4))
    header = Header(
        block.parent_hash, block.number, block.state_root, block.extrinsics_root, Digest((*block.digest.logs, item))
    )

    with pytest.raises(NoEpochEnd, match="block 8 does"):
        follow(anchor, header, chain.certify(header, 1, 2))


def test_checkpoints_are_hashes_or_files(tmp_path: Path, chain: ProvenChain) -> None:
    one, two = chain.headers[4].hash, chain.genesis_hash
    assert parse(f"0x{one.hex()}") == Checkpoint(one)
    assert parse(f"0x{two.hex()}:0x{one.hex()}") == Checkpoint(one, two)
    file = tmp_path / "checkpoint.json"
    file.write_text(to_json(anchor_at(two, chain.headers[4])))
    assert (parse(str(file)).number, parse(str(file)).hash) == (4, one)
    for wrong in ("0x12", str(tmp_path / "none"), "0x" + "g" * 64):
        with pytest.raises(BadCheckpoint):
            parse(wrong)
    for bad in (b"{}", b"[1]", b"\xff", b" " * 5000, file.read_bytes().replace(b'"version":1', b'"version":2')):
        file.write_bytes(bad)
        with pytest.raises(BadCheckpoint):
            parse(str(file))
