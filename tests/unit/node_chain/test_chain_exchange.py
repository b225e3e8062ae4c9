"""Blocks in a file, verification of what is on a disk, and trust that is too old."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import plyvel
import pytest

from aitoken.client.checkpoint import BadCheckpoint, OtherCheckpoint
from aitoken.crypto.checks import Check
from aitoken.errors import AiTokenError
from aitoken.proto.digest import next_epoch_of
from aitoken.proto.finality import DAY_MS, OtherGenesis, TrustTooOld
from aitoken.proto.header import Header
from aitoken.proto.votes import FINALIZE, BadSignature, Certificate, bitmap_of
from aitoken.types import Hash32
from chain.frame.errors import InvalidBlock
from chain.genesis import build_genesis
from chain.spec import ChainSpec
from chain.state.ordered import ordered_root
from node.chain.exchange import (
    BadFile,
    DoesNotFit,
    FileFailed,
    Importer,
    NothingToExport,
    Record,
    export_blocks,
    read_blocks,
)
from node.chain.opening import OpenChain, load_spec
from node.chain.tree import terminal_key
from node.chain.verify import anchor_of, verify
from node.config import SyncConfig
from node.pool.verify import InlineVerifier
from node.ports import Block
from node.store.check import Finding
from node.trust import CheckpointGuard, OffCheckpoint, check_database, period_of
from tests.support import leading
from tests.support.real_chain import open_in, remark
from tests.unit.rpc.test_rpc_finality import KEYS

LENGTH = 6
BARE = frozenset({2, 3, 9})


def grow(opened: OpenChain, count: int) -> None:
    """Build final blocks with a transaction each, certified but for some."""
    chain = opened.chain
    for _ in range(count):
        parent = chain.best
        number = parent.number + 1
        epoch, view = (number - 1) // LENGTH, (number - 1) % LENGTH + 1
        moment = opened.spec.timestamp_ms + 1000 * number
        items = leading.items(
            opened.runtime, parent.state, opened.genesis_hash, view=view, parent_view=view - 1, timestamp_ms=moment
        )
        builder = opened.runtime.open_block(parent.state, parent.header, items)
        builder.apply(remark(opened, number - 1))
        executed = builder.seal()
        block = Block(Hash32(executed.header.hash), executed.header, tuple(executed.body), executed.state)
        chain.insert(block)
        chain.set_best(block.hash)
        if number in BARE:
            continue
        draft = Certificate(FINALIZE, epoch, view, block.hash, bitmap_of(range(4), 4), ())
        message = draft.sign_bytes(opened.genesis_hash)
        keys = [next(pair for pair in KEYS if pair.public == key) for key in opened.epoch.validators.keys]
        encoded = replace(draft, signatures=tuple(pair.sign(message) for pair in keys)).encode()
        ends = next_epoch_of(block.header.digest) is not None
        chain.finalize(block.hash, encoded, {terminal_key(epoch): encoded} if ends else {})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenChain]:
    opened = open_in(tmp_path_factory.mktemp("source"), sessionBlocks=LENGTH)
    grow(opened, 14)
    yield opened
    opened.database.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[OpenChain]:
    opened = open_in(tmp_path, sessionBlocks=LENGTH)
    yield opened
    opened.database.close()


def exported(source: OpenChain, file: Path, first: int = 1, last: int = 14) -> Path:
    list(export_blocks(source.database, source.genesis_hash, file, first, last))
    return file


def imported(target: OpenChain, file: Path) -> Importer:
    importer = Importer(target)
    run(importer, read_blocks(file, target.genesis_hash))
    return importer


def run(importer: Importer, records: Iterator[Record]) -> None:
    async def to_the_end() -> None:
        async for _ in importer.run(records):
            pass

    asyncio.run(to_the_end())


class Beside:
    """Checks as a worker does."""

    inline = False

    def __init__(self) -> None:
        self.verdicts: list[bool] = []
        self.closed = False

    async def verify(self, checks: Sequence[Check]) -> list[bool]:
        await asyncio.sleep(0)
        verdicts = [check.run() for check in checks]
        self.verdicts += verdicts
        return verdicts

    async def close(self) -> None:
        self.closed = True


def test_what_is_written_is_executed_into_the_same_chain(source: OpenChain, target: OpenChain, tmp_path: Path) -> None:
    importer = imported(target, exported(source, tmp_path / "blocks"))

    assert (importer.imported, importer.known, importer.left_over) == (14, 0, 0)
    assert target.chain.finalized.hash == source.chain.finalized.hash
    assert target.database.state.root == source.database.state.root
    for number in range(1, 15):
        own, other = target.chain.hash_of(number), source.chain.hash_of(number)
        assert own is not None
        assert own == other
        assert target.chain.justification(own) == source.chain.justification(own)
        assert target.chain.body(own) == source.chain.body(own)
    assert target.chain.epoch_end(1) == source.chain.epoch_end(1)


def test_blocks_come_in_parts_and_what_is_here_is_only_compared(source: OpenChain, tmp_path: Path) -> None:
    target = open_in(tmp_path, sessionBlocks=LENGTH)
    imported(target, exported(source, tmp_path / "one", 1, 8))
    target.database.close()
    target = open_in(tmp_path)

    again = imported(target, exported(source, tmp_path / "two", 5, 14))

    assert (again.known, again.imported) == (4, 6)
    assert target.chain.finalized.number == 14
    target.database.close()


def test_the_last_block_of_a_file_is_certified(source: OpenChain, tmp_path: Path) -> None:
    file = exported(source, tmp_path / "blocks", 1, 3)

    assert [record.header.number for record in read_blocks(file, source.genesis_hash)] == [1]
    for first, last in ((2, 3), (0, 3), (5, 4), (1, 15)):
        with pytest.raises(NothingToExport):
            exported(source, file, first, last)
    with pytest.raises(FileFailed):
        exported(source, tmp_path / "no folder" / "blocks")


def spoil(record: Record, other: Record) -> dict[str, tuple[Record, type[AiTokenError]]]:
    certificate = Certificate.decode(record.certificate or b"")
    forged = replace(certificate, signatures=(bytes(64), *certificate.signatures[1:]))
    return {
        "body": (replace(record, body=record.body[:-1]), InvalidBlock),
        "certificate": (replace(record, certificate=forged.encode()), BadSignature),
        "order": (other, DoesNotFit),
    }


@pytest.mark.parametrize("what", ["body", "certificate", "order"])
def test_nothing_in_a_file_is_believed(source: OpenChain, target: OpenChain, tmp_path: Path, what: str) -> None:
    records = list(read_blocks(exported(source, tmp_path / "blocks"), source.genesis_hash))
    wrong, error = spoil(records[4], records[6])[what]
    importer = Importer(target)

    with pytest.raises(error):
        run(importer, iter([*records[:4], wrong, *records[5:]]))

    assert target.chain.finalized.number == 4


def test_a_file_that_is_damaged_or_of_another_chain_says_so(source: OpenChain, tmp_path: Path) -> None:
    file = exported(source, tmp_path / "blocks")
    whole = file.read_bytes()
    spoilt = {
        whole[:-40]: BadFile,
        whole + b"x": BadFile,
        b"other" + whole: BadFile,
        whole[:-1] + bytes([whole[-1] ^ 1]): BadFile,
        whole[:53] + b"\x02\x00\x00\x00" + whole[57:]: BadFile,
        whole[:57] + b"\xff\xff\xff\xff" + whole[61:]: BadFile,
        b"": BadFile,
        whole[:17] + bytes(32) + whole[49:]: DoesNotFit,
    }
    for data, error in spoilt.items():
        file.write_bytes(data)
        with pytest.raises(error):
            list(read_blocks(file, source.genesis_hash))
    with pytest.raises(FileFailed):
        list(read_blocks(tmp_path / "nothing", source.genesis_hash))


def test_a_file_of_a_fork_does_not_fit(source: OpenChain, target: OpenChain, tmp_path: Path) -> None:
    grow(target, 1)
    record = next(read_blocks(exported(source, tmp_path / "blocks"), source.genesis_hash))
    true = record.header
    other = Header(true.parent_hash, true.number, Hash32(bytes(32)), true.extrinsics_root, true.digest)

    with pytest.raises(DoesNotFit):
        run(Importer(target), iter([replace(record, header=other)]))


def test_signatures_are_checked_beside_and_a_bad_one_is_refused_in_the_same_words(
    source: OpenChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.chain.ahead.WORTH_IT", 1)
    monkeypatch.setattr("node.chain.exchange.GROUP", 4)
    records = list(read_blocks(exported(source, tmp_path / "blocks"), source.genesis_hash))
    *before, signed = records[6].body
    body = (*before, signed[:50] + bytes([signed[50] ^ 1]) + signed[51:])
    told = records[6].header
    header = Header(told.parent_hash, told.number, told.state_root, ordered_root(body), told.digest)
    spoilt = [*records[:6], Record(header, body, records[6].certificate), *records[7:]]
    words, ends = [], []
    for name, beside in (("plainly", InlineVerifier()), ("beside", Beside())):
        (tmp_path / name).mkdir()
        target = open_in(tmp_path / name, sessionBlocks=LENGTH)
        with pytest.raises(InvalidBlock) as refused:
            run(Importer(target, beside), iter(spoilt))
        words.append(str(refused.value))
        ends.append((target.chain.finalized.number, target.database.state.root))
        target.database.close()
    assert words[0] == words[1]
    assert ends[0] == ends[1]
    assert isinstance(beside, Beside)
    assert beside.verdicts.count(False) == 1
    assert beside.verdicts.count(True) >= 6
    assert beside.closed


def test_what_comes_before_the_damage_of_a_file_is_imported(
    source: OpenChain, target: OpenChain, tmp_path: Path
) -> None:
    file = exported(source, tmp_path / "blocks")
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(BadFile):
        run(Importer(target), read_blocks(file, target.genesis_hash))
    assert target.chain.finalized.number == 13


# verify


def findings(opened: OpenChain, spec: ChainSpec) -> list[Finding]:
    start = anchor_of(spec, build_genesis(spec, opened.runtime))
    return [item for item in verify(opened.database, start) if isinstance(item, Finding)]


def test_a_sound_chain_verifies_from_genesis(source: OpenChain) -> None:
    assert findings(source, source.spec) == []


@pytest.mark.parametrize(
    ("number", "what"), [(5, "certificate.bad_signature"), (12, "finality.other_block"), (14, "no certificate")]
)
def test_certificates_that_prove_nothing_are_found(tmp_path: Path, number: int, what: str) -> None:
    opened = open_in(tmp_path, sessionBlocks=LENGTH)
    grow(opened, 14)
    opened.database.close()
    raw = plyvel.DB(str(tmp_path / "node" / "db" / "leveldb"))
    key = b"j" + number.to_bytes(4)
    if what == "certificate.bad_signature":
        raw.put(key, raw.get(key)[:-1] + b"\xee")
    elif what == "finality.other_block":
        raw.put(key, raw.get(b"j" + (11).to_bytes(4)))
    else:
        raw.delete(key)
    raw.close()
    opened = open_in(tmp_path)

    found = findings(opened, load_spec(tmp_path / "genesis.json")[0])

    assert found[0].number == number
    assert what in found[0].what or "signature" in found[0].what
    opened.database.close()


# trust


def live(opened: OpenChain) -> OpenChain:
    return replace(opened, spec=replace(opened.spec, chain_type="Live"))


def test_only_live_chains_ask_how_old_trust_is(source: OpenChain) -> None:
    assert period_of(source.spec) is None
    params = source.spec.params
    blocks = params.bonding_eras * params.sessions_per_era * params.session_blocks
    assert period_of(live(source).spec) == blocks * params.block_time_ms * 2 // 3


def test_a_database_that_is_too_old_needs_a_checkpoint_or_somebodys_word(source: OpenChain, tmp_path: Path) -> None:
    now = source.committed.timestamp_ms + 400 * DAY_MS
    opened = live(source)
    good = f"0x{source.chain.hash_of(6).hex()}"  # type: ignore[union-attr]  # it is there

    check_database(source, SyncConfig(), now)
    check_database(opened, SyncConfig(), source.committed.timestamp_ms + 1)
    with pytest.raises(TrustTooOld, match="--checkpoint"):
        check_database(opened, SyncConfig(), now)
    assert check_database(opened, SyncConfig(trust_database=True), now) is None
    assert check_database(opened, SyncConfig(checkpoint=good), now) is not None


def checkpoint_file(source: OpenChain, tmp_path: Path, number: int, block: bytes, genesis: bytes | None = None) -> str:
    file = tmp_path / "checkpoint.json"
    file.write_text(
        f'{{"version":1,"genesis":"0x{(genesis or source.genesis_hash).hex()}","number":{number},'
        f'"hash":"0x{block.hex()}","epoch":1,"validators":"0x{"00" * 32}","timestampMs":1}}'
    )
    return str(file)


def test_a_checkpoint_of_another_chain_is_refused_at_the_start(source: OpenChain, tmp_path: Path) -> None:
    with pytest.raises(OtherCheckpoint):
        check_database(source, SyncConfig(checkpoint=checkpoint_file(source, tmp_path, 6, bytes(32))), 0)
    with pytest.raises(OtherGenesis):
        check_database(source, SyncConfig(checkpoint=checkpoint_file(source, tmp_path, 6, bytes(32), b"x" * 32)), 0)
    with pytest.raises(BadCheckpoint, match="height"):
        check_database(source, SyncConfig(checkpoint="0x" + "11" * 32), 0)


def test_a_chain_that_reaches_the_checkpoint_with_another_block_stops_the_node(
    source: OpenChain, target: OpenChain, tmp_path: Path
) -> None:
    failures: list[BaseException] = []
    for wanted in (source.chain.hash_of(6), Hash32(bytes(32))):
        config = SyncConfig(checkpoint=checkpoint_file(source, tmp_path, 6, wanted or b""))
        checkpoint = check_database(target, config, 0)
        assert checkpoint is not None
        target.chain.subscribe(CheckpointGuard(checkpoint, failures.append))

    grow(target, 7)

    assert [type(each) for each in failures] == [OffCheckpoint]
