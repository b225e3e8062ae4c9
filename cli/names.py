"""What people call accounts: development keys by their names, others by the ends of their addresses."""

from __future__ import annotations

import functools

from cli.session import Client
from cli.wallet import address_of

_PEOPLE = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")


@functools.cache
def _known() -> dict[str, str]:
    from aitoken.crypto.derive import pair_from_uri

    return {
        address_of(bytes(pair_from_uri(f"//{name}{suffix}", "sr25519").public)): name
        for name in _PEOPLE
        for suffix in ("", "//stash")
    }


def name_of(address: str) -> str:
    """The name of an address."""
    return _known().get(address, f"{address[:8]}...{address[-4:]}")


async def names_of_validators(client: Client) -> list[str]:
    """The names of the validators of this session, by index."""
    return [name_of(address) for address in await client.query("Session", "Validators") or ()]


def named(indices: list[int], names: list[str]) -> str:
    """Validators by name, as far as they have one."""
    return ", ".join(names[index] if index < len(names) else f"validator {index}" for index in indices)
