"""Work for attesters: found by its hash, and judged by a command that cannot harm who runs it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from aitoken.client.pay.purse import open_purse
from cli import works
from cli.campaigns import parse_duration, parse_persons, secret, show_duration
from cli.exits import BadInput
from cli.paying import PURSE
from cli.works import TOLD_BYTES_MAX, WORK_BYTES_MAX, Check, Library, hash_of, publish, read_work

ENDLESS = 64 << 20
FACTS = {"campaign": 3, "submission": 7}


def python(script: str) -> str:
    return f'{sys.executable} -c "{script}"'


@pytest.mark.parametrize(
    ("command", "verdict"),
    [
        ("grep -q good", True),
        ("grep -q bad", False),
        (python("raise SystemExit(2)"), None),
        ("kill-nobody-knows-this-command", None),
        ("", None),
        ('"unfinished', None),
    ],
)
async def test_a_check_accepts_by_0_rejects_by_1_and_says_nothing_otherwise(command: str, verdict: bool | None) -> None:
    assert (await Check(command, 20)(b"a good line", FACTS)).accepts is verdict


async def test_a_check_that_takes_too_long_is_ended_with_all_it_has_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    check = Check(f"sh -c 'sleep 600 & echo $! > {child}; wait'", 20)

    # A time that is up at once would end it before it has begun: it ends when its child is there.
    verdict = None
    for seconds in (0.2, 1, 5, 20):
        verdict = await Check(check.command, seconds)(b"", FACTS)
        if child.exists() and child.read_text().strip():
            break

    assert verdict is not None
    assert verdict.accepts is None
    assert "no verdict within" in verdict.told
    while is_running(int(child.read_text())):  # noqa: ASYNC110 - the system tells nobody but the parent
        await asyncio.sleep(0.01)


def is_running(process: int) -> bool:
    """Whether a process is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def test_what_a_check_prints_is_cut_and_work_it_does_not_read_is_no_failure() -> None:
    loud = await Check(python("print('x' * 5_000_000)"), 20)(b"w" * 1_000_000, FACTS)

    assert loud.accepts is True
    assert len(loud.told) <= TOLD_BYTES_MAX


async def test_a_check_is_told_what_it_judges_and_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_SECRET", "1")

    told = (await Check("env", 20)(b"", FACTS)).told

    assert "AITOKEN_CAMPAIGN=3" in told
    assert "AITOKEN_SUBMISSION=7" in told
    assert "OUR_SECRET" not in told


async def test_work_is_found_in_a_folder_by_its_hash_and_only_if_it_has_it(tmp_path: Path) -> None:
    content = hash_of(b"work")
    publish(b"work", tmp_path / "works")
    library = Library(str(tmp_path / "works"))

    assert await library.get(content) == b"work"
    assert await library.get(hash_of(b"other")) is None
    (tmp_path / "works" / content.hex()).write_bytes(b"exchanged")
    assert await library.get(content) is None


async def test_work_is_fetched_from_a_server_that_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(works, "WORK_BYTES_MAX", 1000)
    answers = {hash_of(b"work").hex(): b"work", hash_of(b"other").hex(): b"exchanged"}
    sent = 0

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        found = answers.get(name := request.path.removeprefix("/works/"))
        if name != "00" * 32:
            return web.Response(status=404) if found is None else web.Response(body=found)
        endless = web.StreamResponse()
        await endless.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < ENDLESS:
                await endless.write(bytes(65_536))
                sent += 65_536
        return endless

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with ClientSession() as http:
            library = Library(f"http://127.0.0.1:{runner.addresses[0][1]}/works/", http)
            assert await library.get(hash_of(b"work")) == b"work"
            assert await library.get(hash_of(b"other")) is None
            assert await library.get(hash_of(b"unknown")) is None
            assert await library.get(bytes(32)) is None
            assert sent < ENDLESS, "it hangs up in the middle"
    finally:
        await runner.cleanup()
    async with ClientSession() as http:
        assert await Library("http://127.0.0.1:1/", http).get(bytes(32)) is None


def test_work_that_attesters_would_not_take_is_not_submitted(tmp_path: Path) -> None:
    (large := tmp_path / "large").write_bytes(bytes(WORK_BYTES_MAX + 1))

    with pytest.raises(BadInput, match="larger"):
        read_work(large)
    with pytest.raises(BadInput):
        read_work(tmp_path)


@pytest.mark.parametrize(
    ("text", "ms"), [("0", 0), ("90s", 90_000), ("10m", 600_000), ("2h", 7_200_000), ("1d", 86_400_000)]
)
def test_times_are_read_and_shown(text: str, ms: int) -> None:
    assert parse_duration(text) == ms
    assert parse_duration(show_duration(ms)) == ms if ms else show_duration(ms) == "at once"


@pytest.mark.parametrize("text", ["", "1", "1w", "-1h", "1.5h", "9999999d", "١h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_duration(text)


def test_a_scope_of_persons_is_64_digits() -> None:
    assert parse_persons(None, 1) is None
    assert parse_persons("0x" + "aB" * 32, 2) == {"scope": b"\xab" * 32, "issuers": 2}
    for text in ("", "ab", "0x" + "g" * 64, "ab" * 33):
        with pytest.raises(BadInput):
            parse_persons(text, 1)


def test_the_secret_of_seals_is_made_once_and_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)

    assert secret(folder / "seed") == secret(folder / "seed")
    assert len(secret(folder / "seed")) == 32
    (folder / "other").write_bytes(b"short")
    (folder / "other").chmod(0o600)
    with pytest.raises(BadInput):
        secret(folder / "other")


def test_the_secret_of_seals_is_found_where_a_purse_was_made_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purse makes the folder of all that is kept, with the mode that folders usually have."""
    monkeypatch.setenv("HOME", str(tmp_path))
    open_purse(PURSE.expanduser()).close()

    assert secret(None) == secret(None)
