"""The chain spec: what `genesis.json` says, typed and checked.

The caller decodes the JSON; here unknown keys are errors, as are accounts that are named twice in different spellings.
Amounts are integers in the smallest unit or texts such as "10_000 AIT" and "0.5 AIT". Accounts are SS58 addresses,
0x-hex, `pallet:<8 characters>` for the pot of a pallet, or development URIs such as //Alice except on a live chain.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.ss58 import decode as decode_ss58
from aitoken.errors import Rejected
from aitoken.types import AIT, TOKEN_DECIMALS, AccountId, Balance, Moment
from chain.frame.types import PERBILL_ONE
from chain.pallets.ai.oracle import Feed, OracleGenesis, is_possible
from chain.pallets.staking.pallet import StakingGenesis
from chain.pallets.staking.types import MAX_NOMINATIONS, Nowhere, PaidTo, RewardDestination, Staked, Stash
from chain.params import PRESETS, Params

CHAIN_TYPES: Final = ("Development", "Local", "Live")
SPEC_NAME: Final = "aitoken"
VALIDATORS_MAX: Final = 1000
MISSING: Final = object()
_PROPERTIES: Final = ("symbol", "ss58_prefix")
"""Parameters that are written among the properties of the token."""
STAKING: Final = {
    "devnet": StakingGenesis(validator_count=16),
    "main": StakingGenesis(
        minimum_validator_count=4,
        min_validator_bond=Balance(10_000 * AIT),
        min_nominator_bond=Balance(50 * AIT),
        min_commission=PERBILL_ONE // 50,
    ),
}
"""What staking starts with where the spec does not say."""
_KINDS: Final[dict[Any, str]] = {int: "an integer", str: "a text", dict: "an object", list: "a list"}


class BadSpec(Rejected):
    """The chain spec says something that cannot be; the message names the key."""

    code = "spec.invalid"


@dataclass(frozen=True, slots=True)
class Validator:
    """A validator of genesis. `bft` votes (ed25519), `net` names its network peer; the commission is in billionths."""

    stash: AccountId
    bond: Balance
    bft: bytes
    net: bytes
    commission: int
    payee: RewardDestination


@dataclass(frozen=True, slots=True)
class Nominator:
    """A nominator of genesis."""

    stash: AccountId
    bond: Balance
    targets: tuple[AccountId, ...]
    payee: RewardDestination


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """Everything a chain starts with, checked.

    `partial` is one without the balances, from which no genesis can be made.
    """

    name: str
    id: str
    chain_type: str
    protocol_id: str
    boot_nodes: tuple[str, ...]
    ss58_format: int
    params: Params
    timestamp_ms: int
    balances: tuple[tuple[AccountId, Balance], ...]
    validators: tuple[Validator, ...]
    nominators: tuple[Nominator, ...]
    staking: StakingGenesis
    oracle: OracleGenesis
    sudo: AccountId | None
    partial: bool = False

    @property
    def properties(self) -> dict[str, str | int]:
        """What wallets ask of the token."""
        return {
            "tokenSymbol": self.params.symbol,
            "tokenDecimals": TOKEN_DECIMALS,
            "ss58Format": self.ss58_format,
        }


class _Section:
    """A JSON object being read: keys are taken one by one, what is left over is unknown."""

    def __init__(self, data: Any, path: str) -> None:
        if not isinstance(data, dict):
            raise BadSpec(f"{path or 'the chain spec'} must be an object")
        self._left = dict(data)
        self._path = path

    def at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = MISSING) -> Any:
        found = self._left.pop(key, default)
        if found is MISSING:
            raise BadSpec(f"{self.at(key)} is missing")
        if found is not default and (not isinstance(found, kind) or (kind is int and isinstance(found, bool))):
            raise BadSpec(f"{self.at(key)} must be {_KINDS.get(kind, 'an amount')}")
        return found

    def section(self, key: str, default: Any = MISSING) -> _Section:
        return _Section(self.take(key, dict, default), self.at(key))

    def rest(self) -> dict[str, Any]:
        left, self._left = self._left, {}
        return left

    def done(self) -> None:
        if self._left:
            raise BadSpec(f"unknown: {', '.join(self.at(key) for key in sorted(self._left))}")


def parse_amount(value: Any, where: str) -> Balance:
    """Read an amount.

    Raises:
        BadSpec: it is none, negative or too large.
    """
    amount = -1
    if isinstance(value, int) and not isinstance(value, bool):
        amount = value
    elif isinstance(value, str):
        text, _, unit = value.replace("_", "").partition(" ")
        whole, _, part = text.partition(".")
        if (
            whole.isascii()
            and whole.isdigit()
            and unit in ("", "AIT")
            and (not part or (part.isascii() and part.isdigit()))
        ):
            if unit == "AIT" and len(part) <= TOKEN_DECIMALS:
                amount = int(whole) * AIT + int(part.ljust(TOKEN_DECIMALS, "0"))
            elif not unit and not part:
                amount = int(whole)
    if not 0 <= amount < 1 << 128:
        raise BadSpec(f'{where}: {value!r} is no amount; write 1000 or "10_000 AIT"')
    return Balance(amount)


def parse_fraction(value: Any, where: str) -> int:
    """Read a percentage such as "5%" or "2.5%"; return billionths.

    Raises:
        BadSpec: it is none, or outside 0 to 100.
    """
    text = value[:-1] if isinstance(value, str) and value.endswith("%") else ""
    whole, _, part = text.partition(".")
    fraction = -1
    if whole.isascii() and whole.isdigit() and len(part) <= 7 and (not part or (part.isascii() and part.isdigit())):
        fraction = int(whole) * PERBILL_ONE // 100 + int(part.ljust(7, "0"))
    if not 0 <= fraction <= PERBILL_ONE:
        raise BadSpec(f'{where}: {value!r} is no percentage; write "5%"')
    return fraction


class _Reader:
    def __init__(self, *, allows_dev: bool, ss58_format: int) -> None:
        self._allows_dev = allows_dev
        self._ss58_format = ss58_format

    def account(self, text: Any, where: str) -> AccountId:
        """Read an account of any spelling."""
        return AccountId(self._key(text, where, "sr25519"))

    def payee(self, text: str, where: str) -> RewardDestination:
        """Read where rewards go: Staked, Stash, None or an account."""
        named = {"Staked": Staked(), "Stash": Stash(), "None": Nowhere()}.get(text)
        return PaidTo(self.account(text, where)) if named is None else named

    def voting_key(self, text: Any, where: str) -> bytes:
        """Read an ed25519 key: 0x-hex or a development URI."""
        return self._key(text, where, "ed25519")

    def _key(self, text: Any, where: str, scheme: str) -> bytes:
        if not isinstance(text, str):
            raise BadSpec(f"{where} must be text")
        key: bytes
        if text.startswith("//"):
            if not self._allows_dev:
                raise BadSpec(f"{where}: {text} is a development key, and this is a live chain")
            key = pair_from_uri(text, scheme).public
        elif text.startswith("pallet:"):
            if len(text) != 15 or not text.isascii():
                raise BadSpec(f"{where}: pallet: takes exactly 8 characters")
            key = (b"modl" + text[7:].encode()).ljust(32, b"\x00")
        elif text.startswith("0x"):
            key = _hex(text, where)
        else:
            key = self._address(text, where)
        if len(key) != 32 or key == bytes(32):
            raise BadSpec(f"{where}: {text} is not an account of 32 bytes that are not all zero")
        return key

    def _address(self, text: str, where: str) -> bytes:
        try:
            key, prefix = decode_ss58(text)
        except Rejected as error:
            raise BadSpec(f"{where}: {text} is no address: {error}") from None
        if prefix != self._ss58_format:
            raise BadSpec(f"{where}: {text} belongs to network {prefix}, this is {self._ss58_format}")
        return key


def _hex(text: str, where: str) -> bytes:
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise BadSpec(f"{where}: {text} is no hex") from None


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


def _params(preset: str, overrides: dict[str, Any], symbol: str, ss58_format: int) -> Params:
    if preset not in PRESETS:
        raise BadSpec(f"runtime.preset must be one of {', '.join(PRESETS)}")
    known = {_camel(field.name): field.name for field in fields(Params) if field.name not in _PROPERTIES}
    chosen: dict[str, Any] = {}
    for key, value in overrides.items():
        if key not in known:
            raise BadSpec(f"unknown: params.{key}")
        chosen[known[key]] = parse_amount(value, f"params.{key}")
        if chosen[known[key]] == 0:
            raise BadSpec(f"params.{key} must be positive")
    params = replace(PRESETS[preset], **chosen, symbol=symbol, ss58_prefix=ss58_format)
    if params.slash_defer_eras >= params.bonding_eras:
        raise BadSpec("params.slashDeferEras must be less than params.bondingEras: slashes would come too late")
    if params.idle_interval_ms < params.block_time_ms:
        raise BadSpec("params.idleIntervalMs must not be less than params.blockTimeMs")
    return params


def parse_spec(data: Any, *, checked: bool = False) -> ChainSpec:
    """Read a decoded chain spec.

    Args:
        data: the JSON, decoded.
        checked: the same text was read whole before. Balances, which only the genesis state needs and which may be
            millions, are left out then.

    Raises:
        BadSpec: a key is unknown, missing or says something that cannot be.
    """
    root = _Section(data, "")
    chain_type = root.take("chainType", str)
    if chain_type not in CHAIN_TYPES:
        raise BadSpec(f"chainType must be one of {', '.join(CHAIN_TYPES)}")
    properties = root.section("properties")
    symbol, ss58_format = properties.take("tokenSymbol", str), properties.take("ss58Format", int)
    if properties.take("tokenDecimals", int) != TOKEN_DECIMALS:
        raise BadSpec(f"properties.tokenDecimals must be {TOKEN_DECIMALS}")
    properties.done()
    runtime = root.section("runtime")
    if runtime.take("specName", str, SPEC_NAME) != SPEC_NAME:
        raise BadSpec(f"runtime.specName must be {SPEC_NAME}")
    preset = runtime.take("preset", str)
    runtime.done()
    params = _params(preset, root.section("params", {}).rest(), symbol, ss58_format)
    reader = _Reader(allows_dev=chain_type != "Live", ss58_format=ss58_format)
    genesis = root.section("genesis")
    listed = genesis.section("balances")
    balances = () if checked else _balances(listed, reader, params)
    staking_section = genesis.section("staking")
    staking = _staking(staking_section, STAKING[preset])
    spare = None if checked else {who: amount - params.existential_deposit for who, amount in balances}
    validators = _validators(staking_section, reader, spare, staking)
    nominators = _nominators(staking_section, reader, spare, staking, {each.stash: each for each in validators})
    staking_section.done()
    oracle = _oracle(genesis.section("oracle", {}), reader, params)
    sudo_section = genesis.section("sudo", {})
    sudo = sudo_section.take("key", str, None)
    sudo_section.done()
    if sudo is not None and chain_type == "Live":
        raise BadSpec("genesis.sudo: a live chain has no sudo key")
    spec = ChainSpec(
        name=root.take("name", str),
        id=root.take("id", str),
        chain_type=chain_type,
        protocol_id=root.take("protocolId", str),
        boot_nodes=_texts(root.take("bootNodes", list, []), "bootNodes"),
        ss58_format=ss58_format,
        params=params,
        timestamp_ms=genesis.take("timestampMs", int),
        balances=balances,
        validators=validators,
        nominators=nominators,
        staking=staking,
        oracle=oracle,
        sudo=None if sudo is None else reader.account(sudo, "genesis.sudo.key"),
        partial=checked,
    )
    if not 0 < spec.timestamp_ms < 1 << 48:
        raise BadSpec("genesis.timestampMs must be milliseconds since 1970")
    genesis.done()
    root.done()
    return spec


def _texts(values: list[Any], where: str) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise BadSpec(f"{where} must be a list of texts")
    return tuple(values)


def _balances(section: _Section, reader: _Reader, params: Params) -> tuple[tuple[AccountId, Balance], ...]:
    found: dict[AccountId, Balance] = {}
    for text, value in section.rest().items():
        where = section.at(text)
        account, amount = reader.account(text, where), parse_amount(value, where)
        if account in found:
            raise BadSpec(f"{where}: this account is listed already, in another spelling")
        if amount < params.existential_deposit:
            raise BadSpec(f"{where}: less than the existential deposit")
        found[account] = amount
    if sum(found.values()) > params.max_issuance:
        raise BadSpec("genesis.balances add up to more than params.maxIssuance")
    return tuple(sorted(found.items()))


def _staking(section: _Section, default: StakingGenesis) -> StakingGenesis:
    count = section.take("validatorCount", int, None)
    settings = replace(
        default,
        validator_count=default.validator_count if count is None else count,
        minimum_validator_count=section.take("minimumValidatorCount", int, default.minimum_validator_count),
        **{
            name: parse_amount(section.take(key, (int, str), getattr(default, name)), section.at(key))
            for key, name in (("minValidatorBond", "min_validator_bond"), ("minNominatorBond", "min_nominator_bond"))
        },
    )
    commission = section.take("minCommission", str, None)
    if commission is not None:
        settings = replace(settings, min_commission=parse_fraction(commission, section.at("minCommission")))
    if not 1 <= settings.validator_count <= VALIDATORS_MAX:
        raise BadSpec(f"{section.at('validatorCount')} must be 1 to {VALIDATORS_MAX}")
    return settings


def _oracle(section: _Section, reader: _Reader, params: Params) -> OracleGenesis:
    feeds: list[tuple[int, Feed]] = []
    for position, row in enumerate(section.take("feeds", list, [])):
        entry = _Section(row, f"{section.at('feeds')}[{position}]")
        currency = entry.take("currency", int)
        quorum, move = (
            parse_fraction(entry.take(key, str, default), entry.at(key)) * 10_000 // PERBILL_ONE
            for key, default in (("quorum", "66.7%"), ("maxMove", "10%"))
        )
        stale_after = entry.take("staleAfterMs", int, 20 * params.oracle_window_ms)
        entry.done()
        if not 1 <= currency <= 999 or currency in dict(feeds):
            raise BadSpec(f"{entry.at('currency')} must be an ISO 4217 number that is listed once")
        feeds.append((currency, Feed(quorum, move, Moment(stale_after))))
    feeders: dict[AccountId, AccountId] = {}
    named = section.section("feeders", {})
    for validator, feeder in named.rest().items():
        where = named.at(validator)
        account = reader.account(feeder, where)
        if account in feeders.values():
            raise BadSpec(f"{where}: this account reports for another validator already")
        feeders[reader.account(validator, where)] = account
    section.done()
    for number, settings in feeds:
        if not is_possible(settings, params.oracle_window_ms):
            raise BadSpec(f"{section.at('feeds')}: staleAfterMs of {number} is out of bounds")
    return OracleGenesis(tuple(feeds), tuple(feeders.items()))


def _validators(
    section: _Section, reader: _Reader, spare: dict[AccountId, int] | None, staking: StakingGenesis
) -> tuple[Validator, ...]:
    rows = section.take("validators", list)
    if not 1 <= len(rows) <= VALIDATORS_MAX:
        raise BadSpec(f"{section.at('validators')} must list 1 to {VALIDATORS_MAX} validators")
    if staking.validator_count < len(rows):
        raise BadSpec(f"{section.at('validatorCount')} is less than there are validators")
    if staking.minimum_validator_count > len(rows):
        raise BadSpec(f"{section.at('minimumValidatorCount')} is more than there are validators")
    validators: list[Validator] = []
    for position, row in enumerate(rows):
        entry = _Section(row, f"{section.at('validators')}[{position}]")
        stash = reader.account(entry.take("stash", str), entry.at("stash"))
        bond = _bond(entry, stash, spare, staking.min_validator_bond)
        commission = parse_fraction(entry.take("commission", str, "0%"), entry.at("commission"))
        if commission < staking.min_commission:
            raise BadSpec(f"{entry.at('commission')} is less than {section.at('minCommission')}")
        payee = reader.payee(entry.take("payee", str, "Staked"), entry.at("payee"))
        keys = entry.section("keys")
        bft = reader.voting_key(keys.take("bft", str), keys.at("bft"))
        net_text = keys.take("net", str, None)
        net = bft if net_text is None else reader.voting_key(net_text, keys.at("net"))
        keys.done()
        entry.done()
        if any(stash == other.stash or bft == other.bft or net == other.net for other in validators):
            raise BadSpec(f"{entry.at('stash')}: stash and keys of validators must differ")
        validators.append(Validator(stash, bond, bft, net, commission, payee))
    return tuple(validators)


def _bond(entry: _Section, stash: AccountId, spare: dict[AccountId, int] | None, least: Balance) -> Balance:
    bond = parse_amount(entry.take("bond", (int, str)), entry.at("bond"))
    if bond == 0 or (spare is not None and bond > spare.get(stash, 0)):
        raise BadSpec(f"{entry.at('bond')} must be positive and leave the stash the existential deposit")
    if bond < least:
        raise BadSpec(f"{entry.at('bond')} is less than the minimum of {least}")
    return bond


def _nominators(
    section: _Section,
    reader: _Reader,
    spare: dict[AccountId, int] | None,
    staking: StakingGenesis,
    validators: Container[AccountId],
) -> tuple[Nominator, ...]:
    rows = section.take("nominators", list, [])
    if len(rows) > staking.max_nominators:
        raise BadSpec(f"{section.at('nominators')} are more than {staking.max_nominators}")
    nominators: dict[AccountId, Nominator] = {}
    for position, row in enumerate(rows):
        entry = _Section(row, f"{section.at('nominators')}[{position}]")
        stash = reader.account(entry.take("stash", str), entry.at("stash"))
        if stash in validators or stash in nominators:
            raise BadSpec(f"{entry.at('stash')}: this account stakes already")
        bond = _bond(entry, stash, spare, staking.min_nominator_bond)
        texts = _texts(entry.take("targets", list), entry.at("targets"))
        targets = tuple(dict.fromkeys(reader.account(text, entry.at("targets")) for text in texts))
        if not 1 <= len(texts) <= MAX_NOMINATIONS or not all(target in validators for target in targets):
            raise BadSpec(f"{entry.at('targets')} must be 1 to {MAX_NOMINATIONS} validators of this list")
        payee = reader.payee(entry.take("payee", str, "Staked"), entry.at("payee"))
        entry.done()
        nominators[stash] = Nominator(stash, bond, targets, payee)
    return tuple(nominators.values())
