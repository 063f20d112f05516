import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toEntryId } from "../../../src/codec/ids.ts";
import { CID, cidOf, RAW } from "../../../src/codec/cid.ts";
import { encode } from "../../../src/codec/dag-cbor.ts";
import { LedgerError } from "../../../src/errors.ts";
import {
  decodeManifest,
  encodeManifest,
  manifestAbout,
  type Manifest,
} from "../../../src/ledger/entries/manifest.ts";
import { bytesFor } from "../../support/ledger.ts";

const base = { v: 1, op: "create", local: bytesFor("local").slice(0, 16) };
const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
const cid = cidOf(bytesFor("cid"), RAW);

/** What a manifest may be made of by mistake, and what it may well hold. */
const CASES: Record<string, unknown> = {
  plain: base,
  "all fields": {
    ...base,
    replaces: bytesFor("replaces"),
    mediaType: "application/fhir+json",
    attachments: ["image/png"],
    resource: { type: "Observation", id: "ä".repeat(60) },
    fullUrl: "urn:x",
    labels: { codes: [{ system: "s", code: "c" }], stamp: null },
    reason: "why",
    request: bytesFor("request"),
    review: true,
    source: { name: "ehr-1", type: "Observation", id: "5", text: bytesFor("text") },
    ending: { versionId: "2", lastUpdated: 0 },
    idempotency: bytesFor("key"),
  },
  "a short idempotency key": { ...base, idempotency: base.local },
  "a source without its digest": { ...base, source: { name: "s", type: "Patient", id: "1" } },
  "a source without an id": { ...base, source: { name: "s", type: "Patient" } },
  "a long source": { ...base, source: { name: "s".repeat(257), type: "Patient", id: "1" } },
  "a source's long id": { ...base, source: { name: "s", type: "Patient", id: "1".repeat(65) } },
  "a source's long type": { ...base, source: { name: "s", type: "P".repeat(65), id: "1" } },
  "a source's short digest": {
    ...base,
    source: { name: "s", type: "Patient", id: "1", text: base.local },
  },
  "a source by its name": { ...base, source: "ehr-1" },
  "an ending of which nothing is known": { ...base, op: "retract", ending: {} },
  "an ending at a fraction": { ...base, ending: { lastUpdated: 1.5 } },
  "an ending before all time": { ...base, ending: { lastUpdated: -1 } },
  "an ending with more": { ...base, ending: { at: 1 } },
  "labels of null": { ...base, labels: null },
  "a name as of a prototype": { ...base, labels: JSON.parse('{"__proto__": {"a": 1}}') },
  "no map": [base],
  "no version": { op: "create", local: base.local },
  "another version": { ...base, v: 2 },
  "an unknown operation": { ...base, op: "destroy" },
  "a short person": { ...base, local: base.local.slice(1) },
  "an unknown field": { ...base, extra: 1 },
  "a field of undefined": { ...base, reason: undefined },
  "undefined within": { ...base, labels: { codes: undefined } },
  "a float within": { ...base, resource: { type: "Observation", value: 1.5 } },
  "a date within": { ...base, labels: { at: new Date(0) } },
  "a hole within": { ...base, attachments: Array(1) },
  "a short id": { ...base, replaces: bytesFor("replaces").slice(1) },
  "many attachments": { ...base, attachments: Array.from({ length: 251 }, () => "image/png") },
  "a long media type": { ...base, attachments: ["i".repeat(257)] },
  "a media type that is none": { ...base, mediaType: 3 },
  "a long address": { ...base, fullUrl: "u".repeat(4097) },
  "a long reason": { ...base, reason: "u".repeat(4097) },
  "a short request": { ...base, request: base.local },
  "review denied": { ...base, review: false },
  "lost text": { ...base, resource: { type: "\0\0" } },
  "a lost name": { ...base, labels: { "\0": 1 } },
  "half a surrogate pair": { ...base, reason: "\ud800" },
  "half a surrogate pair, long": { ...base, reason: `${"x".repeat(60)}\udc00` },
  "half a surrogate pair in a name": { ...base, labels: { "\ud800": 1 } },
  "31 levels": { ...base, labels: nested(31) },
  "32 levels": { ...base, labels: nested(32) },
  "more than 64 bits": { ...base, labels: { big: 1n << 64n } },
  "64 bits": { ...base, labels: { big: (1n << 64n) - 1n } },
  "a CID": { ...base, labels: { cid } },
  "a CID that is none": {
    ...base,
    labels: { cid: new CID(1, 3, cid.multihash, new Uint8Array(4)) },
  },
  // Beside them: the manifest, three of its fields, each with a name, the labels, and theirs.
  "as many items as can be read": { ...base, labels: Array(1_048_576 - 9).fill(0) },
  "an item more": { ...base, labels: Array(1_048_576 - 8).fill(0) },
  "more bytes than can be read": { ...base, labels: [new Uint8Array(64 * 1024 * 1024)] },
};

/** What is encoded, with the id that it names as a caller has it. */
function inMemory(value: unknown): Manifest {
  const { replaces } = value as { replaces?: Uint8Array };
  const named = replaces === undefined ? {} : { replaces: toEntryId(replaces) };
  return (Array.isArray(value) ? value : Object.assign({}, value, named)) as Manifest;
}

/** The error's code, or the bytes. */
function outcome(work: () => Uint8Array): Uint8Array | string {
  try {
    return work();
  } catch (error) {
    if (error instanceof LedgerError) return error.code as string;
    throw error;
  }
}

describe("encodeManifest", () => {
  it.each(Object.entries(CASES))("refuses what could not be read again: %s", (_, value) => {
    const readBack = outcome(() => {
      const bytes = encode(value);
      decodeManifest(bytes);
      return bytes;
    });
    const written = outcome(() => encodeManifest(inMemory(value)));
    expect(typeof written).toBe(typeof readBack);
    if (typeof readBack === "string") expect(written).toBe(readBack);
    else expect(Buffer.compare(written as Uint8Array, readBack)).toBe(0);
  });

  it("takes and refuses some of these", () => {
    const taken = Object.entries(CASES).filter(
      ([, value]) => typeof outcome(() => encodeManifest(inMemory(value))) !== "string",
    );
    expect(taken.map(([name]) => name)).toEqual([
      "plain",
      "all fields",
      "a source without its digest",
      "an ending of which nothing is known",
      "labels of null",
      "a name as of a prototype",
      "31 levels",
      "64 bits",
      "a CID",
      "as many items as can be read",
    ]);
  });
});

describe("manifestAbout", () => {
  const person = fc.uint8Array({ minLength: 16, maxLength: 16 });
  const operation = fc.constantFrom<Manifest["op"]>(
    ...(["create", "amend", "relabel", "retract", "reattribute", "directive", "attest"] as const),
    ...(["held", "witnesses", "identify", "hold", "release", "reviewed", "access"] as const),
    ...(["difference", "erase", "deleted"] as const),
  );
  const rest = fc.record(
    {
      replaces: fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toEntryId),
      mediaType: fc.constantFrom("application/fhir+json", "text/plain"),
      attachments: fc.array(fc.constantFrom("image/png", "application/pdf"), { maxLength: 3 }),
      fullUrl: fc.string({ maxLength: 40 }).map((text) => `u${text}`),
      labels: fc.constant(null),
      reason: fc.string({ maxLength: 300 }).map((text) => `r${text}`),
      review: fc.constant(true as const),
      source: fc.constant({ name: "s", type: "Patient", id: "1", text: bytesFor("text") }),
      idempotency: fc.constant(bytesFor("key")),
      ending: fc.constantFrom({}, { versionId: "1" }, { lastUpdated: 1 }),
    },
    { requiredKeys: [] },
  );

  it("gives the bytes that encoding the manifest of that person gives", () => {
    fc.assert(
      fc.property(person, person, operation, rest, (before, local, op, fields) => {
        const draft = encodeManifest({ v: 1, op, local: before, ...fields });
        const kept = draft.slice();
        const bytes = manifestAbout(draft, local);
        expect(bytes).toEqual(encodeManifest({ v: 1, op, local, ...fields }));
        expect(draft).toEqual(kept);
      }),
    );
  });

  it("refuses what names no person", () => {
    const draft = encodeManifest(base as Manifest);
    expect(() => manifestAbout(draft, new Uint8Array(15))).toThrow("16 bytes");
  });
});
