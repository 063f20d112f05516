import { describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { labelledPart, securityLabelsOf } from "../../src/consent/labels/security-labels.ts";
import { readBundle } from "../../src/fhir/bundle.ts";
import { sealTogether, type EnvelopeToSeal } from "../../src/ledger/entries/seal-together.ts";
import { doSeal, sealedByJob, sealJob } from "../../src/workers/seal-job.ts";
import { takeFrom } from "../../src/workers/packed.ts";
import { bytesFor } from "../support/ledger.ts";
import { expectTwin, sentTo } from "./twin.ts";

const LOINC = "http://loinc.org";
const observation = (id: string, more: object = {}): object => ({
  resourceType: "Observation",
  id,
  status: "final",
  code: { coding: [{ system: LOINC, code: "8480-6" }] },
  ...more,
});
const composition = {
  resourceType: "Composition",
  id: "c",
  confidentiality: "V",
  meta: { security: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "ETH" }] },
  type: { coding: [{ system: LOINC, code: "18842-5" }] },
};

describe("describing on another thread", () => {
  it.each<readonly [string, string, object, readonly object[]]>([
    ["labels of the bundle", "collection", { meta: { security: [{}] } }, [observation("a")]],
    ["labels of a document", "document", {}, [composition, observation("a")]],
    [
      "references to others, and to themselves",
      "transaction",
      {},
      [
        observation("a", { hasMember: [{ reference: "Observation/b" }] }),
        observation("b", { derivedFrom: [{ reference: "Observation/a" }] }),
        observation("c", { focus: [{ reference: "Observation/c" }, { reference: "#x" }] }),
      ],
    ],
    ["numbers that lose digits", "collection", {}, [observation("a", { valueInteger: 1e300 })]],
    [
      "names of prototypes",
      "collection",
      {},
      [JSON.parse('{"resourceType":"Basic","__proto__":{"id":"x"},"constructor":1}')],
    ],
    [
      "names that UTF-8 needs four bytes for",
      "collection",
      {},
      [observation("a", { note: [{ text: "𝒳 é \0" }] })],
    ],
    [
      "resources inside",
      "collection",
      {},
      [{ resourceType: "Bundle", type: "collection", entry: [{ resource: composition }] }],
    ],
    ["nothing", "message", {}, []],
  ])("says the same of %s", async (_, type, more, resources) => {
    const entry = resources.map((resource, i) => ({
      fullUrl: `https://ehr.example/fhir/Thing/${i}`,
      resource,
    }));
    const reading = readBundle(JSON.stringify({ resourceType: "Bundle", type, ...more, entry }));
    for (const fields of [false, true]) expect(await expectTwin(reading, fields)).toBe(0);
  });

  it("refuses the same, beside what can be sealed", async () => {
    const resources = [observation("a"), observation("\0"), observation("b"), observation("\0")];
    const entry = resources.map((resource) => ({ resource }));
    const bundle = { resourceType: "Bundle", type: "collection", entry };
    expect(await expectTwin(readBundle(JSON.stringify(bundle)))).toBe(2);
  });

  it("sends of what is around all that security labels are read from", () => {
    for (const whole of [
      composition,
      { meta: { security: [{}], profile: ["x"] } },
      { meta: { security: {} } },
      { meta: "x", confidentiality: 5 },
      { meta: {} },
      {},
      null,
      undefined,
      "text",
    ]) {
      const sent = JSON.parse(JSON.stringify(labelledPart(whole))) as unknown;
      expect(securityLabelsOf(sent)).toEqual(securityLabelsOf(whole));
    }
    expect(securityLabelsOf(labelledPart(composition))).toHaveLength(2);
  });
});

describe("sealing on another thread", () => {
  const ledger = cidOf(bytesFor("ledger"), DAG_CBOR);
  const author = "did:key:author";
  const envelopes: readonly EnvelopeToSeal[] = [
    { kind: "record", parts: [{ id: "manifest", bytes: utf8ToBytes("m") }] },
    {
      kind: "record",
      parts: [
        { id: "manifest", bytes: new Uint8Array(0) },
        { id: "content", bytes: new Uint8Array(300_000).map((_, i) => i) },
        { id: "fields", bytes: new Uint8Array(3064) },
      ],
      disclosed: bytesFor("root"),
    },
    { kind: "consent", parts: [{ id: "manifest", bytes: new Uint8Array(3065) }] },
  ];
  const secrets = () =>
    envelopes.map((_, i) => ({ cek: bytesFor(`cek ${i}`), salt: bytesFor(`salt ${i}`) }));

  it.each(["chacha", "aes-gcm"] as const)("gives the same bytes: %s", async (suite) => {
    for (const padding of ["stepped", "uniform"] as const) {
      const terms = { ledger, author, suite, padding };
      const own = secrets().flatMap(({ cek, salt }) => [cek, salt]);
      const here = await sealTogether(terms, envelopes, () => own.shift()!);
      const given = secrets();
      const job = sealJob(terms, envelopes, given);
      // What is sent is a copy.
      expect(given).toEqual(secrets());
      const gave = sentTo({ id: 0, gave: await doSeal(sentTo(job)) }).gave;
      const there = sealedByJob(gave, given);
      expect(there).toHaveLength(3);
      for (const [i, one] of here.entries()) {
        const other = there[i]!;
        expect(Buffer.compare(other.header, one.header)).toBe(0);
        expect(other.cek).toBe(given[i]!.cek);
        expect(one.cek).toEqual(other.cek);
        expect(other.blocks.map(({ cid }) => cid.toString())).toEqual(
          one.blocks.map(({ cid }) => cid.toString()),
        );
        for (const [at, { cid, bytes }] of other.blocks.entries()) {
          expect(Buffer.compare(bytes, one.blocks[at]!.bytes)).toBe(0);
          expect(Buffer.compare(sha256(bytes), cid.multihash.digest)).toBe(0);
        }
      }
    }
  });

  it("leaves no key and no part in what it was sent, also if it fails", async () => {
    const terms = { ledger, author, suite: "chacha", padding: "stepped" } as const;
    const twice = [{ id: "a", bytes: bytesFor("a") }];
    for (const some of [envelopes, [{ kind: "record", parts: [...twice, ...twice] }]]) {
      const job = sealJob(terms, some, secrets().slice(0, some.length));
      expect(job.secrets.bytes.some((byte) => byte !== 0)).toBe(true);
      await doSeal(job).catch(() => undefined);
      expect(job.secrets.bytes.every((byte) => byte === 0)).toBe(true);
      expect(job.parts.bytes.every((byte) => byte === 0)).toBe(true);
    }
  });

  it("refuses an answer about fewer envelopes, or one that is cut", async () => {
    const terms = { ledger, author, suite: "chacha", padding: "stepped" } as const;
    const gave = await doSeal(sealJob(terms, envelopes, secrets()));
    const { counts, pieces } = gave;
    const cut = { ...pieces, bytes: pieces.bytes.slice(1) };
    const fewer = { ...pieces, lengths: pieces.lengths.slice(1) };
    for (const wrong of [
      { counts: counts.slice(1), pieces },
      { counts, pieces: cut },
      { counts, pieces: fewer },
      { counts: [counts[0]! + 100, ...counts.slice(1)], pieces },
    ]) {
      expect(() => sealedByJob(wrong, secrets())).toThrow(RangeError);
    }
    expect(() => takeFrom({ bytes: new Uint8Array(1), lengths: [1, 1] })).toThrow(RangeError);
  });
});
