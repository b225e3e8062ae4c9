"""Wallet documents: those of polkadot-js open, ours open again, and damaged ones are refused."""

import base64
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.secret import SecretBox

from aitoken.crypto import ed25519, sr25519, ss58
from aitoken.crypto.derive import Pair, pair_from_uri
from aitoken.errors import Rejected
from aitoken.keystore import polkadot_js
from aitoken.keystore.files import KeyFileExists, KeyFileExposed, KeyFileMissing, KeyFileUnreadable
from aitoken.keystore.polkadot_js import BadKeyDocument, KeyDocument, WrongPassword, lock, parse
from aitoken.keystore.wallet import BadKeyName, Wallet
from tests.support.vectors import public_bytes


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write with the cheapest of the allowed settings."""
    monkeypatch.setattr(polkadot_js, "SCRYPT_WRITTEN", (1 << 15, 1, 8))


@pytest.mark.parametrize(
    ("name", "scheme", "address"),
    [
        ("polkadotjs_encrypted.json", "sr25519", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
        ("polkadotjs_encrypted_ed25519.json", "ed25519", "5FxjTxVWebYJeoPZ9H6XHkYVxvS5j7MN5jpJwWq7F9Pidz3K"),
    ],
)
def test_documents_of_polkadot_js_open(name: str, scheme: str, address: str) -> None:
    document = parse(public_bytes(f"keystore/{name}"))

    pair = document.unlock("test")

    assert (document.scheme, document.address, pair.scheme) == (scheme, address, scheme)
    assert ss58.encode(pair.public) == address
    assert document.public == pair.public
    with pytest.raises(WrongPassword):
        document.unlock("Test")
    assert msgspec.json.decode(document.to_json()) == msgspec.json.decode(public_bytes(f"keystore/{name}"))


@pytest.mark.parametrize("scheme", ["sr25519", "ed25519"])
def test_what_is_locked_opens_with_the_password_alone(cheap: None, scheme: str) -> None:
    pair = pair_from_uri("//Alice", scheme)

    document = parse(lock(pair, "pässword", prefix=7, meta={"name": "alice", "whenCreated": 5}).to_json())

    again = document.unlock("pässword")
    assert again.public == pair.public
    verify = sr25519.verify if scheme == "sr25519" else ed25519.verify
    assert verify(again.sign(b"m"), b"m", pair.public)
    assert (document.name, document.meta["whenCreated"]) == ("alice", 5)
    assert ss58.decode(document.address) == (pair.public, 7)


def test_short_forms(cheap: None) -> None:
    pair = pair_from_uri("//Alice")

    text = polkadot_js.seal_key(pair, "p", name="alice")

    assert polkadot_js.open_key(text, "p").public == pair.public
    assert parse(text.encode()).name == "alice"
    assert parse(polkadot_js.seal_key(pair, "p").encode()).name == ""
    with pytest.raises(BadKeyDocument):
        polkadot_js.open_key("\udc80", "p")


def test_the_strongest_allowed_setting_is_written() -> None:
    sealed = base64.b64decode(lock(pair_from_uri("//Alice"), "p").encoded)

    assert sealed[32:44] == (1 << 17).to_bytes(4, "little") + (1).to_bytes(4, "little") + (8).to_bytes(4, "little")


def test_two_documents_of_one_key_share_nothing(cheap: None) -> None:
    one, two = (base64.b64decode(lock(pair_from_uri("//Alice"), "p").encoded) for _ in range(2))

    assert one[:32] != two[:32]
    assert one[44:68] != two[44:68]


def changed(document: KeyDocument, at: int, value: bytes) -> KeyDocument:
    sealed = bytearray(base64.b64decode(document.encoded))
    sealed[at : at + len(value)] = value
    return msgspec.structs.replace(document, encoded=base64.b64encode(bytes(sealed)).decode())


def test_other_scrypt_settings_are_refused_before_any_work(cheap: None) -> None:
    document = lock(pair_from_uri("//Alice"), "p")

    for field, number in ((32, 1 << 30), (32, 3), (36, 100), (40, 0), (40, 2**32 - 1)):
        with pytest.raises(BadKeyDocument, match="settings"):
            changed(document, field, number.to_bytes(4, "little")).unlock("p")


def test_a_changed_salt_nonce_or_box_does_not_open(cheap: None) -> None:
    document = lock(pair_from_uri("//Alice"), "p")
    sealed = base64.b64decode(document.encoded)

    for at in (0, 44, 68, len(sealed) - 1):
        with pytest.raises(WrongPassword):
            changed(document, at, bytes([sealed[at] ^ 1])).unlock("p")


def test_a_document_with_another_address_is_refused(cheap: None) -> None:
    document = lock(pair_from_uri("//Alice"), "p")
    lie = msgspec.structs.replace(document, address=ss58.encode(pair_from_uri("//Bob").public))

    with pytest.raises(BadKeyDocument, match="address"):
        lie.unlock("p")


def repacked(pair: Pair, plain: bytes) -> KeyDocument:
    """A document of `pair`'s address whose opened content is `plain`."""
    document = lock(pair, "p")
    sealed = base64.b64decode(document.encoded)
    key = polkadot_js._stretch("p", sealed[:32], polkadot_js.SCRYPT_WRITTEN)
    box = bytes(SecretBox(key).encrypt(plain, sealed[44:68]))
    return msgspec.structs.replace(document, encoded=base64.b64encode(sealed[:44] + box).decode())


def test_content_in_another_packing_is_refused(cheap: None) -> None:
    pair = ed25519.Pair(bytes(32))
    header, divider = polkadot_js._HEADER, polkadot_js._DIVIDER
    good = header + pair.seed + pair.public + divider + pair.public

    assert repacked(pair, good).unlock("p").public == pair.public
    for bad in (b"\0" + good[1:], header + bytes(64) + b"\0" * 5 + pair.public, good[:-32] + bytes(32)):
        with pytest.raises(BadKeyDocument):
            repacked(pair, bad).unlock("p")


def test_wrong_sizes_and_letters_are_refused(cheap: None) -> None:
    document = lock(pair_from_uri("//Alice"), "p")

    for encoded in ("", "AAAA", document.encoded[:-4], document.encoded + "AAAA", "!" * 268, "é"):
        with pytest.raises(BadKeyDocument):
            msgspec.structs.replace(document, encoded=encoded).unlock("p")


def test_other_versions_and_schemes_are_refused(cheap: None) -> None:
    good = msgspec.json.decode(lock(pair_from_uri("//Alice"), "p").to_json())

    for encoding in (
        {"content": ["pkcs8", "ecdsa"], "type": ["scrypt", "xsalsa20-poly1305"], "version": "3"},
        {"content": ["pkcs8"], "type": ["scrypt", "xsalsa20-poly1305"], "version": "3"},
        {"content": ["pkcs8", "sr25519"], "type": ["none"], "version": "3"},
        {"content": ["pkcs8", "sr25519"], "type": ["scrypt", "xsalsa20-poly1305"], "version": "2"},
        {"content": "pkcs8", "type": "none", "version": "0"},
    ):
        with pytest.raises(BadKeyDocument):
            parse(msgspec.json.encode({**good, "encoding": encoding}))
    with pytest.raises(Rejected):
        parse(msgspec.json.encode({**good, "address": "5Grw"}))


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[" * 100_000, b'{"encoded":1e400}', b"\xff\xfe", b" " * (64 * 1024 + 1)]
)
def test_other_text_is_refused(text: bytes) -> None:
    with pytest.raises(BadKeyDocument):
        parse(text)


@given(st.binary(max_size=200))
def test_garbage_is_refused(text: bytes) -> None:
    with pytest.raises(BadKeyDocument):
        parse(text)


def test_a_name_that_is_no_text_is_no_name(cheap: None) -> None:
    assert lock(pair_from_uri("//Alice"), "p", meta={"name": 5}).name == ""
    assert lock(pair_from_uri("//Alice"), "p").name == ""


def test_a_wallet_keeps_keys_by_name(tmp_path: Path, cheap: None) -> None:
    wallet = Wallet(tmp_path / "wallet")
    alice, bob = pair_from_uri("//Alice"), pair_from_uri("//Bob", "ed25519")

    assert wallet.names() == []
    wallet.add("bob", bob, "b", meta={"whenCreated": 1})
    wallet.add("alice", alice, "a", prefix=0)

    assert wallet.names() == ["alice", "bob"]
    assert wallet.unlock("alice", "a").public == alice.public
    assert wallet.document("bob").meta == {"whenCreated": 1, "name": "bob"}
    assert wallet.document("alice").address == ss58.encode(alice.public, 0)
    with pytest.raises(WrongPassword):
        wallet.unlock("bob", "a")
    with pytest.raises(KeyFileExists):
        wallet.add("bob", alice, "a")
    with pytest.raises(KeyFileMissing):
        wallet.document("eve")


def test_a_wallet_imports_and_forgets(tmp_path: Path, cheap: None) -> None:
    wallet = Wallet(tmp_path / "wallet")
    document = lock(pair_from_uri("//Alice"), "p", meta={"name": "from elsewhere"})

    wallet.put("alice", document)

    assert wallet.document("alice") == document
    wallet.remove("alice")
    assert wallet.names() == []
    with pytest.raises(KeyFileMissing):
        wallet.remove("alice")


@pytest.mark.parametrize("name", ["", ".hidden", "../alice", "a/b", "a" * 65, "a b", "ä", "a\n"])
def test_names_that_do_not_belong_in_a_file_name_are_refused(tmp_path: Path, name: str) -> None:
    wallet = Wallet(tmp_path / "wallet")

    for action in (wallet.document, wallet.remove):
        with pytest.raises(BadKeyName):
            action(name)


def test_a_wallet_others_can_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wallet").mkdir()
    (tmp_path / "wallet").chmod(0o755)

    with pytest.raises(KeyFileExposed):
        Wallet(tmp_path / "wallet").names()


def test_what_the_disk_does_not_do_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wallet = Wallet(tmp_path / "wallet")
    wallet.names()
    (tmp_path / "wallet" / "folder.json").mkdir()

    with pytest.raises(KeyFileUnreadable):
        wallet.remove("folder")

    def broken(path: Path) -> Iterator[Path]:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", broken)
        with pytest.raises(KeyFileUnreadable, match="Input/output"):
            wallet.names()
