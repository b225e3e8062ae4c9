"""The file of a batch of codes: its seed, from which every code can be made again.

Two lines of JSON. The first is written before anything is sent, so that no money is put behind codes nobody has; the
second, the batch's number on chain, is added afterwards, and found by the root of the batch where it is missing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import msgspec

from aitoken.pay.codes import COUNT_MAX
from aitoken.types import Hash32
from cli.exits import BadInput
from cli.session import Client
from cli.wallet import read_secret, write_new

if TYPE_CHECKING:
    from aitoken.client.client import Client as Library
    from aitoken.pay.coupons import Coupon, CouponBook

SEED_BYTES: Final = 32
VERSION: Final = 1


class _Made(msgspec.Struct):
    version: Annotated[int, msgspec.Meta(ge=VERSION, le=VERSION)]
    genesis: str
    seed: str
    count: Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]


class _Numbered(msgspec.Struct):
    batch: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file of codes holds."""

    path: Path
    genesis: Hash32
    seed: bytes
    count: int
    batch: int | None

    def book(self) -> CouponBook:
        """All codes."""
        from aitoken.pay.coupons import CouponBook

        return CouponBook(self.seed, self.count)


def make(path: Path, genesis: Hash32, count: int) -> Kept:
    """Make the seed of a batch and keep it, readable by its owner alone, never over another file."""
    seed = secrets.token_bytes(SEED_BYTES)
    row = {"version": VERSION, "genesis": genesis.hex(), "seed": seed.hex(), "count": count}
    write_new(path, msgspec.json.encode(row) + b"\n")
    return Kept(path, genesis, seed, count, None)


def note_number(kept: Kept, batch: int) -> None:
    """Add the number that the chain gave the batch."""
    with kept.path.open("ab") as stream:
        stream.write(msgspec.json.encode({"batch": batch}) + b"\n")


def read(path: Path) -> Kept:
    """Read a file of codes.

    Raises:
        BadInput: it is none.
    """
    try:
        first, *more = read_secret(path).splitlines()
        made = msgspec.json.decode(first, type=_Made)
        batch = msgspec.json.decode(more[0], type=_Numbered).batch if more else None
        kept = Kept(path, Hash32(bytes.fromhex(made.genesis)), bytes.fromhex(made.seed), made.count, batch)
    except (msgspec.DecodeError, ValueError):
        raise BadInput(f"{path} is no file of codes") from None
    if len(kept.seed) != SEED_BYTES or len(kept.genesis) != 32:
        raise BadInput(f"{path} is no file of codes")
    return kept


async def number_of(client: Client, kept: Kept, book: CouponBook) -> int:
    """Return the number of a kept batch.

    Raises:
        BadInput: it is of another chain.
        NotOnChain: it was not made, or it is closed.
    """
    from aitoken.client.coupons import NotOnChain, find_batch

    library = cast("Library", client)
    if kept.genesis != library.chain.genesis_hash:
        raise BadInput(f"the codes of {kept.path} are for another chain")
    number = kept.batch if kept.batch is not None else await find_batch(library, book.root)
    if number is None:
        raise NotOnChain(f"the chain has no batch with the codes of {kept.path}: it was never made, or it is closed")
    return number


def link_of(coupon: Coupon, page: str | None) -> str:
    """The link that is handed out: what follows the # stays in the browser; the code alone without a page."""
    return f"{page.rstrip('/')}#{coupon.text()}" if page else coupon.text()


def page_option(command: Any) -> Any:
    """Add `--page`."""
    import click

    def check(_: Any, __: Any, value: str | None) -> str | None:
        if value is not None and (not value.startswith(("http://", "https://")) or "#" in value or "?" in value):
            raise BadInput(f"{value!r} is no address of a claim page: https://HOST/claim")
        return value

    return click.option(
        "--page", metavar="URL", envvar="AITOKEN_CLAIM_PAGE", callback=check,
        help="The claim page links lead to: https://HOST/claim of a node. Without it, codes are given bare.",
    )(command)  # fmt: skip
