"""How a command ends: the one place where exit codes are given out.

| code | name | meaning |
| --- | --- | --- |
| 0 | ok | done |
| 1 | bug | a mistake of this program; please report it with what was printed |
| 2 | usage | the command line or a file given to it is wrong; nothing was sent |
| 3 | refused | the chain refused the transaction or the question |
| 4 | unreachable | no node answered |
| 5 | unusable | a folder, port, key or lock of this machine cannot be used |
| 6 | unhealthy | `doctor` found something wrong, or a node of the devnet died |
| 7 | unknown | a transaction was sent, its fate was not seen; look before sending again |
| 70 | failed | a running node had to stop: its disk failed, or something that must hold did not; see its log |
| 130 | interrupted | stopped by Ctrl-C before it was done |
"""

from __future__ import annotations

from enum import IntEnum

from aitoken.errors import AiTokenError, Bug, Rejected, Unavailable


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    BUG = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    UNUSABLE = 5
    UNHEALTHY = 6
    UNKNOWN = 7
    FAILED = 70
    INTERRUPTED = 130


class BadInput(Rejected):
    """What the person gave cannot be understood; nothing was sent."""

    code = "cli.input"


class CallFailed(Rejected):
    """The transaction was included and its call failed."""

    code = "chain.call_failed"


class WouldFail(Rejected):
    """The call would fail, so it was not sent, and cost nothing."""

    code = "chain.would_fail"


class Unusable(Unavailable):
    """A folder, port, key or lock of this machine cannot be used."""

    code = "cli.unusable"


class Unhealthy(Unavailable):
    """Something runs that is not well."""

    code = "cli.unhealthy"


_BY_CLASS: tuple[tuple[type[AiTokenError], Exit], ...] = (
    (BadInput, Exit.USAGE),
    (Unusable, Exit.UNUSABLE),
    (Unhealthy, Exit.UNHEALTHY),
    (Bug, Exit.BUG),
    (Rejected, Exit.REFUSED),
    (Unavailable, Exit.UNREACHABLE),
)
_LOCAL = (
    "config.", "ss58.", "crypto.", "keystore.", "genesis.", "spec.", "checkpoint.bad", "coupon.malformed",
    "identity.text_too_long", "identity.no_request",
)  # fmt: skip
"""Errors about what the person gave, found on this machine: their codes start so, and nothing was sent."""

_BY_CODE = {
    "client.fate_unknown": Exit.UNKNOWN,
    "buyer.purse_unusable": Exit.UNUSABLE,
    "client.bad_value": Exit.USAGE,
    "client.unknown_name": Exit.USAGE,
    "client.bad_url": Exit.USAGE,
    "client.no_name": Exit.USAGE,
    "client.needs_websocket": Exit.USAGE,
}


def exit_of(error: AiTokenError) -> Exit:
    """The exit code an error ends a command with."""
    if isinstance(error, Rejected) and error.code.startswith(_LOCAL):
        return Exit.USAGE
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next((code for kind, code in _BY_CLASS if isinstance(error, kind)), Exit.BUG)


def sentence_of(error: BaseException) -> str:
    """An error in words; its class name where it has none."""
    return str(error).strip() or type(error).__doc__ or type(error).__name__
