"""Names: readable names that cannot be imitated, and warnings of who tries.

* Two names that look alike cannot both exist (`aitoken.names: skeleton_of`). Who wants one commits to it first and
  shows it some blocks later, so that nobody who sees it in the pool can be faster.
* A name is paid for by the year, the dearer the shorter; the rent is burned. When it has expired it names nobody; its
  owner can still renew it for the grace, then it is anybody's.
* Names that everybody knows are reserved: for nobody, or for one account.
* Anybody may challenge a name as an impersonation, and whom a warning is about may appeal, with a bond. The committee
  decides; if it does not in time, who is accused is right. The bond of a challenge that is not right goes to the owner,
  that of an appeal is burned. A name that lost names nobody. Meanwhile it works, but cannot be given away.
* A badge shows a domain in the internet that issuers attest of the owner, or of the provider the name means; it does
  not go along to the next owner or meaning.

    held(Deposit, who) == sum of deposits of its names and of its commitment
    held(Bond, who)    == sum of bonds of its challenges and appeals

The committee is root, until there is one. Source: payments paper, section 5.17; `docs/spec/names.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from aitoken.codec.containers import Fail
from aitoken.codec.hints import Bytes32, TypeName, u8
from aitoken.crypto.hashing import blake2_256
from aitoken.names import LENGTH_MIN, commitment_of, is_name, skeleton_of
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from chain.frame.calls import call
from chain.frame.origin import Origin, Root, Signed, ensure_root, ensure_signed
from chain.frame.pallet import Pallet, runtime_api
from chain.frame.results import attempt
from chain.frame.storage import Value
from chain.pallets.ai.agenda import SLOT_MS, Agenda
from chain.pallets.ai.attest_types import Class
from chain.pallets.ai.attest_types import OfAccount as AttestedAccount
from chain.pallets.ai.attest_types import OfProvider as AttestedProvider
from chain.pallets.ai.attest_types import Subject as Attested
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.names_events import NamesErrors, NamesEvents
from chain.pallets.ai.names_storage import (
    APPEAL_STEPS,
    CHALLENGE_STEPS,
    COMMIT_BLOCKS,
    COMMIT_MS,
    COMMITMENT_BYTES,
    GRACE_MS,
    NAME_BYTES,
    SCARCE,
    SWEPT_A_BLOCK,
    WARNING_MS,
    YEAR_MS,
    YEARS_MAX,
    NamesStorage,
)
from chain.pallets.ai.names_types import (
    Alert,
    Alike,
    Badge,
    Case,
    Commitment,
    Danger,
    For,
    Found,
    Name,
    NameCase,
    NameList,
    NamesHoldReason,
    Nobody,
    Objection,
    OfAccount,
    OfName,
    OfProvider,
    Registration,
    Reservation,
    Reserved,
    Subject,
    Vouched,
    Warned,
    WarningCase,
)
from chain.pallets.ai.pay_types import Payee, ToAccount, ToProvider
from chain.pallets.balances import BurnReason

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.balances import Balances

NOBODY: Final = AccountId(bytes(32))
"""In whose name the sweep works; it needs nothing of it."""

DEPOSIT: Final = NamesHoldReason.Deposit
BOND: Final = NamesHoldReason.Bond


class Now(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


class Height(Protocol):
    """The number of the block; the System pallet."""

    number: Value[BlockNumber]


class Sellers(Protocol):
    """Who providers are; the Providers pallet."""

    def is_run_by(self, provider: int, who: AccountId) -> bool:
        """Whether an account is the owner or the operator of a provider."""


class Vouching(Protocol):
    """Who vouches for whom; the Attest pallet."""

    def agreed(self, subject: Attested, uids: Sequence[Hash32], class_: Class, issuers: int = 2) -> bytes | None:
        """What attestations of so many issuers say of a subject, if they agree."""


class Names(Pallet, NamesStorage, index=50, crate="pallet_names"):
    """Readable names that cannot be imitated, and warnings of who tries."""

    HoldReason = NamesHoldReason
    Event = NamesEvents
    Error = NamesErrors

    def __init__(
        self,
        machine: Machine,
        balances: Balances,
        system: Height,
        clock: Now,
        providers: Sellers,
        attest: Vouching,
    ) -> None:
        super().__init__(machine)
        self._balances = balances
        self._system = system
        self._clock = clock
        self._providers = providers
        self._attest = attest
        self._agenda = Agenda(self.agenda, self.agenda_counts, self.agenda_front)
        self._machine = machine
        self._make_call = machine.schema.make_call
        self._sweeping = self.cost_of("on_initialize")

    # --------------------------------------------------------------------------------------------- having a name

    @call(0)
    def commit(self, origin: Origin, commitment: Hash32 | None) -> None:
        """Commit to a name that will be registered, in place of an earlier commitment; or to none any more."""
        who = ensure_signed(origin)
        self._drop_commitment(who)
        if commitment is not None:
            held = deposit(COMMITMENT_BYTES)
            self._balances.hold(DEPOSIT, who, held)
            self.commitments.put(who, Commitment(commitment, self._system.number.get(), self._now(), held))
        self.emit(self.Event.Committed(who))

    @call(1)
    def register(self, origin: Origin, name: Name, years: u8, salt: Bytes32) -> None:
        """Register a name the caller has committed to; it names the caller until it is told otherwise."""
        who, now = ensure_signed(origin), self._now()
        if len(name) < LENGTH_MIN:
            raise self.Error.TooShort
        if not is_name(name):
            raise self.Error.BadName
        self._check_commitment(who, name, salt)
        skeleton = skeleton_of(name)
        reserved = self.reserved.get(skeleton)
        if reserved is not None and (reserved.name, reserved.holder) != (name, who):
            raise self.Error.Reserved
        self._make_free(name, skeleton)
        expires = self._paid_until(now, years)
        rent = self._pay_rent(who, name, years)
        self._drop_commitment(who)
        held = deposit(NAME_BYTES)
        self._balances.hold(DEPOSIT, who, held)
        self.skeletons.put(skeleton, name)
        row = Registration(who, ToAccount(who), expires, held, None, False, None, (0, 0))
        self._enter_name(name, row)
        self.emit(self.Event.Registered(name, who, expires, rent))

    @call(2)
    def renew(self, origin: Origin, name: Name, years: u8) -> None:
        """Pay for more years of a name, for its owner; anybody may."""
        who, found = ensure_signed(origin), self._name(name)
        if self._now() >= found.expires + GRACE_MS:
            raise self.Error.TooLate
        if found.frozen:
            raise self.Error.Frozen
        found.expires = self._paid_until(found.expires, years)
        rent = self._pay_rent(who, name, years)
        self.names.put(name, found)
        self.emit(self.Event.Renewed(name, who, found.expires, rent))

    @call(3)
    def transfer(self, origin: Origin, name: Name, dest: AccountId) -> None:
        """Give a name to another account, which it names from then on; the deposit goes along, the badge does not."""
        who, found = ensure_signed(origin), self._in_use(name)
        if who != found.owner:
            raise self.Error.NotOwner
        if found.challenge is not None:
            raise self.Error.UnderChallenge
        self._balances.release(DEPOSIT, who, found.deposit)
        self._balances.transfer_into_hold(DEPOSIT, who, dest, found.deposit)
        found.owner, found.target, found.badge = dest, ToAccount(dest), None
        self.names.put(name, found)
        self.emit(self.Event.Transferred(name, who, dest))

    @call(4)
    def set_target(self, origin: Origin, name: Name, target: Payee) -> None:
        """Let a name mean an account, a split or a provider; a badge has to be shown anew."""
        found = self._in_use(name)
        if ensure_signed(origin) != found.owner:
            raise self.Error.NotOwner
        found.target, found.badge = target, None
        self.names.put(name, found)
        self.emit(self.Event.TargetSet(name, target))

    @call(5)
    def release(self, origin: Origin, name: Name) -> None:
        """Give a name up; the deposit comes back."""
        found = self._name(name)
        if ensure_signed(origin) != found.owner:
            raise self.Error.NotOwner
        if found.frozen:
            raise self.Error.Frozen
        if found.challenge is not None:
            raise self.Error.UnderChallenge
        self._remove(name, found)

    # --------------------------------------------------------------------------------------------- the committee

    @call(6, units=lambda names, _: len(names))
    def reserve(self, origin: Origin, names: NameList, terms: Reservation) -> None:
        """Say who may register these names, and nobody what looks like them; takes frozen names out of the way."""
        ensure_root(origin)
        for name in names:
            if not is_name(name):
                raise self.Error.BadName
            skeleton = skeleton_of(name)
            taken = self.skeletons.get(skeleton)
            if taken is not None and (found := self._name(taken)).frozen:
                self._remove(taken, found)
            if isinstance(terms, (Nobody, For)):
                self.reserved.put(skeleton, Reserved(name, terms.who if isinstance(terms, For) else None))
            else:
                self.reserved.remove(skeleton)
        self.emit(self.Event.ReservationsSet(names, terms))

    @call(7)
    def warn(self, origin: Origin, subject: Subject, danger: Danger, evidence: Hash32 | None) -> None:
        """Warn of a name, an account or a provider for 30 days, anew if need be; without evidence take it back."""
        ensure_root(origin)
        before = self.warnings.get(subject)
        if evidence is None:
            if before is None:
                raise self.Error.NoWarning
            self._end_warning(subject, before)
            self.emit(self.Event.WarningEnded(subject))
            return
        if isinstance(subject, OfName):
            self._name(subject.name)
        until = Moment(self._now() + WARNING_MS)
        appeal, place = (None, (0, 0)) if before is None else (before.appeal, before.place)
        self._enter_warning(subject, Alert(danger, evidence, until, appeal, place))
        self.emit(self.Event.Warned(subject, danger, evidence, until))

    @call(8)
    def rule(self, origin: Origin, case: Case, upheld: bool) -> None:  # noqa: FBT001 - an argument of a call
        """Decide whether a challenge or an appeal is right."""
        ensure_root(origin)
        found, objection = self._case(case)
        if isinstance(found, Registration) and isinstance(case, NameCase):
            self._rule_name(case.name, found, objection, upheld=upheld)
        elif isinstance(found, Alert) and isinstance(case, WarningCase):
            self._rule_warning(case.subject, found, objection, upheld=upheld)
        told = self.Event.Upheld if upheld else self.Event.Dismissed
        self.emit(told(case, objection.who))

    # --------------------------------------------------------------------------------------------- anybody

    @call(9)
    def challenge(self, origin: Origin, case: Case, evidence: Hash32) -> None:
        """Say that a name is an impersonation, or, as whom it is about, that a warning is wrong; a bond is held."""
        who, now = ensure_signed(origin), self._now()
        steps = CHALLENGE_STEPS if isinstance(case, NameCase) else APPEAL_STEPS
        until = Moment(now + steps * self.step_ms)
        objection = Objection(who, self.bond, evidence, until)
        if isinstance(case, NameCase):
            name = self._in_use(case.name)
            if name.challenge is not None:
                raise self.Error.UnderChallenge
            self._balances.hold(BOND, who, self.bond)
            name.challenge = objection
            self._enter_name(case.name, name)
        elif isinstance(case, WarningCase):
            warning = self._warning(case.subject)
            if warning.appeal is not None:
                raise self.Error.UnderChallenge
            if not self._concerns(case.subject, who):
                raise self.Error.NotOwner
            self._balances.hold(BOND, who, self.bond)
            warning.appeal = objection
            self._enter_warning(case.subject, warning)
        self.emit(self.Event.Challenged(case, who, self.bond, evidence, until))

    @call(10)
    def mark_verified(
        self, origin: Origin, name: Name, vouched: Annotated[Vouched | None, TypeName("Option<Vouched>")]
    ) -> None:
        """Show the domain that two issuers attest of a name's owner, or of the provider it means; anybody may.

        Without one take the badge away: as the owner, as root, or because the attestations count no more.
        """
        found = self._in_use(name)
        if vouched is not None:
            if not isinstance(origin, Root):
                ensure_signed(origin)
            if not self._is_vouched(found, vouched):
                raise self.Error.NotVouched
            found.badge = Badge(vouched, self._now())
            self.emit(self.Event.Verified(name, found.owner, vouched))
        else:
            is_stale = found.badge is not None and not self._is_vouched(found, found.badge.vouched)
            if not isinstance(origin, Root) and ensure_signed(origin) != found.owner and not is_stale:
                raise self.Error.NotOwner
            found.badge = None
            self.emit(self.Event.BadgeRemoved(name))
        self.names.put(name, found)

    @call(11)
    def settle(self, origin: Origin, case: Case) -> None:
        """Do what time asks for: free an expired name, end a warning or what nobody decided; anybody may."""
        ensure_signed(origin)
        if not self._is_due(case):
            raise self.Error.NotYet
        self._end(case)

    # --------------------------------------------------------------------------------------------- time

    def on_initialize(self, number: BlockNumber) -> int:  # noqa: ARG002 - time decides
        """Do what time asks for, a little a block; what cannot be done is tried again later."""
        now = self._now()
        due = self._agenda.due(now, SWEPT_A_BLOCK)
        for case in due:
            if not self._is_there(case):
                continue
            if not self._is_due(case):
                self._enter_again(case, None)
            elif isinstance(attempt(self._machine, self._make_call("Names.settle", case), Signed(NOBODY)), Fail):
                self._enter_again(case, Moment(now + SLOT_MS))
        return self._sweeping.at(len(due))

    def _enter_again(self, case: Case, at: Moment | None) -> None:
        """Note when a case is looked at next."""
        if isinstance(case, NameCase):
            self._enter_name(case.name, self._name(case.name), at)
        elif isinstance(case, WarningCase):
            self._enter_warning(case.subject, self._warning(case.subject), at)

    def _is_there(self, case: Case) -> bool:
        if isinstance(case, NameCase):
            return self.names.contains(case.name)
        return isinstance(case, WarningCase) and self.warnings.contains(case.subject)

    def _is_due(self, case: Case) -> bool:
        """Whether the time of what a case is about has come."""
        now = self._now()
        if isinstance(case, NameCase):
            return now >= _next_of(self._name(case.name))
        if isinstance(case, WarningCase):
            return now >= _end_of(self._warning(case.subject))
        return False

    def _end(self, case: Case) -> None:
        """Do what is due."""
        if isinstance(case, NameCase):
            self._look_at_name(case.name, self._name(case.name))
        elif isinstance(case, WarningCase):
            warning = self._warning(case.subject)
            self._end_warning(case.subject, warning)
            appeal, ended = warning.appeal, self.Event.WarningEnded(case.subject)
            self.emit(ended if appeal is None else self.Event.Upheld(case, appeal.who))

    def _look_at_name(self, name: Name, found: Registration) -> None:
        now, challenge = self._now(), found.challenge
        if challenge is not None and now >= challenge.until:
            self._give(BOND, challenge.who, found.owner, challenge.bond)
            found.challenge = None
            self.emit(self.Event.Dismissed(NameCase(name), challenge.who))
        if found.challenge is None and now >= found.expires + GRACE_MS:
            self._remove(name, found)
        else:
            self._enter_name(name, found)

    # --------------------------------------------------------------------------------------------- for other pallets

    def target_of(self, name: bytes) -> Payee | None:
        """Return what a name means now, None where it means nothing."""
        found = self.names.get(name)
        return None if found is None or found.frozen or self._now() >= found.expires else found.target

    # --------------------------------------------------------------------------------------------- for wallets

    @runtime_api("NamesApi", 1)
    def look_up(self, name: Name) -> Annotated[Found | None, TypeName("Option<Found>")]:
        """Return what there is to know of a name, None where it is nobody's."""
        found, now = self.names.get(name), self._now()
        if found is None:
            return None
        usable, target = not found.frozen and now < found.expires, found.target
        subjects: list[Subject] = [OfName(name), OfAccount(found.owner)]
        if isinstance(target, ToProvider):
            subjects.append(OfProvider(target.provider))
        elif isinstance(target, ToAccount) and target.who != found.owner:
            subjects.append(OfAccount(target.who))
        rows = [(subject, self.warnings.get(subject)) for subject in subjects]
        warnings = [
            Warned(subject, row.danger, row.evidence, row.until, row.appeal is not None)
            for subject, row in rows
            if row is not None
        ]
        badge = found.badge
        domain = badge.vouched.domain if badge is not None and self._is_vouched(found, badge.vouched) else None
        return Found(
            found.owner, target, found.expires, usable, found.frozen, found.challenge is not None, domain, warnings
        )

    @runtime_api("NamesApi", 1)
    def looks_like(self, name: Name) -> Annotated[Alike | None, TypeName("Option<Alike>")]:
        """Return the name that is somebody's and looks like this one, or is it."""
        taken = self.skeletons.get(skeleton_of(name))
        found = None if taken is None else self.names.get(taken)
        if taken is None or found is None:
            return None
        is_gone = found.challenge is None and self._now() >= found.expires + GRACE_MS
        return None if is_gone else Alike(taken, found.owner)

    # --------------------------------------------------------------------------------------------- inside

    def _is_vouched(self, found: Registration, vouched: Vouched) -> bool:
        """Whether attestations say now that a name's owner, or the provider it means, has a domain."""
        target = found.target
        subjects: list[Attested] = [AttestedAccount(found.owner)]
        if isinstance(target, ToProvider):
            subjects = [*subjects, AttestedProvider(target.provider)]
        said = [self._attest.agreed(subject, vouched.attestations, Class.Domain) for subject in subjects]
        return bool(vouched.domain) and blake2_256(vouched.domain) in said

    def _check_commitment(self, who: AccountId, name: bytes, salt: bytes) -> None:
        found = self.commitments.get(who)
        if found is None or found.hash != commitment_of(who, salt, name):
            raise self.Error.NotCommitted
        if self._system.number.get() < found.number + COMMIT_BLOCKS:
            raise self.Error.TooEarly
        if self._now() > found.time + COMMIT_MS:
            raise self.Error.TooLate

    def _make_free(self, name: bytes, skeleton: bytes) -> None:
        """Take an old name out of the way that nobody renewed in time."""
        taken = self.skeletons.get(skeleton)
        if taken is None:
            return
        if self.looks_like(name) is not None:
            raise self.Error.Taken if taken == name else self.Error.Confusable
        self._remove(taken, self._name(taken))

    def _paid_until(self, start: Moment, years: int) -> Moment:
        end = Moment(start + years * YEAR_MS)
        if not years or end > self._now() + YEARS_MAX * YEAR_MS:
            raise self.Error.BadPeriod
        return end

    def _pay_rent(self, who: AccountId, name: bytes, years: int) -> Balance:
        rent = Balance(self.rent.get() * SCARCE.get(len(name), 1) * years)
        self._balances.burn_from(who, rent, BurnReason.Fee, keep_alive=True)
        return rent

    def _drop_commitment(self, who: AccountId) -> None:
        found = self.commitments.take(who)
        if found is not None:
            self._balances.release(DEPOSIT, who, found.deposit)

    def _remove(self, name: bytes, found: Registration) -> None:
        """Make a name nobody's; a warning of it stays."""
        self._agenda.cross_out(found.place)
        self.names.remove(name)
        self.skeletons.remove(skeleton_of(name))
        self._balances.release(DEPOSIT, found.owner, found.deposit)
        self.emit(self.Event.Released(name, found.owner))

    def _rule_name(self, name: bytes, found: Registration, objection: Objection, *, upheld: bool) -> None:
        if upheld:
            self._balances.release(BOND, objection.who, objection.bond)
            self._give(DEPOSIT, found.owner, objection.who, found.deposit)
            found.frozen, found.deposit, found.badge = True, Balance(0), None
        else:
            self._give(BOND, objection.who, found.owner, objection.bond)
        found.challenge = None
        self._enter_name(name, found)

    def _rule_warning(self, subject: Subject, found: Alert, objection: Objection, *, upheld: bool) -> None:
        if upheld:
            self._end_warning(subject, found)
            return
        self._balances.burn_held(BOND, objection.who, objection.bond, BurnReason.Slash)
        found.appeal = None
        self._enter_warning(subject, found)

    def _end_warning(self, subject: Subject, found: Alert) -> None:
        self._agenda.cross_out(found.place)
        self.warnings.remove(subject)
        if found.appeal is not None:
            self._balances.release(BOND, found.appeal.who, found.appeal.bond)

    def _give(self, reason: NamesHoldReason, source: AccountId, dest: AccountId, amount: Balance) -> None:
        """Give held money to another; what cannot be received is burned."""
        if source == dest:
            self._balances.release(reason, source, amount)
        elif self._balances.can_receive(dest, amount):
            self._balances.transfer_held(reason, source, dest, amount)
        else:
            self._balances.burn_held(reason, source, amount, BurnReason.Slash)

    def _concerns(self, subject: Subject, who: AccountId) -> bool:
        """Whether a warning of this is somebody's business."""
        if isinstance(subject, OfName):
            found = self.names.get(subject.name)
            return found is not None and found.owner == who
        if isinstance(subject, OfProvider):
            return self._providers.is_run_by(subject.provider, who)
        return isinstance(subject, OfAccount) and subject.who == who

    def _case(self, case: Case) -> tuple[Registration | Alert, Objection]:
        """Return what is to be decided about, and what somebody objected."""
        if isinstance(case, NameCase):
            name = self._name(case.name)
            if name.challenge is not None:
                return name, name.challenge
        elif isinstance(case, WarningCase):
            warning = self._warning(case.subject)
            if warning.appeal is not None:
                return warning, warning.appeal
        raise self.Error.NoCase

    def _enter_name(self, name: bytes, row: Registration, at: Moment | None = None) -> None:
        """Store a name and when it is looked at next: when time asks for something, or at a time."""
        self._agenda.cross_out(row.place)
        row.place = self._agenda.enter(at or _next_of(row), NameCase(name))
        self.names.put(name, row)

    def _enter_warning(self, subject: Subject, row: Alert, at: Moment | None = None) -> None:
        self._agenda.cross_out(row.place)
        row.place = self._agenda.enter(at or _end_of(row), WarningCase(subject))
        self.warnings.put(subject, row)

    def _name(self, name: bytes) -> Registration:
        found = self.names.get(name)
        if found is None:
            raise self.Error.NoName
        return found.copy()

    def _in_use(self, name: bytes) -> Registration:
        """Return a name that means something now."""
        found = self._name(name)
        if found.frozen:
            raise self.Error.Frozen
        if self._now() >= found.expires:
            raise self.Error.TooLate
        return found

    def _warning(self, subject: Subject) -> Alert:
        found = self.warnings.get(subject)
        if found is None:
            raise self.Error.NoWarning
        return found.copy()

    def _now(self) -> Moment:
        return self._clock.current_time()


def _next_of(name: Registration) -> Moment:
    """Return when time asks for something about a name."""
    gone = Moment(name.expires + GRACE_MS)
    return gone if name.challenge is None else name.challenge.until


def _end_of(warning: Alert) -> Moment:
    """Return when a warning is gone, if nobody decides otherwise."""
    return warning.until if warning.appeal is None else min(warning.until, warning.appeal.until)
