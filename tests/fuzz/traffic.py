"""Transactions anybody might send: calls of all pallets, drawn by type, and some put together so that they succeed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from aitoken.codec.base import DecodeError
from aitoken.names import commitment_of
from aitoken.pay import codes
from aitoken.pay.layouts import OpenParams, session_id
from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, sign_bytes
from aitoken.types import AIT, Balance, BlockNumber, Hash32, Moment
from chain.frame.calls import Call, CallInfo
from chain.frame.types import Ed25519Signature
from chain.pallets.ai import plans_types, sessions_types
from chain.pallets.ai.allowances_types import Limits, Purpose, Scope
from chain.pallets.ai.codes_types import Credit, Tokens
from chain.pallets.ai.names_types import NameCase
from chain.pallets.ai.pay_types import AuthorizationTerms, Share, ToAccount, ToProvider, ToSplit
from chain.pallets.consensus import EquivocationProof, SignedVote
from chain.pallets.session import POSSESSION_PREFIX, SessionKeys
from chain.pallets.staking import types as t
from tests.fuzz.values import DEPTH_MAX, Pools, draw
from tests.fuzz.vouching import Vouching
from tests.support.pay_chain import PayChain, book, terms
from tests.support.pay_session import PaySession
from tests.support.staking_chain import account, pair

VALIDATORS = ("A", "B", "C", "D", "E", "F")
PEOPLE = tuple(f"P{index}" for index in range(14))
SIGNERS = (*VALIDATORS, *PEOPLE, "operator", "payout", "root")
STRANGERS = tuple(f"S{index}" for index in range(10))
FORBIDDEN = (
    "System.set_storage", "System.kill_storage", "System.kill_prefix", "Sudo.set_key", "Sudo.remove_key",
    "System.set_heap_pages", "Sudo.sudo_unchecked_weight", "Timestamp.set",
)  # fmt: skip
"""What a root key may do to break a chain on purpose, and what nobody may."""
SESSIONS_MAX = 20
STORED_MAX = 6
"""Of more things of a kind than these, no more are made by hand: a small state is checked often."""

NAMES = (b"golden", b"g0lden", b"silver", b"bronze-age", b"abc")
CODES = [pair(f"code {index}") for index in range(4)]
ROOT = codes.root_of([key.public for key in CODES])
PROOFS = codes.proofs_of([key.public for key in CODES])
SALT = bytes(32)

Sent = tuple[str | None, Call]


class Traffic:
    """Draws transactions for a chain; `builders` are the calls that need more than luck."""

    def __init__(self, rng: Random, chain: PayChain) -> None:
        self.rng = rng
        self.chain = chain
        self.make = chain.schema.make_call
        infos = self._infos = [info for info in chain.schema.all_calls() if repr(info) not in FORBIDDEN]
        self._sudo_key = chain.schema.call_info("Sudo.sudo").key
        self._by_pallet: dict[str, list[CallInfo]] = {}
        for info in infos:
            self._by_pallet.setdefault(info.pallet_name, []).append(info)
        accounts = [account(name) for name in (*SIGNERS, *STRANGERS)]
        self.pools = Pools([*accounts, *[account(name) for name in VALIDATORS]], self._nested)
        self.sessions: list[PaySession] = []
        self.owned: list[tuple[str, int, bytes]] = []
        self.books: list[tuple[int, int]] = []
        self.services: list[tuple[int, int]] = []
        self.builders: tuple[Callable[[], Sent], ...] = (
            self._transfer, self._bond, self._nominate, self._validate, self._set_keys, self._feed, self._report_price,
            self._register, self._service, self._publish, self._split, self._pay, self._authorization, self._cancel,
            self._grant, self._spend, self._open, self._claim, self._claim, self._end, self._batch, self._sudo,
            self._payout, self._lock, self._unlock, self._plan, self._subscribe, self._register, self._invoice,
            self._configs, self._own, self._own, self._name, self._name, self._coupons, self._coupon,
            *Vouching(rng, chain, PEOPLE).builders,
        )  # fmt: skip

    def next(self) -> tuple[str | None, bytes]:
        """Who sends which call."""
        pools, chain = self.pools, self.chain
        pools.now = chain.time_ms
        if pools.number != chain.header.number + 1:
            pools.number = chain.header.number + 1
            self._look_around()
        if self.rng.random() < 0.5:
            who, call = self.rng.choice(self.builders)()
            return who, call.encode()
        who, raw = self.rng.choice(SIGNERS), self._readable(lambda: self._any(0))
        if who == "root" and self.rng.random() < 0.6:
            return who, self._sudo_key + raw
        return who, raw

    def _look_around(self) -> None:
        """Note what is stored, so that arguments can name it."""
        chain: Any = self.chain
        stored = [each for each, _ in chain.sessions.sessions.items()]
        self.pools.hashes = [bytes(32), *stored, *[each.id for each in self.sessions]]
        self.pools.ids = {
            name: [key for key, _ in items.items()]
            for name, items in (
                ("provider", chain.providers.providers), ("service", chain.providers.services),
                ("split", chain.pay.splits), ("invoice", chain.pay.invoices), ("lock", chain.pay.hashlocks),
                ("plan", chain.plans.plans), ("subscription", chain.plans.subscriptions),
            )
        }  # fmt: skip
        self.pools.ids["grant"] = [number for (_, number), _ in chain.allowances.grants.items()]
        known = [each for each in self.sessions if each.id in stored]
        self.sessions = [*known, *self.sessions[-2:]]
        owners = (
            ("provider", chain.providers.providers, "owner"), ("subscription", chain.plans.subscriptions, "payer"),
            ("split", chain.pay.splits, "owner"), ("invoice", chain.pay.invoices, "issuer"),
        )  # fmt: skip
        self.owned = [(name, key, getattr(row, who)) for name, items, who in owners for key, row in items.items()]
        self.owned += [("grant", number, owner) for (owner, number), _ in chain.allowances.grants.items()]
        self.books = [key for key, _ in chain.providers.books.items()]
        self.services = [(number, row.provider) for number, row in chain.providers.services.items()]

    def evidence(self) -> tuple[str | None, bytes]:
        """Two votes of somebody who validated in a session that can still be punished."""
        epoch = max(0, self.chain.epoch().epoch - self.rng.choice((0, 0, 1, 2, 5, 30)))
        members = self.chain.historical.members_of(epoch)
        index = self.rng.randrange(len(members)) if members else 0
        name = next((each for each in self._key_names() if members and pair(each).public == members[index].key), "A")
        kinds = self.rng.choice(((NOTARIZE, NOTARIZE), (FINALIZE, FINALIZE), (FINALIZE, NULLIFY), (NULLIFY, NULLIFY)))
        view = self.rng.randrange(1, 9)
        votes = []
        for place, kind in enumerate(kinds):
            block = NO_BLOCK if kind == NULLIFY else Hash32(bytes([place + 1]) * 32)
            signature = pair(name).sign(sign_bytes(self.chain.genesis_hash, kind, epoch, view, block))
            votes.append(SignedVote(kind, block, signature))
        proof = EquivocationProof(epoch, view, index, *votes)
        if self.rng.random() < 0.5:
            return None, self.make("Consensus.report_equivocation_unsigned", proof).encode()
        return self.rng.choice(PEOPLE), self.make("Consensus.report_equivocation", proof).encode()

    # ---------------------------------------------------------------------------------------------- by type

    def _readable(self, encoded: Callable[[], bytes]) -> bytes:
        """Draw until the lengths are within their bounds."""
        while True:
            raw = encoded()
            try:
                self.chain.schema.decode_call(raw)
            except DecodeError:
                continue
            return raw

    def _any(self, depth: int) -> bytes:
        info = self.rng.choice(self._by_pallet[self.rng.choice(list(self._by_pallet))])
        arguments = [draw(self.rng, codec, self.pools, name, kind, depth) for name, codec, kind in info.fields]
        return info.key + b"".join(arguments)

    def _nested(self, depth: int) -> bytes:
        if depth > DEPTH_MAX or self.rng.random() < 0.5:
            return self._transfer()[1].encode()
        return self._any(depth)

    # ---------------------------------------------------------------------------------------------- by hand

    def _person(self) -> str:
        return self.rng.choice(PEOPLE)

    def _amount(self, most: int = 30) -> Balance:
        return Balance(self.rng.randrange(1, most * AIT))

    def _transfer(self) -> Sent:
        name = self.rng.choice(("transfer_keep_alive", "transfer_allow_death", "transfer_allow_death"))
        return self._person(), self.make(f"Balances.{name}", self.rng.choice(self.pools.accounts), self._amount())

    def _batch(self) -> Sent:
        kind = self.rng.choice(("batch", "batch_all", "force_batch"))
        return self._person(), self.make(f"Utility.{kind}", [self._transfer()[1] for _ in range(self.rng.randrange(5))])

    def _sudo(self) -> Sent:
        who = account(self.rng.choice(SIGNERS))
        calls = (
            self.make("Balances.force_set_balance", who, self._amount(2_000)),
            self.make("Staking.force_new_era"),
            self.make("Staking.set_validator_count", self.rng.randrange(1, 8)),
            self.make("Staking.cancel_deferred_slash", self.chain.era + 1, [0]),
            self.make("Staking.force_unstake", account(self._person()), 0),
        )
        return "root", self.make("Sudo.sudo", self.rng.choice(calls))

    def _own(self) -> Sent:
        """A call about something, by whom it belongs to."""
        if not self.owned:
            return self._register()
        name, number, owner = self.rng.choice(self.owned)
        who = next((each for each in SIGNERS if account(each) == owner), "operator")
        info = self.rng.choice([each for each in self._infos if each.fields and each.fields[0][0] == name])

        def encoded() -> bytes:
            rest = [draw(self.rng, codec, self.pools, field, kind) for field, codec, kind in info.fields[1:]]
            return info.key + info.fields[0][1].encode(number) + b"".join(rest)

        return who, self.chain.schema.decode_call(self._readable(encoded))

    def _configs(self) -> Sent:
        """Minima that let people in again, whatever was set by chance."""
        least = t.BalanceSet(Balance(AIT))
        most = self.rng.choice((t.U32Set(8), t.U32Remove()))
        call = self.make(
            "Staking.set_staking_configs", least, least, most, most, t.PercentSet(50), t.PerbillSet(0), t.PercentNoop()
        )
        return "root", self.make("Sudo.sudo", call)

    def _bond(self) -> Sent:
        payee = self.rng.choice((t.Staked(), t.Stash(), t.PaidTo(account(self._person())), t.Nowhere()))
        who = self.rng.choice((*PEOPLE, "E", "F"))
        return who, self.make("Staking.bond", self._amount(500), payee)

    def _nominate(self) -> Sent:
        targets = [account(each) for each in self.rng.sample(VALIDATORS, self.rng.randrange(1, 5))]
        return self._person(), self.make("Staking.nominate", targets)

    def _validate(self) -> Sent:
        prefs = t.ValidatorPrefs(self.rng.choice((0, 10**8, 10**9)), blocked=False)
        return self.rng.choice((*VALIDATORS, self._person())), self.make("Staking.validate", prefs)

    def _key_names(self) -> list[str]:
        return [*VALIDATORS, *(f"key {name} {turn}" for name in (*VALIDATORS, *PEOPLE) for turn in range(2))]

    def _set_keys(self) -> Sent:
        who = self.rng.choice((*VALIDATORS, "E", "F", self._person()))
        keys = [pair(f"key {who} {self.rng.randrange(2)}") for _ in range(2)]
        proof = b"".join(each.sign(POSSESSION_PREFIX + account(who)) for each in keys)
        return who, self.make("Session.set_keys", SessionKeys(keys[0].public, keys[1].public), proof)

    def _payout(self) -> Sent:
        era = max(0, self.chain.era - self.rng.randrange(1, 4))
        points = list(self.chain.staking.eras_reward_points.get(era).individual)
        return self._person(), self.make("Staking.payout_stakers", self.rng.choice(points or [account("A")]), era)

    # ---------------------------------------------------------------------------------------------- earning

    def _name(self) -> Sent:
        """A step in the life of a name: what comes next for it, mostly."""
        name, who = self.rng.choice(NAMES), self._person()
        found = self.chain.names.names.get(name)
        if found is None:
            owners = [each for each in PEOPLE if self.chain.names.commitments.contains(account(each))]
            if not owners or self.rng.random() < 0.4:
                return who, self.make("Names.commit", commitment_of(account(who), SALT, name))
            return self.rng.choice(owners), self.make("Names.register", name, self.rng.randrange(1, 6), SALT)
        owner = next((each for each in SIGNERS if account(each) == found.owner), who)
        case = NameCase(name)
        calls = [
            (owner, "Names.set_target", name, self._payee()), (owner, "Names.transfer", name, account(who)),
            (who, "Names.challenge", case, Hash32(bytes(32))), (who, "Names.renew", name, 1),
            (who, "Names.settle", case), (owner, "Names.release", name),
        ]  # fmt: skip
        if self.rng.random() < 0.3:
            return "root", self.make("Sudo.sudo", self.make("Names.rule", case, self.rng.random() < 0.5))
        sender, *call = self.rng.choice(calls)
        return sender, self.make(*call)

    def _coupons(self) -> Sent:
        now, batches = self.chain.time_ms, list(self.chain.codes.batches.keys())
        if len(batches) > STORED_MAX:
            return self._person(), self.make("Codes.close", self.rng.choice(batches))
        terms = self.rng.choice((Tokens(), Credit([self._provider()], Moment(now + 10**8))))
        expires = Moment(now + self.rng.choice((60_000, 10**8)))
        return self._person(), self.make("Codes.create", ROOT, len(CODES), self._amount(3), expires, 0, terms)

    def _coupon(self) -> Sent:
        """A claim without a signature, often a good one."""
        batch = self.rng.choice(list(self.chain.codes.batches.keys()) or [0])
        index, who = self.rng.randrange(len(CODES)), account(self.rng.choice((*PEOPLE, *STRANGERS)))
        signature = CODES[index].sign(codes.claim_bytes(self.chain.genesis_hash, batch, index, who))
        key, proof = CODES[index].public, PROOFS[index]
        return None, self.make("Codes.claim", batch, index, key, proof, who, 0, signature)

    # ---------------------------------------------------------------------------------------------- payments

    def _feed(self) -> Sent:
        from chain.pallets.ai.oracle import Feed

        settings = Feed(self.rng.choice((0, 5_000, 6_667)), 1_000, Moment(60_000)) if self.rng.random() < 0.9 else None
        return "root", self.make("Sudo.sudo", self.make("Oracle.set_feed", self.rng.choice((840, 978)), settings))

    def _report_price(self) -> Sent:
        from aitoken.pay.book import Price

        when = Moment(self.chain.time_ms + self.rng.choice((0, 0, -1_000, 50_000, -90_000)))
        price = Price(self.rng.randrange(1, 30), self.rng.randrange(0, 3))
        return self.rng.choice(VALIDATORS), self.make("Oracle.submit", 840, price, when)

    def _register(self) -> Sent:
        if len(self.pools.ids.get("provider") or []) > STORED_MAX:
            return self._own()
        bond = Balance(self.rng.choice((self.chain.providers.min_bond, self.chain.providers.min_bond * 2, 5)))
        keys = account("operator"), account("payout")
        return self._person(), self.make("Providers.register", *keys, b"http://x", bond)

    def _provider(self) -> int:
        return self.rng.choice(self.pools.ids.get("provider") or [1])

    def _service(self) -> Sent:
        if len(self.services) > 2 * STORED_MAX:
            return self._own()
        return "operator", self.make("Providers.publish_service", self._provider(), None, terms())

    def _publish(self) -> Sent:
        service, provider = self.rng.choice(self.services or [(1, 1)])
        mine = [number for number, owner in self.services if owner == provider]
        services = sorted({service, self.rng.choice(mine or [1])})
        starts = Moment(self.rng.choice((0, self.chain.time_ms + 100_000)))
        prices = book(self.rng.randrange(1, 9), currency=self.rng.choice((0, 840)))
        return "operator", self.make("Providers.publish_book", provider, services, prices, starts)

    def _split(self) -> Sent:
        if len(self.pools.ids.get("split") or []) > STORED_MAX:
            return self._own()
        count = self.rng.choice((1, 2, 4))
        shares = [Share(account(each), 10_000 // count) for each in self.rng.sample(SIGNERS, count)]
        return self._person(), self.make("Pay.create_split", shares)

    def _payee(self) -> Any:
        number = self.rng.choice(self.pools.ids.get("split") or [0])
        return self.rng.choice((ToAccount(account(self._person())), ToSplit(number), ToProvider(self._provider())))

    def _pay(self) -> Sent:
        return self._person(), self.make("Pay.pay", self._payee(), self._amount(5), Hash32(bytes(32)), b"ref")

    def _authorization(self) -> Sent:
        payer, now = self._person(), self.chain.time_ms
        nonce = self.rng.randrange(40).to_bytes(32, "big")
        until, most = Moment(now + self.rng.choice((-1, 5_000, 10**6))), self._amount(3)
        signed = AuthorizationTerms(
            account(payer), account(self._person()), 0, most, False, Moment(0), until, nonce, Hash32(bytes(32))
        )
        signature = Ed25519Signature(pair(payer).sign(self.chain.pay.signed_bytes(signed)))
        amount = Balance(self.rng.choice((most, most // 2, most + 1)))
        return self._person(), self.make("Pay.execute_authorization", signed, signature, amount)

    def _cancel(self) -> Sent:
        return self._person(), self.make("Pay.cancel_authorization", self.rng.randrange(40).to_bytes(32, "big"))

    def _lock(self) -> Sent:
        from aitoken.crypto.hashing import blake2_256

        deadline = Moment(self.chain.time_ms + self.rng.choice((1_000, 100_000)))
        return self._person(), self.make(
            "Pay.lock", account(self._person()), self._amount(5), blake2_256(bytes(32)), deadline, b""
        )

    def _unlock(self) -> Sent:
        lock, invoice = (self.rng.choice(self.pools.ids.get(name) or [0]) for name in ("lock", "invoice"))
        call = self.rng.choice(
            (("Pay.reveal", lock, bytes(32)), ("Pay.reclaim", lock), ("Pay.pay_invoice", invoice, 100 * AIT))
        )
        return self._person(), self.make(*call)

    def _invoice(self) -> Sent:
        if len(self.pools.ids.get("invoice") or []) > STORED_MAX:
            return self._own()
        due = Moment(self.chain.time_ms + self.rng.choice((1_000, 10**6)))
        currency = self.rng.choice((0, 0, 840))
        return self._person(), self.make(
            "Pay.create_invoice", self._payee(), currency, self._amount(3), due, Hash32(bytes(32))
        )

    def _grant(self) -> Sent:
        limits = Limits(self._amount(20), self._amount(50), self._amount(90), self.rng.choice((0, 60_000, 10**7)))
        scope = Scope(self.rng.sample(list(Purpose), self.rng.randrange(1, 5)), [])
        parent = self.rng.choice((None, self.rng.randrange(1 + int(self.chain.allowances.next_grant.get()))))
        expires = Moment(self.chain.time_ms + self.rng.choice((1_000, 10**6, 10**9)))
        return self._person(), self.make("Allowances.grant", account(self._person()), limits, scope, expires, parent)

    def _spend(self) -> Sent:
        rows = list(self.chain.allowances.grants.items())
        if not rows:
            return self._grant()
        (owner, number), grant = self.rng.choice(rows)
        key = next((name for name in SIGNERS if account(name) == grant.key), self._person())
        inner = self.rng.choice((self._pay, self._lock, self._grant, self._unlock))()[1]
        if self.rng.random() < 0.5:
            inner = self.make("Balances.transfer_keep_alive", account(self._person()), self._amount(2))
        return key, self.make("Allowances.spend", owner, number, inner)

    def _plan(self) -> Sent:
        refund = self.rng.choice(list(plans_types.Refund))
        gives = plans_types.Entitlements([], 0, 0, 0, 0)
        price = self._amount(3)
        currency, trial = self.rng.choice((0, 0, 840)), self.rng.choice((0, 7))
        what = plans_types.PlanTerms(currency, price, gives, [], trial, refund, True)
        period = plans_types.Period(plans_types.PeriodUnit.Day, self.rng.randrange(1, 3))
        mine = self.pools.ids.get("plan") or []
        plan = self.rng.choice(mine) if len(mine) > STORED_MAX or (mine and self.rng.random() < 0.4) else None
        return "operator", self.make("Plans.publish", self._provider(), plan, period, what)

    def _subscribe(self) -> Sent:
        until = Moment(self.chain.time_ms + self.rng.choice((10**6, 10**9)))
        mandate = plans_types.Mandate(Balance(10 * AIT), Balance(10 * AIT), until, self.rng.random() < 0.7)
        plan = self.rng.choice(self.pools.ids.get("plan") or [0])
        stored = self.chain.plans.plans.get(plan)
        version, trial = 0 if stored is None else stored.version, self.rng.random() < 0.3
        return self._person(), self.make("Plans.subscribe", plan, version, mandate, None, trial)

    # ---------------------------------------------------------------------------------------------- sessions

    def _open(self) -> Sent:
        who, number = self._person(), self.chain.header.number
        provider, version = self.rng.choice(self.books or [(1, 1)])
        params = OpenParams(
            provider, version, pair("key").public, 0, BlockNumber(number + self.rng.choice((3, 20, 200))), 10, 64,
            self.rng.randbytes(16),
        )  # fmt: skip
        session = PaySession(self.chain, params.provider, payer=who, opened=False, book=version)
        session.params, session.id = params, session_id(self.chain.genesis_hash, account(who), params)
        self.sessions = [*self.sessions, session][-SESSIONS_MAX:]
        return who, self.make("Sessions.open", params, self._amount(40))

    def _claim(self) -> Sent:
        if not self.sessions:
            return self._open()
        session = self.rng.choice(self.sessions)
        lane = self.rng.randrange(3)
        stored = self.chain.sessions.lane(session.id, lane)
        before = 0 if stored is None else int(stored.paid)
        seq = self.rng.randrange(1, 30)
        charge = self.rng.choice((1, 10**9, AIT, 5 * AIT))
        voucher = session.voucher(lane, seq, before, before + charge)
        end: Any = sessions_types.Acked()
        if self.rng.random() < 0.5:
            receipt = session.receipt(lane, seq + 1, charge, lane_total=Balance(before + charge))
            end = sessions_types.Tailed(receipt.lane_total, receipt.hash)
        else:
            voucher = session.voucher(lane, seq, before + charge)
        item = session.item(voucher, end)
        return "operator", self.make("Sessions.claim", [sessions_types.SessionClaims(session.id, [item])])

    def _end(self) -> Sent:
        if not self.sessions:
            return self._open()
        session = self.rng.choice(self.sessions)
        calls = [info for info in self._by_pallet["Sessions"] if info.fields[0][0] == "session"]
        info = self.rng.choice(calls)

        def encoded() -> bytes:
            rest = [draw(self.rng, codec, self.pools, name, kind) for name, codec, kind in info.fields[1:]]
            return info.key + session.id + b"".join(rest)

        return self.rng.choice((session.payer, "operator", self._person())), self.chain.schema.decode_call(
            self._readable(encoded)
        )
