// Schemes with which x402 clients for JavaScript (@x402/core, @x402/fetch, ...) pay on AI Token.
//
//   import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
//   import { SessionScheme, networkOf, signerOf, spendControls } from "aitoken-x402";
//
//   const limits = { request: 10n ** 11n, deposit: 10n ** 12n, total: 2n * 10n ** 12n };
//   const scheme = new SessionScheme({ signer: signerOf(seed), genesis, limits });
//   const client = new x402Client().register(networkOf(genesis), scheme);
//   client.setSpendControls(spendControls(genesis, limits.request));
//   const pay = wrapFetchWithPayment(fetch, client);
//
// UptoScheme and ExactScheme sign a payment a request. SessionScheme opens a session with the first request, which the
// seller brings to the chain, and signs a voucher with each one: any number of requests are one transaction.
// None of them needs a node.
//
// The client's own cap ("$1") takes one token for a dollar. So the token is no asset it knows by itself: spendControls
// names it with a cap in base units (10^12 are one AIT), and the schemes have limits beyond which they sign nothing.
//
// The layouts of what is signed are in docs/spec/payments.md. Amounts are BigInt.

import { ed25519 } from "@noble/curves/ed25519.js";
import { blake2b } from "@noble/hashes/blake2.js";

const ASSET = "native";
const HOLDS_S_MAX = 3600;
const CEILING_MS = 600_000;
const LANES = 16;
const U128_MAX = (1n << 128n) - 1n;

/** A payment that was not signed, or a receipt that was not accepted, and why. */
export class PaymentRefused extends Error {}

/** An ed25519 account from its 32-byte seed. Any { kind, publicKey, sign } will do; kind 0 is ed25519, 1 sr25519. */
export function signerOf(seed) {
  return { kind: 0, publicKey: ed25519.getPublicKey(seed), sign: (message) => ed25519.sign(message, seed) };
}

/** A chain's name in x402; genesis is the hash of its first block, in hex. */
export function networkOf(genesis) {
  return `polkadot:${hex(bytesOf(genesis, 32)).slice(0, 32)}`;
}

/** Spend controls that allow the token, up to a number of base units a payment. */
export function spendControls(genesis, payment) {
  return { allowedAssets: [{ network: networkOf(genesis), asset: ASSET, maxAmountPerPayment: String(payment) }] };
}

// ---------------------------------------------------------------------------------------------- single payments

class SingleScheme {
  /** limits: { payment, total }, in base units; what a payment might have come to counts. */
  constructor({ signer, genesis, limits, now = Date.now }) {
    this.signed = 0n;
    this.limits = limits;
    this.signer = signer;
    this.genesis = bytesOf(genesis, 32);
    this.now = now;
  }

  async createPaymentPayload(x402Version, requirements) {
    const amount = amountOf(requirements, this.genesis);
    if (amount > this.limits.payment) {
      throw new PaymentRefused(`a payment may be ${this.limits.payment} base units, ${amount} are asked for`);
    }
    if (this.signed + amount > this.limits.total) {
      throw new PaymentRefused(`payments may be ${this.limits.total} base units in all, ${this.signed} are signed`);
    }
    const until = this.now() + Math.min(requirements.maxTimeoutSeconds, HOLDS_S_MAX) * 1000;
    const request = requirements.extra?.request ?? "00".repeat(32);
    const statement = join(
      text("AITPaut1"), this.genesis, this.signer.publicKey, bytesOf(requirements.payTo, 32), number(0n, 4),
      number(amount, 16), number(this.exact ? 1n : 0n, 1), number(0n, 8), number(BigInt(until), 8), random(32),
      bytesOf(request, 32),
    );
    this.signed += amount;
    const signature = await signed(this.signer, statement);
    return { x402Version, payload: { authorization: `0x${hex(statement)}`, signature: `0x${hex(signature)}` } };
  }
}

/** Signs a payment for what an answer may cost at most; the chain moves what it did cost. */
export class UptoScheme extends SingleScheme {
  scheme = "upto";
  exact = false;
}

/** Signs a payment for the price a seller names. */
export class ExactScheme extends SingleScheme {
  scheme = "exact";
  exact = true;
}

// ---------------------------------------------------------------------------------------------- sessions

export class SessionScheme {
  scheme = "batch-settlement";

  /**
   * limits: { request, deposit, total }: the most of one request, what a session holds, the most all sessions may hold.
   * save is called with what must not be lost, before it is signed: plain data for JSON, good for the option `state`.
   * It holds session keys. Without them the deposit still comes back: close the session from the account.
   */
  constructor({ signer, genesis, limits, state = [], save = () => {}, now = Date.now }) {
    this.signer = signer;
    this.genesis = bytesOf(genesis, 32);
    this.limits = limits;
    this.save = save;
    this.now = now;
    this.sessions = state.map((kept) => Session.from(kept));
    this.schemeHooks = { onPaymentResponse: (context) => this.onPaymentResponse(context) };
  }

  /** What accepted receipts come to. */
  get spent() {
    return this.sessions.reduce((sum, session) => sum + session.spent, 0n);
  }

  async createPaymentPayload(x402Version, requirements) {
    const asked = amountOf(requirements, this.genesis);
    if (asked > this.limits.request) {
      throw new PaymentRefused(`a request may cost ${this.limits.request} base units, ${asked} are asked for`);
    }
    const extra = requirements.extra ?? {};
    const books = [extra.book_version];
    let session = this.sessions.find((one) => one.usable && one.provider === extra.provider && books.includes(one.book));
    if (session === undefined) {
      session = await this.#opened(extra);
    }
    const voucher = session.promise(asked === 0n ? this.limits.request : asked, this.now());
    await this.save(this.state());
    const payload = { voucher };
    if (!session.confirmed) {
      payload.opening = session.opening;
    }
    return { x402Version, payload };
  }

  async #opened(extra) {
    const terms = extra.opening;
    if (terms === undefined || extra.provider !== terms.provider) {
      throw new PaymentRefused("the seller does not open sessions for others");
    }
    const held = this.sessions.reduce((sum, one) => (one.usable ? sum + one.deposit : sum), 0n);
    const deposit = this.limits.deposit;
    if (deposit < BigInt(terms.leastDeposit) || held + deposit > this.limits.total) {
      throw new PaymentRefused(`${held} base units are deposited, ${deposit} more are against a limit`);
    }
    const session = Session.begin(this.genesis, this.signer.publicKey, extra, deposit);
    const until = BigInt(this.now() + CEILING_MS);
    const order = join(text("AITPopn1"), session.id, number(deposit, 16), number(until, 8));
    session.opening = {
      payer: `0x${hex(this.signer.publicKey)}`, params: `0x${hex(session.params)}`, deposit: String(deposit),
      validBefore: String(until), signature: `0x${hex(await signed(this.signer, order))}`,
    };
    this.sessions.push(session);
    return session;
  }

  async onPaymentResponse({ paymentPayload, settleResponse, paymentRequired }) {
    const sent = paymentPayload.payload.voucher;
    const session = this.sessions.find((one) => one.sent.has(sent));
    if (session === undefined) {
      return undefined;
    }
    if (settleResponse?.extra?.receipt !== undefined) {
      session.accept(settleResponse.extra.receipt);
      await this.save(this.state());
      return undefined;
    }
    if (paymentRequired === undefined) {
      session.confirmed = true;
      return undefined;
    }
    const again = session.putRight(sent, paymentRequired);
    await this.save(this.state());
    return again ? { recovered: true } : undefined;
  }

  /** Fetch the receipts the client did not see, such as those of answers that flowed, and countersign all. */
  async catchUp(gateway, fetching = fetch) {
    for (const session of this.sessions.filter((one) => one.usable && one.confirmed)) {
      for (const lane of session.lanes.filter((one) => !one.stopped)) {
        const where = `${gateway}/.well-known/aitp`;
        for (let page; page === undefined || page.length > 0; ) {
          const headers = { "AI-Voucher": session.acknowledgement(lane) };
          const found = await fetching(`${where}/receipts?lane=${lane.number}&after=${lane.seq}`, { headers });
          if (!found.ok) {
            throw new PaymentRefused(`the gateway shows no receipts: ${await found.text()}`);
          }
          page = (await found.json()).receipts;
          page.forEach((receipt) => session.accept(receipt));
        }
        if (lane.seq > 0) {
          const headers = { "AI-Voucher": session.acknowledgement(lane) };
          await fetching(`${where}/voucher`, { method: "POST", headers });
        }
      }
    }
    await this.save(this.state());
  }

  /** What must not be lost, as plain data. */
  state() {
    return this.sessions.map((session) => session.kept());
  }
}

/** One session: its key, and where its lanes are. */
class Session {
  constructor(fields) {
    Object.assign(this, fields);
    this.sent = new Map();
  }

  static begin(genesis, payer, extra, deposit) {
    const secret = random(32);
    const { provider, book_version: book, operator, opening } = extra;
    const lanes = Math.min(LANES, opening.mostLanes);
    const params = join(
      number(BigInt(provider), 8), number(BigInt(book), 4), ed25519.getPublicKey(secret), number(0n, 4),
      number(BigInt(opening.expiresBlock), 4), number(BigInt(opening.graceBlocks), 4), number(BigInt(lanes), 2),
      random(16),
    );
    const id = sessionId(genesis, payer, params);
    return new Session({
      id, secret, params, provider, book, deposit, maxLanes: lanes, operator: bytesOf(operator, 32), lanes: [],
      confirmed: false, usable: true, opening: undefined,
    });
  }

  get spent() {
    return this.lanes.reduce((sum, lane) => sum + lane.total, 0n);
  }

  /** Sign a voucher for a request that may cost `most`. */
  promise(most, now) {
    const lane = this.#freeLane();
    const ceiling = lane.total + most > lane.ceiling ? lane.total + most : lane.ceiling;
    const others = this.lanes.reduce((sum, one) => (one === lane ? sum : sum + one.ceiling), 0n);
    if (others + ceiling > this.deposit) {
      throw new PaymentRefused(`all lanes would come to more than the deposit of ${this.deposit}`);
    }
    lane.ceiling = ceiling;
    lane.busy = true;
    const voucher = this.#voucher(lane, ceiling, now + CEILING_MS);
    this.sent.set(voucher, lane);
    return voucher;
  }

  /** A voucher that only countersigns. */
  acknowledgement(lane) {
    return this.#voucher(lane, lane.total, 0);
  }

  #voucher(lane, ceiling, until) {
    const statement = join(
      text("AITPvch1"), this.id, number(BigInt(lane.number), 2), number(1n, 1), number(0n, 1),
      number(BigInt(lane.seq), 8), number(lane.total, 16), number(ceiling, 16), number(BigInt(until), 8), lane.ack,
    );
    return base64url(join(statement, ed25519.sign(statement, this.secret)));
  }

  /** A lane without a request; or the one that waits longest, whose answer flowed or never came. */
  #freeLane() {
    const free = this.lanes.find((lane) => !lane.busy && !lane.stopped);
    if (free !== undefined) {
      return free;
    }
    if (this.lanes.length < this.maxLanes) {
      const number = this.lanes.length;
      const lane = { number, seq: 0, total: 0n, ceiling: 0n, ack: firstAck(this.id, number), busy: false };
      this.lanes.push(lane);
      return lane;
    }
    for (const [voucher, lane] of this.sent) {
      this.sent.delete(voucher);
      if (!lane.stopped) {
        return lane;
      }
    }
    throw new PaymentRefused("no lane of the session is free");
  }

  /** Check a lane's next receipt and go on from it. */
  accept(encoded) {
    const { statement, signature } = split(encoded);
    const receipt = receiptOf(statement);
    const lane = this.lanes[receipt.lane];
    if (!ed25519.verify(signature, statement, this.operator)) {
      throw new PaymentRefused("the receipt is not signed by the seller");
    }
    if (hex(receipt.session) !== hex(this.id) || lane === undefined || receipt.seq !== BigInt(lane.seq) + 1n) {
      throw new PaymentRefused("the receipt is not the next one of its lane");
    }
    if (hex(receipt.previous) !== hex(lane.ack) || receipt.total !== lane.total + receipt.charge) {
      throw new PaymentRefused("the receipt does not follow from the one before");
    }
    if (receipt.total > lane.ceiling) {
      throw new PaymentRefused("the receipt charges more than was allowed");
    }
    Object.assign(lane, {
      seq: lane.seq + 1, total: receipt.total, ceiling: receipt.total, ack: hash(statement), busy: false,
    });
    this.confirmed = true;
    this.#forget(lane);
  }

  /** Do what a 402 asks for; tell whether another try makes sense. */
  putRight(voucher, required) {
    const lane = this.sent.get(voucher);
    const receipt = required.accepts.find((offer) => offer.extra?.receipt !== undefined)?.extra.receipt;
    this.#forget(lane);
    switch (required.error) {
      case "pay.out_of_step":
        if (receipt === undefined) {
          lane.stopped = true;
        } else {
          this.accept(receipt);
        }
        return true;
      case "pay.lane_unknown":
        lane.stopped = true;
        return true;
      case "pay.lane_busy":
        this.sent.set(voucher, lane);
        return true;
      case "pay.session_closing":
      case "gateway.session_unknown":
        this.usable = false;
        return this.confirmed;
      default:
        lane.busy = false;
        return false;
    }
  }

  #forget(lane) {
    for (const [voucher, one] of this.sent) {
      if (one === lane) {
        this.sent.delete(voucher);
      }
    }
  }

  kept() {
    const { provider, book, maxLanes, confirmed, usable, opening } = this;
    const lanes = this.lanes.map(({ number, seq, total, ceiling, ack, stopped }) => ({
      number, seq, total: String(total), ceiling: String(ceiling), ack: hex(ack), stopped: Boolean(stopped),
    }));
    return {
      id: hex(this.id), secret: hex(this.secret), params: hex(this.params), operator: hex(this.operator),
      deposit: String(this.deposit), provider, book, maxLanes, confirmed, usable, opening, lanes,
    };
  }

  static from(kept) {
    const lanes = kept.lanes.map((lane) => ({
      ...lane, total: BigInt(lane.total), ceiling: BigInt(lane.ceiling), ack: bytesOf(lane.ack, 32), busy: false,
    }));
    return new Session({
      ...kept, id: bytesOf(kept.id, 32), secret: bytesOf(kept.secret, 32), params: bytesOf(kept.params, 74),
      operator: bytesOf(kept.operator, 32), deposit: BigInt(kept.deposit), lanes,
    });
  }
}

// ---------------------------------------------------------------------------------------------- layouts

/** The id that binds chain, payer, provider, key, prices and expiry. */
export function sessionId(genesis, payer, params) {
  return hash(join(text("AITPses1"), genesis, payer, params));
}

/** What a lane's first voucher acknowledges. */
export function firstAck(session, lane) {
  return hash(join(text("AITPack0"), session, number(BigInt(lane), 2)));
}

/** The fields of a receipt a buyer has to look at. */
export function receiptOf(statement) {
  if (statement.length < 257 || new TextDecoder().decode(statement.subarray(0, 8)) !== "AITPrcp1") {
    throw new PaymentRefused("this is no receipt");
  }
  return {
    session: statement.subarray(8, 40), lane: Number(read(statement, 40, 2)), seq: read(statement, 42, 8),
    status: statement[50], charge: read(statement, 175, 16), total: read(statement, 191, 16),
    previous: statement.subarray(223, 255),
  };
}

/** Statement and signature of what headers carry. */
export function split(encoded) {
  const padded = encoded.replaceAll("-", "+").replaceAll("_", "/");
  const data = Uint8Array.from(atob(padded), (character) => character.charCodeAt(0));
  return { statement: data.subarray(0, -64), signature: data.subarray(-64) };
}

function amountOf(requirements, genesis) {
  if (requirements.network !== networkOf(hex(genesis)) || requirements.asset !== ASSET) {
    throw new PaymentRefused(`the offer is on ${requirements.network} in ${requirements.asset}`);
  }
  if (!/^\d{1,39}$/.test(requirements.amount)) {
    throw new PaymentRefused("the offer has no amount");
  }
  return BigInt(requirements.amount);
}

async function signed(signer, statement) {
  return join(Uint8Array.of(signer.kind), await signer.sign(statement));
}

function hash(data) {
  return blake2b(data, { dkLen: 32 });
}

function text(value) {
  return new TextEncoder().encode(value);
}

function random(size) {
  return globalThis.crypto.getRandomValues(new Uint8Array(size));
}

function number(value, size) {
  if (value < 0n || value > U128_MAX || value >> BigInt(8 * size) !== 0n) {
    throw new PaymentRefused(`${value} does not fit ${size} bytes`);
  }
  return Uint8Array.from({ length: size }, (_, index) => Number((value >> BigInt(8 * index)) & 255n));
}

function read(data, offset, size) {
  return data.subarray(offset, offset + size).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function hex(data) {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function bytesOf(value, size) {
  const digits = String(value).replace(/^0x/, "");
  if (!/^[0-9a-f]*$/i.test(digits) || digits.length !== 2 * size) {
    throw new PaymentRefused(`${String(value).slice(0, 80)} is not ${size} bytes in hex`);
  }
  return Uint8Array.from({ length: size }, (_, index) => Number.parseInt(digits.slice(2 * index, 2 * index + 2), 16));
}

function base64url(data) {
  return btoa(String.fromCharCode(...data)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
