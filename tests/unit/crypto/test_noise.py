"""Noise primitives: RFC examples, the strictnesses, and a whole XX handshake of the cacophony vectors."""

from dataclasses import dataclass, field

import pytest

from aitoken.crypto import noise
from aitoken.crypto.noise import BadNoiseKey, BadNoiseMessage, CipherState, NoiseExhausted
from tests.support.vectors import public_json

PROTOCOL = "Noise_XX_25519_ChaChaPoly_SHA256"


def test_x25519_agrees_both_ways() -> None:
    one, two = noise.generate_private(), noise.generate_private()

    secret = noise.shared_secret(one, noise.public_of(two))

    assert one != two
    assert secret == noise.shared_secret(two, noise.public_of(one))
    assert len(secret) == 32


def test_x25519_rfc_7748_iterated_once() -> None:
    # RFC 7748, 5.2: k = u = 9, one iteration
    nine = bytes([9]) + bytes(31)

    secret = noise.shared_secret(nine, nine)

    assert secret.hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert noise.public_of(nine) == secret


@pytest.mark.parametrize(
    "small_order",
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ],
)
def test_a_key_of_small_order_is_refused(small_order: str) -> None:
    with pytest.raises(BadNoiseKey):
        noise.shared_secret(noise.generate_private(), bytes.fromhex(small_order))


def test_keys_of_wrong_length_are_refused() -> None:
    good = noise.generate_private()

    for size in (0, 31, 33):
        with pytest.raises(BadNoiseKey):
            noise.public_of(bytes(size))
        with pytest.raises(BadNoiseKey):
            noise.shared_secret(bytes(size), good)
        with pytest.raises(BadNoiseKey):
            noise.shared_secret(good, bytes(size))
        with pytest.raises(BadNoiseKey):
            CipherState(bytes(size))


def test_a_message_opens_once_and_in_order() -> None:
    sender, receiver = CipherState(bytes(32)), CipherState(bytes(32))
    first, second = sender.encrypt(b"one", b"ad"), sender.encrypt(b"two")

    with pytest.raises(BadNoiseMessage):
        receiver.decrypt(second)
    assert receiver.decrypt(first, b"ad") == b"one"
    with pytest.raises(BadNoiseMessage):
        receiver.decrypt(first, b"ad")
    assert receiver.decrypt(second) == b"two"
    assert (sender.counter, receiver.counter) == (2, 2)
    assert len(first) == 3 + noise.TAG_SIZE


def test_associated_data_is_bound() -> None:
    sealed = CipherState(bytes(32)).encrypt(b"m", b"ad")

    with pytest.raises(BadNoiseMessage):
        CipherState(bytes(32)).decrypt(sealed, b"other")


def test_the_last_counter_is_never_used() -> None:
    state = CipherState(bytes(32))
    state.counter = 2**64 - 2

    state.encrypt(b"last")
    with pytest.raises(NoiseExhausted):
        state.encrypt(b"one too many")
    with pytest.raises(NoiseExhausted):
        state.decrypt(bytes(20))


def test_rekey_changes_the_key_on_both_sides_alike() -> None:
    sender, receiver, old = CipherState(bytes(32)), CipherState(bytes(32)), CipherState(bytes(32))
    sender.rekey()
    receiver.rekey()

    sealed = sender.encrypt(b"m")

    assert receiver.decrypt(sealed) == b"m"
    with pytest.raises(BadNoiseMessage):
        old.decrypt(sealed)


def test_hmac_rfc_4231_case_2() -> None:
    digest = noise.hmac_sha256(b"Jefe", b"what do ya want for nothing?")

    assert digest.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


@dataclass
class Party:
    """The handshake of section 5 and 7.5 written straight down, to try the primitives on published transcripts."""

    static: bytes
    ephemeral: bytes
    initiator: bool
    prologue: bytes
    remote: dict[str, bytes] = field(default_factory=dict)
    cipher: CipherState | None = None

    def __post_init__(self) -> None:
        self.hash = PROTOCOL.encode()  # exactly 32 bytes
        self.chain = self.hash
        self.mix_hash(self.prologue)

    def mix_hash(self, data: bytes) -> None:
        self.hash = noise.sha256(self.hash + data)

    def mix_key(self, secret: bytes) -> None:
        self.chain, key = noise.hkdf(self.chain, secret, 2)
        self.cipher = CipherState(key)

    def dh(self, token: str) -> None:
        mine, theirs = (token[0], token[1]) if self.initiator else (token[1], token[0])
        private = self.ephemeral if mine == "e" else self.static
        self.mix_key(noise.shared_secret(private, self.remote[theirs]))

    def seal(self, data: bytes) -> bytes:
        sealed = self.cipher.encrypt(data, self.hash) if self.cipher else data
        self.mix_hash(sealed)
        return sealed

    def open(self, data: bytes) -> bytes:
        opened = self.cipher.decrypt(data, self.hash) if self.cipher else data
        self.mix_hash(data)
        return opened

    def write(self, tokens: str, payload: bytes) -> bytes:
        out = b""
        for token in tokens.split():
            if token == "e":
                public = noise.public_of(self.ephemeral)
                self.mix_hash(public)
                out += public
            elif token == "s":
                out += self.seal(noise.public_of(self.static))
            else:
                self.dh(token)
        return out + self.seal(payload)

    def read(self, tokens: str, message: bytes) -> bytes:
        for token in tokens.split():
            if token == "e":
                self.remote["e"], message = message[:32], message[32:]
                self.mix_hash(self.remote["e"])
            elif token == "s":
                size = 48 if self.cipher else 32
                self.remote["s"], message = self.open(message[:size]), message[size:]
            else:
                self.dh(token)
        return self.open(message)


def test_cacophony_xx_sha256() -> None:
    vectors = [
        v for v in public_json("noise/cacophony_25519_chachapoly.json")["vectors"] if v["protocol_name"] == PROTOCOL
    ]
    assert len(vectors) == 1
    vector = vectors[0]
    one = Party(
        bytes.fromhex(vector["init_static"]),
        bytes.fromhex(vector["init_ephemeral"]),
        initiator=True,
        prologue=bytes.fromhex(vector["init_prologue"]),
    )
    two = Party(
        bytes.fromhex(vector["resp_static"]),
        bytes.fromhex(vector["resp_ephemeral"]),
        initiator=False,
        prologue=bytes.fromhex(vector["resp_prologue"]),
    )
    messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]]

    writer, reader = one, two
    for tokens, (payload, expected) in zip(("e", "e ee s es", "s se"), messages[:3], strict=True):
        assert writer.write(tokens, payload) == expected
        assert reader.read(tokens, expected) == payload
        writer, reader = reader, writer

    assert one.hash == two.hash == bytes.fromhex(vector["handshake_hash"])
    keys = noise.hkdf(one.chain, b"", 2)
    to_two, to_one = CipherState(keys[0]), CipherState(keys[1])
    assert len(messages) > 3
    for index, (payload, expected) in enumerate(messages[3:]):
        channel = to_one if index % 2 == 0 else to_two  # the responder speaks after three messages
        assert channel.encrypt(payload) == expected
