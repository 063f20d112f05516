import { writeFileSync } from "node:fs";
import { toHex } from "../../src/bytes/hex.ts";
import { encodeEntry } from "../../src/block/entry.ts";
import { readBlock } from "../../src/chain/apply-block.ts";
import { encodeBlockRecord } from "../../src/chain/block-record.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { cosignatureSigner, encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { exportLedger } from "../../src/chain/export.ts";
import { describeMember } from "../../src/chain/founding.ts";
import { makeReceipt } from "../../src/chain/make-receipt.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { keyStateKey, memberKey, NONCES_KEY, POLICY_KEY, seqKey } from "../../src/chain/state.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { appendLeaf, emptyFrontier, frontierRoot } from "../../src/merkle/frontier.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { createForge, keyEntry, memberEntry, policyEntry } from "./forge.ts";
import { bytesFor, foundLedger, signerFor, START } from "./ledger.ts";

/** The structures of a ledger in format v1, in hex or as text. */
export interface LedgerFixture {
  readonly ledger: string;
  readonly origin: string;
  readonly author: string;
  readonly genesis: string;
  readonly entries: Readonly<Record<string, string>>;
  readonly transaction: string;
  readonly header: string;
  readonly blocks: readonly string[];
  readonly records: readonly string[];
  readonly state: Readonly<Record<string, string>>;
  readonly checkpoint: string;
  readonly root: string;
  readonly finalState: string;
  readonly receipt: string;
  readonly export: string;
}

/**
 * Writes `test/fixtures/format/v1/ledger.json`: one small ledger of fixed keys with an entry of
 * every kind. It was written once, when format v1 was frozen; run it again only for another format
 * version, under another name:
 *
 *     node --import tsx --conditions=healthledger-source test/support/v1-fixtures.ts <file>
 */
const [file] = process.argv.slice(2);
if (file === undefined) throw new Error("name the file to write");

const RULE = cidOf(bytesFor("rule of lab-order"), RAW);
const witness = { name: "witness.example", publicKey: signerFor("witness").publicKey };
const { genesis, parsed, signers } = await foundLedger(
  { a: ["custodian", "sequencer"], b: ["auditor"] },
  {
    kinds: [{ name: "lab-order", rule: RULE }],
    cosignaturePolicy: {
      validators: { required: 0, keys: [] },
      witnesses: { required: 1, keys: [witness] },
    },
  },
);

const a = signers["a"]!;
const b = signers["b"]!;
const kinds = [{ name: "lab-order", rule: RULE, check: () => true }];
const forge = await createForge(genesis, a, kinds);
const { ledger } = forge;
const saltOf = (name: string) => bytesFor(`salt of ${name}`).slice(0, 16);
const body = (name: string) => cidOf(bytesFor(`body of ${name}`), DAG_CBOR);
const subjectEntry = (kind: "record" | "consent" | "access") =>
  encodeEntry({
    v: 1,
    kind,
    salt: saltOf(kind),
    subject: bytesFor(`tag of ${kind}`),
    body: body(kind),
  });
const c = signerFor("c");
const entries: Record<string, Uint8Array> = {
  record: subjectEntry("record"),
  consent: subjectEntry("consent"),
  access: subjectEntry("access"),
  erase: encodeEntry({
    v: 1,
    kind: "erase",
    salt: saltOf("erase"),
    class: "clinical",
    body: body("erase"),
  }),
  link: encodeEntry({ v: 1, kind: "link", salt: saltOf("link"), body: body("link") }),
  "lab-order": encodeEntry({
    v: 1,
    kind: "lab-order",
    salt: saltOf("lab-order"),
    fields: { priority: 1 },
  }),
  "key add": await keyEntry(ledger, a.actor, "add", "sign", signerFor("a2", a.actor), {
    salt: saltOf("key add"),
  }),
  "key retire": await keyEntry(ledger, a.actor, "retire", "sign", signerFor("a2", a.actor), {
    salt: saltOf("key retire"),
  }),
  "key recover": await keyEntry(ledger, a.actor, "recover", "sign", signerFor("a3", a.actor), {
    salt: saltOf("key recover"),
    compromisedSince: 2,
  }),
  policy: await policyEntry(ledger, { maxDrift: 30_000 }, [a, b], {
    nonce: saltOf("policy nonce"),
    notAfter: 10,
  }),
  member: await memberEntry(
    ledger,
    [{ op: "add", ...(await describeMember({ sign: [c] }, ["witness"], ledger)) }],
    [a, b],
    { nonce: saltOf("member nonce"), notAfter: 10 },
  ),
};

const of = (...names: string[]) => names.map((name) => entries[name]!);
await forge.add(await forge.tx(a, of("record", "consent", "access", "erase", "link", "lab-order")));
await forge.add(await forge.tx(b, of("policy", "member")), await forge.tx(a, of("key add")));
await forge.add(await forge.tx(a, of("key retire")));
await forge.add(await forge.tx(signerFor("a recovery", a.actor), of("key recover")));

let frontier = emptyFrontier;
const records = forge.blocks.map((block) => {
  frontier = appendLeaf(frontier, leafHash(readBlock(block)!.header)).frontier;
  return encodeBlockRecord({ block, peaks: frontier.peaks });
});
const root = frontierRoot(frontier);
const note = await signNote(
  encodeCheckpoint({ origin: parsed.origin, size: records.length, root }),
  [
    noteSigner(signerFor("checkpoint"), parsed.origin),
    cosignatureSigner(signerFor("witness"), witness.name, () => START),
  ],
);

const storage = memoryStorage();
await storage.chains.append(blocksChain(ledger), { size: 0, hash: null }, records);
const chain = await openChain({ storage, genesis, kinds });
const receipt = await makeReceipt(
  chain,
  { height: 0, transaction: 0, entry: 1 },
  { checkpoint: note, later: true },
);

const car: Uint8Array[] = [];
for await (const chunk of exportLedger(chain, note)) car.push(chunk);

const first = readBlock(forge.blocks[0]!)!;
const state: Record<string, string> = {};
const stateKeys = [
  POLICY_KEY,
  NONCES_KEY,
  memberKey(a.actor),
  memberKey(c.actor),
  keyStateKey(a.key),
  keyStateKey(signerFor("a2").key),
  seqKey(a.key, 0),
];
await chain.state.load(stateKeys);
for (const key of stateKeys) state[key] = toHex(chain.state.get(key)!);

const hexes = (all: Record<string, Uint8Array>) =>
  Object.fromEntries(Object.entries(all).map(([name, bytes]) => [name, toHex(bytes)]));
const fixture = {
  ledger: ledger.toString(),
  origin: parsed.origin,
  author: a.actor,
  genesis: toHex(genesis),
  entries: hexes(entries),
  transaction: toHex(first.transactions[0]!.tx),
  header: toHex(first.header),
  blocks: forge.blocks.map(toHex),
  records: records.map(toHex),
  state,
  checkpoint: toHex(note),
  root: toHex(root),
  finalState: toHex(chain.state.root),
  receipt: toHex(receipt),
  export: toHex(Buffer.concat(car)),
};
writeFileSync(file, `${JSON.stringify(fixture, undefined, 2)}\n`);
