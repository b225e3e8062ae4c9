"""Methods are plain typed functions; a decorator says under which names they are served.

    @rpc("chain_getBlockHash")
    def block_hash(chain: ChainView, number: BlockNumber | None = None) -> Hash32 | None: ...

Parameters whose hint is the type of a field of `Services` (or `Exchange`, `Session`, `Sink`) are handed in by the
server; all others come from the caller, in order, and are converted by `node.rpc.params`. A parameter with a default
may be left out or be null. Results are JSON values in which `bytes` stand for 0x-hex; `msgspec.Raw` is ready-made JSON.

A `subscription` gets a `Sink`: it may send to it at once, the server holds notifications back until the response has
been queued. Its function may be `async` where it must wait for the pool.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Final, TypeVar

from node.rpc import errors
from node.rpc.params import BadParam, Converter, converter_for

F = TypeVar("F", bound=Callable[..., Any])

_MISSING: Final = object()
_MARK: Final = "__rpc__"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter the caller gives."""

    name: str
    convert: Converter
    default: Any

    @property
    def public_name(self) -> str:
        """What the parameter is called in an object of named parameters."""
        return re.sub(r"_(\w)", lambda match: match.group(1).upper(), self.name)

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is _MISSING


@dataclass(frozen=True, slots=True)
class Method:
    """What is served under a name.

    Attributes:
        name: the canonical name.
        aliases: other names of the same thing.
        call: the function.
        injected: names of its parameters the server hands in -> their type.
        params: what the caller gives, in order.
        safe: False for what acts on the node itself; refused unless the operator allows it.
        cost: tokens of the caller's bucket one call takes; 0 for cheap reads.
        notifies: method name of its notifications, for a subscription.
        unsubscribes: names that end a subscription of this kind.
    """

    name: str
    aliases: tuple[str, ...]
    call: Callable[..., Any]
    injected: Mapping[str, type]
    params: tuple[Parameter, ...]
    safe: bool = True
    cost: int = 0
    notifies: str | None = None
    unsubscribes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it is served under."""
        return (self.name, *self.aliases)

    def convert(self, given: Any) -> dict[str, Any]:
        """Turn the `params` of a request into keyword arguments.

        Raises:
            RpcError: -32602 with a text that names the parameter.
        """
        values = self._positional(given)
        arguments: dict[str, Any] = {}
        for index, param in enumerate(self.params):
            value = values[index] if index < len(values) else None
            if value is None and not param.is_required:
                arguments[param.name] = param.default
                continue
            if index >= len(values):
                raise errors.invalid_params(f"missing parameter {index + 1}: {param.name}")
            try:
                arguments[param.name] = param.convert(value)
            except BadParam as error:
                raise errors.invalid_params(f"parameter {index + 1} ({param.name}): {error}") from None
        return arguments

    def _positional(self, given: Any) -> list[Any]:
        if given is None:
            return []
        if type(given) is dict:
            unknown = given.keys() - {param.public_name for param in self.params}
            if unknown:
                raise errors.invalid_params(f"no parameter is called {min(unknown)[:64]}")
            values = [given.get(param.public_name) for param in self.params]
        elif type(given) is list:
            values = given
        else:
            raise errors.invalid_params("params must be an array or an object")
        count = len(values)
        while count and values[count - 1] is None:
            count -= 1
        if count > len(self.params):
            raise errors.invalid_params(f"{count} parameters, at most {len(self.params)} are known")
        return values[:count]


def rpc(name: str, *, aliases: Iterable[str] = (), safe: bool = True, cost: int = 0) -> Callable[[F], F]:
    """Serve the function below as `name`."""

    def mark(function: F) -> F:
        _marks(function).append(Method(name, tuple(aliases), function, {}, (), safe=safe, cost=cost))
        return function

    return mark


def subscription(
    name: str,
    *,
    notifies: str,
    unsubscribes: Iterable[str],
    aliases: Iterable[str] = (),
    cost: int = 0,
) -> Callable[[F], F]:
    """Serve the function below as the subscription `name`; its `Sink` is the answer's subscription id."""

    def mark(function: F) -> F:
        _marks(function).append(
            Method(
                name,
                tuple(aliases),
                function,
                {},
                (),
                cost=cost,
                notifies=notifies,
                unsubscribes=tuple(unsubscribes),
            )
        )
        return function

    return mark


class Registry:
    """Name -> method, of all namespaces that are served."""

    def __init__(self, injectable: Iterable[type]) -> None:
        self._injectable = frozenset(injectable)
        self.methods: dict[str, Method] = {}
        self.unsubscribes: dict[str, Method] = {}

    def add_module(self, module: ModuleType) -> None:
        """Serve every marked function of a module.

        Raises:
            TypeError: a parameter's hint means nothing, or a name is taken.
        """
        for function in vars(module).values():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                for method in getattr(function, _MARK, ()):
                    self.add(method)

    def add(self, method: Method) -> None:
        """Serve one method under all its names."""
        compiled = self._compile(method)
        for name in compiled.names:
            self._claim(name)
            self.methods[name] = compiled
        for name in compiled.unsubscribes:
            if name not in self.unsubscribes:
                self._claim(name)
            self.unsubscribes[name] = compiled

    def names(self, *, unsafe: bool) -> list[str]:
        """What `rpc_methods` lists, sorted: unsafe methods only where they may be called."""
        listed = {name for name, method in self.methods.items() if unsafe or method.safe}
        return sorted(listed | self.unsubscribes.keys())

    def _claim(self, name: str) -> None:
        if name in self.methods or name in self.unsubscribes:
            raise TypeError(f"two methods are called {name}")

    def _compile(self, method: Method) -> Method:
        hints = typing.get_type_hints(method.call, include_extras=True)
        injected: dict[str, type] = {}
        params: list[Parameter] = []
        for name, parameter in inspect.signature(method.call).parameters.items():
            hint = hints[name]
            if hint in self._injectable:
                injected[name] = hint
            else:
                default = _MISSING if parameter.default is inspect.Parameter.empty else parameter.default
                params.append(Parameter(name, converter_for(hint), default))
        return replace(method, injected=injected, params=tuple(params))


def _marks(function: Callable[..., Any]) -> list[Method]:
    marks: list[Method] | None = getattr(function, _MARK, None)
    if marks is None:
        marks = []
        setattr(function, _MARK, marks)
    return marks
