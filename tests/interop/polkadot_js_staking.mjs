// @polkadot/api's staking derives, as the public apps' staking page uses them, through three eras of a devnet with
// short sessions: they answer, they agree with the storage, and what was paid is what the formula says.
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api'
import { cryptoWaitReady } from '@polkadot/util-crypto'
import { equal, holds, step } from './report.mjs'

const ERAS = 3
const BILLION = 1_000_000_000n
await cryptoWaitReady()
const api = await ApiPromise.create({ provider: new WsProvider(process.argv[2]), noInitWarn: true })
const ring = new Keyring({ type: 'sr25519', ss58Format: api.registry.chainSS58 })
const stash = ring.addFromUri('//Alice//stash')
const eve = ring.addFromUri('//Eve')
const ferdie = ring.addFromUri('//Ferdie')
const plain = (value) => JSON.stringify(value)

function send (call, by) {
  return new Promise((resolve, reject) => {
    call.signAndSend(by, { nonce: -1 }, (result) => {
      if (result.isError || result.dispatchError) reject(new Error(`${result.status.type} ${result.dispatchError}`))
      if (result.status.isFinalized) resolve(result)
    }).catch(reject)
  })
}

async function era (wanted) {
  for (;;) {
    const active = (await api.query.staking.activeEra()).unwrap().index.toNumber()
    if (active >= wanted) return active
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}

await step('the staking page would open', async () => {
  holds(api.query.staking.erasStakersOverview && api.derive.staking, 'no overview')
  equal(api.tx.staking.bond.meta.args.length, 2, 'arguments of bond')
  equal((await api.query.staking.claimedRewards(0, stash.address)).toRawType(), 'Vec<u32>', 'type of claimed rewards')
})

await step('session and era progress', async () => {
  const [info, progress] = await Promise.all([api.derive.session.info(), api.derive.session.progress()])
  equal(info.sessionsPerEra, api.consts.staking.sessionsPerEra, 'sessions per era')
  holds(progress.eraProgress.toNumber() <= progress.eraLength.toNumber() + 1, `era ${progress.eraProgress}`)
  return `era ${info.activeEra}, ${progress.eraProgress} of ${progress.eraLength}`
})

await step('overview, elected and waiting', async () => {
  const overview = await api.derive.staking.overview()
  const validators = (await api.query.session.validators()).map(String)
  equal(plain(overview.validators), plain(validators), 'validators')
  const elected = await api.derive.staking.electedInfo({ withPrefs: true, withLedger: true, withExposure: true, withExposureMeta: true })
  equal(elected.info.length, validators.length, 'elected')
  holds(elected.info.every((row) => row.stakingLedger.active.unwrap().toBigInt() > 0n), 'an elected without a bond')
  holds(elected.info.every((row) => row.exposureMeta.unwrap().total.unwrap().toBigInt() > 0n), 'an elected without exposure')
  const waiting = await api.derive.staking.waitingInfo()
  return `${elected.info.length} elected, ${waiting.waiting.length} waiting`
})

await step('a validator and a nominator', async () => {
  const row = await api.derive.staking.query(stash.address, { withLedger: true, withPrefs: true, withExposure: true, withExposureMeta: true, withClaimedRewardsEras: true, withDestination: true })
  equal(row.validatorPrefs.commission.toNumber(), 50_000_000, 'commission')
  const own = await api.derive.staking.account(eve.address)
  holds(own.nominators.map(String).includes(stash.address), 'no nominations')
  equal(own.stakingLedger.total.unwrap().toString(), own.stakingLedger.active.unwrap().toString(), 'bond')
  const keys = await api.derive.staking.keys(stash.address)
  equal(keys.nextSessionIds.length, 2, 'session keys')
})

const free = (await api.query.system.account(ferdie.address)).data.free.toBigInt()
await step('bond, nominate, and be exposed', async () => {
  await send(api.tx.utility.batchAll([
    api.tx.staking.bond(50_000n * 10n ** 12n, 'Stash'), api.tx.staking.nominate([stash.address])
  ]), ferdie)
  const now = await era(0)
  await era(now + 2)
  const exposure = await api.derive.staking.eraExposure(api.registry.createType('EraIndex', now + 2))
  holds(plain(exposure.nominators[ferdie.address])?.includes(stash.address), plain(Object.keys(exposure.nominators)))
  return `in era ${now + 2}`
})

await step('unbonding shows', async () => {
  await send(api.tx.staking.unbond(10_000n * 10n ** 12n), ferdie)
  const own = await api.derive.staking.account(ferdie.address)
  equal(own.unlocking.length, 1, 'chunks')
  equal(own.unlocking[0].value.toBigInt(), 10_000n * 10n ** 12n, 'unlocking')
  equal(own.redeemable.toBigInt(), 0n, 'redeemable')
})

const last = await era(await era(0) + ERAS)
const head = await api.rpc.chain.getFinalizedHead()
const at = await api.at(head)

await step('everybody was paid to the unit', async () => {
  const paid = {}
  const number = (await api.rpc.chain.getHeader(head)).number.toNumber()
  let current = null
  for (let block = 1; block <= number; block++) {
    const events = await (await api.at(await api.rpc.chain.getBlockHash(block))).query.system.events()
    for (const { event } of events.filter(({ event }) => event.section === 'staking')) {
      if (event.method === 'PayoutStarted') current = event.data.eraIndex.toNumber()
      if (event.method === 'Rewarded') {
        const key = `${current} ${event.data.stash}`
        paid[key] = (paid[key] ?? 0n) + event.data.amount.toBigInt()
      }
    }
  }
  const wanted = {}
  const add = (key, amount) => { if (amount) wanted[key] = (wanted[key] ?? 0n) + amount }
  for (let index = 0; index < last - 1; index++) {
    const pot = (await at.query.staking.erasValidatorReward(index)).unwrap().toBigInt()
    const points = await at.query.staking.erasRewardPoints(index)
    for (const [who, own] of points.individual.entries()) {
      const meta = (await at.query.staking.erasStakersOverview(index, who)).unwrap()
      const prefs = await at.query.staking.erasValidatorPrefs(index, who)
      const reward = pot * own.toBigInt() / points.total.toBigInt()
      const commission = reward * prefs.commission.unwrap().toBigInt() / BILLION
      const total = meta.total.unwrap().toBigInt()
      add(`${index} ${who}`, commission + (reward - commission) * meta.own.unwrap().toBigInt() / total)
      for (let page = 0; page < meta.pageCount.toNumber(); page++) {
        for (const row of (await at.query.staking.erasStakersPaged(index, who, page)).unwrap().others) {
          add(`${index} ${row.who}`, (reward - commission) * row.value.unwrap().toBigInt() / total)
        }
      }
      equal((await at.query.staking.claimedRewards(index, who)).length, Math.max(1, meta.pageCount.toNumber()), 'pages paid')
    }
  }
  for (const key of Object.keys(wanted)) equal(paid[key], wanted[key], key)
  return `${Object.keys(wanted).length} payouts of ${last - 1} eras`
})

await step('what the page shows of the past', async () => {
  const eras = Array.from({ length: last }, (_, index) => api.registry.createType('EraIndex', index))
  const points = await api.derive.staking._erasPoints(eras, false)
  const rewards = await api.derive.staking._erasRewards(eras, false)
  const prefs = await api.derive.staking._erasPrefs(eras, false)
  equal(points.length, last, 'points')
  holds(rewards.every(({ eraReward }) => eraReward.toBigInt() > 0n), 'an era without a reward')
  equal(Object.keys(prefs[0].validators).length, (await api.query.session.validators()).length, 'preferences')
  const shown = await api.derive.staking.stakerRewards(eve.address)
  holds(shown.length >= ERAS && shown.slice(0, -2).every(({ isClaimed }) => isClaimed), 'eras shown as unpaid')
  const slashes = await api.derive.staking.ownSlashes(stash.address)
  holds(slashes.every(({ total }) => total.toBigInt() === 0n), 'slashes out of nowhere')
  return `${shown.length} eras`
})

await step('the issuance is the sum of all accounts and of all reasons', async () => {
  const accounts = await at.query.system.account.entries()
  const sum = accounts.reduce((all, [, { data }]) => all + data.free.toBigInt() + data.reserved.toBigInt(), 0n)
  const issuance = (await at.query.balances.totalIssuance()).toBigInt()
  equal(sum, issuance, 'sum over accounts')
  const book = async (item) => (await item.entries()).reduce((all, [, amount]) => all + amount.toBigInt(), 0n)
  const [genesis, minted, burned] = await Promise.all([at.query.supply.genesis(), book(at.query.supply.minted), book(at.query.supply.burned)])
  equal(genesis.toBigInt() + minted - burned, issuance, 'genesis + minted - burned')
  holds((await api.query.system.account(ferdie.address)).data.free.toBigInt() > free - 50_001n * 10n ** 12n, 'rewards paid to the stash')
  return `${accounts.length} accounts, ${minted} minted`
})

await api.disconnect()
process.exit(0)
