// What a person sees of a claim. The code comes behind the # of the address, which no server ever sees; words and keys
// never leave this page. The node is asked at the address the page came from.

import * as codes from "./codes.js";

const $ = (id) => document.getElementById(id);
const DOLLAR = 840;
const SECONDS_MAX = 120;
const LOOKS_A_SECOND = 4;
let code = null;
let genesis = null;
let batch = null;
let inviter = null;
let wallet = null;

async function ask(method, ...params) {
  const answer = await fetch(location.pathname, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    cache: "no-store",
  });
  if (!answer.ok) throw new Error(`the node answers ${answer.status}`);
  const { result, error } = await answer.json();
  if (error) throw new Error([error.message, error.data].filter(Boolean).join(": "));
  return result;
}

function show(...ids) {
  for (const section of document.querySelectorAll("section")) section.hidden = !ids.includes(section.id);
}

function wrong(text) {
  $("wrong").textContent = text;
}

/** Run what a button does; say what went wrong, and let the person try again. */
function on(id, work) {
  $(id).addEventListener("click", async () => {
    wrong("");
    $(id).disabled = true;
    try {
      await work();
    } catch (error) {
      wrong(sentence(error.message));
    }
    $(id).disabled = false;
  });
}

function sentence(text) {
  if (/outdated|stale|already/i.test(text)) return "This code has been used.";
  if (/expired/i.test(text)) return "The time for this code is over.";
  if (/notperson/i.test(text)) return "This code is for persons, and this address is not known as one's.";
  if (/hadone/i.test(text)) return "This code is one for each person, and this one has had one.";
  if (/nobatch|badcode/i.test(text)) return "Nothing stands behind this code any more.";
  return `That did not work: ${text}.`;
}

async function inMoney(value) {
  try {
    const answer = codes.unhex(await ask("state_call", "OracleApi_current_rate", codes.hex(codes.little(DOLLAR, 2))));
    if (answer[0] !== 1) return "";
    const cents = (value * 100n) / codes.number(answer.slice(1, 17));
    return `about ${new Intl.NumberFormat(navigator.language, { style: "currency", currency: "USD" }).format(Number(cents) / 100)}`;
  } catch {
    return ""; // a chain without an exchange rate
  }
}

async function open(text) {
  code = codes.parse(text);
  inviter = codes.inviterOf(text);
  if (!code) {
    show("enter");
    if (text) wrong("This is no code, or a letter of it is wrong.");
    return;
  }
  genesis = codes.unhex(await ask("chain_getBlockHash", 0));
  if (codes.hex(genesis.slice(0, 4)) !== codes.hex(code.chain)) return wrong("This code is for another network.");
  const found = await ask("state_getStorage", codes.batchKey(code.batch));
  if (!found) return wrong("Nothing stands behind this code any more.");
  batch = codes.readBatch(codes.unhex(found));
  if (batch.expires <= Date.now()) return wrong("The time for this code is over.");
  const money = await inMoney(batch.value);
  const tokens = `${codes.amount(batch.value)} AIT${batch.isCredit ? " of credit" : ""}`;
  $("worth").textContent = `Your code is worth ${money ? `${money} (${tokens})` : tokens}.`;
  $("new").hidden = batch.forPersons; // a wallet that is made now is nobody's whom an issuer knows
  $("persons").hidden = !batch.forPersons;
  show("choose");
}

const freeOf = async (who) => {
  const found = await ask("state_getStorage", codes.accountKey(who), await ask("chain_getFinalizedHead"));
  return found ? codes.readFree(codes.unhex(found)) : 0n;
};

async function take(claimant, isNew) {
  const before = await freeOf(claimant);
  $("worth").textContent = "One moment ...";
  await ask("author_submitExtrinsic", codes.hex(await codes.claimOf(genesis, code, claimant, batch.work, batch.forPersons)));
  for (let look = 0; !batch.isCredit && (await freeOf(claimant)) <= before; look++) {
    if (look === SECONDS_MAX * LOOKS_A_SECOND) throw new Error("it was sent, but is not there yet; look at your wallet later");
    await new Promise((resolve) => setTimeout(resolve, 1000 / LOOKS_A_SECOND));
  }
  $("title").textContent = "Done";
  $("worth").textContent = "";
  $("result").textContent = `${codes.amount(batch.value)} AIT ${batch.isCredit ? "of credit is on its way to you" : "are yours"}.`;
  $("paid").textContent = codes.addressOf(claimant);
  $("import").hidden = !isNew;
  if (isNew && inviter && !batch.isCredit) {
    $("inviter").textContent = codes.addressOf(inviter);
    show("done", "invited");
    return;
  }
  show("done");
}

async function join() {
  const { specVersion, transactionVersion } = await ask("state_getRuntimeVersion");
  const nonce = await ask("system_accountNextIndex", codes.addressOf(wallet.public));
  const how = { genesis, nonce, specVersion, transactionVersion };
  await ask("author_submitExtrinsic", codes.hex(await codes.signed(codes.referCall(inviter), wallet, how)));
  $("invited").replaceChildren("You are a member.");
}

async function makeWallet() {
  const list = (await (await fetch("claim/words.txt")).text()).trim().split("\n");
  const entropy = crypto.getRandomValues(new Uint8Array(16));
  const key = await codes.keyOf(await codes.seedOf(entropy));
  $("list").replaceChildren(
    ...(await codes.wordsOf(entropy, list)).map((word) => {
      const item = document.createElement("li");
      item.textContent = word;
      return item;
    }),
  );
  $("made").textContent = codes.addressOf(key.public);
  show("words");
  $("written").onchange = () => ($("take").disabled = !$("written").checked);
  wallet = key;
}

on("read", () => open($("code").value));
on("new", makeWallet);
on("own", async () => show("address"));
on("take", () => take(wallet.public, true));
on("join", join);
on("send", async () => {
  const account = codes.accountOf($("to").value.trim());
  if (!account) return wrong("This is no address, or a letter of it is wrong.");
  await take(account, false);
});

if (!globalThis.crypto?.subtle) {
  wrong("Open this page with https: without it, your browser makes no keys.");
} else {
  const text = location.hash.slice(1);
  history.replaceState(null, "", location.pathname); // so that the code does not stay in the history
  try {
    await codes.keyOf(new Uint8Array(32));
    await open(text);
  } catch (error) {
    wrong(error.name === "NotSupportedError" ? "This browser is too old to make keys: use a newer one." : sentence(error.message));
  }
}
