// The bytes behind a claim, without anything of a page: `docs/spec/codes.md` and `aitoken/pay/coupons.py`.
// Ed25519, PBKDF2 and SHA-256 are the browser's own (WebCrypto); blake2b, base58 and xxHash, which it lacks, are here.

const MASK = (1n << 64n) - 1n;
const BLAKE_IV = [
  0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
];
const SIGMA = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];
const utf8 = new TextEncoder();

export const concat = (...parts) => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};
export const hex = (bytes) => "0x" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
export const unhex = (text) =>
  Uint8Array.from(text.slice(2).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

export function little(value, size) {
  const out = new Uint8Array(size);
  let rest = BigInt(value);
  for (let at = 0; at < size; at++, rest >>= 8n) out[at] = Number(rest & 255n);
  return out;
}

export function number(bytes) {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

const turn = (value, by) => ((value >> BigInt(by)) | (value << BigInt(64 - by))) & MASK;

function mix(v, a, b, c, d, x, y) {
  v[a] = (v[a] + v[b] + x) & MASK;
  v[d] = turn(v[d] ^ v[a], 32);
  v[c] = (v[c] + v[d]) & MASK;
  v[b] = turn(v[b] ^ v[c], 24);
  v[a] = (v[a] + v[b] + y) & MASK;
  v[d] = turn(v[d] ^ v[a], 16);
  v[c] = (v[c] + v[d]) & MASK;
  v[b] = turn(v[b] ^ v[c], 63);
}

/** BLAKE2b without a key (RFC 7693). */
export function blake2b(data, size = 32) {
  const h = [...BLAKE_IV];
  h[0] ^= 0x01010000n ^ BigInt(size);
  const blocks = Math.max(1, Math.ceil(data.length / 128));
  const padded = new Uint8Array(blocks * 128);
  padded.set(data);
  for (let block = 0; block < blocks; block++) {
    const m = Array.from({ length: 16 }, (_, i) => number(padded.subarray(block * 128 + i * 8, block * 128 + i * 8 + 8)));
    const v = [...h, ...BLAKE_IV];
    const last = block === blocks - 1;
    v[12] ^= BigInt(last ? data.length : (block + 1) * 128);
    if (last) v[14] ^= MASK;
    for (let round = 0; round < 12; round++) {
      const s = SIGMA[round % 10];
      for (let i = 0; i < 4; i++) mix(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
      for (let i = 0; i < 4; i++) {
        mix(v, i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4), m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
      }
    }
    for (let i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
  }
  return concat(...h.map((word) => little(word, 8))).slice(0, size);
}

/** XXH64 with seed 0 of exactly eight bytes: all that the key of a batch needs. */
export function xxh64of8(data) {
  const [p1, p2, p3, p4, p5] = [
    0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n, 0x85ebca77c2b2ae63n, 0x27d4eb2f165667c5n,
  ];
  const left = (value, by) => ((value << BigInt(by)) | (value >> BigInt(64 - by))) & MASK;
  let h = (p5 + 8n) & MASK;
  h ^= (left((number(data) * p2) & MASK, 31) * p1) & MASK;
  h = (left(h, 27) * p1 + p4) & MASK;
  h = ((h ^ (h >> 33n)) * p2) & MASK;
  h = ((h ^ (h >> 29n)) * p3) & MASK;
  return little(h ^ (h >> 32n), 8);
}

// ---------------------------------------------------------------------------------------------- addresses

const BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const checkOf = (body) => blake2b(concat(utf8.encode("SS58PRE"), body), 64).slice(0, 2);

/** The SS58 address of an account, on networks numbered below 64. */
export function addressOf(account, prefix = 42) {
  const body = concat([prefix], account);
  const bytes = concat(body, checkOf(body));
  let rest = number(bytes.slice().reverse());
  let text = "";
  for (; rest > 0n; rest /= 58n) text = BASE58[Number(rest % 58n)] + text;
  for (const byte of bytes) {
    if (byte) break;
    text = "1" + text;
  }
  return text;
}

/** The 32 bytes of an SS58 address of any network, null where it is none. */
export function accountOf(text) {
  let value = 0n;
  for (const letter of text) {
    const digit = BASE58.indexOf(letter);
    if (digit < 0 || value >> 300n) return null;
    value = value * 58n + BigInt(digit);
  }
  for (const size of [35, 36]) {
    if (value >> BigInt(8 * size)) continue;
    const bytes = little(value, size).reverse();
    const body = bytes.slice(0, -2);
    const wide = (bytes[0] & 0xc0) === 0x40;
    if (wide === (size === 36) && bytes[0] < 128 && hex(checkOf(body)) === hex(bytes.slice(-2))) return body.slice(-32);
  }
  return null;
}

// ---------------------------------------------------------------------------------------------- keys

/** The ed25519 key of a 32-byte seed: its public side, and what signs with it. */
export async function keyOf(seed) {
  const der = concat(unhex("0x302e020100300506032b657004220420"), seed);
  const key = await crypto.subtle.importKey("pkcs8", der, { name: "Ed25519" }, true, ["sign"]);
  const { x } = await crypto.subtle.exportKey("jwk", key);
  const sign = async (message) => new Uint8Array(await crypto.subtle.sign({ name: "Ed25519" }, key, message));
  return { public: unbase64(x), sign };
}

/** Twelve words for 16 random bytes (BIP-39). */
export async function wordsOf(entropy, list) {
  const check = new Uint8Array(await crypto.subtle.digest("SHA-256", entropy));
  let bits = (number(entropy.slice().reverse()) << 4n) | BigInt(check[0] >> 4);
  const words = [];
  for (let at = 0; at < 12; at++, bits >>= 11n) words.unshift(list[Number(bits & 2047n)]);
  return words;
}

/** The seed wallets of the Substrate world make of the random bytes behind the words. */
export async function seedOf(entropy) {
  const key = await crypto.subtle.importKey("raw", entropy, "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-512", salt: utf8.encode("mnemonic"), iterations: 2048 };
  return new Uint8Array(await crypto.subtle.deriveBits(how, key, 512)).slice(0, 32);
}

// ---------------------------------------------------------------------------------------------- codes

export function unbase64(text) {
  const plain = text.replaceAll("-", "+").replaceAll("_", "/");
  return Uint8Array.from(atob(plain), (letter) => letter.charCodeAt(0));
}

/** SCALE's compact integers: the value, and where it ends. */
function readCompact(data, at) {
  const mode = data[at] & 3;
  const size = mode < 3 ? 1 << mode : (data[at] >> 2) + 4;
  const value = mode < 3 ? number(data.slice(at, at + size)) >> 2n : number(data.slice(at + 1, at + 1 + size));
  return [value, at + size + (mode < 3 ? 0 : 1)];
}

export function compact(value) {
  if (value < 64) return little(value << 2, 1);
  if (value < 1 << 14) return little((value << 2) | 1, 2);
  if (value < 1 << 30) return little(value * 4 + 2, 4);
  return concat([3], little(value, 4));
}

/** Whom a link says one was invited by, null where it says nobody. */
export const inviterOf = (text) => accountOf(text.trim().split("#").pop().split("~")[1] ?? "");

/** Read a code, or a link that ends in one; null where it is none. */
export function parse(text) {
  let data;
  try {
    data = unbase64(text.trim().split("#").pop().split("~")[0]);
  } catch {
    return null;
  }
  const body = data.slice(0, -4);
  if (body[0] !== 1 || hex(blake2b(body).slice(0, 4)) !== hex(data.slice(-4))) return null;
  const [batch, mid] = readCompact(body, 5);
  const [index, at] = readCompact(body, mid);
  const path = body.slice(at + 16);
  if (body.length < at + 16 || path.length % 32 || path.length > 512) return null;
  const proof = [];
  for (let from = 0; from < path.length; from += 32) proof.push(path.slice(from, from + 32));
  return { chain: body.slice(1, 5), batch, index: Number(index), secret: body.slice(at, at + 16), proof };
}

export const codeKey = (secret) => keyOf(blake2b(concat(utf8.encode("AITPseed"), secret)));

export const claimBytes = (genesis, code, claimant) =>
  concat(utf8.encode("AITPcod1"), genesis, little(code.batch, 8), little(code.index, 4), claimant);

/** The first nonce that shows the work; lets the page breathe every 256 hashes. */
export async function workFor(message, bits) {
  const text = utf8.encode("AITPwrk1");
  for (let nonce = 0; ; nonce++) {
    if (bits === 0 || number(blake2b(concat(text, message, little(nonce, 8))).reverse()) >> BigInt(256 - bits) === 0n) {
      return nonce;
    }
    if (nonce % 256 === 255) await new Promise((resolve) => setTimeout(resolve));
  }
}

const CLAIM = 3;
const CLAIM_AS_PERSON = 5;

/** The whole transaction: `Codes.claim`, or that for persons, without an outer signature. */
export async function claimOf(genesis, code, claimant, bits, forPersons = false) {
  const message = claimBytes(genesis, code, claimant);
  const key = await codeKey(code.secret);
  const call = concat(
    [47, forPersons ? CLAIM_AS_PERSON : CLAIM], little(code.batch, 8), little(code.index, 4), key.public, compact(code.proof.length), ...code.proof,
    claimant, little(await workFor(message, bits), 8), await key.sign(message),
  );
  return concat(compact(call.length + 1), [4], call);
}

/** A transaction signed by an ed25519 account: immortal, without a tip (`docs/spec/runtime.md`, extensions). */
export async function signed(call, key, { genesis, nonce, specVersion, transactionVersion }) {
  const extra = concat([0], compact(nonce), [0, 0]);
  const additional = concat(little(specVersion, 4), little(transactionVersion, 4), genesis, genesis, [0]);
  const payload = concat(call, extra, additional);
  const signature = await key.sign(payload.length > 256 ? blake2b(payload) : payload);
  const body = concat([0x84, 0], key.public, [0], signature, extra, call);
  return concat(compact(body.length), body);
}

/** `Rewards.refer`: becomes a member whom somebody brought here. */
export const referCall = (inviter) => concat([48, 15, 1], inviter);

// ---------------------------------------------------------------------------------------------- storage

// twox128 of "Codes", "Batches", "System" and "Account".
const BATCHES = "0x29f09a1b1e65650877530fe7894f3789693613c6489d72d2393dccb449b7d452";
const ACCOUNTS = "0x26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9";

export const batchKey = (batch) => BATCHES + hex(xxh64of8(little(batch, 8))).slice(2) + hex(little(batch, 8)).slice(2);
export const accountKey = (who) => ACCOUNTS + hex(blake2b(who, 16)).slice(2) + hex(who).slice(2);

/** `Codes.Batches`: what a page shows of it. */
export function readBatch(data) {
  const field = (from, size) => number(data.slice(from, from + size));
  const [value, expires, terms] = [field(80, 16), Number(field(104, 8)), data[113]];
  return { value, expires, work: data[112], isCredit: terms === 1, forPersons: terms === 2 };
}

/** What is free of `System.Account`. */
export const readFree = (data) => number(data.slice(16, 32));

/** An amount of 12 decimals, as people write it. */
export function amount(value, decimals = 12) {
  const one = 10n ** BigInt(decimals);
  const rest = (value % one).toString().padStart(decimals, "0").replace(/0+$/, "");
  return (value / one).toString() + (rest ? "." + rest : "");
}
