"""Transactions about who people are: identities and registrars, issuers and what they attest, persons, feedback."""

from __future__ import annotations

from random import Random
from typing import Any

from aitoken.credentials import EVERYWHERE, Request
from aitoken.crypto.hashing import blake2_256
from aitoken.types import AIT, AccountId, Hash32, Moment
from chain.frame.calls import Call
from chain.pallets.ai import attest_types as a
from chain.pallets.identity import INFO
from chain.pallets.identity_types import NOTHING, IdentityInfo, KnownGood, text
from tests.support.identity_chain import KEYS, METHOD
from tests.support.pay_chain import PayChain
from tests.support.pay_session import PaySession
from tests.support.staking_chain import account

REGISTRAR, ISSUERS = "operator", ("operator", "payout")
WEEK = 7 * 86_400_000
Sent = tuple[str | None, Call]


class Vouching:
    """Draws calls that need more than luck."""

    def __init__(self, rng: Random, chain: PayChain, people: tuple[str, ...]) -> None:
        self._rng = rng
        self._chain = chain
        self._people = people
        self._make = chain.schema.make_call

    @property
    def builders(self) -> tuple[Any, ...]:
        """What makes a transaction each."""
        return self.identity, self.identity, self.issuer, self.attest, self.person, self.rate

    def _who(self) -> str:
        return self._rng.choice(self._people)

    def _root(self, name: str, *args: Any) -> Sent:
        return "root", self._make("Sudo.sudo", self._make(name, *args))

    def identity(self) -> Sent:
        """Somebody says who it is, asks, is judged, names others, leaves."""
        who, other, stored = self._who(), account(self._who()), self._chain.identity.identity_of
        choice = self._rng.randrange(9)
        if choice == 0:
            return self._root("Identity.add_registrar", account(REGISTRAR))
        if choice == 1:
            return REGISTRAR, self._make("Identity.set_fee", 0, self._rng.choice((0, AIT)))
        if choice == 2:
            info = IdentityInfo(text("x" * self._rng.randrange(33)), *[NOTHING] * 4, None, *[NOTHING] * 4)
            return who, self._make("Identity.set_identity", info)
        if choice == 3:
            return who, self._make("Identity.request_judgement", 0, 2 * AIT)
        if choice == 4:
            known = [each for each, _ in stored.items()]
            target = self._rng.choice(known) if known else other
            found = stored.get(target)
            said = Hash32(bytes(32) if found is None else blake2_256(INFO.encode(found.info)))
            return REGISTRAR, self._make("Identity.provide_judgement", 0, target, KnownGood(), said)
        if choice == 5:
            subs = [(account(name), NOTHING) for name in self._rng.sample(self._people, self._rng.randrange(4))]
            return who, self._make("Identity.set_subs", subs)
        if choice == 6:
            return self._root("Identity.kill_identity", other)
        name = ("add_sub", "quit_sub")[choice - 7]
        return who, self._make(f"Identity.{name}", *((other, NOTHING) if name == "add_sub" else ()))

    def issuer(self) -> Sent:
        """An issuer puts down a stake, is judged, publishes a key, stops it, leaves."""
        who, choice = self._rng.choice(ISSUERS), self._rng.randrange(6)
        class_ = self._rng.choice((a.Class.Personhood, a.Class.Domain))
        if choice == 0:
            return who, self._make("Attest.register_issuer", class_, 100 * AIT, METHOD)
        if choice <= 2:
            verdict = self._rng.choice((a.Accept(5), a.Accept(5), a.Suspend(), a.Slash(AIT)))
            return self._root("Attest.judge_issuer", account(who), class_, verdict, METHOD)
        if choice == 3:
            modulus = KEYS[ISSUERS.index(who)].modulus
            begin = Moment(self._chain.time_ms)
            return who, self._make("Attest.publish_key", EVERYWHERE, modulus, begin, begin + WEEK, 4)
        if choice == 4:
            return who, self._make("Attest.stop_key", self._rng.choice(self._keys() or [0]))
        return who, self._make("Attest.leave", class_)

    def attest(self) -> Sent:
        """An issuer says something of somebody, takes it back; anybody clears up."""
        who, choice, stored = self._rng.choice(ISSUERS), self._rng.randrange(4), self._chain.attest
        places = [place for place, _ in stored.attestations.items()]
        if choice == 0:
            return who, self._make("Attest.register_schema", b"s", METHOD, self._rng.choice((None, a.Class.Domain)))
        if choice == 1 and places:
            return who, self._make("Attest.revoke", [self._rng.choice(places)])
        if choice == 2:
            past: Any = a.PastAttestations(places[:2])
            keys = self._keys()
            if keys and self._rng.random() < 0.7:
                key = self._rng.choice(keys)
                mine = [nullifier for (number, nullifier), _ in stored.nullifiers.items() if number == key]
                past = a.PastPersons(key, mine[:3])
            return self._who(), self._make("Attest.prune", past)
        schemas = [number for number, _ in stored.schemas.items()]
        end = Moment(self._chain.time_ms + self._rng.choice((60_000, WEEK)))
        subject = a.OfAccount(account(self._who()))
        said = a.Statement(self._rng.choice(schemas or [0]), subject, METHOD, end, None)
        return who, self._make("Attest.attest", [said], None)

    def person(self) -> Sent:
        """Somebody becomes a person, without a signature."""
        keys = self._keys()
        if not keys:
            return self.issuer()
        number = self._rng.choice(keys)
        found = self._chain.attest.keys.get(number)
        key = next(each for each in KEYS if each.modulus == found.modulus)
        request = Request.make(self._chain.genesis_hash, number, key.modulus)
        args = request.finish(key.sign_blind(request.blinded), AccountId(account(self._who())))
        return None, self._make("Attest.post_nullifier", *args)

    def rate(self) -> Sent:
        """Somebody rates what it has paid, is answered, takes it back."""
        sessions = list(self._chain.sessions.sessions.items())
        rated = list(self._chain.reputation.feedbacks.items())
        if rated and self._rng.random() < 0.5:
            (provider, session), found = self._rng.choice(rated)
            if self._rng.random() < 0.5:
                return "operator", self._make("Reputation.respond", provider, session, METHOD)
            who = next((name for name in self._people if account(name) == found.author), self._who())
            return who, self._make("Reputation.revoke", provider, session)
        if not sessions:
            return self._who(), self._make("Reputation.revoke", 1, Hash32(bytes(32)))
        number, session = self._rng.choice(sessions)
        who = next((name for name in self._people if account(name) == session.payer), self._who())
        return who, self._make("Reputation.feedback", number, 0, self._receipt(number, session), 70, [1], METHOD)

    def _receipt(self, number: Hash32, session: Any) -> Any:
        """The first receipt of a session, for one of its provider's services."""
        services = [each for each, row in self._chain.providers.services.items() if row.provider == session.provider]
        shown = PaySession(self._chain, session.provider, opened=False)
        shown.id, shown.book = number, session.book_version
        return shown.signed(shown.receipt(0, 1, AIT, service=self._rng.choice(services or [1])))

    def _keys(self) -> list[int]:
        return [number for number, row in self._chain.attest.keys.items() if self._of_ours(row.modulus)]

    @staticmethod
    def _of_ours(modulus: bytes) -> bool:
        return any(each.modulus == modulus for each in KEYS)
