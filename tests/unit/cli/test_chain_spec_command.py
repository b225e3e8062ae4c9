"""Genesis files on the command line: derived, checked, hashed; ours and those of other Substrate chains."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import Result

from chain.genesis import build_genesis
from chain.spec import parse_spec
from cli.exits import Exit
from cli.specs import read_spec
from tests.support.specs import GENESIS, TWO_VALIDATORS
from tests.support.vectors import public_json

Run = Callable[..., Result]


def test_the_hash_is_that_of_the_chain_a_node_starts(aitoken: Run) -> None:
    result = aitoken("chain-spec", "hash", str(GENESIS))

    assert result.exit_code == 0
    assert result.stdout.strip() == "0x" + build_genesis(parse_spec(read_spec(GENESIS))).header.hash.hex()


@pytest.mark.parametrize("chain", ["westend", "mythos"])
def test_the_hash_of_a_raw_spec_is_the_published_one(aitoken: Run, tmp_path: Path, chain: str) -> None:
    published = public_json(f"genesis/{chain}.json.gz")
    file = tmp_path / "raw.json"
    file.write_text(json.dumps({"id": chain, "genesis": {"raw": {"top": published["top"], "childrenDefault": {}}}}))

    result = aitoken("chain-spec", "hash", str(file), "--state-version", str(published["state_version"]))

    assert result.stdout.strip() == published["known_genesis_hash"]


def test_a_small_raw_spec_depends_on_its_state_version(aitoken: Run, tmp_path: Path) -> None:
    file = tmp_path / "raw.json"
    file.write_text(json.dumps({"genesis": {"raw": {"top": {"0x01": "0x" + "ab" * 40}}}}))

    hashes = {aitoken("chain-spec", "hash", str(file), "--state-version", version).stdout for version in ("0", "1")}

    assert len(hashes) == 2
    assert aitoken("chain-spec", "hash", str(file)).stdout in hashes


@pytest.mark.parametrize(
    "raw",
    [
        {"raw": {}},
        {"raw": {"top": []}},
        {"raw": {"top": {"0x0": "0x"}}},
        {"raw": {"top": {"0x00": 1}}},
        {"raw": {"top": {}, "childrenDefault": {"0x00": {}}}},
    ],
)
def test_a_broken_raw_spec_is_refused(aitoken: Run, tmp_path: Path, raw: object) -> None:
    file = tmp_path / "raw.json"
    file.write_text(json.dumps({"genesis": raw}))

    result = aitoken("chain-spec", "hash", str(file))

    assert result.exit_code == Exit.USAGE
    assert "Traceback" not in result.output


def test_check_shows_what_a_genesis_comes_to(aitoken: Run) -> None:
    facts = msgspec.json.decode(aitoken("chain-spec", "check", str(GENESIS), "--output", "json").stdout)

    assert facts["validators"] == 4
    assert facts["issuance"] == build_genesis(parse_spec(read_spec(GENESIS))).issuance
    assert "AIT" in aitoken("chain-spec", "check", str(GENESIS)).stdout


def test_check_names_the_key_that_is_wrong(aitoken: Run, tmp_path: Path) -> None:
    file = tmp_path / "genesis.json"
    file.write_text(json.dumps(TWO_VALIDATORS | {"colour": "red"}))

    result = aitoken("chain-spec", "check", str(file))

    assert result.exit_code == Exit.USAGE
    assert "colour" in result.stderr


def test_what_is_built_can_be_started_and_is_another_chain(aitoken: Run, tmp_path: Path) -> None:
    file = tmp_path / "seven.json"
    file.write_text(
        aitoken("chain-spec", "build", str(GENESIS), "-n", "7", "--preset", "main", "--name", "Seven").stdout
    )

    facts = msgspec.json.decode(aitoken("chain-spec", "check", str(file), "--output", "json").stdout)

    assert facts["name"] == "Seven"
    assert facts["validators"] == 7
    assert aitoken("chain-spec", "hash", str(file)).stdout != aitoken("chain-spec", "hash", str(GENESIS)).stdout


def test_state_version_means_nothing_for_our_own_specs(aitoken: Run) -> None:
    assert aitoken("chain-spec", "hash", str(GENESIS), "--state-version", "0").exit_code == Exit.USAGE
