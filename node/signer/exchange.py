"""The history of a key as a JSON file, to take along when a validator moves: what EIP-3076 is for Ethereum.

    {"metadata": {"interchange_format_version": "1", "genesis_hash": "0x..."},
     "keys": [{"pubkey": "0x...", "max_epoch": "7", "max_view": "31",
               "votes": [{"epoch": "7", "view": "31", "kind": "finalize", "hash": "0x..."}]}]}

Numbers are decimal text, as in EIP-3076, so that no JSON library rounds them. Importing takes the highest mark of file
and machine, never a lower one, and the votes themselves are not needed for it: they are there for people.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from aitoken.proto.votes import KIND_NAMES
from consensus.signed import SignedVotes
from node.signer.errors import BadExchange

FORMAT_VERSION: Final = "1"
FILE_BYTES_MAX: Final = 1 << 20
_U64_MAX: Final = 2**64 - 1
Number = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,19})$")]
Digest = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}$")]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the file."""


class Metadata(_Part, frozen=True, kw_only=True):
    """Format and chain."""

    interchange_format_version: str
    genesis_hash: Digest


class ExchangedVote(_Part, frozen=True, kw_only=True):
    """One vote."""

    epoch: Number
    view: Number
    kind: str
    hash: Digest


class ExchangedKey(_Part, frozen=True, kw_only=True):
    """What one key signed."""

    pubkey: Digest
    max_epoch: Number
    max_view: Number
    votes: tuple[ExchangedVote, ...] = ()

    def mark(self) -> tuple[int, int]:
        """Return the highest epoch and view of the key, the votes taken into account."""
        marks = [(_number(self.max_epoch), _number(self.max_view))]
        marks += [(_number(vote.epoch), _number(vote.view)) for vote in self.votes]
        return max(marks)


class Exchange(_Part, frozen=True, kw_only=True):
    """The whole file."""

    metadata: Metadata
    keys: tuple[ExchangedKey, ...]


def encode(genesis_hash: bytes, keys: dict[bytes, SignedVotes]) -> bytes:
    """Return the file of these keys."""
    exchange = Exchange(
        metadata=Metadata(interchange_format_version=FORMAT_VERSION, genesis_hash="0x" + genesis_hash.hex()),
        keys=tuple(
            ExchangedKey(
                pubkey="0x" + public.hex(),
                max_epoch=str(votes.epoch),
                max_view=str(votes.highest_view),
                votes=tuple(
                    ExchangedVote(
                        epoch=str(votes.epoch), view=str(view), kind=KIND_NAMES[kind], hash="0x" + block_hash.hex()
                    )
                    for view, kind, block_hash in votes.votes()
                ),
            )
            for public, votes in keys.items()
        ),
    )
    return msgspec.json.format(msgspec.json.encode(exchange), indent=2) + b"\n"


def decode(data: bytes, genesis_hash: bytes) -> dict[bytes, tuple[int, int]]:
    """Return the mark of each key in a file: an epoch and a view up to which nothing may be signed any more.

    Raises:
        BadExchange: it is no such file, or of another chain.
    """
    if len(data) > FILE_BYTES_MAX:
        raise BadExchange(f"a signing history of {len(data)} bytes")
    try:
        exchange = msgspec.json.decode(data, type=Exchange)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadExchange(f"not a signing history: {error}") from None
    if exchange.metadata.interchange_format_version != FORMAT_VERSION:
        raise BadExchange("a signing history of another version of this format")
    if exchange.metadata.genesis_hash != "0x" + genesis_hash.hex():
        raise BadExchange(
            f"the signing history is of another chain: genesis {exchange.metadata.genesis_hash}, ours is "
            f"0x{genesis_hash.hex()}"
        )
    marks: dict[bytes, tuple[int, int]] = {}
    for key in exchange.keys:
        public = bytes.fromhex(key.pubkey[2:])
        marks[public] = max(marks.get(public, (0, 0)), key.mark())
    return marks


def _number(text: str) -> int:
    number = int(text)
    if number > _U64_MAX:
        raise BadExchange(f"{text} is larger than any epoch or view")
    return number
