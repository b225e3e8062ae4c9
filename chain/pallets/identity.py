"""Identity: what accounts say of themselves, and what registrars think of it.

Whoever sets an identity has a deposit held for its bytes, and one for each account below it that it names. Registrars
(root adds them) judge what an identity says, for a fee that is held from the request on. An identity that changes loses
its judgements, but for one that calls it a lie. Nothing here proves anything by itself: it shows who vouches.

At any time, for each account

    held(Deposit) == deposit of its identity + fees of requests that wait + deposit of the accounts it names

Source: `pallet_identity`, without user names; the fields are those of the People chains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

from aitoken.codec.hints import TypeName, codec_of, u32
from aitoken.crypto.hashing import blake2_256
from aitoken.types import AIT, AccountId, Balance, Hash32
from chain.frame.calls import PostInfo, call
from chain.frame.errors import DispatchError
from chain.frame.origin import Origin, ensure_root, ensure_signed
from chain.frame.pallet import Pallet, constant
from chain.frame.storage import BLAKE2_128_CONCAT, TWOX_64_CONCAT, Map, OptionMap, Value, storage_map, value
from chain.frame.types import CompactBalance, LookupSource, lookup
from chain.pallets.balances import BurnReason
from chain.pallets.identity_events import IdentityErrors, IdentityEvents
from chain.pallets.identity_types import (
    REGISTRARS_MAX,
    SUBS_MAX,
    AnyJudgement,
    CompactRegistrarIndex,
    Data,
    Erroneous,
    FeePaid,
    IdentityFields,
    IdentityHoldReason,
    IdentityInfo,
    Judgement,
    NamedSubs,
    RegistrarIndex,
    RegistrarInfo,
    Registrars,
    Registration,
    Subs,
)

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.balances import Balances

BASIC_DEPOSIT: Final = Balance(AIT // 5)
BYTE_DEPOSIT: Final = Balance(AIT // 1000)
SUB_DEPOSIT: Final = Balance(153 * AIT // 1000)
DEPOSIT: Final = IdentityHoldReason.Deposit
INFO: Final = codec_of(IdentityInfo)


class Identity(Pallet, index=18, crate="pallet_identity"):
    """What accounts say of themselves, and what registrars think of it."""

    HoldReason = IdentityHoldReason

    identity_of: OptionMap[AccountId, Registration] = storage_map(
        TWOX_64_CONCAT, doc="Information that is pertinent to identify the entity behind an account."
    )
    super_of: OptionMap[AccountId, tuple[AccountId, Data]] = storage_map(
        BLAKE2_128_CONCAT, doc="The super-identity of an alternative sub-identity together with its name."
    )
    subs_of: Map[AccountId, tuple[Balance, Subs]] = storage_map(
        TWOX_64_CONCAT, doc="Alternative sub-identities of this account: the deposit and the accounts."
    )
    registrars: Value[Registrars] = value(doc="The set of registrars; the index of one never changes.")

    basic_deposit: Balance = constant(BASIC_DEPOSIT, doc="The amount held on deposit for a registered identity.")
    byte_deposit: Balance = constant(BYTE_DEPOSIT, doc="The amount held on deposit per encoded byte of an identity.")
    sub_account_deposit: Balance = constant(SUB_DEPOSIT, doc="The amount held on deposit for a registered subaccount.")
    max_sub_accounts: u32 = constant(SUBS_MAX, doc="The maximum number of sub-accounts allowed per identified account.")
    max_registrars: u32 = constant(REGISTRARS_MAX, doc="Maximum number of registrars allowed in the system.")

    Event = IdentityEvents
    Error = IdentityErrors

    def __init__(self, machine: Machine, balances: Balances) -> None:
        super().__init__(machine)
        self._balances = balances

    # --------------------------------------------------------------------------------------------- registrars

    @call(0)
    def add_registrar(self, origin: Origin, account: LookupSource) -> None:
        """Add a registrar to the system."""
        ensure_root(origin)
        found = list(self.registrars.get())
        if len(found) >= REGISTRARS_MAX:
            raise self.Error.TooManyRegistrars
        self.registrars.put([*found, RegistrarInfo(lookup(account), Balance(0), 0)])
        self.emit(self.Event.RegistrarAdded(len(found)))

    @call(6)
    def set_fee(self, origin: Origin, index: CompactRegistrarIndex, fee: CompactBalance) -> None:
        """Set the fee required for a judgement to be requested from a registrar."""
        self._change_registrar(origin, index, lambda old: RegistrarInfo(old.account, fee, old.fields))

    @call(7)
    def set_account_id(self, origin: Origin, index: CompactRegistrarIndex, new: LookupSource) -> None:
        """Change the account associated with a registrar."""
        account = lookup(new)
        self._change_registrar(origin, index, lambda old: RegistrarInfo(account, old.fee, old.fields))

    @call(8)
    def set_fields(self, origin: Origin, index: CompactRegistrarIndex, fields: IdentityFields) -> None:
        """Set the field information for a registrar."""
        self._change_registrar(origin, index, lambda old: RegistrarInfo(old.account, old.fee, fields))

    @call(9)
    def provide_judgement(
        self,
        origin: Origin,
        reg_index: CompactRegistrarIndex,
        target: LookupSource,
        judgement: AnyJudgement,
        identity: Hash32,
    ) -> None:
        """Provide a judgement for an account's identity, which the hash names; the fee of a request is paid."""
        registrar, who = ensure_signed(origin), lookup(target)
        if isinstance(judgement, FeePaid):
            raise self.Error.InvalidJudgement
        known = self._registrar(reg_index)
        if known is None or known.account != registrar:
            raise self.Error.InvalidIndex
        found = self.identity_of.get(who)
        if found is None:
            raise self.Error.InvalidTarget
        if blake2_256(INFO.encode(found.info)) != identity:
            raise self.Error.JudgementForDifferentIdentity
        asked = judgement_of(found, reg_index)
        if isinstance(asked, FeePaid) and asked.fee:
            try:
                self._balances.transfer_held(DEPOSIT, who, registrar, asked.fee)
            except DispatchError:
                raise self.Error.JudgementPaymentFailed from None
        self.identity_of.put(who, self._judged(found, reg_index, judgement))
        self.emit(self.Event.JudgementGiven(who, reg_index))

    # --------------------------------------------------------------------------------------------- identities

    @call(1)
    def set_identity(
        self, origin: Origin, info: Annotated[IdentityInfo, TypeName("Box<T::IdentityInformation>")]
    ) -> None:
        """Set an account's identity information and have the appropriate deposit held."""
        who = ensure_signed(origin)
        found = self.identity_of.get(who)
        held = Balance(0) if found is None else found.deposit
        kept = [] if found is None else [row for row in found.judgements if is_sticky(row[1])]
        needed = Balance(BASIC_DEPOSIT + BYTE_DEPOSIT * len(INFO.encode(info)))
        self._hold(who, held, needed)
        self.identity_of.put(who, Registration(kept, needed, info))
        self.emit(self.Event.IdentitySet(who))

    @call(3, units=lambda *_: SUBS_MAX)
    def clear_identity(self, origin: Origin) -> PostInfo:
        """Clear an account's identity info and all sub-accounts and return all deposits."""
        who = ensure_signed(origin)
        deposit, subs = self._remove(who)
        self._balances.release(DEPOSIT, who, deposit)
        self.emit(self.Event.IdentityCleared(who, deposit))
        return PostInfo(self.cost_of("clear_identity").at(subs))

    @call(10, units=lambda *_: SUBS_MAX)
    def kill_identity(self, origin: Origin, target: LookupSource) -> PostInfo:
        """Remove an account's identity and sub-account information and slash the deposits."""
        ensure_root(origin)
        who = lookup(target)
        deposit, subs = self._remove(who)
        self._balances.burn_held(DEPOSIT, who, deposit, BurnReason.Slash)
        self.emit(self.Event.IdentityKilled(who, deposit))
        return PostInfo(self.cost_of("kill_identity").at(subs))

    @call(4)
    def request_judgement(self, origin: Origin, reg_index: CompactRegistrarIndex, max_fee: CompactBalance) -> None:
        """Request a judgement from a registrar; its fee is held until it is given or the request is cancelled."""
        who = ensure_signed(origin)
        registrar = self._registrar(reg_index)
        if registrar is None:
            raise self.Error.EmptyIndex
        if registrar.fee > max_fee:
            raise self.Error.FeeChanged
        found = self._identity(who)
        if is_sticky(judgement_of(found, reg_index)):
            raise self.Error.StickyJudgement
        self._balances.hold(DEPOSIT, who, registrar.fee)
        self.identity_of.put(who, self._judged(found, reg_index, FeePaid(registrar.fee)))
        self.emit(self.Event.JudgementRequested(who, reg_index))

    @call(5)
    def cancel_request(self, origin: Origin, reg_index: RegistrarIndex) -> None:
        """Cancel a previous request, and have its fee back."""
        who = ensure_signed(origin)
        found = self._identity(who)
        asked = judgement_of(found, reg_index)
        if asked is None:
            raise self.Error.NotFound
        if not isinstance(asked, FeePaid):
            raise self.Error.JudgementGiven
        self._balances.release(DEPOSIT, who, asked.fee)
        self.identity_of.put(who, self._judged(found, reg_index, None))
        self.emit(self.Event.JudgementUnrequested(who, reg_index))

    # --------------------------------------------------------------------------------------------- sub-accounts

    @call(2, units=lambda subs: len(subs) + SUBS_MAX)
    def set_subs(self, origin: Origin, subs: NamedSubs) -> PostInfo:
        """Set the sub-accounts of the sender, in place of those it had."""
        who = ensure_signed(origin)
        if not self.identity_of.contains(who):
            raise self.Error.NotFound
        if len(subs) > SUBS_MAX:
            raise self.Error.TooManySubAccounts
        others = [found for sub, _ in subs if (found := self.super_of.get(sub)) is not None and found[0] != who]
        if others or len({sub for sub, _ in subs}) != len(subs):
            raise self.Error.AlreadyClaimed
        held, before = self.subs_of.get(who)
        needed = Balance(SUB_DEPOSIT * len(subs))
        self._hold(who, held, needed)
        for sub in before:
            self.super_of.remove(sub)
        for sub, name in subs:
            self.super_of.put(sub, (who, name))
        self._put_subs(who, needed, [sub for sub, _ in subs])
        self.emit(self.Event.SubIdentitiesSet(who, len(subs), needed))
        return PostInfo(self.cost_of("set_subs").at(len(before) + len(subs)))

    @call(11)
    def add_sub(self, origin: Origin, sub: LookupSource, data: Data) -> None:
        """Add the given account to the sender's subs."""
        who, account = ensure_signed(origin), lookup(sub)
        self._identity(who)
        if self.super_of.contains(account):
            raise self.Error.AlreadyClaimed
        held, subs = self.subs_of.get(who)
        if len(subs) >= SUBS_MAX:
            raise self.Error.TooManySubAccounts
        self._balances.hold(DEPOSIT, who, SUB_DEPOSIT)
        self.super_of.put(account, (who, data))
        self._put_subs(who, Balance(held + SUB_DEPOSIT), [*subs, account])
        self.emit(self.Event.SubIdentityAdded(account, who, SUB_DEPOSIT))

    @call(12)
    def rename_sub(self, origin: Origin, sub: LookupSource, data: Data) -> None:
        """Alter the associated name of the given sub-account."""
        who, account = ensure_signed(origin), lookup(sub)
        self._identity(who)
        found = self.super_of.get(account)
        if found is None or found[0] != who:
            raise self.Error.NotOwned
        self.super_of.put(account, (who, data))
        self.emit(self.Event.SubIdentityRenamed(account, who))

    @call(13)
    def remove_sub(self, origin: Origin, sub: LookupSource) -> None:
        """Remove the given account from the sender's subs."""
        who, account = ensure_signed(origin), lookup(sub)
        self._identity(who)
        found = self.super_of.get(account)
        if found is None:
            raise self.Error.NotSub
        if found[0] != who:
            raise self.Error.NotOwned
        freed = self._drop_sub(who, account)
        self._balances.release(DEPOSIT, who, freed)
        self.emit(self.Event.SubIdentityRemoved(account, who, freed))

    @call(14)
    def quit_sub(self, origin: Origin) -> None:
        """Remove the sender as a sub-account; what was held for it is the sender's."""
        account = ensure_signed(origin)
        found = self.super_of.get(account)
        if found is None:
            raise self.Error.NotSub
        who = found[0]
        freed = self._drop_sub(who, account)
        self._balances.transfer_held(DEPOSIT, who, account, freed)
        self.emit(self.Event.SubIdentityRevoked(account, who, freed))

    # --------------------------------------------------------------------------------------------- inside

    def _registrar(self, index: int) -> RegistrarInfo | None:
        found = self.registrars.get()
        return found[index] if index < len(found) else None

    def _change_registrar(self, origin: Origin, index: int, change: Callable[[RegistrarInfo], RegistrarInfo]) -> None:
        who, found = ensure_signed(origin), self._registrar(index)
        if found is None or found.account != who:
            raise self.Error.InvalidIndex
        rows = list(self.registrars.get())
        rows[index] = change(found)
        self.registrars.put(rows)

    def _identity(self, who: AccountId) -> Registration:
        found = self.identity_of.get(who)
        if found is None:
            raise self.Error.NoIdentity
        return found

    def _judged(self, found: Registration, registrar: int, judgement: Judgement | None) -> Registration:
        """Return an identity with another judgement of a registrar, or with none."""
        rows = [row for row in found.judgements if row[0] != registrar]
        if judgement is not None:
            rows.append((registrar, judgement))
        return Registration(sorted(rows, key=lambda row: row[0]), found.deposit, found.info)

    def _remove(self, who: AccountId) -> tuple[Balance, int]:
        """Forget an identity; return all that is held for it, and how many accounts it named."""
        found = self._identity(who)
        held, subs = self.subs_of.take(who)
        self.identity_of.remove(who)
        for sub in subs:
            self.super_of.remove(sub)
        fees = sum(row[1].fee for row in found.judgements if isinstance(row[1], FeePaid))
        return Balance(found.deposit + fees + held), len(subs)

    def _hold(self, who: AccountId, held: Balance, needed: Balance) -> None:
        if needed > held:
            self._balances.hold(DEPOSIT, who, Balance(needed - held))
        else:
            self._balances.release(DEPOSIT, who, Balance(held - needed))

    def _drop_sub(self, who: AccountId, account: AccountId) -> Balance:
        """Forget that `account` belongs to `who`; return what was held for that."""
        held, subs = self.subs_of.get(who)
        freed = Balance(min(SUB_DEPOSIT, held))
        self.super_of.remove(account)
        self._put_subs(who, Balance(held - freed), [sub for sub in subs if sub != account])
        return freed

    def _put_subs(self, who: AccountId, held: Balance, subs: list[AccountId]) -> None:
        if subs:
            self.subs_of.put(who, (held, subs))
        else:
            self.subs_of.remove(who)


def judgement_of(found: Registration, registrar: int) -> Judgement | None:
    """Return what a registrar thinks of an identity."""
    return next((judgement for index, judgement in found.judgements if index == registrar), None)


def is_sticky(judgement: Judgement | None) -> bool:
    """Whether a judgement outlasts a change of the identity: one that is paid for and not given, or a bad one."""
    return isinstance(judgement, FeePaid | Erroneous)
