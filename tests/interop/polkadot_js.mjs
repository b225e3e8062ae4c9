// @polkadot/api, as wallets and the public apps page use it: legacy methods, V15 metadata, watched transactions.
import { merkleizeMetadata } from '@polkadot-api/merkleize-metadata'
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api'
import { u8aToHex } from '@polkadot/util'
import { cryptoWaitReady, randomAsU8a } from '@polkadot/util-crypto'
import { equal, holds, step } from './report.mjs'

const AMOUNT = 3_000_000_000_000n
await cryptoWaitReady()
const api = await ApiPromise.create({ provider: new WsProvider(process.argv[2]), noInitWarn: true })
const ring = new Keyring({ type: 'sr25519', ss58Format: api.registry.chainSS58 })
const alice = ring.addFromUri('//Alice')
const balance = async (at, who) => (await at.query.system.account(who)).data.free.toBigInt()

function send (call, options = {}) {
  return new Promise((resolve, reject) => {
    const statuses = []
    call.signAndSend(alice, { nonce: -1, ...options }, (result) => {
      statuses.push(result.status.type)
      if (result.isError) reject(new Error(result.status.type))
      if (result.status.isFinalized) resolve({ ...result, statuses, block: result.status.asFinalized })
    }).catch(reject)
  })
}

await step('metadata', () => {
  equal(api.runtimeMetadata.version, 15, 'metadata version')
  equal(api.consts.system.ss58Prefix, api.registry.chainSS58, 'address prefix')
  holds(api.call.accountNonceApi && api.call.transactionPaymentApi, 'typed runtime calls')
  return `${api.runtimeVersion.specName} ${api.runtimeVersion.specVersion}`
})

await step('every constant and stored default decodes', () => {
  const constants = Object.values(api.consts).flatMap((pallet) => Object.values(pallet))
  constants.forEach((constant) => constant.toJSON())
  return constants.length
})

await step('a transfer is in a block, then final, and cost what was foretold', async () => {
  const to = ring.addFromSeed(randomAsU8a(32))
  const call = api.tx.balances.transferKeepAlive(to.address, AMOUNT)
  const foretold = (await call.paymentInfo(alice)).partialFee.toBigInt()
  const done = await send(call)
  holds(done.statuses.includes('InBlock'), `statuses ${done.statuses}`)
  const names = done.events.map(({ event }) => `${event.section}.${event.method}`)
  equal(names.at(-1), 'system.ExtrinsicSuccess', 'last event')
  const paid = done.events.find(({ event }) => event.method === 'TransactionFeePaid').event.data.actualFee.toBigInt()
  holds(paid > 0n && (paid - foretold) ** 2n * 10_000n <= paid ** 2n, `paid ${paid}, foretold ${foretold}`)
  equal(await balance(await api.at(done.block), to.address), AMOUNT, 'received')
  return `${done.statuses.join(' ')}, fee ${paid}`
})

await step('a batch is all or nothing', async () => {
  const to = ring.addFromSeed(randomAsU8a(32))
  const pay = (amount) => api.tx.balances.transferKeepAlive(to.address, amount)
  const done = await send(api.tx.utility.batchAll([pay(AMOUNT), pay(2n ** 100n)]))
  holds(done.dispatchError, 'it succeeded')
  equal(await balance(await api.at(done.block), to.address), 0n, 'received')
})

await step('a short-lived and a tipped transaction', async () => {
  const done = await send(api.tx.system.remark('0x01'), { era: 64, tip: 1_000n })
  const block = await api.rpc.chain.getBlock(done.block)
  holds(block.block.extrinsics[done.txIndex].era.isMortalEra, 'it is immortal')
})

await step('a transaction signed with the digest of the metadata, as hardware wallets do', async () => {
  const metadata = (await api.call.metadata.metadataAtVersion(15)).unwrap().toU8a(true)
  const token = { decimals: api.registry.chainDecimals[0], tokenSymbol: api.registry.chainTokens[0] }
  const digest = merkleizeMetadata(metadata, token).digest()
  const done = await send(api.tx.system.remark('0x03'), { mode: 1, metadataHash: u8aToHex(digest) })
  const block = await api.rpc.chain.getBlock(done.block)
  equal(block.block.extrinsics[done.txIndex].mode.toNumber(), 1, 'mode')
  const other = u8aToHex(digest.map((byte) => byte ^ 1))
  const refusal = await send(api.tx.system.remark('0x04'), { mode: 1, metadataHash: other }).then(() => null, (error) => error)
  holds(/1010.*bad signature/s.test(String(refusal?.message)), `got ${refusal}`)
})

await step('an outdated nonce is refused with code 1010', async () => {
  const refusal = await send(api.tx.system.remark('0x02'), { nonce: 0 }).then(() => null, (error) => error)
  holds(/1010.*outdated/s.test(String(refusal?.message)), `got ${refusal}`)
})

await step('new and final heads', async () => {
  const heads = await new Promise((resolve, reject) => {
    const seen = []
    api.rpc.chain.subscribeFinalizedHeads((head) => {
      seen.push(head)
      if (seen.length === 4) resolve(seen)
    }).catch(reject)
  })
  heads.slice(1).forEach((head, before) => equal(head.parentHash, heads[before].hash, 'parent'))
  const derived = await api.derive.chain.getHeader(heads[3].hash)
  holds(derived.author, 'no author is shown')
  return `author ${derived.author}`
})

await step('storage: pages, several at once, the past, changes', async () => {
  const page = await api.query.system.account.entriesPaged({ args: [], pageSize: 3 })
  equal(page.length, 3, 'page')
  const past = await api.at(api.genesisHash)
  equal((await past.query.system.account(alice.address)).nonce, 0, 'nonce at genesis')
  const to = ring.addFromSeed(randomAsU8a(32))
  const seen = []
  await api.query.system.account(to.address, (account) => seen.push(account.data.free.toBigInt()))
  await send(api.tx.balances.transferKeepAlive(to.address, AMOUNT))
  equal(seen, [0n, AMOUNT], 'values seen')
})

await step('goodbye', () => api.disconnect())
process.exit(0)
