"""Checkpoints: what a person says they trust, and where a light client or a new node starts.

A checkpoint is a block on which an epoch begins: genesis, or the last block of an epoch. As a text it is

    0x<hash>                       such a block of the chain that is asked
    0x<genesis hash>:0x<hash>      the same, of a chain that is named
    a JSON object (in a file)      {"version": 1, "genesis": "0x..", "number": 3600, "hash": "0x..", "epoch": 1,
                                    "validators": "0x..", "timestampMs": 1767225600000}

`validators` is the hash of the set that follows (`Anchor.set_hash`). `aitoken checkpoint` makes one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import msgspec

from aitoken.errors import Rejected
from aitoken.proto.finality import Anchor, OtherGenesis, OtherValidators
from aitoken.types import Hash32

VERSION: Final = 1
FILE_SIZE_MAX: Final = 4096
_HASHES: Final = re.compile(r"(?:0x([0-9a-fA-F]{64}):)?0x([0-9a-fA-F]{64})", re.ASCII)

_Hex = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{64}$")]


class BadCheckpoint(Rejected):
    """A checkpoint that cannot be read."""

    code = "checkpoint.bad"


class OtherCheckpoint(Rejected):
    """The block is not the one the checkpoint names."""

    code = "checkpoint.other"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    version: int
    genesis: _Hex
    number: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
    hash: _Hex
    epoch: Annotated[int, msgspec.Meta(ge=0)]
    validators: _Hex
    timestamp_ms: int


class Checkpoint(msgspec.Struct, frozen=True):
    """What is trusted. Only the hash is always known."""

    hash: Hash32
    genesis: Hash32 | None = None
    number: int | None = None
    epoch: int | None = None
    validators: Hash32 | None = None

    def check(self, anchor: Anchor) -> None:
        """Refuse an anchor that is not this checkpoint.

        Raises:
            OtherCheckpoint, OtherGenesis, OtherValidators: it is not.
        """
        if anchor.hash != self.hash or (self.number not in (None, anchor.number)):
            raise OtherCheckpoint(f"block {anchor.number} is {anchor.hash.hex()}, the checkpoint is {self.hash.hex()}")
        if self.genesis not in (None, anchor.genesis_hash):
            raise OtherGenesis(f"the chain begins with {anchor.genesis_hash.hex()}, the checkpoint is of another one")
        if self.validators not in (None, anchor.set_hash) or self.epoch not in (None, anchor.epoch):
            raise OtherValidators(f"the validators of epoch {anchor.epoch} are not those of the checkpoint")


def parse(text: str) -> Checkpoint:
    """Read a checkpoint from what a person gave: hashes, or the name of a file with one.

    Raises:
        BadCheckpoint: it is neither.
    """
    found = _HASHES.fullmatch(text.strip())
    if found is not None:
        genesis, own = found.groups()
        return Checkpoint(_hash(own), None if genesis is None else _hash(genesis))
    if text.startswith("0x"):
        raise BadCheckpoint("a block hash is 0x and 64 hex digits")
    try:
        data = Path(text).expanduser().read_bytes()
    except OSError as error:
        raise BadCheckpoint(f"{text} is no block hash, and no file that can be read: {error.strerror}") from None
    return from_json(data)


def from_json(data: bytes) -> Checkpoint:
    """Read the JSON form.

    Raises:
        BadCheckpoint: it is none.
    """
    try:
        if len(data) > FILE_SIZE_MAX:
            raise BadCheckpoint("too large for a checkpoint")
        file = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadCheckpoint(f"no checkpoint: {error}") from None
    if file.version != VERSION:
        raise BadCheckpoint(f"a checkpoint of version {file.version}, this program reads {VERSION}")
    return Checkpoint(
        _hash(file.hash[2:]), _hash(file.genesis[2:]), file.number, file.epoch, _hash(file.validators[2:])
    )


def to_json(anchor: Anchor) -> str:
    """Return the checkpoint that an anchor is, as one line of JSON."""
    file = _File(
        VERSION,
        "0x" + anchor.genesis_hash.hex(),
        anchor.number,
        "0x" + anchor.hash.hex(),
        anchor.epoch,
        "0x" + anchor.set_hash.hex(),
        anchor.timestamp_ms,
    )
    return msgspec.json.encode(file).decode()


def _hash(digits: str) -> Hash32:
    return Hash32(bytes.fromhex(digits))
