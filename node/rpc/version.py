"""The runtime version as JSON, in the shape of the legacy methods and in that of `chainHead_v1`.

Both come from the SCALE answer of `Core_version` on the state asked for, so that an old block keeps its old version.
Layout (contract 8.6): spec_name str, impl_name str, authoring_version u32, spec_version u32, impl_version u32,
apis Vec<([u8;8], u32)>, transaction_version u32, system_version u8. Decoded results are kept by their bytes.
"""

from __future__ import annotations

from typing import Any, Final

from aitoken.codec.containers import Tuple, Vec
from aitoken.codec.primitives import U8, U32, FixedBytes, Str
from chain.state.base import State
from node.rpc.query import Query
from node.rpc.render import to_json

_KEPT: Final = 16
_VERSION: Final = Tuple(Str, Str, U32, U32, U32, Vec(Tuple(FixedBytes(8), U32)), U32, U8)


class VersionView:
    """Runtime versions of states, as JSON text."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._legacy: dict[bytes, bytes] = {}
        self._spec: dict[bytes, bytes] = {}

    def legacy_json(self, state: State) -> bytes:
        """Return what `state_getRuntimeVersion` answers."""
        raw = self._query.call_on(state, "Core_version", b"")
        if raw not in self._legacy:
            _make_room(self._legacy)
            version = decode(raw)
            version["stateVersion"] = version["systemVersion"]
            self._legacy[raw] = to_json(version)
        return self._legacy[raw]

    def spec_json(self, state: State) -> bytes:
        """Return the runtime object of `chainHead_v1_followEvent`; `apis` is an object here."""
        raw = self._query.call_on(state, "Core_version", b"")
        if raw not in self._spec:
            _make_room(self._spec)
            version = decode(raw)
            names = ("specName", "implName", "specVersion", "implVersion", "transactionVersion")
            spec = {name: version[name] for name in names}
            spec["apis"] = {"0x" + api.hex(): number for api, number in version["apis"]}
            self._spec[raw] = to_json({"type": "valid", "spec": spec})
        return self._spec[raw]


def _make_room(kept: dict[bytes, bytes]) -> None:
    if len(kept) >= _KEPT:
        kept.clear()


def decode(raw: bytes) -> dict[str, Any]:
    """Return the fields of a SCALE RuntimeVersion under their JSON names."""
    spec_name, impl_name, authoring, spec, impl, apis, transaction, system = _VERSION.decode(raw)
    return {
        "specName": spec_name,
        "implName": impl_name,
        "authoringVersion": authoring,
        "specVersion": spec,
        "implVersion": impl,
        "apis": [list(each) for each in apis],
        "transactionVersion": transaction,
        "systemVersion": system,
    }
