// @polkadot/types with nothing but this chain's metadata: it reads calls, storage, events and errors as we write them.
import { readFileSync } from 'node:fs'
import { expandMetadata, Metadata, TypeRegistry } from '@polkadot/types'
import { hexToU8a } from '@polkadot/util'
import { equal, step } from './report.mjs'

const given = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const registry = new TypeRegistry()
const metadata = new Metadata(registry, given.metadata)
registry.setMetadata(metadata)
const { query } = expandMetadata(registry, metadata)

for (const [name, raw] of given.calls) {
  await step(name, () => {
    const call = registry.createType('Call', raw)
    equal(call.toHex(), raw, 'bytes')
    equal(`${call.section}.${call.method}`.toLowerCase(), name.replaceAll('_', '').toLowerCase(), 'name')
  })
}
for (const [pallet, item, raw] of given.values) {
  await step(`${pallet}.${item}`, () => {
    const { type } = query[pallet][item].meta
    const lookup = registry.createLookupType(type.isMap ? type.asMap.value : type.asPlain)
    equal(registry.createType(lookup, raw).toHex(), raw, 'bytes')
  })
}
for (const [name, raw] of given.events ?? []) {
  await step(name, () => {
    const event = registry.createType('Event', hexToU8a(raw))
    equal(event.toHex(), raw, 'bytes')
    equal(`${event.section}.${event.method}`.toLowerCase(), name.toLowerCase(), 'name')
    event.data.toHuman()
  })
}
for (const [index, error, name] of given.errors ?? []) {
  await step(name, () => {
    const found = registry.findMetaError(new Uint8Array([index, error]))
    equal(`${found.section}.${found.name}`.toLowerCase(), name.toLowerCase(), 'name')
    if (!found.docs.join('')) throw new Error('no words')
  })
}
process.exit(0)
