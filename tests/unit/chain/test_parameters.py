"""Parameters: set within bounds by root alone, read at once, undone with the call, and described as Substrate does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aitoken.codec.base import DecodeError
from aitoken.types import AIT
from chain.frame import errors
from chain.frame.parameters import parameter
from chain.pallets.parameters import Parameters
from tests.support.pay_chain import PayChain

FEE, STAKE = (42, 0), (46, 0)


@pytest.fixture
def chain() -> PayChain:
    made = PayChain()
    made.begin()
    return made


def test_root_sets_a_parameter_and_none_brings_the_default_back(chain: PayChain) -> None:
    assert chain.sessions.protocol_fee.get() == 1_000
    chain.call("ROOT", "Parameters.set_parameter", (*FEE, 2_500))
    assert chain.sessions.protocol_fee.get() == 2_500
    assert chain.disputes.min_stake.get() == 100 * AIT
    updated = chain.told("Updated")[0]
    assert (updated.key, updated.old_value, updated.new_value) == (FEE, None, (*FEE, 2_500))
    chain.call("ROOT", "Parameters.set_parameter", (*FEE, None))
    assert chain.sessions.protocol_fee.get() == 1_000
    updated = chain.told("Updated")[0]
    assert (updated.old_value, updated.new_value) == ((*FEE, 2_500), None)
    assert not list(chain.parameters.parameters.items())


def test_nobody_else_sets_one_and_root_only_within_bounds(chain: PayChain) -> None:
    with pytest.raises(errors.BadOrigin):
        chain.call("payer", "Parameters.set_parameter", (*FEE, 5))
    for value in (20_001, 2**32 - 1):
        chain.refused("OutOfBounds", "ROOT", "Parameters.set_parameter", (*FEE, value))
    chain.refused("OutOfBounds", "ROOT", "Parameters.set_parameter", (*STAKE, AIT - 1))
    for value in (0, 20_000):
        chain.call("ROOT", "Parameters.set_parameter", (*FEE, value))
        assert chain.sessions.protocol_fee.get() == value


def test_what_a_failed_batch_set_is_undone_for_every_reader(chain: PayChain) -> None:
    sets = chain.schema.make_call("Parameters.set_parameter", (*FEE, 7))
    fails = chain.schema.make_call("Parameters.set_parameter", (*FEE, 20_001))
    with pytest.raises(errors.DispatchError):
        chain.call("ROOT", "Utility.batch_all", [sets, fails])
    assert chain.sessions.protocol_fee.get() == 1_000


def test_it_is_written_pallet_parameter_option_value(chain: PayChain) -> None:
    call = chain.schema.make_call("Parameters.set_parameter", (*STAKE, 5 * AIT))
    encoded = bytes((25, 0, 46, 0, 1)) + (5 * AIT).to_bytes(16, "little")
    assert call.encode() == encoded
    assert chain.schema.decode_call(encoded) == call
    for bad in (bytes((25, 0, 46, 1, 0)), bytes((25, 0, 4, 0, 0)), bytes((25, 0, 46))):
        with pytest.raises(DecodeError):
            chain.schema.decode_call(bad)
    chain.machine.dispatch_as_root(call)
    raw = chain.parameters.parameters.raw_key(STAKE)
    assert raw.endswith(bytes(STAKE))
    assert chain.machine.store.changes()[raw] == bytes(STAKE) + encoded[5:]


def test_the_code_of_the_runtime_changes_with_defaults_and_bounds(chain: PayChain) -> None:
    before = chain.schema.code
    info = chain.schema.all_parameters[0]
    changed = replace(info, bounds=(0, info.bounds[1] + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain.schema, "all_parameters", [changed])
        assert chain.schema.code != before
    assert chain.schema.code == before


def test_a_default_lies_within_its_bounds() -> None:
    with pytest.raises(TypeError):
        parameter(0, 5, bounds=(6, 7), doc="")
    assert Parameters.index == 25
