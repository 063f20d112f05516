import { createHash, createHmac } from "node:crypto";
import * as reference from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { CID } from "../../src/codec/cid.ts";
import { openDirectory } from "../../src/ledger/index/directory.ts";
import { indexNames } from "../../src/ledger/index/names.ts";
import { decodeIndexRecord, encodeIndexRecord } from "../../src/ledger/index/record.ts";
import {
  decodeIdentifiers,
  encodeHead,
  encodeIdentifiers,
  nextDigest,
  NO_ENTRIES,
} from "../../src/ledger/index/rows.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("index-of-a-custodian.md");
const filled = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const hmac = (key: Uint8Array, value: unknown): Uint8Array =>
  new Uint8Array(createHmac("sha256", key).update(reference.encode(value)).digest());
const vault = {
  name: (label: string, ...parts: readonly (string | Uint8Array)[]) =>
    hmac(filled(1), [label, ...parts]),
  mac: (label: string, ...parts: readonly (string | Uint8Array)[]) =>
    hmac(filled(2), [label, ...parts]),
};

describe("docs/spec/index-of-a-custodian.md", () => {
  it("shows who a person is", () => {
    const identifiers = [{ system: "urn:oid:1.2", value: "MRN-0012345" }];
    expect(reference.decode(page.hex("identify"))).toEqual({ v: 1, identifiers });
    expect(toHex(encodeIdentifiers(identifiers))).toBe(toHex(page.hex("identify")));
    expect(decodeIdentifiers(page.hex("identify"))).toEqual(identifiers);
  });

  it("shows the digest of one entry", () => {
    const envelope = CID.parse("bafyreif3xo53xo53xo53xo53xo53xo53xo53xo53xo53xo53xo53xo53xm");
    const id = filled(0xaa);
    const [before, entry, kind, cid] = reference.decode<unknown[]>(page.hex("digest-input"));
    expect([before, entry, kind]).toEqual([new Uint8Array(32), id, "record"]);
    expect(`${String(cid)}`).toBe(`${envelope}`);
    const digest = createHash("sha256")
      .update("healthledger/index/1\0")
      .update(page.hex("digest-input"))
      .digest("hex");
    expect(toHex(page.hex("digest"))).toBe(digest);
    expect(toHex(nextDigest(NO_ENTRIES.digest, { id, kind: "record", envelope }))).toBe(digest);
    expect(reference.decode(encodeHead(NO_ENTRIES))).toEqual({ v: 1, ...NO_ENTRIES });
    const place = { height: 4, transaction: 0, entry: 2 };
    const item = { id, place, kind: "record", envelope, recordedAt: 7 };
    const { v, items } = reference.decode<Record<string, unknown>>(
      encodeHead(NO_ENTRIES, [{ item }]),
    );
    expect([v, items]).toEqual([1, [{ id, ...place, kind: "record", envelope, recordedAt: 7 }]]);
  });

  it("shows a record, and its MAC", () => {
    const generation = Uint8Array.of(1, 2, 3, 4);
    const record = {
      ...{ generation, swept: true, height: 256, header: filled(0xcc), root: filled(0xdd) },
    };
    const storedAs = (v: number): Uint8Array => {
      const bytes = reference.encode({ v, ...record });
      return reference.encode([bytes, hmac(filled(2), ["record", bytes])]);
    };
    const stored = storedAs(2);
    // It led to another directory: the index is built again.
    expect(decodeIndexRecord(vault, storedAs(1))).toBeUndefined();
    expect(toHex(page.hex("index-record"))).toBe(toHex(stored));
    expect(toHex(encodeIndexRecord(vault, record))).toBe(toHex(stored));
    expect(decodeIndexRecord(vault, page.hex("index-record"))).toEqual(record);
    for (let at = 0; at < stored.length; at++) {
      const forged = stored.slice();
      forged[at]! ^= 1;
      expect(decodeIndexRecord(vault, forged), `byte ${at}`).toBeUndefined();
    }
  });

  it("shows a directory of one name", async () => {
    const stored = new Map<string, Uint8Array | null>();
    const directory = openDirectory(
      { getMany: async (keys) => keys.map((key) => stored.get(toHex(key)) ?? undefined) },
      (place) => place,
    );
    const name = Uint8Array.of(0xab, ...new Uint8Array(31), 1, 2, 3, 4);
    const { root, nodes } = await directory.update(new Uint8Array(32), [[name, filled(0xee)]]);
    for (const { key, value } of nodes) stored.set(toHex(key), value);
    const node = page.hex("directory-node");
    expect(stored).toEqual(new Map([["00000000000001", node]]));
    const hash = createHash("sha256").update(node).digest("hex");
    expect([toHex(root), toHex(page.hex("directory-root"))]).toEqual([hash, hash]);
    expect(await directory.read(root, [name, filled(0xab)])).toEqual([filled(0xee), undefined]);
  });

  it("names rows by the vault's names and the generation", () => {
    const generation = Uint8Array.of(1, 2, 3, 4);
    const names = indexNames(vault, generation);
    const local = new Uint8Array(16).fill(7);
    const name = (...parts: (string | Uint8Array)[]) => `${toHex(hmac(filled(1), parts))}01020304`;
    expect(toHex(names.identifier("s", "v"))).toBe(name("identifier", "s", "v"));
    expect(toHex(names.subject(local))).toBe(name("subject", local));
    expect(toHex(names.head(local))).toBe(name("catalogue head", local));
    expect(toHex(names.page(local, 12))).toBe(name("catalogue page", local, "12"));
    expect(toHex(names.id(filled(9)))).toBe(`${name("catalogue entry", filled(9))}01`);
    expect(toHex(names.ids)).toBe(name("catalogue ids"));
    expect(toHex(names.lacking)).toBe(name("catalogue lacking"));
  });
});
