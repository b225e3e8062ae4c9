"""A directory of encrypted keys, one wallet document per name: `<name>.json`."""

import re
from pathlib import Path
from typing import Any, Final

from aitoken.crypto import ss58
from aitoken.crypto.derive import Pair
from aitoken.errors import Rejected
from aitoken.keystore import polkadot_js
from aitoken.keystore.files import KeyFileMissing, KeyFileUnreadable, private_directory, read_private, write_private
from aitoken.keystore.polkadot_js import KeyDocument

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class BadKeyName(Rejected):
    """A key's name has letters that do not belong in a file name."""

    code = "keystore.bad_name"


class Wallet:
    """The keys a person keeps on this machine.

    Attributes:
        directory: mode 0700; each file mode 0600.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> list[str]:
        """Return the names of all keys, sorted."""
        private_directory(self.directory)
        try:
            found = [path.stem for path in self.directory.iterdir() if path.suffix == ".json"]
        except OSError as bad:
            raise KeyFileUnreadable(f"{self.directory}: {bad.strerror}") from bad
        return sorted(name for name in found if NAME.fullmatch(name))

    def add(
        self,
        name: str,
        pair: Pair,
        password: str,
        *,
        prefix: int = ss58.DEFAULT_PREFIX,
        meta: dict[str, Any] | None = None,
    ) -> KeyDocument:
        """Encrypt `pair` and keep it as `name`; `meta` is extra clear text such as `whenCreated` (milliseconds).

        Raises:
            KeyFileExists: the name is taken.
        """
        path = self._path(name)
        document = polkadot_js.lock(pair, password, prefix=prefix, meta={**(meta or {}), "name": name})
        write_private(path, document.to_json())
        return document

    def put(self, name: str, document: KeyDocument) -> None:
        """Keep a document of another wallet as `name`, still encrypted as it came.

        Raises:
            KeyFileExists: the name is taken.
        """
        write_private(self._path(name), document.to_json())

    def document(self, name: str) -> KeyDocument:
        """Return the encrypted document of `name`.

        Raises:
            KeyFileMissing: there is no such key.
        """
        return polkadot_js.parse(read_private(self._path(name)))

    def unlock(self, name: str, password: str) -> Pair:
        """Return the signing pair of `name`; takes up to half a second."""
        return self.document(name).unlock(password)

    def remove(self, name: str) -> None:
        """Delete the key of `name` for ever. The secret may still be found on the disk's free blocks."""
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            raise KeyFileMissing(f"there is no key named {name!r}") from None
        except OSError as bad:
            raise KeyFileUnreadable(f"{name}: {bad.strerror}") from bad

    def _path(self, name: str) -> Path:
        if NAME.fullmatch(name) is None:
            raise BadKeyName("a key's name has letters, digits, dot, dash and underscore, at most 64")
        return self.directory / f"{name}.json"
