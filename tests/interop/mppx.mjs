// The real mppx pays: from a session that it opens without a node, by a method that was registered with it.
// Arguments: the gateway, the genesis hash, and an account's seed. Prints what was paid, as JSON.

import assert from "node:assert/strict";
import { Mppx } from "mppx/client";
import { MppSession } from "./aitoken_mpp.mjs";
import { SessionScheme, receiptOf, signerOf, split } from "./aitoken_x402.mjs";

const [gateway, genesis, seed] = process.argv.slice(2);
const PRICE = 12n * 10n ** 9n;
const AIT = 10n ** 12n;
const FLOWS = 18;
const limits = { request: AIT / 5n, deposit: 3n * AIT, total: 4n * AIT };
const signer = signerOf(Uint8Array.from(Buffer.from(seed, "hex")));
const refusals = [];

function paying(request = limits.request) {
  const scheme = new SessionScheme({ signer, genesis, limits: { ...limits, request } });
  const session = new MppSession(scheme);
  const mppx = Mppx.create({ methods: [session.method], fetch: session.fetch, polyfill: false });
  mppx.onChallengeReceived(({ challenge }) => {
    refusals.push(challenge.id);
  });
  return [scheme, mppx.fetch];
}

function asked(more = {}) {
  const body = { model: "echo", messages: [{ role: "user", content: "hello chain" }], max_tokens: 8, ...more };
  const headers = { "Content-Type": "application/json" };
  return [`${gateway}/v1/chat/completions`, { method: "POST", headers, body: JSON.stringify(body) }];
}

// A limit of the scheme holds, and nothing is signed beyond it.
{
  const [scheme, pay] = paying(10n ** 9n);
  await assert.rejects(pay(...asked()), /a request may cost/);
  assert.equal(scheme.sessions.length, 0);
}

const [scheme, pay] = paying();
async function whole() {
  const response = await pay(...asked());
  const body = await response.text();
  assert.equal(response.status, 200, body);
  assert.ok(JSON.parse(body).choices[0].message.content);
  assert.equal(receiptOf(split(response.headers.get("AI-Receipt")).statement).charge, PRICE);
}
await whole();
await Promise.all([whole(), whole(), whole()]);
assert.equal(scheme.spent, 4n * PRICE);
// Nobody sees the receipts of these; the last ones find their lane where the first ones left it.
for (let count = 0; count < FLOWS; count += 1) {
  const response = await pay(...asked({ stream: true }));
  const body = await response.text();
  assert.equal(response.status, 200, body);
  assert.match(body, /event: aitp.receipt/);
}
assert.ok(refusals.includes("pay-out_of_step"), refusals.join());
await scheme.catchUp(gateway);
assert.equal(scheme.spent, BigInt(4 + FLOWS) * PRICE);
assert.equal(scheme.sessions.length, 1);
console.log(JSON.stringify({ session: scheme.state()[0].id, spent: String(scheme.spent) }));
