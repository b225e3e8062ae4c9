// @polkadot/api, unmodified: coupons claimed from empty accounts, rewards, referrals and names, told by their names.
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api'
import { blake2AsU8a, cryptoWaitReady, randomAsU8a } from '@polkadot/util-crypto'
import { stringToU8a, u8aConcat, u8aToHex, bnToU8a } from '@polkadot/util'
import { equal, holds, step } from './report.mjs'

const AIT = 10n ** 12n
const DAY = 86_400_000
await cryptoWaitReady()
const api = await ApiPromise.create({ provider: new WsProvider(process.argv[2]), noInitWarn: true })
const ring = new Keyring({ type: 'sr25519', ss58Format: api.registry.chainSS58 })
const codes = new Keyring({ type: 'ed25519' })
const [alice, bob, charlie] = ['//Alice', '//Bob', '//Charlie'].map((uri) => ring.addFromUri(uri))
const free = async (address) => (await api.query.system.account(address)).data.free.toBigInt()
const now = (await api.query.timestamp.now()).toNumber()
const u = (value, bits) => bnToU8a(value, { bitLength: bits, isLe: true })
const names = (done) => done.events.map(({ event }) => `${event.section}.${event.method}`)
const told = (done, name) => done.events.find(({ event }) => `${event.section}.${event.method}` === name)?.event.data

function watched (start) {
  return new Promise((resolve, reject) => {
    start((result) => {
      if (result.isError) reject(new Error(result.status.type))
      if (result.status.isFinalized) resolve(result)
    }).catch(reject)
  })
}
const sent = (call, by) => watched((tell) => call.signAndSend(by, { nonce: -1 }, tell))
const bare = (call) => watched((tell) => call.send(tell))

async function send (call, by) {
  const done = await sent(call, by)
  holds(!done.dispatchError, `${named(done)} ${names(done)}`)
  return done
}

// The name a wallet shows for why a call failed.
function named (done) {
  if (!done.dispatchError?.isModule) return String(done.dispatchError)
  const { section, name, docs } = api.registry.findMetaError(done.dispatchError.asModule)
  holds(docs.join(' ').length > 10, `${section}.${name} says nothing`)
  return `${section}.${name}`
}

// A batch of two codes, as a sponsor prints it.
const keys = [0, 1].map(() => codes.addFromSeed(randomAsU8a(32)))
const leaf = (index) => blake2AsU8a(u8aConcat(new Uint8Array([0]), u(index, 32), keys[index].publicKey))
const root = blake2AsU8a(u8aConcat(new Uint8Array([1]), leaf(0), leaf(1)))
let batch

function claim (index, claimant, change = {}) {
  const fields = { claimant, genesis: api.genesisHash, signer: keys[index], ...change }
  const message = u8aConcat(stringToU8a('AITPcod1'), fields.genesis, u(batch, 64), u(index, 32), claimant)
  const signature = fields.signer.sign(message)
  return api.tx.codes.claim(batch, index, keys[index].publicKey, [leaf(1 - index)], fields.claimant, 0, signature)
}

await step('a sponsor makes a batch of coupons', async () => {
  const done = await send(api.tx.codes.create(root, 2, 2n * AIT, now + DAY, 0, 'Tokens'), alice)
  const made = told(done, 'codes.Created')
  batch = made.batch.toBigInt()
  equal(made.sponsor, alice.address, 'sponsor')
  equal((await api.query.codes.batches(batch)).unwrap().value.toBigInt(), 2n * AIT, 'value')
})

const holder = ring.addFromSeed(randomAsU8a(32))
const coupon = () => claim(0, holder.publicKey)
await step('an account that has nothing claims one, without a fee', async () => {
  const before = (await api.rpc.chain.getHeader()).number.toNumber()
  const done = await bare(coupon())
  const data = told(done, 'codes.Claimed')
  holds(data, names(done))
  equal(data.claimant, holder.address, 'claimant')
  equal(await free(holder.address), 2n * AIT, 'received')
  return `final ${done.blockNumber?.toNumber() - before} blocks after it was sent`
})

async function refused (call, why, what) {
  const sending = api.rpc.author.submitExtrinsic(call) // watching remembers what the same bytes came to before
  const said = await sending.then(() => 'it was taken', (error) => String(error?.message))
  holds(why.test(said), `${what}: ${said}`)
}
await step('claims that are no good are refused by name, without a fee to pay', async () => {
  await refused(coupon(), /1010.*outdated/s, 'the same once more')
  const thief = ring.addFromSeed(randomAsU8a(32)).publicKey
  await refused(claim(1, thief, { signer: codes.addFromSeed(randomAsU8a(32)) }), /1010.*bad signature/s, 'forged')
  await refused(claim(1, thief, { genesis: randomAsU8a(32) }), /1010.*bad signature/s, 'of another chain')
  equal(await free(ring.encodeAddress(thief)), 0n, 'stolen')
})

await step('the same with a fee fail by name', async () => {
  equal(named(await sent(coupon(), bob)), 'codes.AlreadyUsed', 'the same once more')
  const forged = claim(1, holder.publicKey, { signer: codes.addFromSeed(randomAsU8a(32)) })
  equal(named(await sent(forged, bob)), 'codes.BadSignature', 'forged')
  equal(named(await sent(api.tx.codes.void(batch, [1]), bob)), 'codes.NotSponsor', 'made void by another')
})

const content = randomAsU8a(32)
const salt = randomAsU8a(32)
const terms = {
  kind: 'BugReport', taskHash: randomAsU8a(32), reward: AIT, decay: { every: 0, fall: 0, least: 0 }, perPerson: 1,
  perDay: 1, stake: AIT, threshold: 1, stepMs: 60_000, vestingMs: 0, until: now + DAY, persons: null
}
await step('a campaign is made, joined and worked for', async () => {
  equal(named(await sent(api.tx.rewards.create(terms, [bob.address], 10n * AIT), alice)), 'rewards.StakeTooLow', 'early')
  await send(api.tx.rewards.stake(100n * AIT), bob)
  const made = told(await send(api.tx.rewards.create(terms, [bob.address], 10n * AIT), alice), 'rewards.CampaignCreated')
  equal(made.terms.kind, 'BugReport', 'kind')
  const campaign = made.campaign.toBigInt()
  equal(told(await send(api.tx.rewards.join(campaign), bob), 'rewards.Joined').attester, bob.address, 'attester')
  const seal = blake2AsU8a(u8aConcat(stringToU8a('AITPwork'), u(campaign, 64), charlie.publicKey, content, salt))
  const done = told(await send(api.tx.rewards.submit(campaign, seal), charlie), 'rewards.Submitted')
  equal(done.reward.toBigInt(), AIT, 'reward')
  const work = done.submission.toBigInt()
  equal(named(await sent(api.tx.rewards.disclose(work, content, randomAsU8a(32)), charlie)), 'rewards.WrongSeal', 'salt')
  const shown = told(await send(api.tx.rewards.disclose(work, content, salt), charlie), 'rewards.Disclosed')
  equal(shown.content, u8aToHex(content), 'content')
  equal(named(await sent(api.tx.rewards.submit(campaign, seal), charlie)), 'rewards.PersonCapReached', 'cap')
  equal(named(await sent(api.tx.rewards.settle(work), charlie)), 'rewards.NothingDue', 'early')
})

await step('a newcomer names who brought it here', async () => {
  await send(api.tx.balances.transferKeepAlive(holder.address, AIT), alice)
  const data = told(await send(api.tx.rewards.refer(alice.address), holder), 'rewards.Referred')
  equal(data.referrer.unwrap(), alice.address, 'referrer')
  const failed = named(await sent(api.tx.rewards.refer(bob.address), holder))
  holds(failed.startsWith('rewards.'), failed)
  return failed
})

await step('a name is committed to, registered and found', async () => {
  const name = `shop-${Date.now().toString(36)}`
  const commitment = blake2AsU8a(u8aConcat(stringToU8a('AITPname'), alice.publicKey, salt, stringToU8a(name)))
  await send(api.tx.names.commit(u8aToHex(commitment)), alice)
  equal(named(await sent(api.tx.names.register(name, 1, salt), alice)), 'names.TooEarly', 'early')
  for (let block = 0; block < api.consts.names.commitBlocks.toNumber(); block++) await send(api.tx.system.remark('0x01'), bob)
  const data = told(await send(api.tx.names.register(name, 1, salt), alice), 'names.Registered')
  equal(data.owner, alice.address, 'owner')
  const found = (await api.query.names.names(name)).unwrap()
  equal(found.target.asAccount, alice.address, 'target')
  const shown = (await api.call.namesApi.lookUp(name)).unwrap()
  equal([shown.usable, shown.disputed, shown.domain.isNone, shown.warnings.length], 'true,false,true,0', 'shown')
  const like = await api.call.namesApi.looksLike(name.replace('shop', 'sh0-p'))
  equal(like.unwrap().name.toUtf8(), name, 'look-alike')
  return data.name.toUtf8()
})

await api.disconnect()
process.exit(0)
