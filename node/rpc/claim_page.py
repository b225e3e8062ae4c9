"""The claim page: where a person without a wallet opens a link and gets wallet and tokens.

Five static files. Everything secret stays in the browser: the code is behind the # of the address, which is not sent;
words and keys are made by the page. The page asks the node it came from by JSON-RPC, like any other client.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from aitoken.crypto.mnemonic import words

if TYPE_CHECKING:
    from node.rpc.server import Page

FOLDER: Final = Path(__file__).parent / "claim"
FILES: Final = {
    "/claim": ("index.html", "text/html; charset=utf-8"),
    "/claim/page.css": ("page.css", "text/css; charset=utf-8"),
    "/claim/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/claim/codes.js": ("codes.js", "text/javascript; charset=utf-8"),
}
WORDS: Final = "/claim/words.txt"


def claim_pages() -> dict[str, Page]:
    """Return the page's files, read once."""
    found = {path: _fixed(kind, (FOLDER / name).read_bytes()) for path, (name, kind) in FILES.items()}
    return found | {WORDS: _fixed("text/plain; charset=utf-8", "\n".join(words()).encode())}


def _fixed(kind: str, body: bytes) -> Page:
    return lambda: (200, kind, body)
