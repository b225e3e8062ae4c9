"""Following finality without executing anything: from a trusted block over the ends of epochs to any final block.

An *anchor* is a final block on which an epoch begins (genesis, or the last block of the epoch before) together with
the validators of that epoch. It is all one needs to trust:

    anchor + (header, certificate) of its epoch's last block           -> the next anchor       `follow`
    anchor + headers b .. t, certificate of t, all of its epoch        -> b .. t are final      `final_headers`
    header of an epoch's last block whose hash is trusted              -> an anchor             `anchor_at`
    genesis header whose hash is trusted + proof of its first epoch    -> the first anchor      `genesis_anchor`

Trust grows old: keys whose stake has been withdrawn can sign another history for nothing. So an anchor is good for two
thirds of the time that unbonding takes, the *trusting period*; older ones are refused.

Every refusal has a name of its own; what a certificate itself may lack is named in `aitoken.proto.votes`.
Source: sections 9.2 and 10 of the consensus paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from aitoken.crypto import ed25519
from aitoken.crypto.hashing import blake2_256, twox_128
from aitoken.errors import Rejected
from aitoken.proto.digest import NEXT_EPOCH, NextEpoch, next_epoch_of, smpx_of
from aitoken.proto.header import Header
from aitoken.proto.trie import verify
from aitoken.proto.votes import FINALIZE, VALIDATORS_MAX, BadSignature, Certificate
from aitoken.types import Hash32, Moment

DAY_MS: Final = 86_400_000
UNBONDING_MS: Final = 14 * DAY_MS
"""How long unbonding takes at least on a public network (preset `main`: 56 eras of 6 hours)."""
CURRENT_EPOCH_KEY: Final = twox_128(b"Consensus") + twox_128(b"CurrentEpoch")
NOW_KEY: Final = twox_128(b"Timestamp") + twox_128(b"Now")
_WEIGHT_MAX: Final = 2**63 - 1


class OtherEpoch(Rejected):
    """The certificate or header is of another epoch than the one whose validators are known."""

    code = "finality.other_epoch"


class OtherBlock(Rejected):
    """The certificate finalises another block, or nothing at all."""

    code = "finality.other_block"


class BrokenLink(Rejected):
    """Headers do not follow each other."""

    code = "finality.broken_link"


class NoEpochEnd(Rejected):
    """The block does not end an epoch, or not the epoch or height it should."""

    code = "finality.no_epoch_end"


class OtherValidators(Rejected):
    """The validators are not those the checkpoint names, or can be none."""

    code = "finality.other_validators"


class OtherGenesis(Rejected):
    """The genesis block is not the trusted one."""

    code = "finality.other_genesis"


class TrustTooOld(Rejected):
    """What is trusted is older than the trusting period."""

    code = "finality.trust_too_old"


@dataclass(frozen=True, slots=True)
class Anchor:
    """A final block and the epoch that begins on it.

    Attributes:
        genesis_hash: of the chain.
        number: the height of the block.
        hash: its hash.
        timestamp_ms: its time.
        epoch: the epoch that starts with the next block.
        authorities: ed25519 key and weight of each validator of that epoch, by index.
        length: so many blocks the epoch has.
    """

    genesis_hash: Hash32
    number: int
    hash: Hash32
    timestamp_ms: int
    epoch: int
    authorities: tuple[tuple[bytes, int], ...]
    length: int

    @property
    def last_number(self) -> int:
        """The height of the last block of the epoch."""
        return self.number + self.length

    @property
    def set_hash(self) -> Hash32:
        """What a checkpoint calls the validators: blake2-256 of keys and weights (u64le), one after another."""
        return blake2_256(b"".join(bytes(key) + weight.to_bytes(8, "little") for key, weight in self.authorities))


def trusting_period_ms(unbonding_ms: int) -> int:
    """Return for how long a block may be trusted when stake takes so long to leave."""
    return unbonding_ms * 2 // 3


def check_age(anchor: Anchor, now_ms: int, period_ms: int) -> None:
    """Refuse an anchor whose validators may have withdrawn their stake.

    Raises:
        TrustTooOld: it is.
    """
    age = now_ms - anchor.timestamp_ms
    if age > period_ms:
        raise TrustTooOld(
            f"what is trusted, block {anchor.number}, is {_days(age)} days old; after {_days(period_ms)} days its "
            "validators may have withdrawn their stake and prove nothing: get a newer checkpoint from somebody you "
            "trust (`aitoken checkpoint` on a node that is in step)"
        )


def _days(milliseconds: int) -> str:
    tenths = milliseconds * 10 // DAY_MS
    return f"{tenths // 10}.{tenths % 10}"


def check_certificate(anchor: Anchor, certificate: Certificate) -> None:
    """Check that a quorum of the anchor's epoch made the certificate.

    Raises:
        OtherEpoch: it is of another epoch.
        MalformedCertificate, TooLittleWeight, BadSignature: it is none.
    """
    if certificate.epoch != anchor.epoch:
        raise OtherEpoch(f"a certificate of epoch {certificate.epoch}, where epoch {anchor.epoch} is known")
    signers = certificate.check_weight([weight for _, weight in anchor.authorities])
    message = certificate.sign_bytes(anchor.genesis_hash)
    for signer, signature in zip(signers, certificate.signatures, strict=True):
        if not ed25519.verify(signature, message, anchor.authorities[signer][0]):
            raise BadSignature(f"certificate, validator {signer}")


def final_headers(anchor: Anchor, headers: Sequence[Header], certificate: Certificate) -> None:
    """Check that headers are final: ascending, of the anchor's epoch, the last one certified.

    Raises:
        Rejected: they are not; the class says what is wrong.
    """
    if not headers or certificate.kind != FINALIZE or certificate.hash != headers[-1].hash:
        raise OtherBlock("the certificate does not finalise the last header")
    for below, above in pairwise(headers):
        if above.parent_hash != below.hash or above.number != below.number + 1:
            raise BrokenLink(f"header {above.number} does not follow header {below.number}")
    if smpx_of(headers[-1].digest).epoch != anchor.epoch:
        raise OtherEpoch(f"header {headers[-1].number} is not of epoch {anchor.epoch}")
    if not anchor.number < headers[0].number <= headers[-1].number <= anchor.last_number:
        raise BrokenLink(f"header {headers[-1].number} does not lie in epoch {anchor.epoch}")
    check_certificate(anchor, certificate)


def follow(anchor: Anchor, header: Header, certificate: Certificate) -> Anchor:
    """Return the anchor that the last block of the anchor's epoch is.

    Raises:
        Rejected: it is not that block, or not final; the class says what is wrong.
    """
    final_headers(anchor, [header], certificate)
    if header.number != anchor.last_number:
        raise NoEpochEnd(f"block {header.number} does not end epoch {anchor.epoch}, block {anchor.last_number} does")
    found = anchor_at(anchor.genesis_hash, header)
    if found.epoch != anchor.epoch + 1 or found.timestamp_ms < anchor.timestamp_ms:
        raise NoEpochEnd(f"after epoch {anchor.epoch} block {header.number} announces epoch {found.epoch}")
    return found


def anchor_at(genesis_hash: Hash32, header: Header) -> Anchor:
    """Return what the header of a trusted block says, one that ends an epoch.

    Raises:
        NoEpochEnd: it does not end one.
    """
    announced = next_epoch_of(header.digest)
    if announced is None or announced.first_block != header.number:
        raise NoEpochEnd(
            f"block {header.number} does not end an epoch: a checkpoint is the last block of one (`aitoken checkpoint`)"
        )
    return _anchor(genesis_hash, header.number, header.hash, smpx_of(header.digest).timestamp_ms, announced)


def genesis_anchor(genesis_hash: Hash32, header: Header, proof: Sequence[bytes]) -> Anchor:
    """Return the first anchor, from the genesis header and the proof of what its state says of the first epoch.

    Raises:
        OtherGenesis: the header is another chain's.
        Rejected: the proof shows nothing.
    """
    if header.hash != genesis_hash or header.number != 0:
        raise OtherGenesis(f"the genesis block is {header.hash.hex()}, not {genesis_hash.hex()}")
    shown = verify(header.state_root, proof, (CURRENT_EPOCH_KEY, NOW_KEY))
    epoch, now = shown[CURRENT_EPOCH_KEY], shown[NOW_KEY]
    if epoch is None:
        raise OtherValidators("the genesis state names no validators")
    moment = Moment(int.from_bytes(now or b"", "little"))
    return _anchor(genesis_hash, 0, header.hash, moment, NEXT_EPOCH.decode(epoch))


def _anchor(genesis_hash: Hash32, number: int, block_hash: Hash32, timestamp_ms: int, epoch: NextEpoch) -> Anchor:
    authorities = tuple((bytes(key), weight) for key, weight in epoch.authorities)
    keys = {key for key, _ in authorities}
    weights = [weight for _, weight in authorities]
    if not 0 < len(authorities) <= VALIDATORS_MAX or len(keys) != len(authorities):
        raise OtherValidators(f"{len(authorities)} validators with {len(keys)} different keys")
    if min(weights) <= 0 or sum(weights) > _WEIGHT_MAX:
        raise OtherValidators("a weight that is not positive, or a sum out of range")
    return Anchor(genesis_hash, number, block_hash, timestamp_ms, epoch.epoch, authorities, epoch.length)
