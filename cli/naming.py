"""Names on the command line: `@name` where an account is asked for, and what wallets would show of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aitoken.errors import Rejected
from cli.exits import BadInput

if TYPE_CHECKING:
    from cli.session import Client

DAY_MS = 86_400_000


class NotThere(Rejected):
    """The name means nothing now."""

    code = "cli.name_means_nothing"


class NameTaken(Rejected):
    """The name cannot be registered; nothing was sent."""

    code = "cli.name_taken"


class Warned(Rejected):
    """There is a warning of whom the name means; nothing was sent."""

    code = "cli.warned"


@dataclass(frozen=True, slots=True)
class Known:
    """What the chain says of a name.

    Attributes:
        target: the kind, "Account", "Split" or "Provider", and which.
        state: "in use", "disputed", "expired" or "frozen".
        badge: the domain that vouches for it.
        warnings: of the name, its owner or its target, in words.
    """

    name: str
    owner: str
    target: tuple[str, Any]
    expires: int
    state: str
    badge: str | None
    warnings: tuple[str, ...]


async def look_up(client: Client, name: str) -> Known | None:
    """Ask the chain about a name."""
    row = await client.runtime_call("NamesApi", "look_up", name)
    if row is None:
        return None
    target = next(iter(row["target"].items()))
    state = "frozen" if row["frozen"] else "disputed" if row["disputed"] else "in use"
    state = state if row["usable"] or row["frozen"] else "expired"
    domain = None if row["domain"] is None else _text(row["domain"])
    warnings = tuple([_words(name, row["owner"], each) for each in row["warnings"]])
    return Known(name, row["owner"], target, row["expires"], state, domain, warnings)


async def account_named(client: Client, typed: str, *, despite_warning: bool) -> Known:
    """Return the name that was typed for an account.

    Raises:
        NoName, NotThere, BadInput: it is none, means nothing now, or means no account.
        Warned: there is a warning, and the person has not said that it knows.
    """
    from aitoken.client.lookalikes import read_name

    name = read_name(typed)
    found = await look_up(client, name)
    if found is None:
        other = await taken_by(client, name)
        raise NotThere(f"there is no @{name}" + (f"; @{other} looks like it" if other else ""))
    if found.state in ("expired", "frozen"):
        raise NotThere(f"@{name} is {found.state}: it means nobody now")
    if found.warnings and not despite_warning:
        raise Warned(f"{'; '.join(found.warnings)}. Nothing was sent; --despite-warning sends it all the same")
    if found.target[0] != "Account":
        raise BadInput(f"@{name} is a {found.target[0].lower()} and no account; pay it by Pay.pay")
    return found


async def check_free(client: Client, name: str, who: bytes) -> None:
    """Make sure that an account can register a name, before it commits to it.

    Raises:
        NameTaken: it, or what looks like it, is somebody's or not for everybody.
    """
    from aitoken.names import skeleton_of
    from cli.wallet import account_of

    other = await taken_by(client, name)
    if other is not None:
        what = "is somebody's" if other == name else f"cannot be registered: @{other} looks like it"
        raise NameTaken(f"@{name} {what}")
    reserved = await client.query("Names", "Reserved", skeleton_of(name.encode()))
    if reserved is not None:
        holder = reserved["holder"]
        if holder is None or account_of(holder) != who or _text(reserved["name"]) != name:
            raise NameTaken(f"@{name}, or what looks like it, is reserved")


async def taken_by(client: Client, name: str) -> str | None:
    """Return the name that looks like this one and is somebody's."""
    found = await client.runtime_call("NamesApi", "looks_like", name)
    return None if found is None else _text(found["name"])


def _words(name: str, owner: str, warning: Any) -> str:
    ((kind, which),) = warning["subject"].items()
    what = f"@{name}" if kind == "Name" else "its owner" if which == owner else "what it means"
    appealed = ", under appeal" if warning["appealed"] else ""
    return f"WARNING of {what}: {warning['danger']} (evidence {_hex(warning['evidence'])}{appealed})"


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _hex(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
