"""Where validators can be dialled, as they themselves say.

    session key 32 | node key 32 | sequence u64le | count u8 | count x (length u8, host, port u16le) | signature 64

Source: section 15.2 of the consensus paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aitoken.crypto import ed25519
from aitoken.errors import Rejected
from node.net.addresses import Address

PREFIX: Final = b"SMPX-addr-1"
ADDRESSES_MAX: Final = 4
HEAD_SIZE: Final = 73
SIGNATURE_SIZE: Final = 64


class BadAuth(Rejected):
    """The proof of a validator key is not for this connection, or not by this key."""

    code = "net.bad_auth"


@dataclass(frozen=True, slots=True)
class AddressRecord:
    """Where a validator can be dialled, signed by its session key; a higher `sequence` replaces a lower one."""

    session: bytes
    identity: bytes
    sequence: int
    addresses: tuple[Address, ...]
    signature: bytes = b""

    def unsigned(self) -> bytes:
        """Return the bytes before the signature."""
        places = b"".join(
            bytes([len(host)]) + host.encode("ascii") + port.to_bytes(2, "little") for host, port in self.addresses
        )
        return (
            self.session + self.identity + self.sequence.to_bytes(8, "little") + bytes([len(self.addresses)]) + places
        )

    def sign_bytes(self, genesis: bytes) -> bytes:
        """Return what the signature covers."""
        return PREFIX + genesis + self.unsigned()

    def check_signature(self, genesis: bytes) -> None:
        """Check that the validator itself says so.

        Raises:
            BadAuth: the signature is not by the session key.
        """
        if not ed25519.verify(self.signature, self.sign_bytes(genesis), self.session):
            raise BadAuth("an address record with a wrong signature")

    def encode(self) -> bytes:
        """Return the record as it is passed on."""
        return self.unsigned() + self.signature

    @staticmethod
    def decode(data: bytes) -> AddressRecord:
        """Read a record; its signature is not checked here.

        Raises:
            BadAuth: it is none.
        """
        if len(data) < HEAD_SIZE + SIGNATURE_SIZE or data[72] > ADDRESSES_MAX:
            raise BadAuth("not an address record")
        offset = HEAD_SIZE
        addresses = []
        for _ in range(data[72]):
            size = data[offset] if offset < len(data) else 0
            host = data[offset + 1 : offset + 1 + size]
            port = int.from_bytes(data[offset + 1 + size : offset + 3 + size], "little")
            offset += 3 + size
            if not host or offset > len(data) or not host.isascii() or not port:
                raise BadAuth("not an address record")
            addresses.append((host.decode("ascii"), port))
        if len(data) != offset + SIGNATURE_SIZE:
            raise BadAuth("not an address record")
        sequence = int.from_bytes(data[64:72], "little")
        return AddressRecord(data[:32], data[32:64], sequence, tuple(addresses), data[offset:])
