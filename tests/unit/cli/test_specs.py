"""Genesis files derived for a devnet with another number of validators."""

from pathlib import Path
from typing import Any

import pytest

from cli.exits import BadInput
from cli.specs import dev_keys_of, read_spec, with_preset, with_validators, write_spec


def spec_of(*names: str) -> dict[str, Any]:
    return {
        "name": "Net",
        "chainType": "Development",
        "runtime": {"specName": "aitoken", "preset": "devnet"},
        "genesis": {
            "balances": {f"//{name}//stash": "10 AIT" for name in names} | {"//Alice": "5 AIT"},
            "staking": {
                "validatorCount": len(names),
                "minimumValidatorCount": 2,
                "validators": [
                    {"stash": f"//{name}//stash", "bond": "1 AIT", "payee": "Staked", "keys": {"bft": f"//{name}"}}
                    for name in names
                ],
                "nominators": [
                    {"stash": "//Eve", "bond": "1 AIT", "targets": ["//Alice//stash", "//Bob//stash"]},
                    {"stash": "//Ferdie", "bond": "1 AIT", "targets": ["//Bob//stash"]},
                ],
            },
        },
    }


FOUR = spec_of("Alice", "Bob", "Charlie", "Dave")


def test_the_same_number_changes_nothing() -> None:
    assert with_validators(FOUR, 4) == FOUR


def test_more_validators_get_keys_names_and_the_same_terms() -> None:
    spec = with_validators(FOUR, 8)

    assert dev_keys_of(spec) == [f"//{n}" for n in ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")] + [
        "//Validator6",
        "//Validator7",
    ]
    staking = spec["genesis"]["staking"]
    assert staking["validatorCount"] == 8
    assert staking["validators"][7] == {
        "stash": "//Validator7//stash",
        "bond": "1 AIT",
        "payee": "Staked",
        "keys": {"bft": "//Validator7"},
    }
    assert spec["genesis"]["balances"]["//Validator7//stash"] == "10 AIT"
    assert spec_of("Alice", "Bob", "Charlie", "Dave") == FOUR, "the source must not change"


def test_no_key_is_added_that_the_file_does_not_have() -> None:
    """The reader of genesis files refuses keys it does not know."""
    bare = spec_of("Alice", "Bob")
    for key in ("validatorCount", "minimumValidatorCount", "nominators"):
        del bare["genesis"]["staking"][key]

    assert set(with_validators(bare, 7)["genesis"]["staking"]) == {"validators"}


def test_fewer_validators_drop_nominations_of_those_that_are_gone() -> None:
    staking = with_validators(FOUR, 1)["genesis"]["staking"]

    assert [entry["stash"] for entry in staking["validators"]] == ["//Alice//stash"]
    assert staking["nominators"] == [{"stash": "//Eve", "bond": "1 AIT", "targets": ["//Alice//stash"]}]
    assert staking["validatorCount"] == 1
    assert staking["minimumValidatorCount"] == 1


@pytest.mark.parametrize("count", [0, -1, 61])
def test_a_number_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(BadInput):
        with_validators(FOUR, count)


def test_a_live_chain_is_not_given_other_validators() -> None:
    with pytest.raises(BadInput, match="Development"):
        with_validators(FOUR | {"chainType": "Live"}, 7)


def test_validators_with_real_keys_make_no_devnet() -> None:
    spec = spec_of("Alice")
    spec["genesis"]["staking"]["validators"][0]["keys"]["bft"] = "0x" + "11" * 32

    with pytest.raises(BadInput, match="development keys"):
        dev_keys_of(spec)


def test_another_preset_leaves_the_rest() -> None:
    assert with_preset(FOUR, "main")["runtime"] == {"specName": "aitoken", "preset": "main"}
    assert with_preset(FOUR, None) == FOUR


def test_a_spec_written_is_read_back_the_same_with_exact_integers(tmp_path: Path) -> None:
    file = tmp_path / "genesis.json"
    spec = FOUR | {"big": 2**100}

    file.write_text(write_spec(spec))

    assert read_spec(file) == spec


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "[" * 100_000, "\x00"])
def test_what_is_no_spec_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "genesis.json"
    file.write_text(text)

    with pytest.raises(BadInput):
        read_spec(file)


def test_a_missing_spec_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.json"):
        read_spec(tmp_path / "none.json")


def test_every_validator_gets_an_account_that_reports_prices() -> None:
    oracle = {"feeds": [{"currency": 840}], "feeders": {"//Alice//stash": "//Zoe", "//Bob//stash": "//Bob//feeder"}}
    four = FOUR | {"genesis": FOUR["genesis"] | {"oracle": oracle}}
    genesis = with_validators(four, 5)["genesis"]

    assert list(genesis["oracle"]["feeders"]) == [each["stash"] for each in genesis["staking"]["validators"]]
    assert genesis["oracle"]["feeders"]["//Alice//stash"] == "//Zoe"
    assert genesis["balances"]["//Eve//feeder"] == "10 AIT"
    assert list(with_validators(four, 1)["genesis"]["oracle"]["feeders"]) == ["//Alice//stash"]
