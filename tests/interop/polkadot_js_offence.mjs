// @polkadot/api against a devnet one of whose validators lies: what happened can be read by its names.
import { ApiPromise, WsProvider } from '@polkadot/api'
import { equal, holds, step } from './report.mjs'

const provider = new WsProvider(process.argv[2])
const api = await ApiPromise.create({ provider, noInitWarn: true })
const liar = process.argv[3]

async function eventsOf (number) {
  const hash = await api.rpc.chain.getBlockHash(number)
  return (await (await api.at(hash)).query.system.events()).map(({ event }) => event)
}

async function find (section, method) {
  for (let number = 1; ; number++) {
    while ((await api.rpc.chain.getHeader(await api.rpc.chain.getFinalizedHead())).number.toNumber() < number) {
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    const events = await eventsOf(number)
    if (events.some((event) => event.section === section && event.method === method)) return [number, events]
  }
}

const [number, events] = await find('consensus', 'Equivocated')

await step('the offence by its events', async () => {
  const shown = Object.fromEntries(events.map((event) => [`${event.section}.${event.method}`, event.data.toHuman()]))
  equal(shown['consensus.Equivocated'].validator, liar, 'validator')
  equal(shown['staking.Chilled'].stash, liar, 'chilled')
  equal(shown['staking.SlashReported'].validator, liar, 'slash reported')
  holds(shown['offences.Offence'] && shown['session.ValidatorDisabled'], JSON.stringify(shown))
  return JSON.stringify(shown['consensus.Equivocated'])
})

await step('the report in its block', async () => {
  const block = await api.rpc.chain.getBlock(await api.rpc.chain.getBlockHash(number))
  const reports = block.block.extrinsics.filter(({ method }) => method.method === 'reportEquivocationUnsigned')
  equal(reports.length, 1, 'reports')
  equal(reports[0].isSigned, false, 'signed')
})

await step('the history in the state', async () => {
  const rows = await api.query.consensus.equivocations.entries()
  equal(rows.length, 1, 'epochs')
  const row = rows[0][1][0].toHuman()
  equal(row.validator, liar, 'validator')
  const [penalty] = (await api.query.staking.penalties(liar)).toHuman()
  equal(penalty.cancelled, false, 'cancelled')
  const waiting = await api.query.staking.unappliedSlashes(penalty.due)
  return JSON.stringify([row, penalty, waiting.length])
})

await step('the history from the node', async () => {
  const { offenders } = await provider.send('smpx_offences', [])
  equal(offenders.length, 1, 'offenders')
  equal(offenders[0].validator, liar, 'validator')
})

const [, taken] = await find('staking', 'Slashed')
await step('the slash by its events', async () => {
  const slash = taken.find(({ section, method }) => section === 'staking' && method === 'Slashed').data
  const [penalty] = await api.query.staking.penalties(liar)
  equal(slash.staker, liar, 'staker')
  equal(slash.amount, penalty.own, 'amount')
  return slash.amount.toHuman()
})

await api.disconnect()
process.exit(0)
