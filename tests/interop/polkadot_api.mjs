// polkadot-api over chainHead_v1, and with --legacy over the legacy methods alone.
import { createClient, Enum } from 'polkadot-api'
import { getPolkadotSigner } from 'polkadot-api/signer'
import { getWsProvider, getWsRawProvider } from 'polkadot-api/ws'
import { withLegacy } from '@polkadot-api/ws-middleware'
import { sr25519CreateDerive } from '@polkadot-labs/hdkd'
import { DEV_PHRASE, entropyToMiniSecret, mnemonicToEntropy, ss58Encode } from '@polkadot-labs/hdkd-helpers'
import { randomBytes } from 'node:crypto'
import { WebSocket } from 'ws'
import { equal, holds, step } from './report.mjs'

const AMOUNT = 3_000_000_000_000n
const LEGACY = process.argv.includes('--legacy')
const settings = { websocketClass: WebSocket }
const client = createClient(
  LEGACY
    ? getWsRawProvider(process.argv[2], { ...settings, middleware: withLegacy })
    : getWsProvider(process.argv[2], settings)
)
const api = client.getUnsafeApi()
const pair = sr25519CreateDerive(entropyToMiniSecret(mnemonicToEntropy(DEV_PHRASE)))('//Alice')
const alice = getPolkadotSigner(pair.publicKey, 'Sr25519', pair.sign)
const ALICE = '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY'
const freshAddress = () => ss58Encode(new Uint8Array(randomBytes(32)), 42)
const transfer = (dest, value) => api.tx.Balances.transfer_keep_alive({ dest: Enum('Id', dest), value })
const names = (result) => result.events.map((event) => `${event.type}.${event.value.type}`)

await step('chain', async () => {
  const chain = await client.getChainSpecData()
  equal(chain.properties.ss58Format, await api.constants.System.SS58Prefix(), 'address prefix')
  return chain.name
})

await step('a transfer is final and cost what was foretold', async () => {
  const to = freshAddress()
  const call = transfer(to, AMOUNT)
  const foretold = await call.getEstimatedFees(ALICE)
  const result = await call.signAndSubmit(alice)
  holds(result.ok, JSON.stringify(result.dispatchError))
  equal(names(result).at(-1), 'System.ExtrinsicSuccess', 'last event')
  const paid = result.events.find((event) => event.value.type === 'TransactionFeePaid').value.value.actual_fee
  holds((paid - foretold) ** 2n * 10_000n <= paid ** 2n, `paid ${paid}, foretold ${foretold}`)
  equal((await api.query.System.Account.getValue(to, { at: result.block.hash })).data.free, AMOUNT, 'received')
  return `block ${result.block.number}, fee ${paid}`
})

await step('a transfer of too much fails by name', async () => {
  const result = await transfer(ALICE, 2n ** 100n).signAndSubmit(alice)
  holds(!result.ok, 'it succeeded')
  return `${result.dispatchError.type}.${result.dispatchError.value?.type}`
})

await step('an outdated nonce is found invalid', async () => {
  const call = api.tx.System.remark({ remark: new Uint8Array([1]) })
  const error = await call.signAndSubmit(alice, { nonce: 0 }).then(() => null, (reason) => reason)
  equal(error?.error?.value?.type, 'Stale', String(error))
})

await step('final blocks follow each other', async () => {
  const blocks = await new Promise((resolve, reject) => {
    const seen = []
    client.finalizedBlock$.subscribe({
      next: (block) => {
        seen.push(block)
        if (seen.length === 4) resolve(seen)
      },
      error: reject
    })
  })
  blocks.slice(1).forEach((block, before) => equal(block.parent, blocks[before].hash, 'parent'))
})

await step('storage: all of a map, the past, a runtime call', async () => {
  const entries = await api.query.System.Account.getEntries()
  holds(entries.length > 2, `${entries.length} accounts`)
  const { genesisHash } = await client.getChainSpecData()
  equal((await api.query.System.Account.getValue(ALICE, { at: genesisHash })).nonce, 0, 'nonce at genesis')
  const best = await api.query.System.Account.getValue(ALICE, { at: 'best' })
  equal(await api.apis.AccountNonceApi.account_nonce(ALICE, { at: 'best' }), best.nonce, 'nonce by runtime call')
  return `${entries.length} accounts`
})

client.destroy()
process.exit(0)
