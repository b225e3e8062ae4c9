"""A chain with every call people make, written to a file and executed again: `replay.py record|replay FILE [BLOCKS]`.

Replaying compares each header, its state root included, and prints the last hash. Run as a program, so that a test can
do it under other hash seeds and Python versions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aitoken.crypto.derive import pair_from_uri
from aitoken.proto import randomness
from aitoken.proto.digest import NEXT_EPOCH, SmpxDigest, leading_items_of
from aitoken.proto.extrinsic import Extrinsic, additional_signed, sign_extrinsic
from aitoken.proto.header import Header
from aitoken.types import AIT
from chain.frame.errors import InvalidTransaction
from chain.frame.runtime import Runtime
from chain.genesis import Genesis, build_genesis
from chain.runtime import build_runtime
from chain.spec import parse_spec
from chain.state.layer import FinalState

GENESIS = Path(__file__).resolve().parents[2] / "genesis.json"
PEOPLE = tuple(pair_from_uri(f"//{name}") for name in ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie"))
STRANGERS = tuple(pair_from_uri(f"//Stranger//{index}", "ed25519").public for index in range(40))
FRESH = pair_from_uri("//Fresh", "ed25519")
LEADERS = tuple(pair_from_uri(f"//{name}", "ed25519") for name in ("Alice", "Bob", "Charlie", "Dave"))


class Script:
    """What is sent in each block: good calls, calls that fail, batches that fail half-way, root calls, new accounts."""

    def __init__(self, runtime: Runtime, genesis: Genesis) -> None:
        version = runtime.schema.version
        block_hash = genesis.header.hash
        self._make = runtime.schema.make_call
        self._additional = additional_signed(version.spec_version, version.transaction_version, block_hash, block_hash)
        self._nonces: dict[bytes, int] = {}

    def block(self, number: int) -> Iterator[Extrinsic]:
        """The transactions of one block."""
        for offset in range(1 + number % 5):
            who = PEOPLE[(number + offset) % len(PEOPLE)]
            yield self._sign(who, self._call(number * 7 + offset, who.public), tip=number % 3)
        if number == 10:
            yield self._sign(PEOPLE[0], self._make("Balances.transfer_allow_death", FRESH.public, 5 * AIT))
            self._nonces[FRESH.public] = number  # an account counts from the height it appeared at
        if number > 10 and number % 11 == 0:
            yield self._sign(FRESH, self._make("System.remark_with_event", b"ed25519 %d" % number))

    def _call(self, pick: int, own: bytes) -> Any:
        make, other = self._make, STRANGERS[pick % len(STRANGERS)]
        pay = make("Balances.transfer_keep_alive", other, AIT + pick)
        fail = make("Balances.transfer_allow_death", other, 10**30)
        choices = (
            lambda: make("Balances.transfer_allow_death", other, 2 * AIT),
            lambda: pay,
            lambda: fail,
            lambda: make("Utility.batch", [pay, fail, pay]),
            lambda: make("Utility.batch_all", [pay, fail]),
            lambda: make("Utility.force_batch", [fail, pay]),
            lambda: make("Utility.as_derivative", pick % 5, pay),
            lambda: make("Balances.burn", pick, True),
            lambda: make("System.remark", b"x" * (pick % 300)),
            lambda: make("Sudo.sudo", make("Balances.force_set_balance", other, (pick % 9) * AIT)),
            lambda: make(
                "Sudo.sudo", make("System.set_storage", [(b"\x00" + bytes([pick % 256]), b"v" * (pick % 70))])
            ),
            lambda: make("Sudo.sudo", make("System.kill_prefix", b"\x00", 3)),
            lambda: make("Session.purge_keys"),
            lambda: make("Balances.transfer_allow_death", own, AIT),
        )
        return choices[pick % len(choices)]()

    def _sign(self, who: Any, call: Any, tip: int = 0) -> Extrinsic:
        nonce = self._nonces.get(who.public, 0)
        self._nonces[who.public] = nonce + 1
        return sign_extrinsic(call.encode(), who, self._additional, nonce=nonce, tip=tip)


def start() -> tuple[Runtime, Genesis]:
    """The runtime and block 0 of the devnet."""
    runtime = build_runtime(parse_spec(json.loads(GENESIS.read_text(encoding="utf-8"))))
    return runtime, build_genesis(parse_spec(json.loads(GENESIS.read_text(encoding="utf-8"))), runtime)


def record(file: Path, blocks: int) -> str:
    """Build a chain and write it down; the hash of its last block."""
    runtime, genesis = start()
    script = Script(runtime, genesis)
    parent, state = genesis.header, FinalState.in_memory(genesis.pairs)
    leaders = {pair.public: pair for pair in LEADERS}
    lines = []
    for number in range(1, blocks + 1):
        moment = 1_767_225_600_000 + 1_000 * number
        epoch = NEXT_EPOCH.decode(runtime.call(state, "ConsensusApi_epoch", b""))
        index = number % 4
        proof = randomness.prove(
            leaders[epoch.authorities[index][0]], genesis.header.hash, epoch.seed, epoch.epoch, number
        )
        digest = SmpxDigest(1, epoch.epoch, number, number - 1, index, moment, randomness.output_of(proof), proof)
        builder = runtime.open_block(state, parent, leading_items_of(digest))
        for extrinsic in script.block(number):
            try:
                builder.apply(extrinsic)
            except InvalidTransaction as error:
                raise SystemExit(f"block {number}: {type(error).__name__}: {error}") from error
        executed = builder.seal()
        parent, state = executed.header, executed.state
        lines.append(json.dumps([parent.encode().hex(), [extrinsic.raw.hex() for extrinsic in executed.body]]))
    file.write_text("\n".join(lines), encoding="ascii")
    return parent.hash.hex()


def replay(file: Path) -> str:
    """Execute a chain that was written down; the hash of its last block."""
    runtime, genesis = start()
    parent, state = genesis.header, FinalState.in_memory(genesis.pairs)
    for line in file.read_text(encoding="ascii").splitlines():
        header_hex, body = json.loads(line)
        header = Header.decode(bytes.fromhex(header_hex))
        extrinsics = [Extrinsic(bytes.fromhex(raw)) for raw in body]
        executed = runtime.execute_block(state, parent, header, extrinsics)
        parent, state = executed.header, executed.state
    return parent.hash.hex()


if __name__ == "__main__":
    action, name = sys.argv[1], Path(sys.argv[2])
    print(record(name, int(sys.argv[3])) if action == "record" else replay(name))
