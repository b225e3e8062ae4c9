// @polkadot/types with nothing but this chain's metadata: it reads calls and storage of paid sessions as we write them.
import { readFileSync } from 'node:fs'
import { expandMetadata, Metadata, TypeRegistry } from '@polkadot/types'
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
process.exit(0)
