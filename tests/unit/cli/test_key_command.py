"""Keys: made once, kept encrypted, never overwritten, shown only on demand."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import Result

from aitoken.crypto.derive import pair_from_uri
from cli.exits import Exit

Run = Callable[..., Result]
ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"


def test_a_new_key_that_would_be_lost_is_not_made(aitoken: Run) -> None:
    result = aitoken("key", "generate")

    assert result.exit_code == Exit.USAGE
    assert "--show-phrase" in result.stderr


def test_a_shown_phrase_makes_the_shown_address(aitoken: Run) -> None:
    data = msgspec.json.decode(aitoken("key", "generate", "--show-phrase", "--output", "json").stdout)

    assert len(data["phrase"].split()) == 12
    assert "0x" + pair_from_uri(data["phrase"]).public.hex() == data["public"]


def test_a_kept_key_is_private_encrypted_and_can_pay(aitoken: Run, client, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    made = aitoken("key", "generate", "--name", "savings", "--output", "json", input="pass\npass\n", env=home)
    data = msgspec.json.decode(made.stdout)

    file = tmp_path / ".aitoken" / "keys" / "savings.json"
    assert data["file"] == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    listed = msgspec.json.decode(aitoken("key", "list", "--output", "json", env=home).stdout)
    assert listed == [{"name": "savings", "address": data["address"], "type": "sr25519"}]
    for who in ("savings", data["address"]):
        assert aitoken("transfer", who, "//Bob", "1", input="pass\n", env=home).exit_code == 0
    assert "0x" + client.submitted[0][1].hex() == data["public"]
    wrong = aitoken("transfer", "savings", "//Bob", "1", input="pa55\n", env=home)
    assert wrong.exit_code == Exit.USAGE
    assert len(client.submitted) == 2


def test_a_key_is_never_overwritten(aitoken: Run, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    file = tmp_path / "key.json"
    arguments = ("key", "generate", "--file", str(file))

    assert aitoken(*arguments, input="pass\npass\n", env=home).exit_code == 0
    before = file.read_bytes()
    again = aitoken(*arguments, input="pass\npass\n", env=home)

    assert again.exit_code == Exit.USAGE
    assert file.read_bytes() == before
    assert file.stat().st_mode & 0o777 == 0o600


def test_inspect_shows_the_public_side(aitoken: Run) -> None:
    by_uri = msgspec.json.decode(aitoken("key", "inspect", "//Alice", "--output", "json").stdout)
    by_address = msgspec.json.decode(aitoken("key", "inspect", ALICE, "--output", "json").stdout)
    ed25519 = msgspec.json.decode(aitoken("key", "inspect", "//Alice", "--type", "ed25519", "--output", "json").stdout)

    assert by_uri["address"] == by_address["address"] == ALICE
    assert by_uri["public"] == by_address["public"]
    assert ed25519["public"] == "0x88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee"


def test_a_validator_key_is_made_once_and_is_private(aitoken: Run, tmp_path: Path) -> None:
    data_dir = tmp_path / "node"
    data_dir.mkdir(mode=0o700)

    made = aitoken("key", "validator", "--data-dir", str(data_dir), "--output", "json")
    again = aitoken("key", "validator", "--data-dir", str(data_dir))

    assert made.exit_code == 0, made.output
    file = Path(msgspec.json.decode(made.stdout)["file"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert again.exit_code == Exit.USAGE


@pytest.mark.parametrize("phrase", ["word", "//Alice extra", "bottom drive obey lake curtain smoke"])
def test_a_phrase_on_the_command_line_is_refused_without_repeating_it(aitoken: Run, phrase: str) -> None:
    result = aitoken("key", "inspect", phrase)

    assert result.exit_code == Exit.USAGE
    assert "obey" not in result.output
