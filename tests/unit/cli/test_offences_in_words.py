"""Who was punished and why, and who keeps finality waiting, as people read it."""

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from aitoken.crypto.derive import pair_from_uri
from aitoken.types import AIT
from cli import status
from cli.names import named
from cli.offences import in_words
from cli.wallet import address_of

Run = Callable[..., Result]

DAVE, ALICE, STRANGER = (
    address_of(bytes(pair_from_uri(f"//{name}//stash", "sr25519").public)) for name in ("Dave", "Alice", "Zora")
)


def offender(who: str, offence: str = "DoubleNotarize", **penalty: Any) -> dict[str, Any]:
    row = {"epoch": 3, "view": 12, "offence": offence, "fraction": 562_500_000, "era": 1, "reportedAt": 1_041}
    standard = {
        "era": 1, "fraction": 562_500_000, "own": str(5_625 * AIT), "others": str(AIT // 2), "due": 3,
        "reporter": ALICE, "payout": str(281 * AIT), "state": "waiting",
    }  # fmt: skip
    return {"validator": who, "equivocations": [row], "penalties": [standard | penalty]}


def history(*offenders: dict[str, Any]) -> dict[str, Any]:
    return {"activeEra": 2, "offenders": list(offenders)}


def test_an_offence_is_told_with_validator_place_deed_and_price() -> None:
    assert in_words(history(offender(DAVE))) == [
        f"punished: Dave {DAVE}",
        "  in view 12 of epoch 3, era 1 it notarized two different blocks: 56.25 % (reported in block 1_041)",
        "  of its stake of era 1, 5_625 AIT and 0.5 AIT of its nominators: to be taken when era 3 starts (now: era 2), "
        "unless it is cancelled",
        "    281 AIT of it for Alice, who reported it; the rest is burned",
    ]


@pytest.mark.parametrize(
    ("offence", "words"),
    [
        ("DoubleFinalize", "finalized two different blocks"),
        ("FinalizeAndNullify", "finalized a block and nullified the view"),
    ],
)
def test_every_deed_has_words(offence: str, words: str) -> None:
    assert words in in_words(history(offender(DAVE, offence)))[1]


def test_what_became_of_a_penalty_is_told() -> None:
    taken, cancelled, nobody = (
        in_words(history(offender(DAVE, **changes)))
        for changes in ({"state": "taken"}, {"state": "cancelled"}, {"reporter": None})
    )
    assert taken[2].endswith("taken when era 3 started")
    assert cancelled[2:] == [cancelled[2]]
    assert cancelled[2].endswith("cancelled, nothing is taken")
    assert len(nobody) == 3


def test_one_validator_or_all_of_them() -> None:
    both = history(offender(DAVE), offender(STRANGER))
    assert [line for line in in_words(both) if line.startswith("punished")] == [
        f"punished: Dave {DAVE}",
        f"punished: {STRANGER[:8]}...{STRANGER[-4:]} {STRANGER}",
    ]
    assert in_words(both, STRANGER)[0].endswith(STRANGER)
    assert in_words(both, ALICE) == ["never punished"]
    assert in_words(history()) == ["no validator was ever punished"]
    assert in_words(None) == []


ROUND: dict[str, Any] = {
    "epoch": 1, "view": 7, "leader": 3, "total": 400, "notarize_weight": 200, "voting": True,
    "holds_back": "67 of 400 weight missing to notarize view 7", "silent": [3, 4], "unreachable": [3], "alarms": [],
}  # fmt: skip
NAMES = ["Alice", "Bob", "Charlie", "Dave"]


def test_who_keeps_finality_waiting_is_named() -> None:
    lines = status.round_in_words(ROUND, NAMES)
    assert lines[0].endswith("leader is Dave")
    assert lines[-3:] == [
        "  finality waits: 67 of 400 weight missing to notarize view 7",
        "  no vote in this view of Dave, validator 4",
        "  no connection from this node to Dave",
    ]


def test_nobody_is_named_while_all_is_well_but_a_missing_connection() -> None:
    lines = status.held_back_in_words(ROUND | {"holds_back": "nothing"}, NAMES)
    assert lines == ["nothing holds finality back", "no connection from this node to Dave"]


def test_why_this_node_does_not_vote_is_told() -> None:
    state = ROUND | {
        "holds_back": "nothing",
        "voting": False,
        "signer_lost": True,
        "alarms": ["consensus.doppelganger"],
    }
    signer, alarm = status.held_back_in_words(state, NAMES)[1:]
    assert "signer does not answer" in signer
    assert "consensus.doppelganger" in alarm


def test_names_of_nobody() -> None:
    assert named([0, 9], NAMES) == "Alice, validator 9"


def test_both_screens_name_them(aitoken: Run, client: Any) -> None:
    client.answers |= {
        "system_health": {"peers": 3, "isSyncing": False}, "system_chain": "AI Token Devnet", "system_version": "1",
        "system_name": "Alice", "system_nodeRoles": [], "system_syncState": {}, "chain_getBlockHash": "0x00",
        "chain_getFinalizedHead": "0x00", "chain_getHeader": {"number": "0x1"}, "author_pendingExtrinsics": [],
        "smpx_roundState": ROUND, "Session.Validators": [ALICE, STRANGER, STRANGER, DAVE],
        "smpx_offences": history(offender(DAVE)),
    }  # fmt: skip
    node, validator = aitoken("node", "status").stdout, aitoken("validator", "status").stdout
    for screen in (node, validator):
        assert "no vote in this view of Dave" in screen
        assert "no connection from this node to Dave" in screen
    assert f"punished: Dave {DAVE}" in validator
