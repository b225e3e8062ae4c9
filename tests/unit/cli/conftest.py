"""A node that answers from memory, and the command line run against it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import main


@dataclass
class FakeReceipt:
    hash: str = "0x01"
    block_hash: str | None = "0x02"
    block_number: int | None = 7
    index: int | None = 1
    success: bool | None = True
    error: str | None = None
    reason: str = ""
    fee: int | None = 5


@dataclass
class FakeClient:
    """What the commands ask of a client, with everything sent kept for looking at."""

    answers: dict[str, Any] = field(default_factory=dict)
    account_data: dict[str, Any] = field(
        default_factory=lambda: {"nonce": 3, "data": {"free": 5 * 10**12, "reserved": 10**12, "frozen": 2 * 10**12}}
    )
    submitted: list[tuple[Any, ...]] = field(default_factory=list)
    queried: list[tuple[Any, ...]] = field(default_factory=list)
    receipt: FakeReceipt | Exception = field(default_factory=FakeReceipt)
    closed: bool = False

    async def request(self, method: str, params: list[Any] | None = None) -> Any:
        answer = self.answers[method]
        return answer(params) if callable(answer) else answer

    async def query(self, pallet: str, item: str, *keys: Any) -> Any:
        self.queried.append((pallet, item, *keys))
        return self.answers.get(f"{pallet}.{item}")

    async def account(self, address: str) -> Any:
        return self.account_data

    def call(self, pallet: str, name: str, **arguments: Any) -> Any:
        return (pallet, name, arguments)

    async def rehearse(self, call: Any, pair: Any) -> None:
        """Say nothing, as a node of another kind may."""

    async def submit(self, call: Any, pair: Any, wait: str = "none", tip: int = 0) -> Any:
        self.submitted.append((call, pair.public, wait, tip))
        if isinstance(self.receipt, Exception):
            raise self.receipt
        return self.receipt

    async def subscribe_heads(self, final: bool = True) -> AsyncIterator[Any]:
        for head in self.answers.get("heads", ()):
            yield head

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def aitoken(client: FakeClient) -> Callable[..., Result]:
    """Run `aitoken ...` against the fake node."""

    async def connect(url: str) -> FakeClient:
        client.answers["url"] = url
        return client

    def run(*arguments: str, **options: Any) -> Result:
        environment = {"HOME": "/nonexistent", "AITOKEN_URL": None} | options.pop("env", {})
        return CliRunner().invoke(main, list(arguments), obj=connect, env=environment, **options)

    return run
