"""Everything about a runtime that does not change while it runs: resolved types, indices, encoders, constants.

Built once from the pallet classes; all `Machine`s of a runtime share it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, get_args, get_type_hints

from aitoken.codec.base import (
    AnyCodec,
    Codec,
    DecodeError,
    EncodeError,
    Field,
    Shape,
    Variant,
    Variants,
    path_of,
    truncated,
)
from aitoken.codec.containers import Vec
from aitoken.codec.hints import (
    GLOBAL,
    Resolver,
    compile_arguments,
    compile_record,
    compile_writer,
    docs_of,
    field_name,
    type_name_of,
)
from aitoken.codec.primitives import Bytes
from aitoken.crypto.hashing import blake2_256
from aitoken.types import Hash32
from chain.frame.calls import RUNTIME_CALL, Call, CallCodec, CallDeclaration, CallInfo, announced, pallet_call_shape
from chain.frame.errors import DISPATCH_ERROR, DispatchError
from chain.frame.metadata import UNCHECKED_EXTRINSIC, extrinsic_shape
from chain.frame.metadata_digest import metadata_digest
from chain.frame.origin import RAW_ORIGIN, NoOrigin, Origin, Root, Signed
from chain.frame.outer import (
    EVENT_RECORDS,
    ORIGIN_CALLER,
    RUNTIME,
    RUNTIME_FREEZE_REASON,
    RUNTIME_HOLD_REASON,
    EventRecord,
    event_record_codec,
    outer_codec,
    value_classes,
)
from chain.frame.pallet import ApiDeclaration, ConstantDeclaration, Err, Ev, Pallet, attributes_of, members_of
from chain.frame.parameters import ParameterDeclaration, ParameterInfo, enums
from chain.frame.storage import Declaration, OptionMap, OptionValue, StorageInfo, storage_prefix, type_arguments
from chain.frame.types import RuntimeVersion
from chain.frame.weights import Weights
from chain.params import Params


@dataclass(frozen=True, slots=True)
class Environment:
    """What a constant may depend on."""

    params: Params
    version: RuntimeVersion
    weights: Weights


@dataclass(frozen=True, slots=True)
class ConstantInfo:
    """A constant of one runtime."""

    attribute: str
    name: str
    codec: AnyCodec
    value: Any
    doc: str


@dataclass(frozen=True, slots=True)
class ApiMethod:
    """A function of a runtime API: where it is implemented and how arguments and result are written."""

    api: str
    name: str
    owner: type
    attribute: str
    inputs: tuple[tuple[str, AnyCodec], ...]
    read: Callable[[bytes, int], tuple[tuple[Any, ...], int]]
    output: AnyCodec
    docs: tuple[str, ...]

    def decode_arguments(self, data: bytes) -> tuple[Any, ...]:
        """Decode exactly the arguments.

        Raises:
            DecodeError: malformed, or bytes are left over.
        """
        arguments, end = self.read(data, 0)
        if end != len(data):
            raise DecodeError(f"{self.api}_{self.name}: {len(data) - end} bytes left over")
        return arguments


def pascal_case(name: str) -> str:
    """Return "TotalIssuance" for "total_issuance"."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_") if part)


def api_id(name: str) -> bytes:
    """Return the 8 bytes a runtime API is known by in the version."""
    return blake2b(name.encode(), digest_size=8).digest()


class Schema:
    """A runtime's declarations, resolved. `decode_call` decodes exactly one call, `info_of` says which it is.

    Args:
        pallets: the pallet classes.
        apis: further classes with `@runtime_api` methods (constructed by the runtime, not pallets).
        params: the parameters of the chain.
        weights: what calls and hooks cost.
        spec_version: raised with every change of behaviour.
        transaction_version: raised when indices or arguments of calls change.
    """

    def __init__(
        self,
        pallets: Sequence[type[Pallet]],
        apis: Sequence[type],
        params: Params,
        weights: Weights,
        *,
        spec_version: int,
        transaction_version: int,
    ) -> None:
        self.pallets = tuple(sorted(pallets, key=lambda pallet: pallet.index))
        self.params = params
        self.weights = weights
        indices = [pallet.index for pallet in self.pallets]
        if len(indices) != len(set(indices)):
            raise TypeError("two pallets have the same index")
        self._descriptions: dict[tuple[str, str], AnyCodec] = {}
        self.resolver = Resolver({DispatchError: DISPATCH_ERROR}, GLOBAL)
        self._calls = CallCodec()
        self.decode_call: Callable[[bytes], Call] = self._calls.decode
        self.info_of: Callable[[bytes], CallInfo | None] = self._calls.info_of
        self.call_infos: dict[str, list[CallInfo]] = {}
        self.call_codec: AnyCodec = Codec(
            lambda call: call.encode(), self._calls.read, default=lambda: None, size_min=2, shape=self._call_shape
        )
        self.resolver.bind(RUNTIME_CALL, self.call_codec)
        extrinsic = extrinsic_shape(self.call_codec)
        self.resolver.bind(
            UNCHECKED_EXTRINSIC,
            Codec(lambda raw: raw, _read_opaque, default=bytes, size_min=1, shape=lambda: extrinsic),
        )
        self._bind_enums()
        self.event_encoders: dict[type, Callable[[Any], bytes]] = {}
        self.event_codecs: dict[str, AnyCodec] = {
            pallet.name: self._event_codec(pallet) for pallet in self.pallets if members_of(pallet, "Event", Ev)
        }
        self.event_codec = outer_codec(
            "RuntimeEvent",
            {p.index: (p.name, self.event_codecs[p.name], f"{p.crate}::Event<Runtime>")
             for p in self.pallets if p.name in self.event_codecs},
            {event: p.index for p in self.pallets for event in members_of(p, "Event", Ev)},
        )  # fmt: skip
        self.event_record = event_record_codec(self.event_codec)
        self.event_records = Vec(self.event_record)
        self.resolver.bind(EVENT_RECORDS, self.event_records)
        self._slots = 0
        for pallet in self.pallets:
            self.call_infos[pallet.name] = self._collect_calls(pallet)
        self.storage = {pallet: self._collect_storage(pallet) for pallet in self.pallets}
        self.api_methods: dict[str, ApiMethod] = {}
        self.api_versions: dict[str, int] = {}
        self.api_docs: dict[str, tuple[str, ...]] = {}
        for owner in (*apis, *self.pallets):
            self._collect_apis(owner)
        self.version = RuntimeVersion(
            "aitoken", "aitoken-node", 1, spec_version, 0,
            [(api_id(name), version) for name, version in self.api_versions.items()],
            transaction_version, 1,
        )  # fmt: skip
        self.version_bytes: bytes = self.resolver.codec_of(RuntimeVersion).encode(self.version)
        environment = Environment(params, self.version, weights)
        self.constants = {pallet: self._collect_constants(pallet, environment) for pallet in self.pallets}

    # --------------------------------------------------------------------------------------------- using it

    @property
    def code(self) -> bytes:
        """Return what stands in `:code`: a digest that changes with version, constants and weights of the runtime."""
        constants = b"".join(
            [
                f"{pallet.name}.{item.name}".encode() + item.codec.encode(item.value)
                for pallet, items in self.constants.items()
                for item in items
            ]
        )
        parameters = repr([(info.key, info.default, info.bounds) for info in self.all_parameters]).encode()
        whole = self.version_bytes + constants + parameters + self.weights.encode()
        return b"aitoken python runtime " + blake2_256(whole)

    @cached_property
    def metadata_digest(self) -> Hash32:
        """What a wallet that checks metadata signs; made when first asked for."""
        return metadata_digest(self)

    def call_info(self, name: str) -> CallInfo:
        """Return what is known of "Pallet.call".

        Raises:
            KeyError: there is no such call.
        """
        pallet, _, wanted = name.partition(".")
        info = next((info for info in self.call_infos.get(pallet, ()) if info.name == wanted), None)
        if info is None:
            raise KeyError(name)
        return info

    def make_call(self, name: str, /, *args: Any, **named: Any) -> Call:
        """Build a call from "Pallet.call" and its arguments."""
        info = self.call_info(name)
        values = dict(zip(info.arguments, args, strict=False)) | named
        return Call(info, tuple(values[argument] for argument in info.arguments))

    def decode_events(self, data: bytes) -> list[EventRecord]:
        """Decode the value of `System.Events`."""
        return self.event_records.decode(data)

    def event_writer(self, event: type[Ev]) -> Callable[..., bytes]:
        """Return a function from the fields of an event to its record without the phase: no object is made.

        For events of fixed-size fields on hot paths; the same bytes as `Pallet.emit` writes.
        """
        pallet = next(pallet for pallet in self.pallets if event in members_of(pallet, "Event", Ev))
        fields = [(name, codec) for name, codec, _ in self.resolver.fields_of(event)]
        return compile_writer(bytes((pallet.index, event.scale_index)), fields, b"\x00")

    def all_calls(self) -> list[CallInfo]:
        """Return the calls of all pallets; position is `CallInfo.slot`."""
        return [info for infos in self.call_infos.values() for info in infos]

    # --------------------------------------------------------------------------------------------- building it

    def _bind_enums(self) -> None:
        self.parameters = {pallet: self._collect_parameters(pallet) for pallet in self.pallets}
        self.all_parameters = sorted((info for infos in self.parameters.values() for info in infos), key=_key_of)
        for stand_in, codec in enums(self.all_parameters).items():
            self.resolver.bind(stand_in, codec)
        for stand_in, group in ((RUNTIME_HOLD_REASON, "HoldReason"), (RUNTIME_FREEZE_REASON, "FreezeReason")):
            families = {p.index: (p, getattr(p, group)) for p in self.pallets if hasattr(p, group)}
            inner = {
                index: (p.name, self.resolver.codec_of(family), f"{p.crate}::{group}")
                for index, (p, family) in families.items()
            }
            classes = {cls: index for index, (_, family) in families.items() for cls in value_classes(family)}
            self.resolver.bind(stand_in, outer_codec(f"Runtime{group}", inner, classes))
        origins = {0: ("system", RAW_ORIGIN, "frame_system::Origin<Runtime>")}
        classes = {Root: 0, Signed: 0, NoOrigin: 0}
        for pallet in self.pallets:
            family = getattr(pallet, "Origin", None)
            if family is not None:
                origins[pallet.index] = (pallet.name, self.resolver.codec_of(family), f"{pallet.crate}::Origin")
                classes.update(dict.fromkeys(value_classes(family), pallet.index))
        self.resolver.bind(ORIGIN_CALLER, outer_codec("OriginCaller", origins, classes))
        self.resolver.bind(Origin, RAW_ORIGIN)

    def _event_codec(self, pallet: type[Pallet]) -> AnyCodec:
        events: list[type[Ev]] = members_of(pallet, "Event", Ev)
        readers: dict[int, Callable[[bytes, int], tuple[Any, int]]] = {}
        inner: dict[type, Callable[[Any], bytes]] = {}
        for event in events:
            if event.scale_index in readers:
                raise TypeError(f"{pallet.name}.Event: index {event.scale_index} is used twice")
            fields = [(name, codec) for name, codec, _ in self.resolver.fields_of(event)]
            encode, readers[event.scale_index] = compile_record(event, fields)
            inner[event] = _prefixed(bytes((event.scale_index,)), encode)
            self.event_encoders[event] = _prefixed(bytes((pallet.index, event.scale_index)), encode)

        def read(data: bytes, offset: int) -> tuple[Any, int]:
            if offset >= len(data):
                raise truncated(1, data, offset)
            reader = readers.get(data[offset])
            if reader is None:
                raise DecodeError(f"{pallet.name} has no event {data[offset]}")
            return reader(data, offset + 1)

        def encode_any(event: Any) -> bytes:
            if event.__class__ not in inner:
                raise EncodeError(f"{event!r} is no event of {pallet.name}")
            return inner[event.__class__](event)

        def shape() -> Shape:
            variants = tuple(
                Variant(event.__name__, event.scale_index, self.resolver.shape_fields(event), docs_of(event))
                for event in events
            )
            return Shape(Variants(variants), path=path_of(f"{pallet.crate}::pallet::Event"), params=(("T", None),))

        return Codec(encode_any, read, default=lambda: None, size_min=1, shape=shape)

    def _call_shape(self) -> Shape:
        inner = {p.index: p for p in self.pallets if self.call_infos[p.name]}
        variants = tuple(
            Variant(
                p.name,
                index,
                (
                    Field(
                        self.pallet_call_codec(p),
                        type_name=f"self::sp_api_hidden_includes_construct_runtime::hidden_include::dispatch\n"
                        f"::CallableCallFor<{p.name}, Runtime>",
                    ),
                ),
            )
            for index, p in inner.items()
        )
        return Shape(Variants(variants), path=(RUNTIME, "RuntimeCall"))

    def pallet_call_codec(self, pallet: type[Pallet]) -> AnyCodec:
        """Return the codec that describes the calls of one pallet."""
        return self._described(
            ("call", pallet.name),
            lambda: pallet_call_shape(f"{pallet.crate}::pallet::Call", self.call_infos[pallet.name]),
        )

    def pallet_error_codec(self, pallet: type[Pallet]) -> AnyCodec | None:
        """Return the codec that describes the errors of one pallet.

        Variants are contiguous from 0, because py-substrate-interface takes the n-th instead of index n.
        """
        errors = {error.index: error for error in members_of(pallet, "Error", Err)}
        if not errors:
            return None
        variants = tuple(
            Variant(errors[index].__name__, index, (), docs_of(errors[index]))
            if index in errors
            else Variant(f"Unused{index}", index, (), ("Not used by this chain.",))
            for index in range(max(errors) + 1)
        )
        shape = Shape(Variants(variants), path=path_of(f"{pallet.crate}::pallet::Error"), params=(("T", None),))
        return self._described(("error", pallet.name), lambda: shape)

    def _described(self, key: tuple[str, str], shape: Callable[[], Shape]) -> AnyCodec:
        codec = self._descriptions.get(key)
        if codec is None:
            codec = self._descriptions[key] = Codec(
                _not_coded, _not_coded, default=lambda: None, size_min=1, shape=shape
            )
        return codec

    def _collect_calls(self, pallet: type[Pallet]) -> list[CallInfo]:
        infos: list[CallInfo] = []
        for name, function in attributes_of(pallet).items():
            declaration: CallDeclaration | None = getattr(function, "scale_call", None)
            if declaration is None:
                continue
            hints = get_type_hints(function, include_extras=True)
            names = [argument for argument in hints if argument not in ("origin", "return")]
            codecs = [(argument, self.resolver.codec_of(hints[argument])) for argument in names]
            encode, read = compile_arguments(codecs)
            arguments = tuple(
                (field_name(argument), codec, type_name_of(hints[argument])) for argument, codec in codecs
            )
            weight = announced(declaration, self.weights.of(f"{pallet.name}.{field_name(name)}"))
            info = CallInfo(
                pallet.name, pallet.index, field_name(name), declaration, weight, arguments, read, encode,
                docs_of(function), self._slots,
            )  # fmt: skip
            if any(other.index == info.index for other in infos):
                raise TypeError(f"{pallet.name}: call index {info.index} is used twice")
            self._slots += 1
            self._calls.add(info)
            infos.append(info)
        return infos

    def _collect_storage(self, pallet: type[Pallet]) -> list[StorageInfo]:
        found = []
        hints = get_type_hints(pallet, include_extras=True)
        for attribute, declaration in attributes_of(pallet).items():
            if not isinstance(declaration, Declaration):
                continue
            if attribute not in hints:
                raise TypeError(f"{pallet.name}.{attribute}: annotate it with Value[T], Map[K, V], ...")
            bound_class, arguments = type_arguments(hints[attribute])
            value = self.resolver.codec_of(arguments[-1])
            keys, key = self._map_keys(pallet, attribute, declaration, arguments)
            name = declaration.name or pascal_case(attribute)
            found.append(
                StorageInfo(
                    attribute, name, bound_class, declaration.hashers, keys, key, value,
                    issubclass(bound_class, (OptionValue, OptionMap)), declaration.default or value.default,
                    storage_prefix(pallet.name, name), declaration.doc,
                )
            )  # fmt: skip
        return found

    def _map_keys(
        self, pallet: type[Pallet], attribute: str, declaration: Declaration, arguments: tuple[Any, ...]
    ) -> tuple[tuple[AnyCodec, ...], AnyCodec | None]:
        if not declaration.hashers:
            return (), None
        if len(declaration.hashers) == 1:
            codec = self.resolver.codec_of(arguments[0])
            return (codec,), codec
        parts = getattr(arguments[0], "__args__", ())
        if len(parts) != len(declaration.hashers):
            raise TypeError(
                f"{pallet.name}.{attribute}: {len(declaration.hashers)} hashers, but {len(parts)} key types"
            )
        return tuple(self.resolver.codec_of(part) for part in parts), self.resolver.codec_of(arguments[0])

    def _collect_constants(self, pallet: type[Pallet], environment: Environment) -> list[ConstantInfo]:
        found = []
        hints = get_type_hints(pallet, include_extras=True)
        for attribute, declaration in attributes_of(pallet).items():
            if isinstance(declaration, ConstantDeclaration):
                source = declaration.source
                value = source(environment) if callable(source) else source
                codec = self.resolver.codec_of(hints[attribute])
                name = declaration.name or pascal_case(attribute)
                found.append(ConstantInfo(attribute, name, codec, value, declaration.doc))
        return found

    def _collect_parameters(self, pallet: type[Pallet]) -> list[ParameterInfo]:
        found: list[ParameterInfo] = []
        hints = get_type_hints(pallet, include_extras=True)
        for attribute, declaration in attributes_of(pallet).items():
            if isinstance(declaration, ParameterDeclaration):
                hint = get_args(hints[attribute])[0]
                key = (pallet.index, declaration.index)
                if any(other.key == key for other in found):
                    raise TypeError(f"{pallet.name}: parameter index {declaration.index} is used twice")
                found.append(
                    ParameterInfo(
                        pallet.name, attribute, declaration.name or pascal_case(attribute), key,
                        self.resolver.codec_of(hint), type_name_of(hint), declaration.default, declaration.bounds,
                        declaration.doc,
                    )
                )  # fmt: skip
        return found

    @property
    def parameter_storage(self) -> StorageInfo | None:
        """Return where parameters are stored, None for a runtime that cannot change them."""
        pallet = next((pallet for pallet in self.pallets if pallet.name == "Parameters"), None)
        return None if pallet is None else self.storage[pallet][0]

    def _collect_apis(self, owner: type) -> None:
        for attribute, function in attributes_of(owner).items():
            declaration: ApiDeclaration | None = getattr(function, "scale_api", None)
            if declaration is None:
                continue
            if self.api_versions.setdefault(declaration.api, declaration.version) != declaration.version:
                raise TypeError(f"{declaration.api} is declared with two versions")
            hints = get_type_hints(function, include_extras=True)
            inputs = tuple((name, self.resolver.codec_of(hint)) for name, hint in hints.items() if name != "return")
            method = ApiMethod(
                declaration.api, attribute, owner, attribute,
                tuple((field_name(name), codec) for name, codec in inputs),
                compile_arguments(list(inputs))[1], self.resolver.codec_of(hints.get("return")), docs_of(function),
            )  # fmt: skip
            self.api_methods[f"{declaration.api}_{attribute}"] = method


def _key_of(info: ParameterInfo) -> tuple[int, int]:
    return info.key


def _prefixed(head: bytes, encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    return lambda event: head + encode(event)


def _not_coded(*_: object) -> Any:
    raise EncodeError("a type that metadata only describes")


def _read_opaque(data: bytes, offset: int) -> tuple[bytes, int]:
    end = Bytes.read(data, offset)[1]
    return data[offset:end], end
