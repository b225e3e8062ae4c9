"""Genesis files as people write them: reading one, and deriving the one of a devnet with another number of validators.

What a genesis means is decided in `chain.genesis`; here it is only JSON.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cli.exits import BadInput

SPEC_BYTES_MAX: Final = 256 * 1024 * 1024
"""Raw specs of large public chains are some ten megabytes."""

VALIDATORS_MAX: Final = 60
"""More would share out more than the whole issuance; this machine gives in long before."""

FEEDER_BALANCE: Final = "10 AIT"
DEV_NAMES: Final = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")
Spec = dict[str, Any]


def read_spec(file: Path) -> Spec:
    """Read a genesis file as JSON.

    Raises:
        BadInput: it is missing, too large, or not one JSON object.
    """
    import msgspec

    try:
        if file.stat().st_size > SPEC_BYTES_MAX:
            raise BadInput(f"{file} is larger than any chain spec")
        spec = msgspec.json.decode(file.read_bytes())
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{file} is not JSON: {error}") from None
    if not isinstance(spec, dict):
        raise BadInput(f"{file} is no chain spec: a JSON object is expected")
    return spec


def write_spec(spec: Spec) -> str:
    """A genesis file as readable JSON."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(spec), indent=2).decode() + "\n"


def is_raw(spec: Spec) -> bool:
    """Whether this is a raw Substrate chain spec: storage keys and values instead of words."""
    genesis = spec.get("genesis")
    return isinstance(genesis, dict) and "raw" in genesis


def validator_name(index: int) -> str:
    """The name of a devnet's validator: Alice, Bob, ... Ferdie, Validator6, ..."""
    return DEV_NAMES[index] if index < len(DEV_NAMES) else f"Validator{index}"


def validators_of(spec: Spec) -> list[dict[str, Any]]:
    """The genesis validators.

    Raises:
        BadInput: the file has no such list.
    """
    try:
        validators = spec["genesis"]["staking"]["validators"]
    except (KeyError, TypeError):
        raise BadInput("the chain spec has no genesis.staking.validators") from None
    if not isinstance(validators, list) or not validators:
        raise BadInput("genesis.staking.validators must be a list with at least one validator")
    return validators


def dev_keys_of(spec: Spec) -> list[str]:
    """The development URI of each genesis validator's consensus key.

    Raises:
        BadInput: one is no development key, so this machine cannot vote for it.
    """
    keys = [str((entry.get("keys") or {}).get("bft", "")) for entry in validators_of(spec)]
    for key in keys:
        if not key.startswith("//"):
            raise BadInput(f"a devnet needs validators with development keys such as //Alice, not {key or 'none'}")
    return keys


def with_validators(spec: Spec, count: int) -> Spec:
    """The same chain with `count` development validators; itself when it has that many already.

    Validators that are added copy the bond and terms of the first one and start with the balance of its stash.

    Raises:
        BadInput: the count is out of range, or the spec is not for development.
    """
    if not 1 <= count <= VALIDATORS_MAX:
        raise BadInput(f"a devnet has 1 to {VALIDATORS_MAX} validators, not {count}")
    validators = validators_of(spec)
    if len(validators) == count:
        return spec
    if spec.get("chainType") not in {"Development", "Local"}:
        raise BadInput("only a chain of type Development or Local can be run with other validators")
    model, balances = validators[0], dict(spec["genesis"].get("balances") or {})
    start = balances.get(model["stash"], model["bond"])
    chosen = validators[:count]
    for index in range(len(chosen), count):
        uri = f"//{validator_name(index)}"
        chosen.append(model | {"stash": f"{uri}//stash", "keys": {"bft": uri}})
        balances.setdefault(uri, start)
        balances.setdefault(f"{uri}//stash", start)
    staking = spec["genesis"]["staking"] | {"validators": chosen}
    if "validatorCount" in staking:
        staking["validatorCount"] = count
    if "minimumValidatorCount" in staking:
        staking["minimumValidatorCount"] = min(staking["minimumValidatorCount"], count)
    if "nominators" in staking:
        staking["nominators"] = _nominators(staking["nominators"], {entry["stash"] for entry in chosen})
    changed = {"balances": balances, "staking": staking}
    if "feeders" in spec["genesis"].get("oracle", {}):
        changed["oracle"] = _oracle(spec["genesis"]["oracle"], chosen, balances)
    return spec | {"genesis": spec["genesis"] | changed}


def _oracle(oracle: dict[str, Any], validators: list[dict[str, Any]], balances: dict[str, Any]) -> dict[str, Any]:
    """The same feeds, reported by an account of each validator; the accounts that are added get some money."""
    before = oracle["feeders"]
    feeders = {each["stash"]: before.get(each["stash"], f"{each['keys']['bft']}//feeder") for each in validators}
    for feeder in feeders.values():
        balances.setdefault(feeder, FEEDER_BALANCE)
    return oracle | {"feeders": feeders}


def _nominators(nominators: list[dict[str, Any]], stashes: set[str]) -> list[dict[str, Any]]:
    """Those that still nominate somebody, with the targets that are left."""
    left = [entry | {"targets": [target for target in entry["targets"] if target in stashes]} for entry in nominators]
    return [entry for entry in left if entry["targets"]]


def with_preset(spec: Spec, preset: str | None) -> Spec:
    """The same chain with another set of parameters."""
    if preset is None:
        return spec
    return spec | {"runtime": (spec.get("runtime") or {}) | {"preset": preset}}
