"""Attest: who vouches for whom, with a stake behind it, and persons that nobody can link.

Issuers put down a stake for each class of things they vouch for; their word counts once root has accepted them, and as
long as it does. What they say, statements of some schema about an account, a provider or a hash, is kept until it
expires. A statement has one identity, so one that was signed for others to hand in is there once, however often it is
handed in, and stays revoked once it is.

Persons. An issuer of personhood publishes a key for a scope and a time and signs blindly with it, once for each person.
A person shows the signed nullifier and the account that shall count as a person's:

* once in a scope: a nullifier counts once, and keys of an issuer for one scope do not overlap in time;
* unlinkable: the issuer has never seen the nullifier, and another scope means another key and another nullifier;
* of no use to whoever copies it: the nullifier's key signs for the account.

That needs neither balance nor account: it comes without an outer signature and enters pool and block only if it would
succeed. The issuer has put down what it costs, for as many persons as the key may let in; it is burned.

At any time, for each account

    held(Stake)   == sum of stakes of its classes
    held(Deposit) == sum of deposits of schemas, keys and of attestations it handed in
    held(Funded)  == sum over its keys of (cap - used) * fee

Source: payments paper, section 5.16; `docs/spec/attest.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from aitoken.codec.hints import Bytes32, Bytes64, u32
from aitoken.credentials import claim_bytes, statements_bytes, token_bytes
from aitoken.crypto import blind_rsa, ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.crypto.signature import verify_by_wallet
from aitoken.types import AIT, AccountId, Balance, BlockNumber, Hash32, Moment
from chain.frame.calls import Call, call
from chain.frame.errors import BadProof, DispatchError, InvalidTransaction, Stale, WouldFail
from chain.frame.executive import ValidTransaction
from chain.frame.origin import Origin, Root, ensure_root, ensure_signed
from chain.frame.pallet import Pallet, constant, runtime_api
from chain.frame.storage import BLAKE2_128_CONCAT, TWOX_64_CONCAT, Map, OptionMap, Value, storage_map, value
from chain.frame.types import CompactBalance, DispatchClass
from chain.pallets.ai.attest_events import AttestErrors, AttestEvents
from chain.pallets.ai.attest_types import (
    KEYS_A_PERSON,
    STATEMENT,
    STATEMENTS,
    Accept,
    Accepted,
    Attestation,
    AttestHoldReason,
    Class,
    Issuer,
    IssuerKey,
    KeyId,
    KeyList,
    Leaving,
    Modulus,
    Nullifier,
    Past,
    PastAttestations,
    PastPersons,
    PastSchema,
    Places,
    Schema,
    SchemaId,
    SchemaName,
    Scope,
    SignedBy,
    Slash,
    Statement,
    Statements,
    Subject,
    Suspended,
    Token,
    Uid,
    Verdict,
    Waiting,
)
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.free_lane import LONGEVITY, PRIORITY, FreeLane
from chain.pallets.balances import BurnReason

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.balances import Balances

FEE: Final = Balance(AIT // 200)
"""What letting in a person costs; the issuer has put it down, it is burned."""
STAKE_MIN: Final = Balance(100 * AIT)
LIFETIME_MS: Final = 5 * 365 * 86_400_000
KEY_MS: Final = 365 * 86_400_000
"""How long a key, and with it a person, may count."""
SCHEMA_BYTES: Final = 120
ATTESTATION_BYTES: Final = 320
KEY_BYTES: Final = 460
PERSON_BYTES: Final = 220
"""A nullifier and the account it names."""
ATTESTATION_DEPOSIT: Final = deposit(ATTESTATION_BYTES)

STAKE: Final = AttestHoldReason.Stake
DEPOSIT: Final = AttestHoldReason.Deposit
FUNDED: Final = AttestHoldReason.Funded


class CredentialRefused(WouldFail):
    """A credential would not be taken; the message names the error."""

    code = "transaction.credential"


class Genesis(Protocol):
    """What names this chain."""

    def hash_of(self, number: int) -> Hash32 | None:
        """The hash of a recent block, and of genesis."""


class Now(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


def _size_of(past: Past) -> int:
    if isinstance(past, PastAttestations):
        return len(past.places)
    return len(past.nullifiers) if isinstance(past, PastPersons) else 1


class Attest(Pallet, index=49, crate="pallet_attest"):
    """Who vouches for whom, with a stake behind it, and persons that nobody can link."""

    HoldReason = AttestHoldReason
    Event = AttestEvents
    Error = AttestErrors

    schemas: OptionMap[SchemaId, Schema] = storage_map(TWOX_64_CONCAT, doc="Kinds of attestations.")
    next_schema: Value[SchemaId] = value(doc="The number of the next schema.")
    issuers: OptionMap[tuple[AccountId, Class], Issuer] = storage_map(
        BLAKE2_128_CONCAT, TWOX_64_CONCAT, doc="Issuers, for each class they vouch for."
    )
    attestations: OptionMap[tuple[Subject, Uid], Attestation] = storage_map(
        BLAKE2_128_CONCAT, BLAKE2_128_CONCAT, doc="Attestations, by what they are about."
    )
    keys: OptionMap[KeyId, IssuerKey] = storage_map(TWOX_64_CONCAT, doc="Keys that let in persons.")
    next_key: Value[KeyId] = value(doc="The number of the next key; never used twice.")
    last_key: OptionMap[tuple[AccountId, Scope], KeyId] = storage_map(
        BLAKE2_128_CONCAT, BLAKE2_128_CONCAT, doc="The last key of an issuer for a scope."
    )
    nullifiers: OptionMap[tuple[KeyId, Nullifier], AccountId] = storage_map(
        TWOX_64_CONCAT, BLAKE2_128_CONCAT, doc="Nullifiers that were used, with the accounts they named."
    )
    persons: Map[tuple[Scope, AccountId], KeyList] = storage_map(
        BLAKE2_128_CONCAT, BLAKE2_128_CONCAT, doc="By which keys an account is a person in a scope."
    )

    person_fee: Balance = constant(FEE, doc="What letting in a person costs the issuer.")
    min_stake: Balance = constant(STAKE_MIN, doc="The least stake for a class.")
    attestation_deposit: Balance = constant(ATTESTATION_DEPOSIT, doc="What is held for an attestation.")
    lifetime: Moment = constant(LIFETIME_MS, doc="How far ahead an attestation may expire, in milliseconds.")
    key_lifetime: Moment = constant(KEY_MS, doc="How long a key may count, in milliseconds.")
    unbonding: Moment = constant(
        lambda env: env.params.unbond_ms, doc="How long the stake of an issuer that leaves can still be slashed."
    )

    def __init__(self, machine: Machine, balances: Balances, genesis: Genesis, clock: Now) -> None:
        super().__init__(machine)
        self._balances = balances
        self._genesis = genesis
        self._clock = clock
        self._lane = FreeLane(machine)
        self._verified: tuple[object, ...] = ()
        """The last credential that was found good: what is let in and then made is verified once."""

    # --------------------------------------------------------------------------------------------- schemas, issuers

    @call(0)
    def register_schema(self, origin: Origin, name: SchemaName, fields: Bytes32, class_: Class | None) -> None:
        """Describe a kind of attestation; with a class, only issuers of it may use it."""
        owner = ensure_signed(origin)
        if not name:
            raise self.Error.BadSchema
        held = deposit(SCHEMA_BYTES + len(name))
        self._balances.hold(DEPOSIT, owner, held)
        number = self.next_schema.get()
        self.next_schema.put(number + 1)
        self.schemas.put(number, Schema(owner, name, fields, class_, 0, held))
        self.emit(self.Event.SchemaRegistered(number, owner, name, fields, class_))

    @call(1)
    def register_issuer(self, origin: Origin, class_: Class, stake: CompactBalance, method: Bytes32) -> None:
        """Put down a stake for a class, or more of it; another method has to be accepted anew."""
        issuer = ensure_signed(origin)
        found = self.issuers.get((issuer, class_))
        if found is not None and isinstance(found.standing, Leaving):
            raise self.Error.IsLeaving
        total = Balance(stake + (0 if found is None else found.stake))
        if total < STAKE_MIN:
            raise self.Error.StakeTooLow
        self._balances.hold(STAKE, issuer, stake)
        standing = Waiting() if found is None else found.standing
        if found is not None and isinstance(standing, Accepted) and method != found.method:
            standing = Waiting()
        self.issuers.put((issuer, class_), Issuer(total, method, standing))
        self.emit(self.Event.IssuerRegistered(issuer, class_, total, method))

    @call(2)
    def judge_issuer(
        self, origin: Origin, issuer: AccountId, class_: Class, verdict: Verdict, evidence: Bytes32
    ) -> None:
        """Accept, suspend or slash an issuer; the evidence is a hash of why, of the method where it is accepted."""
        ensure_root(origin)
        found = self._issuer(issuer, class_).copy()
        is_leaving, burned = isinstance(found.standing, Leaving), Balance(0)
        if isinstance(verdict, Accept):
            if is_leaving:
                raise self.Error.IsLeaving
            if found.stake < STAKE_MIN:
                raise self.Error.StakeTooLow
            if evidence != found.method:
                raise self.Error.MethodChanged
            found.standing = Accepted(verdict.cap)
        elif not is_leaving:
            found.standing = Suspended()
        if isinstance(verdict, Slash):
            burned = self._balances.burn_held(
                STAKE, issuer, Balance(min(verdict.amount, found.stake)), BurnReason.Slash
            )
            found.stake = Balance(found.stake - burned)
        self.issuers.put((issuer, class_), found)
        self.emit(self.Event.IssuerJudged(issuer, class_, verdict, burned, evidence))

    @call(3)
    def leave(self, origin: Origin, class_: Class) -> None:
        """Vouch no more; called again after the time for it, take the stake."""
        issuer = ensure_signed(origin)
        found, now = self._issuer(issuer, class_), self._clock.current_time()
        if not isinstance(found.standing, Leaving):
            until = Moment(now + self.unbonding)
            self.issuers.put((issuer, class_), Issuer(found.stake, found.method, Leaving(until)))
            self.emit(self.Event.IssuerLeaves(issuer, class_, until))
            return
        if now < found.standing.until:
            raise self.Error.NotYet
        self.issuers.remove((issuer, class_))
        self._balances.release(STAKE, issuer, found.stake)
        self.emit(self.Event.IssuerLeft(issuer, class_, found.stake))

    # --------------------------------------------------------------------------------------------- attestations

    @call(4, units=lambda statements, _: len(statements))
    def attest(self, origin: Origin, statements: Statements, by: SignedBy | None) -> None:
        """Say something of subjects, or hand in what an issuer has signed; the deposit is the sender's."""
        sender = ensure_signed(origin)
        issuer = sender if by is None else by.issuer
        if by is not None:
            text = statements_bytes(self._genesis_hash(), issuer, STATEMENTS.encode(statements))
            kind, signed = by.signature.scale_index, getattr(by.signature, "signature", b"")
            if not verify_by_wallet(kind, signed, text, issuer):
                raise self.Error.BadSignature
        now = self._clock.current_time()
        for statement in statements:
            self._attest(sender, issuer, statement, now)
        self._balances.hold(DEPOSIT, sender, Balance(ATTESTATION_DEPOSIT * len(statements)))

    def _attest(self, sender: AccountId, issuer: AccountId, said: Statement, now: Moment) -> None:
        schema = self._schema(said.schema)
        if schema.class_ is not None and not self._counts(issuer, schema.class_):
            raise self.Error.NotAccepted
        if not now < said.expires <= now + LIFETIME_MS:
            raise self.Error.BadTime
        uid = uid_of(issuer, said)
        if self.attestations.contains((said.subject, uid)):
            raise self.Error.AlreadyAttested
        row = Attestation(said.schema, issuer, said.data, now, said.expires, said.reference, False, sender)
        self.attestations.put((said.subject, uid), row)
        self._use(said.schema, schema, 1)
        self.emit(self.Event.Attested(said.subject, uid, said.schema, issuer, said.data, said.expires))

    @call(5, units=len)
    def revoke(self, origin: Origin, places: Places) -> None:
        """Take back what one has said; it stays, marked as revoked, until it expires."""
        issuer = ensure_signed(origin)
        for subject, uid in places:
            found = self._attestation(subject, uid).copy()
            if found.issuer != issuer:
                raise self.Error.NotIssuer
            if found.revoked:
                raise self.Error.AlreadyRevoked
            found.revoked = True
            self.attestations.put((subject, uid), found)
            self.emit(self.Event.Revoked(subject, uid))

    # --------------------------------------------------------------------------------------------- persons

    @call(6)
    def publish_key(
        self, origin: Origin, scope: Scope, modulus: Modulus, since: Moment, until: Moment, cap: u32
    ) -> None:
        """Let in up to `cap` persons in a scope for a time; puts down what that costs."""
        issuer, now = ensure_signed(origin), self._clock.current_time()
        standing = self._issuer(issuer, Class.Personhood).standing
        if not isinstance(standing, Accepted):
            raise self.Error.NotAccepted
        if not 0 < cap <= standing.cap or not blind_rsa.is_modulus(modulus):
            raise self.Error.BadKey
        if not since < until <= since + KEY_MS or not now < until <= now + 2 * KEY_MS:
            raise self.Error.BadTime
        last = self.last_key.get((issuer, scope))
        before = None if last is None else self.keys.get(last)
        if before is not None and since < before.until:
            raise self.Error.KeysOverlap
        held = key_deposit(cap)
        self._balances.hold(DEPOSIT, issuer, held)
        self._balances.hold(FUNDED, issuer, Balance(cap * FEE))
        number = self.next_key.get()
        self.next_key.put(number + 1)
        self.keys.put(number, IssuerKey(issuer, scope, modulus, since, until, cap, 0, 0, held))
        self.last_key.put((issuer, scope), number)
        self.emit(self.Event.KeyPublished(number, issuer, scope, since, until, cap))

    @call(7)
    def stop_key(self, origin: Origin, key: KeyId) -> None:
        """End the time of a key now: as its issuer, because it was stolen, or as root."""
        found = self._key(key).copy()
        if not isinstance(origin, Root) and ensure_signed(origin) != found.issuer:
            raise self.Error.NotIssuer
        found.until = Moment(min(found.until, self._clock.current_time()))
        self.keys.put(key, found)
        self.emit(self.Event.KeyStopped(key))

    @call(8, dispatch_class=DispatchClass.Operational)
    def post_nullifier(
        self, origin: Origin, key: KeyId, nullifier: Nullifier, token: Token, account: AccountId, signature: Bytes64
    ) -> None:
        """Count an account as a person, once for a nullifier; needs no outer signature and then no fee."""
        self._lane.let_in(origin, self.cost_of("post_nullifier").base)
        found, counted = self._check_person(key, nullifier, token, account, signature)
        found = found.copy()
        found.used += 1
        found.kept += 1
        self.keys.put(key, found)
        self.nullifiers.put((key, nullifier), account)
        self.persons.put((found.scope, account), [*counted, key])
        self._balances.take_held(FUNDED, found.issuer, FEE)
        self._balances.rescind(FEE, BurnReason.Fee)
        self.emit(self.Event.NullifierUsed(key, nullifier, account))

    @call(9, units=_size_of)
    def prune(self, origin: Origin, past: Past) -> None:
        """Forget what is over: by anybody; deposits go back to whose they are."""
        who = ensure_signed(origin)
        if isinstance(past, PastAttestations):
            self._forget_attestations(past.places)
        elif isinstance(past, PastPersons):
            self._forget_persons(past.key, past.nullifiers)
        elif isinstance(past, PastSchema):
            self._remove_schema(who, past.schema)

    def _remove_schema(self, who: AccountId, number: int) -> None:
        schema = self._schema(number)
        if schema.owner != who:
            raise self.Error.NotIssuer
        if schema.uses:
            raise self.Error.SchemaInUse
        self.schemas.remove(number)
        self._balances.release(DEPOSIT, who, schema.deposit)
        self.emit(self.Event.SchemaRemoved(number))

    def _forget_attestations(self, places: Sequence[tuple[Subject, Hash32]]) -> None:
        now = self._clock.current_time()
        for subject, uid in places:
            found = self._attestation(subject, uid)
            if now < found.expires:
                raise self.Error.NotOver
            self.attestations.remove((subject, uid))
            self._use(found.schema, self._schema(found.schema), -1)
            self._balances.release(DEPOSIT, found.depositor, ATTESTATION_DEPOSIT)

    def _forget_persons(self, key: int, nullifiers: Sequence[bytes]) -> None:
        found = self._key(key).copy()
        if self._clock.current_time() < found.until:
            raise self.Error.NotOver
        for nullifier in nullifiers:
            account = self.nullifiers.take((key, nullifier))
            if account is None:
                raise self.Error.NoNullifier
            left = [each for each in self.persons.get((found.scope, account)) if each != key]
            if left:
                self.persons.put((found.scope, account), left)
            else:
                self.persons.remove((found.scope, account))
        found.kept -= len(nullifiers)
        if found.kept:
            self.keys.put(key, found)
            return
        self.keys.remove(key)
        if self.last_key.get((found.issuer, found.scope)) == key:
            self.last_key.remove((found.issuer, found.scope))
        self._balances.release(DEPOSIT, found.issuer, found.deposit)
        self._balances.release(FUNDED, found.issuer, Balance((found.cap - found.used) * FEE))
        self.emit(self.Event.KeyRemoved(key))

    # --------------------------------------------------------------------------------------------- without a fee

    def check_unsigned(self, call: Call) -> ValidTransaction:
        """Let a credential in that would be taken.

        Raises:
            LaneFull: there is no more room for it in this block.
            Stale: the nullifier was used.
            BadProof: the nullifier's key or the issuer has not signed it.
            CredentialRefused: it would fail for another reason.
        """
        if call.info.name != "post_nullifier":
            raise InvalidTransaction
        self._lane.check_room(self.cost_of("post_nullifier").base)
        try:
            self._check_person(*call.args)
        except self.Error.NullifierUsed:
            raise Stale from None
        except (self.Error.BadToken, self.Error.BadSignature):
            raise BadProof from None
        except DispatchError as error:
            raise CredentialRefused(error.code) from None
        key, nullifier = call.args[:2]
        tag = blake2_256(b"person" + key.to_bytes(4, "little") + nullifier)
        return ValidTransaction(PRIORITY, (), (tag,), LONGEVITY)

    def on_initialize(self, number: BlockNumber) -> int:  # noqa: ARG002 - the same for every block
        """Let credentials in anew; that costs nothing."""
        self._lane.begin_block()
        return 0

    def _check_person(
        self, key: int, nullifier: bytes, token: bytes, account: AccountId, signature: bytes
    ) -> tuple[IssuerKey, list[int]]:
        """Return the key of a credential that is good, and the keys by which its account counts before it."""
        found = self._key(key)
        now = self._clock.current_time()
        if not found.since <= now < found.until:
            raise self.Error.KeyNotValid
        if not self._counts(found.issuer, Class.Personhood):
            raise self.Error.NotAccepted
        if self.nullifiers.contains((key, nullifier)):
            raise self.Error.NullifierUsed
        if found.used >= found.cap:
            raise self.Error.CapReached
        counted = self._keys_of(account, found.scope)
        if len(counted) >= KEYS_A_PERSON or any(row.issuer == found.issuer for _, row in counted):
            raise self.Error.AlreadyPerson
        genesis = self._genesis_hash()
        seal = (found.modulus, key, nullifier, token, account, signature)
        if seal != self._verified:
            if not blind_rsa.verify(token, token_bytes(genesis, key, nullifier), found.modulus):
                raise self.Error.BadToken
            if not ed25519.verify(signature, claim_bytes(genesis, key, account), nullifier):
                raise self.Error.BadSignature
            self._verified = seal
        return found, [number for number, _ in counted]

    # --------------------------------------------------------------------------------------------- questions

    @runtime_api("AttestApi", 1)
    def issuers_of_person(self, account: AccountId, scope: Scope) -> u32:
        """Return how many issuers vouch that an account is a person's, once in this scope."""
        rows = self._keys_of(account, scope)
        return sum(self._counts(row.issuer, Class.Personhood) for _, row in rows)

    def is_person(self, account: AccountId, scope: bytes, issuers: int = 1) -> bool:
        """Whether so many issuers vouch that an account is a person's, once in this scope."""
        return self.issuers_of_person(account, scope) >= issuers

    def vouched(self, subject: Subject, uid: Hash32, class_: Class) -> bytes | None:
        """Return what an attestation says of a subject; None if it does not count now or is of another class."""
        found = self.attestations.get((subject, uid))
        if found is None or found.revoked or self._clock.current_time() >= found.expires:
            return None
        schema = self.schemas.get(found.schema)
        if schema is None or schema.class_ is not class_ or not self._counts(found.issuer, class_):
            return None
        return found.data

    def agreed(self, subject: Subject, uids: Sequence[Hash32], class_: Class, issuers: int = 2) -> bytes | None:
        """Return what all of these attestations say of a subject, if they are of so many issuers and agree.

        A domain is verified by two issuers that attest the same hash of its name.
        """
        said = [self.vouched(subject, uid, class_) for uid in uids]
        who = {found.issuer for uid in uids if (found := self.attestations.get((subject, uid))) is not None}
        return said[0] if len(who) >= issuers and len(set(said)) == 1 else None

    # --------------------------------------------------------------------------------------------- inside

    def _keys_of(self, account: AccountId, scope: bytes) -> list[tuple[int, IssuerKey]]:
        """Return the keys by which an account counts now, whatever is thought of their issuers."""
        now = self._clock.current_time()
        rows = [(number, self.keys.get(number)) for number in self.persons.get((scope, account))]
        return [(number, row) for number, row in rows if row is not None and now < row.until]

    def _counts(self, issuer: AccountId, class_: Class) -> bool:
        found = self.issuers.get((issuer, class_))
        return found is not None and isinstance(found.standing, Accepted)

    def _use(self, number: int, schema: Schema, more: int) -> None:
        schema = schema.copy()
        schema.uses += more
        self.schemas.put(number, schema)

    def _schema(self, number: int) -> Schema:
        found = self.schemas.get(number)
        if found is None:
            raise self.Error.UnknownSchema
        return found

    def _issuer(self, who: AccountId, class_: Class) -> Issuer:
        found = self.issuers.get((who, class_))
        if found is None:
            raise self.Error.NoIssuer
        return found

    def _attestation(self, subject: Subject, uid: Hash32) -> Attestation:
        found = self.attestations.get((subject, uid))
        if found is None:
            raise self.Error.NoAttestation
        return found

    def _key(self, number: int) -> IssuerKey:
        found = self.keys.get(number)
        if found is None:
            raise self.Error.NoKey
        return found

    def _genesis_hash(self) -> Hash32:
        return self._genesis.hash_of(0) or Hash32(bytes(32))


def uid_of(issuer: AccountId, statement: Statement) -> Hash32:
    """Return the identity of what an issuer says."""
    return Hash32(blake2_256(issuer + STATEMENT.encode(statement)))


def key_deposit(cap: int) -> Balance:
    """Return the deposit for a key that lets in so many persons."""
    return Balance(deposit(KEY_BYTES) + cap * deposit(PERSON_BYTES))
