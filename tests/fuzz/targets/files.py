"""What lies on disk and may be torn, damaged, swapped or made up: records, keys, histories, specs, settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zlib import crc32

from aitoken.crypto import ed25519, ss58
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.hashing import blake2_256
from aitoken.keystore.node_keys import read_key
from aitoken.keystore.polkadot_js import lock, parse
from aitoken.proto.votes import NOTARIZE, Vote
from aitoken.types import Hash32
from cli.coupons import read as read_codes
from cli.specs import read_spec
from consensus.journal import Opening, decode_record, encode_record, replay
from consensus.messages import Evidence
from consensus.signed import SignedVotes
from consensus.types import Block
from node.chain import exchange
from node.chain.exchange import read_blocks
from node.chain.opening import load_spec
from node.config import load
from node.net.book import Book
from node.signer import state_file
from node.signer.exchange import decode, encode
from node.store.evidence_file import EvidenceFile
from node.store.floor import Floor
from node.store.journal import NAME, PAGE, Journal
from tests.fuzz.engine import Target
from tests.support.crashing_files import CrashingFiles
from tests.support.proven_chain import ProvenChain

GENESIS = Path(__file__).resolve().parents[3] / "genesis.json"
HASH = Hash32(b"h" * 32)
KEY = b"k" * 32
VOTE = Vote(NOTARIZE, 3, 7, HASH, 2, b"s" * 64)
_BODY = 40
"""Where what an entry of the journal holds begins in it."""


def targets(folder: Path) -> Iterator[Target]:
    """All of them; files are written below `folder`."""
    folder.chmod(0o700)
    opening = Opening(HASH, KEY, 3, 4)
    block = Block(HASH, 5, HASH, 3, 7, 6, 1, 1_000, b"header", (b"one", b"two"))
    records = [encode_record(each) for each in (opening, VOTE, block)]
    yield Target("file.record", records, decode_record, again=encode_record)
    yield Target("file.journal", [_log(records)], lambda data: _journal(data), mend=_mend_log)
    yield _sign_state(folder / "sign")
    yield Target(
        "file.signing_history",
        [encode(HASH, {KEY: SignedVotes(3, 5, ((7, 1, HASH),))})],
        lambda data: decode(data, HASH),
    )
    yield _file(folder / "evidence", [_evidence(folder / "made")], lambda path: EvidenceFile(path).load())
    yield _file(folder / "floor", [_floor(folder / "made2")], _read_floor)
    yield _file(folder / "peers", [_book(folder / "made3")], _read_book)
    pair = ed25519.Pair(bytes(32))
    yield _file(folder / "keys" / "session.key", [bytes(32).hex().encode() + b"\n"], read_key)
    document = lock(pair, "password", meta={"name": "me"}).to_json()
    yield Target("file.key_document", [document], lambda data: _key_document(data))
    spec = GENESIS.read_bytes()
    yield _file(folder / "genesis", [spec], load_spec)
    yield _file(folder / "spec", [spec], read_spec)
    settings = b'name = "me"\n[rpc]\nport = 9944\ncors = ["*"]\n[p2p]\nport = 30333\n[validator]\nenabled = true\n'
    yield _file(folder / "settings.toml", [settings], lambda path: load({}, file=path))
    yield _file(folder / "blocks", [_blocks()], lambda path: list(read_blocks(path, HASH)), mend=_mend_blocks)
    seed = b'{"version":1,"genesis":"%s","seed":"%s","count":3}\n' % ((b"00" * 32,) * 2)
    yield _file(folder / "codes", [seed, seed + b'{"batch":7}\n'], read_codes)
    yield Target("text.address", [ss58.encode(KEY).encode()], lambda data: ss58.decode(_text(data)))
    uris = [b"//Alice", b"//Alice//stash", b"0x" + b"11" * 32 + b"//1/soft", b"//a///pass"]
    yield Target("text.secret_uri", uris, lambda data: pair_from_uri(_text(data)))


def _text(data: bytes) -> str:
    """As a terminal hands it over: what is no UTF-8 becomes surrogates."""
    return data.decode("utf-8", "surrogateescape")


def _file(
    path: Path, seeds: list[bytes], read: Callable[[Path], Any], mend: Callable[[bytes], bytes] | None = None
) -> Target:
    """A reader that wants a file."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)

    def run(data: bytes) -> Any:
        path.write_bytes(data)
        return read(path)

    return Target(f"file.{path.stem}", seeds, run, mend=mend)


# ------------------------------------------------------------------------------------------------- records


def _log(records: list[bytes]) -> bytes:
    files = CrashingFiles()
    journal = Journal(files, lambda: bytes(8))
    journal.restart(records[:1])
    for record in records[1:]:
        journal.append(record)
        journal.flush()
    return files.read(NAME).rstrip(b"\0")


def _journal(data: bytes) -> Any:
    """A journal that is found, and what consensus makes of it; then it can be gone on with."""
    journal = Journal(CrashingFiles({NAME: data}))
    if journal.damage is None and journal.found:
        replay(journal.found, HASH, KEY, 3)
    journal.restart([b"\x01new"])
    journal.append(b"vote")
    journal.flush()
    return journal.size


def _mend_log(data: bytes) -> bytes:
    """Right checksums for whatever the lengths say, so that the records themselves are what is damaged."""
    if len(data) < 20:
        return data
    out = bytearray(data)
    out[16:20] = crc32(out[:16]).to_bytes(4, "little")
    page = 1
    while (at := page * PAGE) + _BODY <= len(out):
        out[at : at + 8] = out[8:16]
        length = min(int.from_bytes(out[at + 32 : at + 36], "little"), len(out) - at - _BODY)
        out[at + 32 : at + 36] = length.to_bytes(4, "little")
        body = bytes(out[at + _BODY : at + _BODY + length])
        check = crc32(body, crc32(page.to_bytes(8, "little"), crc32(out[at : at + 36])))
        out[at + 36 : at + _BODY] = check.to_bytes(4, "little")
        page += -(-(_BODY + length) // PAGE)
    return bytes(out)


def _sign_state(folder: Path) -> Target:
    owner = state_file.Owner(HASH, KEY)
    path = state_file.path_of(folder, KEY)
    folder.mkdir(mode=0o700)
    state_file.create(path, owner, SignedVotes(3, 5, ((7, 1, HASH), (8, 2, bytes(32)))))
    seed = path.read_bytes()

    def read(data: bytes) -> Any:
        path.write_bytes(data)
        state = state_file.SignState(path, owner)
        try:
            state.enter(NOTARIZE, 2**40, 9, HASH)
            return state.votes.votes()
        finally:
            state.close()

    return Target("file.sign_state", [seed], read, mend=_mend_sign_state)


def _mend_sign_state(data: bytes) -> bytes:
    """Right digests for head and slots."""
    out = bytearray(data)
    if len(out) != 4096 + 2 * 8192:
        return data
    out[128:160] = blake2_256(bytes(out[:128]))
    for at in (4096, 4096 + 8192):
        length = int.from_bytes(out[at + 8 : at + 12], "little")
        body = bytes(out[at + 44 : at + 44 + length])
        out[at + 12 : at + 44] = blake2_256(bytes(out[at : at + 12]) + body)
    return bytes(out)


# ------------------------------------------------------------------------------------------------- small files


def _evidence(path: Path) -> bytes:
    EvidenceFile(path).save([Evidence(VOTE, VOTE)])
    return path.read_bytes()


def _floor(path: Path) -> bytes:
    floor = Floor(path)
    floor.raise_to(7)
    floor.raise_to(8)
    floor.close()
    return path.read_bytes()


def _read_floor(path: Path) -> int:
    floor = Floor(path)
    try:
        return floor.read()
    finally:
        floor.close()


def _book(path: Path) -> bytes:
    book = Book(path)
    book.reached(("10.0.0.1", 30333))
    book.save([("10.0.0.1", 30333)])
    return path.read_bytes()


def _read_book(path: Path) -> Any:
    book = Book(path)
    book.load()
    return book.anchors


def _key_document(data: bytes) -> Any:
    """Read it; what takes half a second of stretching is left out."""
    document = parse(data)
    return document.scheme, document.public


def _blocks() -> bytes:
    """A file of two blocks."""
    chain = ProvenChain(2)
    out = exchange.MAGIC + exchange._HEAD.pack(HASH, 1, 2)
    for header in chain.headers[1:]:
        record = exchange._RECORD.encode((header.encode(), [b"one", b"two"], b"certificate"))
        out += exchange._LENGTH.pack(len(record)) + record
    return _mend_blocks(out + bytes(32))


def _mend_blocks(data: bytes) -> bytes:
    """The right digest at the end."""
    return data[:-32] + blake2b(data[:-32], digest_size=32).digest()
