// What the claim page computes, for each line of JSON on stdin: a test compares it with the Python side.
import { createInterface } from "node:readline";

const codes = await import(process.argv[2]);
const { hex, unhex } = codes;
const answers = {
  hash: ({ data, size }) => hex(codes.blake2b(unhex(data), size)),
  address: ({ account }) => codes.addressOf(unhex(account)),
  account: ({ address }) => codes.accountOf(address) && hex(codes.accountOf(address)),
  batchKey: ({ batch }) => codes.batchKey(BigInt(batch)),
  accountKey: ({ account }) => codes.accountKey(unhex(account)),
  words: async ({ entropy, list }) => (await codes.wordsOf(unhex(entropy), list)).join(" "),
  wallet: async ({ entropy }) => hex((await codes.keyOf(await codes.seedOf(unhex(entropy)))).public),
  parse: ({ text }) => codes.parse(text) && Number(codes.parse(text).batch),
  claim: async ({ text, genesis, claimant, bits, forPersons }) =>
    hex(await codes.claimOf(unhex(genesis), codes.parse(text), unhex(claimant), bits, forPersons)),
  inviter: ({ text }) => codes.inviterOf(text) && hex(codes.inviterOf(text)),
  refer: async ({ seed, inviter, genesis, ...how }) =>
    hex(await codes.signed(codes.referCall(unhex(inviter)), await codes.keyOf(unhex(seed)), { genesis: unhex(genesis), ...how })),
  amount: ({ value }) => codes.amount(BigInt(value)),
};
for await (const line of createInterface({ input: process.stdin })) {
  const { name, ...given } = JSON.parse(line);
  console.log(JSON.stringify(await answers[name](given)));
}
