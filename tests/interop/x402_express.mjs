// The real @x402/express sells through our facilitator; the real @x402/fetch buys.
// Arguments: the facilitator, the genesis hash, the account that is paid, a buyer's seed. Prints what was paid, as JSON.

import assert from "node:assert/strict";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import { decodePaymentResponseHeader, wrapFetchWithPayment, x402Client } from "@x402/fetch";
import express from "express";
import { ExactScheme, UptoScheme, networkOf, signerOf, spendControls } from "./aitoken_x402.mjs";
import { PricedIn } from "./aitoken_x402_seller.mjs";

const [facilitator, genesis, payTo, seed] = process.argv.slice(2);
const AIT = 10n ** 12n;
const USED = AIT / 50n;
const network = networkOf(genesis);
const signer = signerOf(Uint8Array.from(Buffer.from(seed, "hex")));
const limits = { payment: AIT, total: 5n * AIT };

const resources = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator }));
const option = (scheme, price) => ({ accepts: { scheme, network, payTo, price } });
for (const scheme of ["exact", "upto"]) {
  resources.register(network, new PricedIn(scheme));
}
const routes = {
  "GET /weather": option("exact", "0.05 AIT"),
  "GET /words": option("upto", "0.2 AIT"),
  "GET /broken": option("exact", { amount: String(AIT), asset: "native" }),
};
const app = express();
app.use(paymentMiddleware(routes, resources));
app.get("/weather", (_, response) => response.json({ weather: "fair" }));
app.get("/words", (_, response) => {
  setSettlementOverrides(response, { amount: String(USED) });
  response.json({ words: "some" });
});
app.get("/broken", (_, response) => response.status(500).end());
const server = await new Promise((ready) => {
  const started = app.listen(0, "127.0.0.1", () => ready(started));
});
const url = `http://127.0.0.1:${server.address().port}`;

const sent = [];
function paying(scheme) {
  const client = new x402Client().register(network, scheme).setSpendControls(spendControls(genesis, AIT));
  const asking = (input, init) => {
    const headers = new Headers(init?.headers ?? input.headers);
    if (headers.has("PAYMENT-SIGNATURE")) {
      sent.push(headers.get("PAYMENT-SIGNATURE"));
    }
    return fetch(input, init);
  };
  return wrapFetchWithPayment(asking, client);
}

/** Signs something else than what is asked for. */
class Crooked extends ExactScheme {
  constructor(changes) {
    super({ signer, genesis, limits });
    this.changes = changes;
  }

  createPaymentPayload(version, requirements) {
    return super.createPaymentPayload(version, { ...requirements, ...this.changes });
  }
}

function reasonOf(response) {
  assert.equal(response.status, 402);
  return JSON.parse(Buffer.from(response.headers.get("PAYMENT-REQUIRED"), "base64").toString()).error;
}

const told = {};
for (const [Scheme, path, price] of [[ExactScheme, "/weather", AIT / 20n], [UptoScheme, "/words", USED]]) {
  const scheme = new Scheme({ signer, genesis, limits });
  const response = await paying(scheme)(url + path);
  assert.equal(response.status, 200, await response.clone().text());
  const settled = decodePaymentResponseHeader(response.headers.get("PAYMENT-RESPONSE"));
  assert.ok(settled.success);
  assert.match(settled.transaction, /^0x/);
  assert.deepEqual([settled.network, settled.amount], [network, String(price)]);
  told[scheme.scheme] = String(price);
}
told.replay = reasonOf(await fetch(`${url}/weather`, { headers: { "PAYMENT-SIGNATURE": sent[0] } }));
for (const [name, changes] of [
  ["amount", { amount: String(AIT / 20n - 1n) }],
  ["payee", { payTo: `0x${Buffer.from(signer.publicKey).toString("hex")}` }],
  ["expired", { maxTimeoutSeconds: 0 }],
]) {
  told[name] = reasonOf(await paying(new Crooked(changes))(`${url}/weather`));
}
const broken = await paying(new ExactScheme({ signer, genesis, limits }))(`${url}/broken`);
assert.equal(broken.status, 500); // and is not paid for
await assert.rejects(new PricedIn("exact").parsePrice("$0.05"), /no price in the token/);
server.close();
server.closeAllConnections();
console.log(JSON.stringify(told));
