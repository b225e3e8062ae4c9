"""What is typed as a key or argument becomes the value a person means."""

from typing import Any

import pytest

from cli.exits import BadInput
from cli.values import parse_value

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
ALICE_KEY = bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("1_000", 1_000),
        ("340282366920938463463374607431768211456", 2**128),
        ("true", True),
        ("null", None),
        ("//Alice", ALICE_KEY),
        (ALICE, ALICE_KEY),
        ("0x00ff", b"\x00\xff"),
        ('{"a": [18446744073709551616]}', {"a": [2**64]}),
        ("hello", "hello"),
    ],
)
def test_a_value_is_read_as_meant(text: str, value: Any) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["0x0", "0xzz", "{", "[" * 100_000])
def test_broken_hex_or_json_is_refused_instead_of_taken_as_text(text: str) -> None:
    with pytest.raises(BadInput):
        parse_value(text)


def test_a_mistyped_address_is_refused() -> None:
    from aitoken.crypto.ss58 import BadAddress

    with pytest.raises(BadAddress):
        parse_value(ALICE[:-1] + "Z")
