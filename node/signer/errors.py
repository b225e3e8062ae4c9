"""Why a key does not sign. Each names what a person should do."""

from __future__ import annotations

from aitoken.errors import Rejected, Unavailable


class NoSignState(Unavailable):
    """There is a key and no record of what it signed."""

    code = "signer.no_state"


class SignStateElsewhere(Unavailable):
    """The record of what the key signed was made in another place: this folder is a copy."""

    code = "signer.copied"


class SignStateOlder(Unavailable):
    """The record of what the key signed lacks a vote that was made."""

    code = "signer.older_state"


class SignStateDamaged(Unavailable):
    """The record of what the key signed does not read."""

    code = "signer.damaged_state"


class KeyInUse(Unavailable):
    """Another process of this machine signs with this key."""

    code = "signer.key_in_use"


class SignerLost(Unavailable):
    """Whoever holds the key does not answer."""

    code = "signer.lost"


class SignerRefuses(Unavailable):
    """The signer holds another key or serves another chain."""

    code = "signer.wrong_key"


class BadExchange(Rejected):
    """A file of signing history is not one of ours, or is of another chain."""

    code = "signer.bad_exchange"
