"""JSON files whose text is no UTF-8, or nested without end, are refused like any other that does not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aitoken.types import Hash32
from cli.exits import BadInput
from cli.specs import read_spec
from cli.values import parse_value
from node.chain.opening import UnreadableSpec, load_spec
from node.signer.errors import BadExchange
from node.signer.exchange import decode
from node.store.evidence_file import EvidenceFile
from node.store.voting_record import Damaged, VotingRecordFile

BROKEN = (b'{"a\xb2": 1}', b"[" * 100_000)


@pytest.mark.parametrize("data", BROKEN)
@pytest.mark.parametrize(
    ("read", "refusal"), [(load_spec, UnreadableSpec), (read_spec, BadInput), (VotingRecordFile, Damaged)]
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes, read: Any, refusal: type[Exception]) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(refusal):
        read(path)


@pytest.mark.parametrize("data", BROKEN)
def test_a_signing_history_that_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(BadExchange):
        decode(data, Hash32(bytes(32)))


@pytest.mark.parametrize("data", BROKEN)
def test_evidence_that_is_no_text_is_left_behind(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "evidence.json"
    path.write_bytes(data)
    assert EvidenceFile(path).load() == []


def test_an_argument_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadInput):
        parse_value('["\udcb2"]')
