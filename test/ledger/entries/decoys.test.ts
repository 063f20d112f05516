import { describe, expect, it } from "vitest";
import {
  decodeEntry,
  encodeEntry,
  entryIdOf,
  type SubjectEntry,
} from "../../../src/block/entry.ts";
import { toHex } from "../../../src/bytes/hex.ts";
import { cidFromDigest, DAG_CBOR } from "../../../src/codec/cid.ts";
import { toEntryId } from "../../../src/codec/ids.ts";
import type { Manifest } from "../../../src/ledger/entries/manifest.ts";
import type { SealedEntry } from "../../../src/ledger/entries/filing.ts";
import { inOrder, isDecoy, withDecoys } from "../../../src/ledger/entries/decoys.ts";
import type { Vault } from "../../../src/ledger/vault/vault.ts";
import { bytesFor } from "../../support/ledger.ts";
import { secondVault } from "../../support/by-hand.ts";
import { ward } from "../../support/ward.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { seeded } from "../../envelope/parties.ts";

/** Stands in for a keyed hash: the salt, and what it is for. */
const decoy = (what: string, salt: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(32).fill(what.length);
  bytes.set(salt);
  return bytes;
};
const vault = { decoy } as unknown as Vault;
const contextOf = (seed: string) => ({ vault, random: quick(seed) });
const W = await ward();
const body = cidFromDigest(bytesFor("body"), DAG_CBOR);

/** Marsaglia's xorshift32, which is quick and the same in every run. */
function quick(seed: string): (length: number) => Uint8Array {
  let state = new DataView(bytesFor(seed).buffer).getUint32(0) | 1;
  return (length) => {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      bytes[at] = state >>> 24;
    }
    return bytes;
  };
}

/** An entry that is sealed already: what it holds makes no difference here. */
function sealed(name: string, more: Partial<Manifest> = {}, kind: "record" | "link" = "record") {
  const salt = bytesFor(name).slice(0, 16);
  const tag = kind === "link" ? {} : { subject: bytesFor(`tag ${name}`) };
  const entry = encodeEntry({ v: 1, kind, salt, body, ...tag } as SubjectEntry);
  const manifest: Manifest = { v: 1, op: "create", local: new Uint8Array(16), ...more };
  const id = entryIdOf(W.hl.id, W.hl.member)(entry);
  const nothing = { envelope: body, encoded: new Uint8Array(), blobs: [], state: [] };
  return { id, entry, manifest, ...nothing } satisfies SealedEntry;
}

const two = [sealed("one"), sealed("two")];

describe("withDecoys", () => {
  it("adds d with probability 1/8 · (7/8)^d", () => {
    const context = contextOf("numbers");
    const drawn = Array.from({ length: 8000 }, () => withDecoys(context, two).all.length - 2);
    for (let d = 0; d < 12; d++) {
      const chance = (1 / 8) * (7 / 8) ** d;
      const found = drawn.filter((count) => count === d).length;
      // Four standard deviations of a binomial distribution.
      const most = 4 * Math.sqrt(8000 * chance * (1 - chance));
      expect(Math.abs(found - 8000 * chance), `${d}`).toBeLessThan(most);
    }
    const mean = drawn.reduce((sum, count) => sum + count, 0) / 8000;
    // The variance is (7/8)/(1/8)² = 56.
    expect(Math.abs(mean - 7)).toBeLessThan(4 * Math.sqrt(56 / 8000));
  });

  it("puts each entry anywhere, whatever its kind, and says where", () => {
    const context = contextOf("places");
    const link = sealed("link", { op: "identify" }, "link");
    const counts = new Map<string, number>();
    for (let n = 0; n < 6000; n++) {
      const { all, places } = withDecoys(context, [link, ...two]);
      expect([link, ...two].every(({ entry }, i) => all[places[i]!] === entry)).toBe(true);
      const order = [0, 1, 2].sort((a, b) => places[a]! - places[b]!).join("");
      const first = order + (places[Number(order[0])] === 0 ? " first" : "");
      counts.set(order, (counts.get(order) ?? 0) + 1);
      if (all.length === 4) counts.set(first, (counts.get(first) ?? 0) + 1);
    }
    for (const order of ["012", "021", "102", "120", "201", "210"]) {
      expect(Math.abs(counts.get(order)! - 1000), order).toBeLessThan(4 * Math.sqrt(6000 * 0.139));
    }
    // One decoy among four entries: three times out of four it is not the first.
    const firsts = [...counts].filter(([name]) => name.endsWith("first"));
    const withOne = 6000 * (1 / 8) * (7 / 8);
    const notFirst = firsts.reduce((sum, [, count]) => sum + count, 0);
    expect(Math.abs(notFirst / withOne - 0.75)).toBeLessThan(0.1);
  });

  it("keeps the order of what follows one another, and of what is about one resource", () => {
    const context = contextOf("threads");
    const source = { name: "ehr", type: "Observation", id: "o1" };
    const first = sealed("first");
    const next = sealed("next", { op: "amend", replaces: toEntryId(first.id) });
    const told = sealed("told", { source });
    const ended = sealed("ended", { op: "retract", source, replaces: toEntryId(told.id) });
    const anew = sealed("anew", { source });
    let turned = 0;
    for (let n = 0; n < 200; n++) {
      const { places } = withDecoys(context, [first, next, told, ended, anew]);
      const [a, b, c, d, e] = places as [number, number, number, number, number];
      expect(a).toBeLessThan(b);
      expect(c).toBeLessThan(d);
      expect(d).toBeLessThan(e);
      if (c < a) turned++;
    }
    expect(turned).toBeGreaterThan(50);
  });

  it("adds none where only one entry is a record's", () => {
    const entries = [sealed("one"), sealed("link", { op: "identify" }, "link")];
    for (let n = 0; n < 20; n++) {
      expect(withDecoys(contextOf(`${n}`), entries)).toEqual(inOrder(entries));
    }
  });

  it("never exceeds what a transaction may have", () => {
    const many = Array.from({ length: 9999 }, (_, i) => sealed(`${i}`));
    const counts = [0, 1, 2, 3].map((n) => withDecoys(contextOf(`cap ${n}`), many).all.length);
    expect(Math.max(...counts)).toBe(10_000);
    const full = [...many, sealed("last")];
    expect(withDecoys(contextOf("full"), full).all).toHaveLength(10_000);
  });
});

describe("isDecoy", () => {
  const decoyIn = (context: Parameters<typeof withDecoys>[0]): SubjectEntry => {
    const own = new Set(two.map(({ entry }) => toHex(entry)));
    for (;;) {
      const found = withDecoys(context, two).all.find((entry) => !own.has(toHex(entry)));
      if (found !== undefined) return decodeEntry(found) as SubjectEntry;
    }
  };

  it("recognises a decoy with the vault's root, and with no other", async () => {
    const real = await secondVault(W, W.storage as FullStorage);
    const other = await ward();
    const entry = decoyIn({ vault: real, random: seeded("own") });
    expect(isDecoy({ vault: real }, entry)).toBe(true);
    // Every ward has the same ledger and keys: the root alone differs.
    expect(other.hl.id.equals(W.hl.id)).toBe(true);
    const another = await secondVault(other, other.storage as FullStorage);
    expect(isDecoy({ vault: another }, entry)).toBe(false);
  });

  it.each<[string, (entry: SubjectEntry) => SubjectEntry]>([
    ["another body under its tag", (entry) => ({ ...entry, body })],
    ["another tag", (entry) => ({ ...entry, subject: bytesFor("tag") })],
    ["its tag under another salt", (entry) => ({ ...entry, salt: new Uint8Array(16) })],
    ["another kind", (entry) => ({ ...entry, kind: "access" })],
  ])("takes nothing else for one: %s", (_, change) => {
    const entry = decoyIn(contextOf("changed"));
    expect(isDecoy({ vault }, entry)).toBe(true);
    expect(isDecoy({ vault }, change(entry))).toBe(false);
  });
});
