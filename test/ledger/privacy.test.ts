import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as dagCbor from "@ipld/dag-cbor";
import { CID } from "multiformats/cid";
import { sha256 } from "#crypto";
import { decodeBlock } from "../../src/block/block.ts";
import { decodeEntry, isCustom, type Entry, type SubjectEntry } from "../../src/block/entry.ts";
import { isSubjectTag } from "../../src/block/tag.ts";
import { decodeTransaction } from "../../src/block/transaction.ts";
import { concatBytes } from "../../src/bytes/concat.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { decodeBlockRecord } from "../../src/chain/block-record.ts";
import { openCatalogue } from "../../src/ledger/entries/catalogue.ts";
import type { Subject } from "../../src/ledger/entries/subjects.ts";
import type { LedgerContext } from "../../src/ledger/context.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { describeVectors } from "../support/vectors.ts";
import { collect, opened, ward } from "../support/ward.ts";
import { contextOf, secondVault } from "../support/by-hand.ts";
import { cases } from "../support/share.ts";

/** Words of the ledger's own formats that FHIR data may happen to contain. */
const VOCABULARY =
  "record consent access erase link key member policy clinical directive audit Ed25519 ES256 " +
  "checkpoint checkpoints recovery custodian sequencer auditor blocks vault catalogue retire " +
  "healthledger subject author entries transactions proposer ledger header height count state " +
  "origin nonce members threshold witnesses validators required contracts policies approvals";

/** Every string value of JSON, of six bytes and more. */
function stringsOf(value: unknown, into: Set<string> = new Set()): Set<string> {
  if (typeof value === "string") {
    if (Buffer.byteLength(value) >= 6 && !VOCABULARY.includes(value)) into.add(value);
  } else if (Array.isArray(value)) {
    for (const item of value) stringsOf(item, into);
  } else if (typeof value === "object" && value !== null) {
    for (const item of Object.values(value)) stringsOf(item, into);
  }
  return into;
}

/** The forms in which a value may stand in bytes: UTF-8, hex, base64 and base64url, any alignment. */
function formsOf(value: string): Buffer[] {
  const bytes = Buffer.from(value);
  const hex = bytes.toString("hex");
  const forms = [bytes, Buffer.from(hex), Buffer.from(hex.toUpperCase())];
  for (const skip of [0, 1, 2]) {
    const padded = Buffer.concat([Buffer.alloc(skip), bytes]);
    const from = [0, 2, 3][skip]!;
    const to = Math.floor((padded.length * 8) / 6);
    for (const encoding of ["base64", "base64url"] as const) {
      forms.push(Buffer.from(padded.toString(encoding).slice(from, to)));
    }
  }
  return forms;
}

const head = (bytes: Uint8Array, at: number): number =>
  bytes[at]! +
  bytes[at + 1]! * 2 ** 8 +
  bytes[at + 2]! * 2 ** 16 +
  bytes[at + 3]! * 2 ** 24 +
  bytes[at + 4]! * 2 ** 32 +
  bytes[at + 5]! * 2 ** 40;

/** The values that occur in the bytes in one form or another. */
function leaks(values: ReadonlySet<string>, haystack: Uint8Array): string[] {
  const byHead = new Map<number, { form: Buffer; value: string }[]>();
  for (const value of values) {
    for (const form of formsOf(value)) {
      const key = head(form, 0);
      byHead.set(key, [...(byHead.get(key) ?? []), { form, value }]);
    }
  }
  const found = new Set<string>();
  const bytes = Buffer.from(haystack.buffer, haystack.byteOffset, haystack.length);
  for (let at = 0; at + 6 <= bytes.length; at++) {
    for (const { form, value } of byHead.get(head(bytes, at)) ?? []) {
      if (bytes.subarray(at, at + form.length).equals(form)) found.add(value);
    }
  }
  return [...found];
}

async function everythingIn(storage: FullStorage, car: AsyncIterable<Uint8Array>) {
  const chains: Uint8Array[] = [];
  for await (const name of storage.chains.list()) {
    chains.push(utf8ToBytes(name));
    for await (const { record } of storage.chains.read(name, { from: 0 })) chains.push(record);
  }
  const blobs: Uint8Array[] = [];
  for await (const cid of storage.blobs.list()) blobs.push((await storage.blobs.get(cid))!);
  const state: Uint8Array[] = [];
  const all = { gte: Uint8Array.of(0), lt: new Uint8Array(64).fill(0xff) };
  for await (const { key, value } of storage.state.scan(all)) state.push(key, value);
  const all4 = { chains, blobs, state, car: await collect(car) };
  return Object.fromEntries(
    Object.entries(all4).map(([name, parts]) => [name, concatBytes(...parts)]),
  ) as Record<keyof typeof all4, Uint8Array>;
}

/** A whole life of a few patients' data: recorded, permitted, asked for, broken into, erased. */
async function live(inner: FullStorage, bundles: readonly string[]) {
  const w = await ward({ inner, breakGlass: { roles: ["emergency-physician"] } });
  const values = new Set<string>();
  const asked = {
    user: "Dr. Ottilie Brandstetter",
    reason: "found unconscious at Marktplatz",
    erased: "withdrawn by letter of 3 May",
    hold: "case 4711 of Amtsgericht",
    wrong: "entered in error by night shift",
  };
  stringsOf(asked, values);
  stringsOf(MRN, values);
  for (const bundle of bundles) {
    stringsOf(JSON.parse(bundle), values);
    const { subjects, recorded } = await w.hl.recordBundle(null, bundle);
    for (const { identifier, subject } of subjects) {
      const directive = treatmentOnly(w.patient);
      const { grantor: _grantor, ...said } = directive;
      stringsOf(said, values);
      await w.hl.consent(subject, directive, { signer: w.patient });
      const answer = await w.ask(w.b, { patient: identifier, user: asked.user });
      expect((await opened(answer)).length).toBeGreaterThan(0);
      await w.ask(w.c, { patient: identifier, purposes: ["HRESCH"] });
      await w.ask(w.b, {
        patient: identifier,
        purposes: ["BTG"],
        roles: [{ code: "emergency-physician", attestedBy: w.b.signer.actor }],
        declaration: { reason: asked.reason, until: w.clock.now + 1000 },
      });
      const [one, two, three] = recorded;
      await w.hl.retract(one!.id, asked.wrong);
      await w.hl.relabel(two!.id, null);
      await w.hl.placeHold(subject, asked.hold);
      await w.hl.liftHold(subject);
      await w.hl.erase(subject, { records: [three!.id], reason: asked.erased });
      expect((await collect(w.hl.audit(subject))).length).toBe(3);
    }
  }
  await w.hl.close();
  const again = await w.open({ storage: inner });
  const stores = await everythingIn(inner, await again.export());
  return { w, again, values, stores };
}

const examples = new URL("../../examples/data/", import.meta.url);
const bundles = readdirSync(examples)
  .filter((name) => name.endsWith(".json"))
  .map((name) => readFileSync(new URL(name, examples), "utf8"));

async function showsNothing(inner: FullStorage, of: readonly string[]): Promise<void> {
  const { values, stores, again } = await live(inner, of);
  expect(values.size).toBeGreaterThan(300);
  for (const [name, bytes] of Object.entries(stores)) {
    expect(bytes.length, name).toBeGreaterThan(1000);
    expect(leaks(values, bytes), name).toEqual([]);
  }
  await again.close();
}

describe("privacy", () => {
  it("finds values in any form when they are there", () => {
    const values = new Set(["Brandstetter", "MRN-0012345", "F10.20"]);
    for (const value of values) {
      for (const form of formsOf(value)) {
        const noise = sha256(form);
        expect(leaks(values, concatBytes(noise, form, noise))).toEqual([value]);
      }
      for (const encoding of ["base64", "base64url", "hex", "utf8"] as const) {
        for (const before of ["", "a", "ab"]) {
          const text = Buffer.from(`${before}${value}zz`).toString(encoding);
          expect(leaks(values, Buffer.from(text))).toEqual([value]);
        }
      }
    }
    expect(
      leaks(values, concatBytes(...Array.from({ length: 99 }, (_, i) => sha256(Uint8Array.of(i))))),
    ).toEqual([]);
    const plain = utf8ToBytes(bundles.join(""));
    const all = stringsOf(bundles.map((text) => JSON.parse(text) as unknown));
    expect(leaks(all, plain).length).toBeGreaterThan(all.size * 0.9);
  });

  it("leaves no value of the example bundles in clear in any store, on the ledger or in an export", async () => {
    await showsNothing(memoryStorage(), bundles);
  });

  it("leaves none in LMDB either", async () => {
    const path = mkdtempSync(join(tmpdir(), "healthledger-privacy-"));
    const inner = await lmdbStorage({ path });
    await showsNothing(inner, bundles.slice(0, 1));
    await inner.close();
    rmSync(path, { recursive: true, force: true });
  });
});

describe("names of the index's rows", () => {
  it("do not group the entries about a person", async () => {
    const w = await ward();
    const other = await w.hl.ensureSubject({ system: "urn:oid:9", value: "OTHER-77" });
    for (let i = 0; i < 40; i++) {
      for (const person of [w.me, other]) await w.hl.record(person, observation(`bp-${i}`));
    }
    const { vault, chain } = await contextOf(w);
    await chain.close();
    await w.hl.close();
    const some = vault.name("some");
    const { key: whole } = vault.remove(some);
    const before = toHex(whole.subarray(0, whole.length - some.length));
    const names: string[] = [];
    const all = { gte: Uint8Array.of(0), lt: new Uint8Array(64).fill(0xff) };
    for await (const { key } of (w.storage as FullStorage).state.scan(all)) {
      if (toHex(key).startsWith(before)) names.push(toHex(key).slice(before.length));
    }
    // A key and a row for each of more than 80 entries, and what the two persons have of their own.
    expect(names.length).toBeGreaterThan(160);
    // No two have the first five bytes in common, as the 2^40 values of random ones would not.
    expect(new Set(names.map((name) => name.slice(0, 10))).size).toBe(names.length);
    // What follows the 32 bytes is the same for all persons: the index's generation, and a mark.
    const tails = new Set(names.map((name) => name.slice(64)));
    expect([...tails].map(({ length }) => length).sort((a, b) => a - b)).toEqual([0, 8, 10]);
  });
});

describeVectors("privacy of a synthetic patient", "synthea", (path) => {
  it("leaves no value of a bundle of hundreds of resources in clear", async () => {
    const [name] = readdirSync(path)
      .filter((file) => file.endsWith(".json"))
      .map((file) => [file, readFileSync(join(path, file), "utf8").length] as const)
      .sort(([, a], [, b]) => a - b)
      .map(([file]) => file);
    await showsNothing(memoryStorage(), [readFileSync(join(path, name!), "utf8")]);
  });
});

type Check = (value: unknown) => boolean;
const bytes =
  (length: number): Check =>
  (value) =>
    value instanceof Uint8Array && value.length === length;
const uint: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isCid: Check = (value) => {
  const cid = CID.asCID(value);
  return cid?.version === 1 && cid.code === 0x71 && cid.multihash.code === 0x12;
};

const oneOf =
  (...words: string[]): Check =>
  (value) =>
    words.includes(value as string);
const did: Check = (value) =>
  typeof value === "string" && /^did:key:z[1-9A-HJ-NP-Za-km-z]{46,60}$/.test(value);
const one: Check = (value) => value === 1;

const HEADER: Record<string, Check> = {
  v: one,
  ledger: isCid,
  height: uint,
  prev: (value) => value === null || isCid(value),
  transactions: bytes(32),
  count: uint,
  state: bytes(32),
  time: uint,
  proposer: did,
  key: bytes(32),
};

const TRANSACTION: Record<string, Check> = {
  v: one,
  ledger: isCid,
  author: did,
  key: bytes(32),
  lane: uint,
  seq: uint,
  time: uint,
  entries: bytes(32),
  count: uint,
};

const common = { v: one, salt: bytes(16), body: isCid };
const ENTRIES: Record<string, Record<string, Check>> = {
  record: { ...common, kind: oneOf("record"), subject: bytes(32) },
  consent: { ...common, kind: oneOf("consent"), subject: bytes(32) },
  access: { ...common, kind: oneOf("access"), subject: bytes(32) },
  erase: { ...common, kind: oneOf("erase"), class: oneOf("clinical", "directive", "audit") },
  link: { ...common, kind: oneOf("link") },
};

function conforms(value: unknown, schema: Record<string, Check> | undefined): boolean {
  if (schema === undefined || typeof value !== "object" || value === null) return false;
  const fields = Object.entries(value);
  return (
    fields.length === Object.keys(schema).length &&
    fields.every(([name, field]) => Object.hasOwn(schema, name) && schema[name]!(field))
  );
}

describe("the ledger's schema", () => {
  it("has room for nothing but hashes, tags, keys, numbers and a few words", async () => {
    const inner = memoryStorage();
    const { w } = await live(inner, bundles.slice(0, 1));
    const seen = new Map<string, number>();
    for await (const { record } of inner.chains.read(blocksChain(w.hl.id), { from: 0 })) {
      const { block: encoded, peaks } = decodeBlockRecord(record);
      expect(peaks.every(bytes(32))).toBe(true);
      const outer = dagCbor.decode<Record<string, unknown>>(encoded);
      expect(Object.keys(outer).sort()).toEqual(["alg", "header", "sig", "transactions"]);
      const block = decodeBlock(encoded);
      expect(conforms(dagCbor.decode(block.header), HEADER)).toBe(true);
      expect([block.alg, block.sig.length]).toEqual(["Ed25519", 64]);
      for (const raw of outer["transactions"] as Record<string, unknown>[]) {
        expect(Object.keys(raw).sort()).toEqual(["alg", "entries", "sig", "tx"]);
        expect(oneOf("Ed25519")(raw["alg"]) && bytes(64)(raw["sig"])).toBe(true);
        expect(conforms(dagCbor.decode(raw["tx"] as Uint8Array), TRANSACTION)).toBe(true);
        for (const entry of raw["entries"] as Uint8Array[]) {
          const fields = dagCbor.decode<{ kind: string }>(entry);
          expect(conforms(fields, ENTRIES[fields.kind]), fields.kind).toBe(true);
          // One length for every entry of a kind: nothing is told by how long it is.
          const size = `${fields.kind} ${"class" in fields ? String(fields.class) : ""}`;
          expect(seen.get(size) ?? entry.length).toBe(entry.length);
          seen.set(size, entry.length);
        }
      }
    }
    expect([...seen.keys()].sort()).toEqual([
      "access ",
      "consent ",
      "erase clinical",
      "link ",
      "record ",
    ]);
  });
});

/** What who has nothing but the ledger sees of two entries, as numbers to be told apart by. */
interface View {
  readonly exact: string;
  readonly measured: readonly number[];
}

const bitsApart = (a: Uint8Array, b: Uint8Array): number =>
  a.reduce((sum, byte, i) => sum + (byte ^ b[i]!).toString(2).replaceAll("0", "").length, 0);

async function view(inner: FullStorage, name: string, from: number): Promise<View> {
  const shape: unknown[] = [];
  const entries: Entry[] = [];
  for await (const { record } of inner.chains.read(name, { from })) {
    const block = decodeBlock(decodeBlockRecord(record).block);
    shape.push(
      block.transactions.map((signed) => {
        const { author, lane, time, count } = decodeTransaction(signed.tx);
        const kinds = signed.entries.map((one) => {
          const entry = decodeEntry(one);
          entries.push(entry);
          return [entry.kind, one.length];
        });
        return [author, lane, time, count, kinds];
      }),
    );
  }
  const tagged = entries.filter(
    (entry): entry is SubjectEntry => !isCustom(entry) && "subject" in entry,
  );
  const [a, b] = [tagged[0]!, tagged.at(-1)!];
  const digest = (entry: SubjectEntry) => entry.body.multihash.digest;
  const measured = [
    bitsApart(a.subject, b.subject),
    bitsApart(a.salt, b.salt),
    bitsApart(digest(a), digest(b)),
    bitsApart(a.subject.slice(0, 16), b.salt),
    bitsApart(a.salt, b.subject.slice(0, 16)),
    bitsApart(a.subject, digest(b)),
    bitsApart(digest(a), b.subject),
    bitsApart(a.subject.slice(0, 4), b.subject.slice(0, 4)),
    a.subject[0]! - b.subject[0]!,
    a.salt[0]! - b.salt[0]!,
    Math.abs(a.subject[0]! - b.subject[0]!),
    (a.subject[31]! + b.subject[31]!) % 256,
  ];
  return { exact: JSON.stringify(shape), measured };
}

/** How often a number of one sort is larger than one of the other: 0.5 tells nothing. */
function separation(one: readonly number[], other: readonly number[]): number {
  let wins = 0;
  for (const a of one) for (const b of other) wins += a > b ? 1 : a === b ? 0.5 : 0;
  return wins / (one.length * other.length);
}

const ROUNDS = cases(50, 3);

type World = Awaited<ReturnType<typeof ward>>;
type Scene = (w: World, persons: readonly [World["me"], World["me"]]) => Promise<unknown>;

const bundleFor = (values: readonly string[]) => ({
  resourceType: "Bundle",
  type: "collection",
  entry: values.flatMap((value, i) => [
    ...(values.indexOf(value) === i
      ? [
          {
            fullUrl: `urn:uuid:p${value}`,
            resource: {
              resourceType: "Patient",
              id: `p${value}`,
              identifier: [{ system: MRN.system, value }],
            },
          },
        ]
      : []),
    {
      fullUrl: `urn:uuid:o${i}`,
      resource: {
        ...(JSON.parse(observation(`o${i}`)) as object),
        subject: { reference: `urn:uuid:p${value}` },
      },
    },
  ]),
});

const scenes: Readonly<Record<string, Scene>> = {
  "one after the other": async (w, [one, two]) => {
    await w.hl.record(one, observation("bp-1"));
    await w.hl.record(two, observation("bp-2"));
  },
  "at the same time": (w, [one, two]) =>
    Promise.all([w.hl.record(one, observation("bp-1")), w.hl.record(two, observation("bp-2"))]),
  "a record and an access": async (w, [one, two]) => {
    await w.hl.record(one, observation("bp-1"));
    const value = two === one ? "one" : "two";
    await w.ask(w.b, { patient: { ...MRN, value } });
  },
  "two records, both erased": async (w, [one, two]) => {
    const a = await w.hl.record(one, observation("bp-1"));
    const b = await w.hl.record(two, observation("bp-2"));
    await w.hl.erase(one, { records: [a.id], reason: "asked" });
    await w.hl.erase(two, { records: [b.id], reason: "asked" });
  },
};

/** Plays a scene with one person, or with two, with random bytes that are the same every time. */
async function play(scene: Scene, same: boolean, round: number): Promise<View> {
  let counter = 0;
  const random = (length: number): Uint8Array => {
    const parts: Uint8Array[] = [];
    for (let have = 0; have < length; have += 32) {
      parts.push(sha256(utf8ToBytes(`${same} ${round} ${counter++}`)));
    }
    return concatBytes(...parts).slice(0, length);
  };
  const inner = memoryStorage();
  const w = await ward({ inner, random });
  const one = await w.hl.ensureSubject({ ...MRN, value: "one" });
  const two = await w.hl.ensureSubject({ ...MRN, value: "two" });
  await scene(w, [one, same ? one : two]);
  return view(inner, blocksChain(w.hl.id), 0);
}

describe("unlinkability", () => {
  for (const [name, scene] of Object.entries(scenes)) {
    it(`does not tell two entries of one person from entries of two: ${name}`, async () => {
      const views: Record<"same" | "other", View[]> = { same: [], other: [] };
      for (let round = 0; round < ROUNDS; round++) {
        views.same.push(await play(scene, true, round));
        views.other.push(await play(scene, false, round));
      }
      const shapes = new Set([...views.same, ...views.other].map(({ exact }) => exact));
      expect(shapes.size).toBe(1);
      for (let i = 0; i < views.same[0]!.measured.length; i++) {
        const told = separation(
          views.same.map(({ measured }) => measured[i]!),
          views.other.map(({ measured }) => measured[i]!),
        );
        // Four standard deviations of what chance gives with this many rounds (Mann and Whitney).
        const bound = 4 * Math.sqrt((2 * ROUNDS + 1) / (12 * ROUNDS ** 2));
        expect(Math.abs(told - 0.5), `measure ${i}`).toBeLessThan(bound);
      }
    });
  }

  it("does not tell by transactions when a bundle is mixed", async () => {
    const shapes = new Set<string>();
    for (const values of [
      ["one", "one", "one"],
      ["one", "two"],
    ]) {
      const inner = memoryStorage();
      const w = await ward({ inner });
      // How many persons are new is no secret: each is a link entry.
      for (const value of ["one", "two"]) await w.hl.ensureSubject({ ...MRN, value });
      const before = w.hl.chain.size;
      const { recorded } = await w.hl.recordBundle(null, bundleFor(values), { mix: true });
      expect(recorded).toHaveLength(4);
      shapes.add((await view(inner, blocksChain(w.hl.id), before)).exact);
    }
    expect(shapes.size).toBe(1);
  });

  it("lets who holds the subject key link them", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    for (let i = 0; i < 4; i++) await w.hl.record(i % 2 ? w.me : other, observation(`bp-${i}`));
    await w.ask();
    const vault = await secondVault(w, inner);
    const context = {
      ...{ chain: w.hl.chain, vault, storage: inner, keys: w.hospitalA },
      ...{ signer: w.hospitalA.signer(), random: (length: number) => new Uint8Array(length) },
    } as unknown as LedgerContext;
    const catalogue = openCatalogue(context, {
      carryOut: async () => undefined,
      assertCarriedOut: () => undefined,
    });
    await catalogue.catchUp();
    const keyOf = async ({ local }: Subject) => (await catalogue.subject(local))!.key;
    const keys = [await keyOf(w.me), await keyOf(other)];
    const linked: number[] = [];
    for (let height = 0; height < w.hl.chain.size; height++) {
      const { block } = await w.hl.chain.readBlock(height);
      const entry = decodeEntry(block.transactions[0]!.entries[0]!) as SubjectEntry;
      // Who a person is says no tag.
      if (entry.kind === ("link" as string)) continue;
      const context = { ...entry, ledger: w.hl.id, author: w.hl.member };
      const whose = keys.map((key) => isSubjectTag(entry.subject, key, context));
      linked.push(whose.indexOf(true));
      expect(whose.filter(Boolean)).toHaveLength(1);
      // A copy under another salt, kind or author carries no tag of theirs.
      for (const change of [
        { kind: "consent" },
        { author: w.b.signer.actor },
        { salt: new Uint8Array(16) },
      ]) {
        expect(
          keys.some((key) => isSubjectTag(entry.subject, key, { ...context, ...change })),
        ).toBe(false);
      }
    }
    expect(linked).toEqual([1, 0, 1, 0, 0]);
    expect(new Set(keys.map(toHex)).size).toBe(2);
  });
});
