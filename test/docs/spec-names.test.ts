import { describe, expect, it } from "vitest";
import { encodeGenesis, type Genesis } from "../../src/block/genesis.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { bytesFor, foundLedger } from "../support/ledger.ts";
import { specPage } from "./spec-page.ts";

const { text } = specPage("ledger.md");

/** The numbers in the row of the table of names that begins so. */
function limitsOf(label: string): number[] {
  const row = text.split("\n").find((line) => line.startsWith(`| ${label}`))!;
  return Array.from(row.split("|")[2]!.matchAll(/\d[\d,]*/g), ([n]) => Number(n.replace(",", "")));
}

const { parsed } = await foundLedger({ a: ["custodian", "sequencer"], b: ["auditor"] });
const rule = cidOf(bytesFor("rule"), DAG_CBOR);
const stands = (change: Partial<Genesis>): boolean => {
  try {
    encodeGenesis({ ...parsed, ...change });
    return true;
  } catch {
    return false;
  }
};
const cosigner = (name: string): Partial<Genesis> => ({
  cosignaturePolicy: {
    validators: { required: 0, keys: [] },
    witnesses: { required: 0, keys: [{ name, publicKey: parsed.checkpointKeys[0]! }] },
  },
});

describe("docs/spec/ledger.md, names", () => {
  it("has the lengths of origins and cosigners' names, in UTF-16 units", () => {
    const [least, most] = limitsOf("origin, names of cosigners") as [number, number];
    for (const named of [(origin: string) => ({ origin }), cosigner]) {
      for (const one of ["a", "é", "水"]) {
        expect(stands(named(one.repeat(least)))).toBe(true);
        expect(stands(named(one.repeat(most)))).toBe(true);
        expect(stands(named(one.repeat(most + 1)))).toBe(false);
      }
      expect(stands(named(""))).toBe(false);
      // Two units each.
      expect(stands(named("😀".repeat((most - 1) / 2)))).toBe(true);
      expect(stands(named("😀".repeat((most + 1) / 2)))).toBe(false);
      for (const bad of [" ", "+", "\n", "\0", "\u00a0", "\u200b", "\u202e", "\ufeff", "\ud800"]) {
        expect(stands(named(`a${bad}b`)), JSON.stringify(bad)).toBe(false);
      }
    }
  });

  const registered = (field: "kinds" | "contracts", name: string) =>
    field === "kinds" ? { name, rule } : { name, rule, from: 0 };

  it("has those of kinds and contracts", () => {
    const [least, most] = limitsOf("kinds, contracts") as [number, number];
    for (const field of ["kinds", "contracts"] as const) {
      const named = (name: string): boolean => stands({ [field]: [registered(field, name)] });
      expect([least, most].map((length) => named("a".repeat(length)))).toEqual([true, true]);
      expect([0, most + 1].map((length) => named("a".repeat(length)))).toEqual([false, false]);
      expect(["a-1", "1a", "-a", "A", "a_b", "é"].map(named)).toEqual([
        true,
        ...[false, false, false, false, false],
      ]);
    }
    expect(stands({ kinds: [{ name: "record", rule }] })).toBe(false);
    expect(stands({ contracts: [{ name: "record", rule, from: 0 }] })).toBe(true);
  });

  it("has those of actors", () => {
    const lengths = (["Ed25519", "ES256"] as const).map(
      (alg) => memorySigner({ alg, secret: new Uint8Array(32).fill(1) }).actor.length,
    );
    expect(lengths).toEqual(limitsOf("actors"));
  });

  it("has those of chains, in bytes, and of keys of the state store", async () => {
    const { chains, state } = memoryStorage();
    const [least, most] = limitsOf("chains") as [number, number];
    const head = async (name: string): Promise<boolean> => {
      try {
        await chains.head(name);
        return true;
      } catch {
        return false;
      }
    };
    expect(await head("a".repeat(least))).toBe(true);
    expect(await head("é".repeat(most / 2))).toBe(true);
    expect(await head("é".repeat(most / 2) + "a")).toBe(false);
    expect([await head(""), await head("a\ud800")]).toEqual([false, false]);
    const [shortest, longest] = limitsOf("keys of the state store") as [number, number];
    const put = (length: number) =>
      state.batch([{ key: new Uint8Array(length), value: new Uint8Array(1) }]);
    await put(shortest);
    await put(longest);
    await expect(put(0)).rejects.toThrow(RangeError);
    await expect(put(longest + 1)).rejects.toThrow(RangeError);
  });
});
