"""Session keys that a running node makes or is given: kept, ready to sign, and never one that may sign elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitoken.crypto import ed25519
from aitoken.keystore import node_keys
from aitoken.keystore.files import KeyFileExists
from aitoken.proto.votes import NOTARIZE
from chain.state.memory import MemoryKeyValue
from node.config import ValidatorConfig
from node.signer.local import LocalSigner
from node.signer.opening import Evidence, open_signer
from node.signer.rotation import CannotRotate, Rotation, owner_key
from tests.support.staking_chain import StakingChain, pair

GENESIS, BLOCK = b"g" * 32, b"b" * 32
NOBODY = MemoryKeyValue()


@pytest.fixture
def rotation(tmp_path: Path) -> Rotation:
    node_keys.make_session_pairs(tmp_path / "keys")
    signer = open_signer(ValidatorConfig(enabled=True), tmp_path, GENESIS, Evidence(untouched=True), print)
    return Rotation(signer, tmp_path, GENESIS)


def local(rotation: Rotation) -> LocalSigner:
    assert isinstance(rotation.signer, LocalSigner)
    return rotation.signer


def test_an_inserted_key_is_kept_and_votes_once_it_is_listed(rotation: Rotation, tmp_path: Path) -> None:
    mine = ed25519.Pair(b"\x07" * 32)
    assert not rotation.holds("bft_", mine.public)
    rotation.insert("bft_", mine, NOBODY)

    assert rotation.holds("bft_", mine.public)
    assert mine.public in [each.public for each in node_keys.voting_keys(tmp_path / "keys")]
    signer = local(rotation)
    assert signer.public != mine.public
    signer.choose([mine.public])
    assert len(signer.sign_vote(NOTARIZE, 0, 1, BLOCK)) == 64
    signer.close()


def test_a_key_the_chain_knows_may_be_signing_elsewhere(rotation: Rotation) -> None:
    mine = ed25519.Pair(b"\x07" * 32)
    registered = MemoryKeyValue({owner_key(mine.public): b"somebody"})
    with pytest.raises(CannotRotate, match="elsewhere"):
        rotation.insert("bft_", mine, registered)
    with pytest.raises(CannotRotate, match="elsewhere"):
        rotation.insert("bft_", node_keys.session_key(rotation.data_dir / "keys"), NOBODY)
    assert not rotation.holds("bft_", mine.public)
    local(rotation).close()


def test_the_chain_keeps_owners_where_they_are_looked_for() -> None:
    chain = StakingChain()
    found = chain.state.get(owner_key(pair("A").public))
    assert found is not None
    assert chain.state.get(owner_key(pair("X").public)) is None


def test_a_net_key_is_kept_and_only_once(rotation: Rotation) -> None:
    mine = ed25519.Pair(b"\x07" * 32)
    rotation.insert("net_", mine, NOBODY)
    assert rotation.holds("net_", mine.public)
    assert not rotation.holds("bft_", mine.public)
    with pytest.raises(KeyFileExists):
        rotation.insert("net_", mine, NOBODY)
    local(rotation).close()


def test_other_kinds_and_nodes_without_keys_are_refused(rotation: Rotation, tmp_path: Path) -> None:
    mine = ed25519.Pair(b"\x07" * 32)
    with pytest.raises(CannotRotate, match="types"):
        rotation.insert("gran", mine, NOBODY)
    with pytest.raises(CannotRotate, match="--validator"):
        Rotation(None, tmp_path, GENESIS).insert("bft_", mine, NOBODY)
    assert not Rotation(None, tmp_path, GENESIS).holds("bft_", mine.public)
    local(rotation).close()
