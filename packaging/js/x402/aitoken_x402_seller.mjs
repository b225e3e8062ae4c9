// Schemes with which servers of x402 for JavaScript (@x402/express, @x402/hono, ...) sell for the token.
//
//   import { paymentMiddleware, x402ResourceServer } from "@x402/express";
//   import { HTTPFacilitatorClient } from "@x402/core/server";
//   import { networkOf } from "aitoken-x402";
//   import { PricedIn } from "aitoken-x402/seller";
//
//   const network = networkOf(genesis);
//   const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator }));
//   server.register(network, new PricedIn("exact"));
//   const weather = { accepts: { scheme: "exact", network, payTo: account, price: "0.05 AIT" } };
//   app.use(paymentMiddleware({ "GET /weather": weather }, server));
//
// A price is text such as "0.05 AIT", or { amount: base units, asset: "native" }; never dollars, which the token is not.
// `payTo` is 0x and the 32 bytes of an account in hex. With "upto" the price is a maximum, and setSettlementOverrides
// says what the answer really cost, in base units.

const ASSET = "native";
const DECIMALS = 12;
const PRICE = /^(\d{1,26})(?:\.(\d{1,12}))? AIT$/;

/** One scheme of a server, "exact" or "upto". */
export class PricedIn {
  defaultAssetTransferMethod = "default";
  paymentFlows = { default: { supported: ["authorization"], default: "authorization" } };

  constructor(scheme) {
    this.scheme = scheme;
  }

  async parsePrice(price) {
    if (price?.asset === ASSET && /^\d{1,39}$/.test(price.amount)) {
      return { amount: price.amount, asset: ASSET, extra: {} };
    }
    const [, whole, fraction = ""] = PRICE.exec(price) ?? [];
    if (whole === undefined) {
      throw new Error(`${JSON.stringify(price)} is no price in the token: say "0.05 AIT"`);
    }
    return { amount: String(BigInt(whole + fraction.padEnd(DECIMALS, "0"))), asset: ASSET, extra: {} };
  }

  async enhancePaymentRequirements(requirements) {
    return requirements;
  }
}
