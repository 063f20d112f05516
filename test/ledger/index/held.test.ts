import { describe, expect, it } from "vitest";
import { cidOf, RAW } from "../../../src/codec/cid.ts";
import { toEntryId } from "../../../src/codec/ids.ts";
import {
  briefOf,
  decodeManifest,
  encodeManifest,
  type Manifest,
} from "../../../src/ledger/entries/manifest.ts";
import { briefOfHeld, wholeItem, type Held } from "../../../src/ledger/index/held.ts";
import { decodePage, encodePage, type IndexItem } from "../../../src/ledger/index/rows.ts";

const item: IndexItem = {
  id: new Uint8Array(32).fill(1),
  place: { height: 4, transaction: 0, entry: 2 },
  kind: "record",
  envelope: cidOf(Uint8Array.of(1), RAW),
  recordedAt: 1_700_000_000_000,
};
const local = new Uint8Array(16).fill(3);
const manifest = {
  ...{ v: 1, op: "amend", local, replaces: toEntryId(new Uint8Array(32).fill(9)) },
  ...{ fullUrl: "https://a.example/Observation/1", mediaType: "application/fhir+json" },
  resource: { type: "Observation", id: "1", codes: [{ system: "s", code: "c" }] },
  labels: { codes: [{ system: "s", code: "N" }], stamp: null },
} as unknown as Manifest;

const notDecoded = (page: number | undefined): Held => ({
  ...{ item: { ...item }, page, encoded: encodeManifest(manifest), brief: briefOf(manifest) },
});

describe("an entry whose manifest is not decoded", () => {
  it("gives the manifest that its bytes give, and its brief is that manifest's", () => {
    const held = notDecoded(undefined);
    expect(briefOfHeld(held)).toEqual({
      ...{ op: "amend", local, replaces: "09".repeat(32), resource: { id: "1" } },
      fullUrl: "https://a.example/Observation/1",
    });
    const encoded = held.encoded!;
    expect(wholeItem(held)).toEqual({ ...item, manifest: decodeManifest(encoded) });
    expect(wholeItem(held)).toBe(held.item);
    expect(briefOfHeld(held)).toBe(held.item.manifest);
    expect(Object.isFrozen(held.item.manifest!.resource)).toBe(true);
  });

  it("is written to a page as one that was decoded is", () => {
    const held = notDecoded(undefined);
    const bytes = encodePage([held]);
    expect(encodePage([{ item: { ...item, manifest } }])).toEqual(bytes);
    wholeItem(held);
    expect(encodePage([held])).toEqual(bytes);
    expect(decodePage(bytes)).toEqual([{ ...item, manifest }]);
  });

  it("keeps the bytes until both a page and memory have the manifest", () => {
    const unpaged = notDecoded(undefined);
    wholeItem(unpaged);
    expect(unpaged.encoded).toBeDefined();
    const paged = notDecoded(0);
    wholeItem(paged);
    expect(paged.encoded).toBeUndefined();
    expect(paged.brief).toBeUndefined();
  });

  it("keeps none of the caller's bytes", () => {
    const bytes = local.slice();
    const brief = briefOf({ ...manifest, local: bytes });
    bytes.fill(0);
    expect(brief.local).toEqual(local);
  });
});
