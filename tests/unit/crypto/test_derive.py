"""Phrases, passwords and derivation against @polkadot/keyring, and the edges of secret URIs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.crypto import derive, ed25519, mnemonic, sr25519, ss58
from aitoken.crypto.derive import DEV_PHRASE, DEV_SEED, BadUri, pair_from_uri
from aitoken.crypto.mnemonic import BadMnemonic
from tests.support.vectors import own_json, public_json, unhex

VECTORS = own_json("polkadot_js/keyring.json")


def test_keyring_vectors() -> None:
    assert len(VECTORS) == 182

    for vector in VECTORS:
        entropy = mnemonic.to_entropy(vector["mnemonic"])
        assert entropy == unhex(vector["entropy"])
        assert mnemonic.from_entropy(entropy) == vector["mnemonic"]
        pair = pair_from_uri("0x" + unhex(vector["mini_secret"]).hex() + vector["path"], vector["scheme"])
        assert pair.public == unhex(vector["public"])
        assert ss58.encode(pair.public) == vector["address"]


def test_phrases_with_and_without_path() -> None:
    for vector in VECTORS[::13]:
        assert mnemonic.to_seed(vector["mnemonic"]) == unhex(vector["mini_secret"])
        pair = pair_from_uri(vector["mnemonic"] + vector["path"], vector["scheme"])
        assert pair.public == unhex(vector["public"])


def test_password_changes_the_seed_as_in_polkadot_js() -> None:
    vector = VECTORS[0]
    expected = unhex(vector["mini_secret_with_password"])
    passwords = [
        word
        for word in ("password", "Substrate", "test", "secret", "hunter2")
        if mnemonic.to_seed(vector["mnemonic"], word) == expected
    ]

    assert len(passwords) == 1
    assert pair_from_uri(vector["mnemonic"] + "///" + passwords[0], "ed25519").public == ed25519.Pair(expected).public


def test_known_development_accounts() -> None:
    assert ss58.encode(pair_from_uri("//Alice").public) == "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
    assert ss58.encode(pair_from_uri("//Alice", "ed25519").public) == "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
    assert pair_from_uri("").public == pair_from_uri(DEV_PHRASE).public


def test_substrate_bip39_published_seed() -> None:
    # substrate-bip39, test vector: entropy zero, password "Substrate"; the first 32 of its 64 bytes
    seed = mnemonic.seed_from_entropy(bytes(16), "Substrate")

    assert seed.hex() == "44e9d125f037ac1d51f0a7d3649689d422c2af8b1ec8e00d71db4d7bf6d127e3"


def test_schnorrkel_pairs_and_derivation() -> None:
    for vector in public_json("crypto/sr25519_known_and_edge.json")["derivation"]:
        if vector["kind"] == "pair_from_seed":
            pair = sr25519.Pair(unhex(vector["seed"]))
            assert pair.ed25519_bytes + pair.public == unhex(vector["pair"])
        else:
            pair = sr25519.Pair(unhex(vector["from_seed"]))
            step = pair.hard if vector["kind"] == "derive_hard" else pair.soft
            assert step(unhex(vector["chain_code"])).public == unhex(vector["public"])


def test_a_password_may_hold_anything() -> None:
    one = pair_from_uri("//Alice///a/b//c d")
    two = pair_from_uri("//Alice///a/b//c e")

    assert one.public != two.public
    assert pair_from_uri("//Alice////x").public != pair_from_uri("//Alice///x").public
    assert pair_from_uri("//Alice///").public == pair_from_uri("//Alice").public


@pytest.mark.parametrize(
    "uri",
    [
        "/",
        "//",
        "//Alice/",
        "//Alice//",
        "0x",
        "0x12",
        "0x" + "0" * 63,
        "0x" + "g" * 64,
        "0x" + "0" * 64 + "///p",
        "//Alice\udcff",
        "//Alice///\udcff",
    ],
)
def test_malformed_uris_are_refused(uri: str) -> None:
    with pytest.raises(BadUri):
        pair_from_uri(uri)


def test_soft_junctions_and_unknown_schemes_are_refused() -> None:
    with pytest.raises(BadUri, match="soft"):
        pair_from_uri("//Alice/soft", "ed25519")
    with pytest.raises(BadUri, match="scheme"):
        pair_from_uri("//Alice", "ecdsa")
    with pytest.raises(BadUri):
        derive.parse_path("Alice")


def test_numbers_in_paths() -> None:
    assert derive.chain_code("1") == bytes([1]) + bytes(31)
    assert derive.chain_code("007") == bytes([7]) + bytes(31)
    assert derive.chain_code(str(2**64 - 1)) == b"\xff" * 8 + bytes(24)
    for text in (str(2**64), "9" * 30, "1" * 5000):
        with pytest.raises(BadUri, match="2\\^64"):
            derive.chain_code(text)


def test_texts_in_paths() -> None:
    assert derive.chain_code("Alice") == b"\x14Alice" + bytes(26)
    assert derive.chain_code("x" * 31) == bytes([31 << 2]) + b"x" * 31
    assert len(derive.chain_code("x" * 32)) == 32
    assert derive.chain_code("x" * 100) != derive.chain_code("x" * 101)
    assert derive.chain_code("\u0661") != derive.chain_code("1")  # a digit of another script is a text
    with pytest.raises(BadUri):
        derive.chain_code("x" * 16384)


@settings(max_examples=40)
@given(st.text(alphabet="/x0 a1\n\u0661", max_size=20))
def test_any_uri_gives_a_pair_or_is_refused(uri: str) -> None:
    try:
        pair = pair_from_uri(uri)
    except (BadUri, BadMnemonic):
        return
    assert len(pair.public) == 32


@pytest.mark.parametrize("words", mnemonic.WORD_COUNTS)
def test_generated_phrases_are_fresh_and_valid(words: int) -> None:
    one, two = mnemonic.generate(words), mnemonic.generate(words)

    assert one != two
    assert len(one.split()) == words
    assert mnemonic.from_entropy(mnemonic.to_entropy(one)) == one


def test_bad_phrases_are_refused_without_repeating_them() -> None:
    words = DEV_PHRASE.split()
    for phrase in (
        "",
        "bottom",
        " ".join(words[:-1]),
        " ".join([*words[:-1], "zebra"]),
        " ".join([*words[:-1], "xyzzy"]),
    ):
        with pytest.raises(BadMnemonic) as caught:
            mnemonic.to_entropy(phrase)
        assert "xyzzy" not in str(caught.value)
        assert caught.value.__context__ is None


def test_other_sizes_are_refused() -> None:
    with pytest.raises(BadMnemonic):
        mnemonic.generate(13)
    with pytest.raises(BadMnemonic):
        mnemonic.from_entropy(bytes(17))


def test_white_space_between_words_does_not_matter() -> None:
    assert mnemonic.to_entropy("  " + DEV_PHRASE.replace(" ", " \n ") + "\n") == mnemonic.to_entropy(DEV_PHRASE)


def test_the_remembered_seed_is_that_of_the_development_phrase() -> None:
    assert mnemonic.to_seed(DEV_PHRASE, "") == DEV_SEED
    assert pair_from_uri(f"{DEV_PHRASE}//Alice").public == pair_from_uri("//Alice").public
    assert pair_from_uri(f"{DEV_PHRASE}//Alice///secret").public != pair_from_uri("//Alice").public
