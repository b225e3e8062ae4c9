"""Parameters: changes numbers of other pallets within the bounds they declare.

Root sets them, that is governance, or sudo on a development chain. None brings a default back. The bounds are part of
the code: nobody can vote a fee of a hundred per cent or a deposit of nothing.

Source: `pallet_parameters`; runtime paper, section 4.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from aitoken.codec.hints import TypeName
from chain.frame.calls import call
from chain.frame.origin import Origin, ensure_root
from chain.frame.pallet import Err, Errors, Ev, Events, Pallet
from chain.frame.parameters import ParametersKey, ParametersValue, RuntimeParameters
from chain.frame.storage import BLAKE2_128_CONCAT, OptionMap, storage_map

if TYPE_CHECKING:
    from chain.frame.machine import Machine

OptionalValue = Annotated[ParametersValue | None, TypeName("Option<Value>")]


class Parameters(Pallet, index=25, crate="pallet_parameters"):
    """Numbers of pallets that governance may change."""

    parameters: OptionMap[ParametersKey, ParametersValue] = storage_map(
        BLAKE2_128_CONCAT, doc="Parameters that are not at their default."
    )

    class Event(Events):
        """What Parameters tells."""

        class Updated(Ev, index=0):
            """A parameter was set; None stands for its default."""

            key: ParametersKey
            old_value: OptionalValue
            new_value: OptionalValue

    class Error(Errors):
        """How Parameters fails."""

        class OutOfBounds(Err, index=0):
            """The parameter may not be set to this."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._bounds = {info.key: info.bounds for info in machine.schema.all_parameters}

    @call(0)
    def set_parameter(self, origin: Origin, key_value: RuntimeParameters) -> None:
        """Set the value of a parameter, within its bounds; None brings its default back."""
        ensure_root(origin)
        key, value = key_value[:2], key_value[2]
        old = self.parameters.get(key)
        new = None
        if value is None:
            self.parameters.remove(key)
        else:
            low, high = self._bounds[key]
            if not low <= value <= high:
                raise self.Error.OutOfBounds
            new = (*key, value)
            self.parameters.put(key, new)
        self.emit(self.Event.Updated(key, old, new))
