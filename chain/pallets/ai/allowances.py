"""Allowances: keys for apps, agents and teams that cannot overspend, whatever they are made to sign.

An owner grants a key limits (per transaction, per period, in all), purposes, payees and an end. The key then makes
calls of those purposes as the owner, through `spend`. What counts is not what a call says it pays but what really left
the owner's free balance while it ran: payments, money put on hold, deposits alike. What comes back at the end of a
session counts back on the whole, not on a period; what comes back otherwise does not (the owner can raise the grant).

Whose grant is revoked can open no session and promise nothing more in those it has opened: they are frozen in the same
call (`allowances_sessions`). What was promised before can be claimed for the session's grace.

Grants form trees, at most `DEPTH_MAX` deep: a key with the purpose `Delegate` grants parts of its grant to other keys.
Every spending counts on each grant up to the root and keeps the limits, purposes and payees of each of them.

Fees of `spend` are the owner's and count like any other spending, failed calls included; so a key without money works,
and fees cannot drain an owner either. A transaction of a grant that is revoked, over or used up, or whose call is out
of its scope, is invalid: it enters neither pool nor block (`Sponsor` in `chain.frame.charging`).

One call at a time: a batch of "take back, pay out" would hide a payment from the balance before and after.

Source: payments paper, section 5.7; `docs/spec/pay-plans-allowances.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

from aitoken.codec.hints import TypeName, u16, u32, u64
from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.frame.calls import Call, PostInfo, RuntimeCall, call
from chain.frame.errors import CannotPay, DispatchError
from chain.frame.origin import Origin, Signed, ensure_signed
from chain.frame.pallet import Err, Errors, Ev, Events, Pallet, constant
from chain.frame.storage import BLAKE2_128_CONCAT, TWOX_64_CONCAT, Map, OptionMap, Value, storage_map, value
from chain.frame.types import LookupSource, OtherAddress, lookup
from chain.pallets.ai.allowances_sessions import Freezer, OpenedSessions
from chain.pallets.ai.allowances_types import (
    DEPTH_MAX,
    GRANTS_MAX,
    SESSIONS_MAX,
    AllowancesHoldReason,
    Grant,
    GrantsOf,
    Limits,
    OpenedSession,
    Purpose,
    Scope,
)
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.sessions_types import SessionId
from chain.pallets.ai.spending import Spendable

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.frame.system import System
    from chain.pallets.balances import Balances

GRANT_BYTES: Final = 250
PAYEE_BYTES: Final = 33
PERIOD_MIN_MS: Final = 60_000
DEPOSIT: Final = AllowancesHoldReason.Deposit

BoxedCall = Annotated[RuntimeCall, TypeName("Box<<T as Config>::RuntimeCall>")]
Path = list[tuple[int, Grant]]


class SpendRefused(CannotPay):
    """The grant is revoked, over or used up, or the call is out of its scope."""

    code = "transaction.grant"


class Now(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


class Allowances(Pallet, index=45, crate="pallet_allowances"):
    """Keys for apps, agents and teams that cannot overspend."""

    HoldReason = AllowancesHoldReason

    grants: OptionMap[tuple[AccountId, u64], Grant] = storage_map(
        BLAKE2_128_CONCAT, TWOX_64_CONCAT, doc="Grants by owner and number."
    )
    owners: OptionMap[AccountId, GrantsOf] = storage_map(BLAKE2_128_CONCAT, doc="Owners that have grants.")
    next_grant: Value[u64] = value(doc="The number of the next grant; never used twice.")
    sessions: OptionMap[tuple[AccountId, SessionId], OpenedSession] = storage_map(
        BLAKE2_128_CONCAT, BLAKE2_128_CONCAT, doc="Sessions that keys of an owner opened and that are still theirs."
    )
    session_count: Map[AccountId, u16] = storage_map(BLAKE2_128_CONCAT, doc="How many those of an owner are.")

    max_depth: u32 = constant(DEPTH_MAX, doc="How deep grants may be granted on; 1 is a grant of the owner itself.")
    max_grants: u32 = constant(GRANTS_MAX, doc="Most grants of one owner.")
    max_sessions: u32 = constant(SESSIONS_MAX, doc="Most open sessions of one owner's keys.")

    class Event(Events):
        """What Allowances tells."""

        class Granted(Ev, index=0):
            """A key may spend for its owner."""

            owner: AccountId
            grant: u64
            key: AccountId
            parent: u64 | None
            expires: Moment

        class Updated(Ev, index=1):
            """A grant has other limits, scope or end."""

            owner: AccountId
            grant: u64

        class Spent(Ev, index=2):
            """A key made a call for its owner: what left the owner's free balance, and what the fee came to at most."""

            owner: AccountId
            grant: u64
            amount: Balance
            fee: Balance

        class Revoked(Ev, index=3):
            """A grant is gone, and with it all that were granted from it."""

            owner: AccountId
            grant: u64

        class KillSwitch(Ev, index=4):
            """All grants of this owner with a lower number are void."""

            owner: AccountId
            below: u64

        class CountedBack(Ev, index=5):
            """A session that a key opened has ended: what came back of what the key put in may be spent again."""

            owner: AccountId
            grant: u64
            session: SessionId
            amount: Balance

    class Error(Errors):
        """How Allowances fails."""

        class NoGrant(Err, index=0):
            """There is no such grant."""

        class Void(Err, index=1):
            """The grant, or one it was granted from, was revoked."""

        class Expired(Err, index=2):
            """The time of the grant, or of one it was granted from, is over."""

        class NotTheKey(Err, index=3):
            """The grant is for another key."""

        class NotAllowed(Err, index=4):
            """Only the owner, or the key of a grant above it, may do that."""

        class OutOfScope(Err, index=5):
            """The grant does not cover this call or payee."""

        class OverTransaction(Err, index=6):
            """More than the grant allows in one transaction, fee included."""

        class OverPeriod(Err, index=7):
            """More than the grant allows in one period."""

        class OverTotal(Err, index=8):
            """More than the grant allows in all."""

        class TooDeep(Err, index=9):
            """Grants cannot be granted on that deep."""

        class TooMany(Err, index=10):
            """The owner has too many grants."""

        class BadLimits(Err, index=11):
            """A period is shorter than a minute, or the end is past."""

        class OwnKey(Err, index=12):
            """The key is the owner's own."""

        class TooManySessions(Err, index=13):
            """The owner's keys have too many sessions open."""

    def __init__(
        self,
        machine: Machine,
        system: System,
        balances: Balances,
        clock: Now,
        spendable: Spendable,
        freezer: Freezer,
    ) -> None:
        super().__init__(machine)
        self._machine = machine
        self._system = system
        self._balances = balances
        self._clock = clock
        self._spendable = spendable
        self._opened = OpenedSessions(self.sessions, self.session_count, freezer)
        self._fee = 0
        """Fee and tip of the transaction under way, as charged."""

    # --------------------------------------------------------------------------------------------- calls

    @call(0)
    def grant(
        self, origin: Origin, key: LookupSource, limits: Limits, scope: Scope, expires: Moment, parent: u64 | None
    ) -> None:
        """Let a key spend the caller's money within limits; with a parent it also keeps the parent's."""
        owner, who = ensure_signed(origin), lookup(key)
        if who == owner:
            raise self.Error.OwnKey
        self._check_terms(limits, expires)
        depth = 1
        if parent is not None:
            depth = self._live(owner, parent)[0][1].depth + 1
            if depth > DEPTH_MAX:
                raise self.Error.TooDeep
        mine = self.owners.get(owner) or GrantsOf(0, 0)
        if mine.count >= GRANTS_MAX:
            raise self.Error.TooMany
        held = deposit(GRANT_BYTES + PAYEE_BYTES * len(scope.payees))
        self._balances.hold(DEPOSIT, owner, held)
        self._system.increase_sufficients(who)
        number = self.next_grant.get()
        self.next_grant.put(number + 1)
        now = self._clock.current_time()
        zero = Balance(0)
        self.grants.put((owner, number), Grant(who, parent, depth, limits, scope, now, expires, held, zero, 0, zero))
        self.owners.put(owner, GrantsOf(mine.count + 1, mine.void_below))
        self.emit(self.Event.Granted(owner, number, who, parent, expires))

    @call(1)
    def update(self, origin: Origin, grant: u64, limits: Limits, scope: Scope, expires: Moment) -> None:
        """Give a grant of the caller other limits, scope and end; what was spent stays counted."""
        owner = ensure_signed(origin)
        found = self._find(owner, grant).copy()
        self._check_terms(limits, expires)
        held = deposit(GRANT_BYTES + PAYEE_BYTES * len(scope.payees))
        self._balances.release(DEPOSIT, owner, found.deposit)
        self._balances.hold(DEPOSIT, owner, held)
        found.spent_window = self._spent_now(found)
        found.limits, found.scope, found.expires, found.deposit = limits, scope, expires, held
        found.window = self._window(found)
        self.grants.put((owner, grant), found)
        self.emit(self.Event.Updated(owner, grant))

    @call(2, plus=lambda owner, grant, call: call.weight)  # noqa: ARG005 - of the arguments, one weighs
    def spend(self, origin: Origin, owner: LookupSource, grant: u64, call: BoxedCall) -> PostInfo:
        """Make a call as the owner of a grant, with the grant's key; the owner pays, the fee too."""
        key, whose = ensure_signed(origin), lookup(owner)
        path = self._live(whose, grant)
        self._check_key_and_scope(key, path, call, whose)
        session = self._spendable.session_of(call, whose)
        if session is not None and session[1] and self._opened.is_full(whose):
            raise self.Error.TooManySessions
        before = self._balances.free_balance(whose)
        post = self._machine.dispatch(call, Signed(whose))
        moved = Balance(max(0, before - self._balances.free_balance(whose)))
        for number, _ in path:
            self._count(whose, number, moved)
        if session is not None:
            note = self._opened.opened if session[1] else self._opened.topped_up
            note(whose, session[0], [number for number, _ in path], moved)
        self.emit(self.Event.Spent(whose, grant, moved, Balance(self._fee)))
        used = call.weight if post is None or post.weight is None else min(post.weight, call.weight)
        return PostInfo(self.cost_of("spend").base + used)

    @call(3, units=lambda *_: SESSIONS_MAX)
    def revoke(self, origin: Origin, owner: LookupSource, grant: u64) -> PostInfo:
        """End a grant, all granted from it, and freeze the sessions opened with them.

        Its owner may, its key and a key above it. Anybody may once it is over, which freezes nothing.
        """
        who, whose = ensure_signed(origin), lookup(owner)
        found = self._find(whose, grant)
        live, looked_at = self._is_live(whose, grant), 0
        if who != whose and live and who not in self._keys_over(whose, grant):
            raise self.Error.NotAllowed
        if live or who == whose:
            looked_at = self._opened.freeze(whose, grant)
        self.grants.remove((whose, grant))
        self._balances.release(DEPOSIT, whose, found.deposit)
        self._system.decrease_sufficients(found.key)
        mine = self.owners.get(whose) or GrantsOf(1, 0)
        if mine.count > 1:
            self.owners.put(whose, GrantsOf(mine.count - 1, mine.void_below))
        else:
            self.owners.remove(whose)
        self.emit(self.Event.Revoked(whose, grant))
        return PostInfo(self.cost_of("revoke").at(looked_at))

    @call(4, units=lambda: SESSIONS_MAX)
    def revoke_all(self, origin: Origin) -> PostInfo:
        """Make all grants of the caller void at once and freeze all sessions that keys have opened.

        `revoke` then gives back the deposit of each.
        """
        owner = ensure_signed(origin)
        looked_at = self._opened.freeze(owner, None)
        below = self.next_grant.get()
        mine = self.owners.get(owner)
        if mine is not None:
            self.owners.put(owner, GrantsOf(mine.count, below))
        self.emit(self.Event.KillSwitch(owner, below))
        return PostInfo(self.cost_of("revoke_all").at(looked_at))

    # --------------------------------------------------------------------------------------------- sessions

    def session_ended(self, payer: AccountId, session: Hash32, returned: Balance) -> None:
        """Count back what comes back of what a key put into a session."""
        found = self._opened.take(payer, session)
        amount = 0 if found is None else min(found.amount, returned)
        if found is None or not amount:
            return
        for number in found.grants:
            grant = self.grants.get((payer, number))
            if grant is not None:
                grant = grant.copy()
                grant.spent = Balance(max(0, grant.spent - amount))
                self.grants.put((payer, number), grant)
        self.emit(self.Event.CountedBack(payer, found.grants[0], session, Balance(amount)))

    def session_rekeyed(self, payer: AccountId, session: Hash32) -> None:
        """Forget a session that is no longer the spend key's."""
        self._opened.take(payer, session)

    # --------------------------------------------------------------------------------------------- paying the fee

    def payer(self, signer: AccountId, args: tuple[Any, ...], amount: int) -> tuple[AccountId, int]:
        """Return the owner, if the grant covers a fee of `amount` and the call, and how much more it covers.

        Raises:
            SpendRefused: it does not.
        """
        owner, grant, inner = args
        if isinstance(owner, OtherAddress):
            raise SpendRefused
        try:
            path = self._live(owner, grant)
            self._check_key_and_scope(signer, path, inner, owner)
            for _, each in path:
                self._check_limits(each, amount, amount)
        except DispatchError as error:
            raise SpendRefused(error.code) from None
        return AccountId(owner), min(self._left(each) for _, each in path)

    def charged(self, args: tuple[Any, ...], amount: int) -> None:
        """Count the fee on each grant, whatever becomes of the call."""
        self._fee = amount
        self._count_fee(args, amount)

    def settled(self, args: tuple[Any, ...], charged: int, actual: int) -> None:
        """Count back what of the fee was given back."""
        self._fee = 0
        self._count_fee(args, actual - charged)

    def _count_fee(self, args: tuple[Any, ...], amount: int) -> None:
        owner, number = AccountId(args[0]), args[1]
        while number is not None:
            found = self.grants.get((owner, number))
            if found is None:
                return
            self._add(owner, number, found, amount)
            number = found.parent

    # --------------------------------------------------------------------------------------------- the rules

    def _find(self, owner: AccountId, grant: int) -> Grant:
        found = self.grants.get((owner, grant))
        if found is None:
            raise self.Error.NoGrant
        return found

    def _live(self, owner: AccountId, grant: int) -> Path:
        """Return a grant and those it was granted from, if all of them are live."""
        path = [(grant, self._find(owner, grant))]
        while (parent := path[-1][1].parent) is not None:
            found = self.grants.get((owner, parent))
            if found is None:
                raise self.Error.Void
            path.append((parent, found))
        mine = self.owners.get(owner)
        void_below = 0 if mine is None else mine.void_below
        now = self._clock.current_time()
        for number, each in path:
            if number < void_below:
                raise self.Error.Void
            if now >= each.expires:
                raise self.Error.Expired
        return path

    def _is_live(self, owner: AccountId, grant: int) -> bool:
        try:
            self._live(owner, grant)
        except DispatchError:
            return False
        return True

    def _keys_over(self, owner: AccountId, grant: int) -> list[AccountId]:
        return [each.key for _, each in self._live(owner, grant)]

    def _check_key_and_scope(self, key: AccountId, path: Path, inner: Call, owner: AccountId) -> None:
        grant, found = path[0]
        if found.key != key:
            raise self.Error.NotTheKey
        purpose, payee = self._spendable.meaning_of(inner, owner)
        if purpose is None:
            raise self.Error.OutOfScope
        if purpose is Purpose.Delegate and not self._is_below(inner, owner, grant):
            raise self.Error.OutOfScope
        for _, each in path:
            scope = each.scope
            if purpose not in scope.purposes:
                raise self.Error.OutOfScope
            if scope.payees and purpose is not Purpose.Delegate and payee not in scope.payees:
                raise self.Error.OutOfScope

    def _is_below(self, inner: Call, owner: AccountId, grant: int) -> bool:
        """Whether a call of `Delegate` grants from this grant, or revokes one that comes from it."""
        arguments = inner.arguments
        if inner.info.name == "grant":
            return bool(arguments["parent"] == grant)
        if arguments["owner"] != owner or arguments["grant"] == grant:
            return False
        found = self.grants.get((owner, arguments["grant"]))
        for _ in range(DEPTH_MAX):
            if found is None or found.parent is None:
                return False
            if found.parent == grant:
                return True
            found = self.grants.get((owner, found.parent))
        return False

    def _check_terms(self, limits: Limits, expires: Moment) -> None:
        if expires <= self._clock.current_time() or (limits.period and limits.period < PERIOD_MIN_MS):
            raise self.Error.BadLimits

    def _window(self, grant: Grant) -> int:
        """Return the number of the period that runs."""
        period = grant.limits.period
        return (self._clock.current_time() - grant.since) // period if period else 0

    def _spent_now(self, grant: Grant) -> Balance:
        """Return what was spent in the period that runs."""
        return grant.spent_window if grant.window == self._window(grant) else Balance(0)

    def _check_limits(self, grant: Grant, at_once: int, more: int) -> None:
        """Make sure that a transaction of `at_once` in all keeps the limits, of which `more` is not counted yet."""
        limits = grant.limits
        if at_once > limits.per_transaction:
            raise self.Error.OverTransaction
        if limits.period and self._spent_now(grant) + more > limits.per_period:
            raise self.Error.OverPeriod
        if grant.spent + more > limits.total:
            raise self.Error.OverTotal

    def _left(self, grant: Grant) -> int:
        """Return what can still be spent now, in however many transactions."""
        limits = grant.limits
        total = limits.total - grant.spent
        return min(total, limits.per_period - self._spent_now(grant)) if limits.period else total

    def _count(self, owner: AccountId, number: int, moved: Balance) -> None:
        found = self._find(owner, number)
        self._check_limits(found, moved + self._fee, moved)
        self._add(owner, number, found, moved)

    def _add(self, owner: AccountId, number: int, grant: Grant, amount: int) -> None:
        grant = grant.copy()
        grant.spent = Balance(grant.spent + amount)
        grant.spent_window = Balance(self._spent_now(grant) + amount)
        grant.window = self._window(grant)
        self.grants.put((owner, number), grant)
