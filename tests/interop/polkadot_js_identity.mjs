// @polkadot/api's accounts derives, as wallets show names with them: identity, sub-identity, judgement, flags.
import { ApiPromise, Keyring, WsProvider } from '@polkadot/api'
import { cryptoWaitReady } from '@polkadot/util-crypto'
import { equal, holds, step } from './report.mjs'

await cryptoWaitReady()
const api = await ApiPromise.create({ provider: new WsProvider(process.argv[2]), noInitWarn: true })
const ring = new Keyring({ type: 'sr25519', ss58Format: api.registry.chainSS58 })
const [alice, bob, charlie, dave] = ['//Alice', '//Bob', '//Charlie', '//Dave'].map((uri) => ring.addFromUri(uri))
const { identity, hasIdentity, info, flags } = api.derive.accounts

function send (call, by) {
  return new Promise((resolve, reject) => {
    call.signAndSend(by, { nonce: -1 }, (result) => {
      if (result.isError || result.dispatchError) reject(new Error(`${result.status.type} ${result.dispatchError}`))
      if (result.status.isFinalized) resolve(result)
    }).catch(reject)
  })
}
const names = (done) => done.events.map(({ event }) => `${event.section}.${event.method}`)
const text = (raw) => ({ raw })
const nothing = { none: null }

await step('who says nothing has no identity, and no derive fails', async () => {
  equal((await hasIdentity(dave.address)).hasIdentity, false, 'has one')
  equal((await identity(dave.address)).judgements.length, 0, 'judgements')
  equal((await info(dave.address)).accountId, dave.address, 'account')
  equal((await flags(alice.address)).isSudo, true, 'sudo')
  equal((await flags(dave.address)).isSudo, false, 'sudo')
})

await step('an identity is set and read', async () => {
  const done = await send(api.tx.identity.setIdentity({
    display: text('Bob the Builder'), legal: nothing, web: text('https://bob.example'), matrix: nothing,
    email: text('bob@bob.example'), pgpFingerprint: null, image: nothing, twitter: nothing, github: nothing,
    discord: text('bob#1')
  }), bob)
  holds(names(done).includes('identity.IdentitySet'), names(done))
  const found = await identity(bob.address)
  equal(found.display, 'Bob the Builder', 'display')
  equal([found.web, found.email, found.discord, found.legal], 'https://bob.example,bob@bob.example,bob#1,', 'fields')
  equal((await hasIdentity(bob.address)).display, 'Bob the Builder', 'display')
})

await step('a registrar is added by root, asked and paid, and its judgement is shown', async () => {
  const before = (await api.query.identity.registrars()).length
  await send(api.tx.sudo.sudo(api.tx.identity.addRegistrar(charlie.address)), alice)
  const { account } = (await api.query.identity.registrars())[before].unwrap()
  equal(account, charlie.address, 'registrar')
  await send(api.tx.identity.setFee(before, 1_000_000_000n), charlie)
  await send(api.tx.identity.requestJudgement(before, 1_000_000_000n), bob)
  equal((await identity(bob.address)).judgements[0][1].isFeePaid, true, 'asked')
  const hash = (await api.query.identity.identityOf(bob.address)).unwrap().info.hash
  await send(api.tx.identity.provideJudgement(before, bob.address, 'KnownGood', hash), charlie)
  equal((await identity(bob.address)).judgements[0][1].isKnownGood, true, 'given')
})

await step('an account below another shows both names', async () => {
  const done = await send(api.tx.identity.setSubs([[dave.address, text('till')]]), bob)
  holds(names(done).includes('identity.SubIdentitiesSet'), names(done))
  const found = await identity(dave.address)
  equal([found.display, found.displayParent, found.parent], `till,Bob the Builder,${bob.address}`, 'names')
  equal(found.subs.map(String), dave.address, 'subs')
  await send(api.tx.identity.quitSub(), dave)
  equal((await hasIdentity(dave.address)).hasIdentity, false, 'has one')
})

await step('an identity is cleared, and errors have names', async () => {
  const reserved = async () => (await api.query.system.account(bob.address)).data.reserved.toBigInt()
  holds(await reserved() > 0n, 'nothing was held')
  await send(api.tx.identity.clearIdentity(), bob)
  equal(await reserved(), 0n, 'held')
  const failed = await new Promise((resolve, reject) => {
    api.tx.identity.clearIdentity().signAndSend(bob, { nonce: -1 }, ({ dispatchError }) => {
      if (dispatchError) resolve(api.registry.findMetaError(dispatchError.asModule).name)
    }).catch(reject)
  })
  equal(failed, 'NoIdentity', 'error')
})

await step('goodbye', () => api.disconnect())
process.exit(0)
