"""The list of pallets and versions of this chain's runtime, and how the pallets are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chain.frame.apis import CoreApis
from chain.frame.executive import Executive
from chain.frame.machine import Machine
from chain.frame.runtime import Instance, Runtime
from chain.frame.schema import Schema
from chain.frame.system import System
from chain.pallets.activity import Activity
from chain.pallets.ai.allowances import Allowances
from chain.pallets.ai.attest import Attest
from chain.pallets.ai.codes import Codes
from chain.pallets.ai.disputes import Disputes
from chain.pallets.ai.names import Names
from chain.pallets.ai.oracle import Oracle
from chain.pallets.ai.pay import Pay
from chain.pallets.ai.plans import Plans
from chain.pallets.ai.providers import Providers
from chain.pallets.ai.reputation import Reputation
from chain.pallets.ai.rewards import Rewards
from chain.pallets.ai.sessions import Sessions
from chain.pallets.ai.spending import Spendable
from chain.pallets.authorship import Authorship
from chain.pallets.babe import Babe
from chain.pallets.balances import Balances
from chain.pallets.consensus import Consensus
from chain.pallets.fast_transfer import FastTransfer
from chain.pallets.historical import Historical
from chain.pallets.identity import Identity
from chain.pallets.offences import Offences
from chain.pallets.parameters import Parameters
from chain.pallets.session import Session
from chain.pallets.staking.pallet import Staking
from chain.pallets.sudo import Sudo
from chain.pallets.supply import Supply
from chain.pallets.timestamp import Timestamp
from chain.pallets.transaction_payment import CallPaymentApis, TransactionPayment
from chain.pallets.utility import Utility
from chain.weights import WEIGHTS

if TYPE_CHECKING:
    from chain.params import Params
    from chain.spec import ChainSpec

SPEC_VERSION: Final = 100
"""Raised with every change of what blocks mean."""
TRANSACTION_VERSION: Final = 1
"""Raised when the index or an argument of a call changes."""

PALLETS: Final = (
    System,
    Timestamp,
    Authorship,
    Babe,
    Balances,
    TransactionPayment,
    Utility,
    Session,
    Staking,
    Historical,
    Offences,
    Consensus,
    Activity,
    Supply,
    Identity,
    Parameters,
    Oracle,
    Providers,
    Sessions,
    Pay,
    Plans,
    Allowances,
    Disputes,
    Codes,
    Rewards,
    Attest,
    Names,
    Reputation,
    Sudo,
)


def build_schema(params: Params) -> Schema:
    """Resolve the declarations of all pallets for a chain's parameters."""
    return Schema(
        PALLETS,
        (CoreApis, CallPaymentApis),
        params,
        WEIGHTS,
        spec_version=SPEC_VERSION,
        transaction_version=TRANSACTION_VERSION,
    )


def assemble(schema: Schema, metadata: dict[int, bytes]) -> Instance:
    """Construct the pallets on a new machine."""
    machine = Machine(schema)
    system = System(machine)
    timestamp = Timestamp(machine)
    babe = Babe(machine)
    balances = Balances(machine, system)
    supply = Supply(machine, balances.total_issuance)
    balances.book_with(supply)
    staking = Staking(machine, balances, supply, timestamp)
    historical = Historical(machine)
    offences = Offences(machine, staking)
    consensus = Consensus(machine, system)
    activity = Activity(machine, system, consensus)
    session = Session(machine, system, balances, staking, consensus, babe, activity, historical)
    authorship = Authorship(machine, system, session, staking)
    consensus.report_to(historical, offences, staking, session, authorship)
    payment = TransactionPayment(machine, system, balances, authorship)
    oracle = Oracle(machine, timestamp, session.current_index, historical)
    providers = Providers(machine, balances, timestamp)
    attest = Attest(machine, balances, system, timestamp)
    rewards = Rewards(machine, balances, timestamp, staking.now_active, attest)
    sessions = Sessions(machine, system, timestamp, balances, providers, oracle, authorship, rewards)
    pay = Pay(machine, balances, system, timestamp, oracle, providers)
    plans = Plans(machine, balances, timestamp, oracle, providers)
    allowances = Allowances(machine, system, balances, timestamp, Spendable(pay, plans, sessions), sessions)
    sessions.watched_by(allowances)
    disputes = Disputes(machine, balances, timestamp, consensus.current_epoch, sessions, plans, providers)
    rewards.judged_by(disputes, consensus.current_epoch)
    codes = Codes(machine, balances, system, timestamp, providers, attest)
    names = Names(machine, balances, system, timestamp, providers, attest)
    reputation = Reputation(machine, balances, timestamp, sessions, providers, attest)
    machine.install(
        system, timestamp, authorship, babe, balances, payment, Utility(machine), session, staking, historical,
        offences, consensus, activity, supply, Identity(machine, balances), Parameters(machine), oracle, providers,
        sessions, pay, plans, allowances, disputes, codes, rewards, attest, names, reputation,
        Sudo(machine),
    )  # fmt: skip
    executive = Executive(machine, system, payment)
    executive.use_sponsor(schema.call_info("Allowances.spend"), allowances)
    executive.use_shortcut(FastTransfer(system, balances, payment, schema))
    return Instance(machine, system, executive, (CoreApis(machine, executive, metadata), CallPaymentApis(payment)))


def build_runtime(spec: ChainSpec) -> Runtime:
    """Return the runtime of a chain."""
    return Runtime(build_schema(spec.params), assemble)
