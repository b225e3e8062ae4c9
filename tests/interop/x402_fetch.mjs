// The real @x402/fetch pays: by single payments of both kinds, and from a session that it opens without a node.
// Arguments: the gateway, the genesis hash, and seeds of three accounts. Prints what was paid, as JSON.

import assert from "node:assert/strict";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import {
  ExactScheme, PaymentRefused, SessionScheme, UptoScheme, firstAck, networkOf, receiptOf, sessionId, signerOf,
  spendControls, split,
} from "./aitoken_x402.mjs";

const [gateway, genesis, ...seeds] = process.argv.slice(2);
const bytes = (text) => Uint8Array.from(Buffer.from(text.replace(/^0x/, ""), "hex"));
const hex = (data) => Buffer.from(data).toString("hex");
const signers = seeds.map((seed) => signerOf(bytes(seed)));
const URL_ = `${gateway}/v1/chat/completions`;
const PRICE = 12n * 10n ** 9n;
const AIT = 10n ** 12n;
const REQUEST = AIT / 5n;

function asked(more = {}) {
  const body = { model: "echo", messages: [{ role: "user", content: "hello chain" }], max_tokens: 8, ...more };
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

function paying(scheme, cap = REQUEST) {
  const client = new x402Client().register(networkOf(genesis), scheme);
  return wrapFetchWithPayment(fetch, client.setSpendControls(spendControls(genesis, cap)));
}

function chargeOf(response) {
  const settled = decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE"));
  assert.ok(settled.success);
  const { charge } = receiptOf(split(settled.extra.receipt).statement);
  assert.equal(BigInt(settled.amount), charge);
  return [charge, settled.transaction];
}

// The published check vector: what is computed here is what the chain computes.
{
  const params = bytes(
    "0700000000000000" + "03000000" + hex(signerOf(bytes("11".repeat(32))).publicKey) + "00000000" + "20a10700" +
      "2c010000" + "1000" + "05".repeat(16),
  );
  const id = sessionId(bytes("47".repeat(32)), bytes("aa".repeat(32)), params);
  assert.equal(hex(id), "525c54ec87ef715198afe1aabf511cc9ede3128d4dbe03c06a5e2d5048ee2910");
  assert.equal(hex(firstAck(id, 3)), "d85350a989289fe428ce3feffbbabe42a2d2b81e600bcc634efb004b802c982f");
}

async function single(Scheme, signer) {
  const pay = paying(new Scheme({ signer, genesis, limits: { payment: REQUEST, total: AIT } }));
  const response = await pay(URL_, asked());
  assert.equal(response.status, 200, await response.clone().text());
  assert.ok((await response.json()).choices[0].message.content);
  const [charge, transaction] = chargeOf(response);
  assert.match(transaction, /^0x/);
  return charge;
}

// Limits of the scheme hold whatever the client was told, and those of the client hold as well.
for (const [payment, cap] of [[10n ** 9n, REQUEST], [REQUEST, 10n ** 9n]]) {
  const scheme = new UptoScheme({ signer: signers[0], genesis, limits: { payment, total: AIT } });
  await assert.rejects(paying(scheme, cap)(URL_, asked()), /payment may be|maxAmountPerPayment/);
  assert.equal(scheme.signed, 0n);
}

const told = {
  upto: String(await single(UptoScheme, signers[0])),
  exact: String(await single(ExactScheme, signers[1])),
};
assert.equal(told.upto, String(PRICE));

let saved;
const limits = { request: REQUEST, deposit: 3n * AIT, total: 4n * AIT };
const save = (state) => {
  saved = JSON.parse(JSON.stringify(state));
};
let scheme = new SessionScheme({ signer: signers[2], genesis, limits, save });
async function ask(count, more) {
  const pay = paying(scheme);
  for (let index = 0; index < count; index += 1) {
    const response = await pay(URL_, asked(more));
    const body = await response.text();
    assert.equal(response.status, 200, body);
    if (more === undefined) {
      assert.deepEqual(chargeOf(response), [PRICE, ""]);
    }
  }
}
await ask(3);
assert.equal(scheme.spent, 3n * PRICE);
await Promise.all([ask(1), ask(1), ask(1)]);
assert.equal(scheme.spent, 6n * PRICE);
await ask(2, { stream: true });
// What is saved is enough to go on from: lanes that flowed are found where the gateway has them.
scheme = new SessionScheme({ signer: signers[2], genesis, limits, state: saved, save });
await ask(20);
assert.throws(() => scheme.sessions[0].promise(10n * AIT, Date.now()), PaymentRefused);
await scheme.catchUp(gateway);
assert.equal(scheme.spent, 28n * PRICE);
console.log(JSON.stringify({ ...told, session: saved[0].id, spent: String(scheme.spent) }));
