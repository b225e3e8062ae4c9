"""How things go wrong, in three kinds.

    AiTokenError
    ├── Rejected      someone sent us something wrong: answer, maybe penalise, carry on
    ├── Unavailable   a disk, socket or peer did not answer: retry or degrade
    └── Bug           an invariant of ours broke: stop before anything is written

Every concrete error carries a stable `code` that the command line, logs and RPC show; its sentence may change.
"""

from typing import ClassVar


class AiTokenError(Exception):
    """Root of all expected failures."""

    code: ClassVar[str] = "error"


class Rejected(AiTokenError):
    """Input from outside is wrong."""

    code = "rejected"


class Unavailable(AiTokenError):
    """Something outside did not answer."""

    code = "unavailable"


class Bug(AiTokenError):
    """An invariant of this program does not hold."""

    code = "bug"


def invariant(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raise `Bug(what)` unless `holds`; unlike `assert` it stays under `python -O`."""
    if not holds:
        raise Bug(what)
