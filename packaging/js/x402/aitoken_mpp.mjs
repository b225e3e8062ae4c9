// Pays from a session through mppx, the client of MPP (HTTP's "Payment" scheme): method `aitoken`, intent `session`.
//
//   import { Mppx } from "mppx/client";
//   import { SessionScheme } from "aitoken-x402";
//   import { MppSession } from "aitoken-x402/mpp";
//
//   const paying = new MppSession(new SessionScheme({ signer, genesis, limits, save }));
//   const { fetch: pay } = Mppx.create({ methods: [paying.method], fetch: paying.fetch, polyfill: false });
//
// MPP and x402 are two dresses of one voucher: the session, its limits, and what a refusal asks for are the scheme's.
// `paying.fetch` is under the library, not over it: it sees the answer to each voucher, and copies no body.

const RECEIPT = "AI-Receipt";
const REQUIRED = "PAYMENT-REQUIRED";

export class MppSession {
  #fetching;

  /** Pay from a SessionScheme; `fetching` is what really asks. */
  constructor(scheme, fetching = fetch) {
    this.scheme = scheme;
    this.#fetching = fetching;
    this.fetch = this.fetch.bind(this);
    /** What Mppx.create is given in `methods`. */
    this.method = {
      name: "aitoken", intent: "session", createCredential: ({ challenge }) => this.credential(challenge),
    };
  }

  /** A credential for a challenge. */
  async credential(challenge) {
    const { request } = challenge;
    const asked = { network: request.network, asset: request.currency, amount: request.needed ?? "0", extra: request };
    const { payload } = await this.scheme.createPaymentPayload(2, asked);
    const { id, realm, method, intent } = challenge;
    const echo = { id, realm, method, intent, request: encode(request) };
    return `Payment ${encode({ challenge: echo, payload })}`;
  }

  /** Ask, and take what the answer says about the voucher that went with it. */
  async fetch(input, init) {
    const response = await this.#fetching(input, init);
    const [kind, credential] = (new Headers(init?.headers).get("Authorization") ?? "").split(" ");
    if (kind !== "Payment") {
      return response;
    }
    const receipt = response.headers.get(RECEIPT);
    const context = { paymentPayload: decode(credential) };
    if (receipt !== null) {
      context.settleResponse = { extra: { receipt } };
    } else if (response.status === 402) {
      context.paymentRequired = decode(response.headers.get(REQUIRED));
    }
    if (receipt !== null || response.ok || response.status === 402) {
      await this.scheme.onPaymentResponse(context);
    }
    return response;
  }
}

function encode(value) {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function decode(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}
