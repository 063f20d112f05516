import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InputError, WorkerError } from "../../src/errors.ts";
import type { Ledger, OpenLedgerOptions } from "../../src/ledger/ledger.ts";
import {
  createLabeller,
  DEFAULT_LABEL_RULES,
  type Labeller,
} from "../../src/consent/labels/labeller.ts";
import { extendLabelRules } from "../../src/consent/labels/label-rules.ts";
import { defaultTerminology } from "../../src/consent/terminology/terminology.ts";
import type { KeyStore } from "../../src/identity/key-store.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { nodeWorkers } from "../../src/workers/index.ts";
import {
  medication,
  ndjson,
  patient,
  PARACETAMOL,
  prescription,
  ZIDOVUDINE,
} from "../support/drugs.ts";
import {
  alcoholDependence,
  LABELLER,
  MRN,
  observation,
  treatmentOnly,
} from "../support/hospital.ts";
import { openBundles, type Bundles } from "../support/threads.ts";
import { opened, ward, type Ward } from "../support/ward.ts";
import {
  expectClosed,
  expectNothingDoubled,
  expectRecovered,
  FAULTS,
  groups,
  HANG,
  RECORDED,
  TWICE,
} from "./faults.ts";

type Json = Record<string, unknown>;

const PEOPLE = 3;
const EACH = 12;
const SOURCE = { source: "ehr-1" } as const;
const ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const numberOf = (person: number) => (person === 0 ? MRN : { ...MRN, value: `MRN-${person}` });
const about = (person: number, json: string, more: Json = {}): Json => ({
  ...(JSON.parse(json) as Json),
  subject: { reference: `Patient/p${person}` },
  ...more,
});

let bundles: Bundles;
let thread: URL;
beforeAll(async () => {
  bundles = openBundles();
  thread = await bundles.thread();
});
afterAll(() => bundles.remove());

/** What a source sends of several persons: of each, what may go out and what may not. */
function sent(): readonly string[] {
  const lines: Json[] = [];
  for (let person = 0; person < PEOPLE; person++) {
    lines.push(patient(`p${person}`, numberOf(person)));
    for (let i = 0; i < EACH; i++) {
      lines.push(about(person, observation(`o${person}-${i}`, `${100 + i}.50`)));
      lines.push(about(person, alcoholDependence(`c${person}-${i}`)));
    }
    const labelled = { meta: { security: [{ system: ACT_CODE, code: "PSY" }] } };
    lines.push(about(person, observation(`l${person}`), labelled));
    // Labelled by what it refers to only.
    lines.push(
      prescription(`r${person}`, "Medication/m1", { subject: { reference: `Patient/p${person}` } }),
    );
    lines.push(
      prescription(`s${person}`, "Medication/m2", { subject: { reference: `Patient/p${person}` } }),
    );
  }
  lines.push(medication("m1", ZIDOVUDINE), medication("m2", PARACETAMOL));
  const all = [...ndjson(lines)];
  // It cannot be sealed, and this is no resource.
  all.splice(9, 0, `${JSON.stringify({ ...about(0, observation("x")), status: "\0" })}\n`);
  all.splice(11, 0, "{\n");
  const composition = about(0, '{"resourceType":"Composition","id":"comp","confidentiality":"V"}');
  const entry = [
    composition,
    ...Array.from({ length: EACH }, (_, i) => about(0, observation(`d${i}`))),
  ].map((resource) => ({
    fullUrl: `https://ehr.example/fhir/${String(resource["resourceType"])}/${String(resource["id"])}`,
    resource: { ...resource, subject: { reference: "https://ehr.example/fhir/Patient/p0" } },
  }));
  const document: Json = {
    ...{ resourceType: "Bundle", id: "doc", type: "document", timestamp: "2026-01-02T03:04:05Z" },
    entry,
  };
  const gone: Json = {
    ...{ resourceType: "Bundle", type: "transaction" },
    entry: [{ request: { method: "DELETE", url: "Observation/o1-1" } }],
  };
  all.push(...ndjson([document, gone]));
  return all;
}

/** The lengths of all blobs that a store is given. */
function weighed(inner: FullStorage): { storage: FullStorage; lengths: number[] } {
  const lengths: number[] = [];
  const storage: FullStorage = {
    ...inner,
    commit(batch, options) {
      for (const { bytes } of batch.blobs ?? []) lengths.push(bytes.length);
      return inner.commit(batch, options);
    },
  };
  return { storage, lengths };
}

/** What the ledger says of a person's records, without random bytes and what is made of them. */
async function recordsOf(hl: Ledger, person: number): Promise<readonly unknown[]> {
  const subject = (await hl.findSubject(numberOf(person)))!;
  const records = await hl.records(subject);
  return Promise.all(
    records.map(async ({ record, head, retracted }) => {
      const { op, mediaType, resource, labels, fullUrl, source } = head.manifest;
      const name = source === undefined ? undefined : { ...source, text: source.text?.length };
      const text = retracted ? "" : new TextDecoder().decode(await hl.read(record));
      return { op, mediaType, resource, labels, fullUrl, name, retracted, text };
    }),
  );
}

const sorted = (all: readonly unknown[]): readonly string[] =>
  all.map((one) => JSON.stringify(one)).sort();

/** Everything that a ledger tells of what was sent, once each person refuses what is sensitive. */
async function toldBy(w: Ward, lengths: readonly number[]) {
  const { hl } = w;
  const records: (readonly string[])[] = [];
  const released: (readonly string[])[] = [];
  const blobs = [...lengths].sort((a, b) => a - b);
  for (let person = 0; person < PEOPLE; person++) {
    const subject = (await hl.findSubject(numberOf(person)))!;
    await hl.consent(subject, treatmentOnly(w.patient), { signer: w.patient });
    records.push(sorted(await recordsOf(hl, person)));
    const answer = await hl.request(w.b, { patient: numberOf(person), purposes: ["TREAT"] });
    const names = (await opened(answer)).map(
      ({ resource }) => `${resource!.resourceType}/${String(resource!["id"])}`,
    );
    released.push(names.sort());
  }
  return { records, released, blobs };
}

/** A key store whose signers are copies, as those of an HSM are none of this library. */
const elsewhere = (keys: KeyStore): KeyStore => ({
  ...keys,
  signer: (...which) => ({ ...keys.signer(...which) }),
});

async function recorded(options: (w: { hospitalA: KeyStore }) => Partial<OpenLedgerOptions>) {
  const { storage, lengths } = weighed(memoryStorage());
  const founded = await ward({ inner: storage });
  await founded.hl.close();
  const hl = await founded.open({ storage, ...options(founded) });
  const w = { ...founded, hl };
  lengths.length = 0;
  const said = await hl.recordNdjson(sent(), SOURCE);
  const again = await hl.recordNdjson(sent(), SOURCE);
  const told = await toldBy(w, lengths);
  expect(await hl.verify()).toMatchObject({ ok: true });
  await hl.close();
  return { said, again, told };
}

describe("a ledger with workers", () => {
  it("has the same records, answers and lengths as one without", async () => {
    const here = await recorded(() => ({}));
    const there = await recorded(({ hospitalA }) => ({
      ...{ workers: nodeWorkers({ count: 2, thread }), keys: elsewhere(hospitalA) },
    }));
    // By hand: of each person the Patient, 12 observations and 12 conditions, one that is labelled, two
    // prescriptions; two drugs, a document, its Composition and 12 observations.
    const all = PEOPLE * (1 + 2 * EACH + 1 + 2) + 2 + 1 + 1 + EACH;
    expect(here.said).toMatchObject({
      recorded: all,
      retracted: 1,
      skipped: 2,
      copied: 2 * PEOPLE,
    });
    expect(here.told.records[0]!.length).toBe(1 + 2 * EACH + 3 + 2 + 2 + EACH);
    const open = (person: number) =>
      Array.from({ length: EACH }, (_, i) => `Observation/o${person}-${i}`);
    for (const person of [0, 1, 2]) {
      const names = here.told.released[person]!;
      expect(names).toEqual(
        expect.arrayContaining(open(person).filter((one) => one !== "Observation/o1-1")),
      );
      expect(names.filter((one) => /Condition|\/l/.test(one))).toEqual([]);
    }
    expect(there.said).toEqual(here.said);
    expect(there.again).toEqual(here.again);
    expect(there.told.released).toEqual(here.told.released);
    expect(there.told.records).toEqual(here.told.records);
    expect(there.told.blobs).toEqual(here.told.blobs);
  });

  it("labels by the rules of the deployment", async () => {
    const rules = extendLabelRules(DEFAULT_LABEL_RULES, {
      ...{ name: "pressure-is-secret", version: "3" },
      rules: [{ labels: ["PSY"], codes: { "http://loinc.org": ["8480-6"] } }],
    });
    const w = await ward({
      workers: nodeWorkers({ thread }),
      policy: { labeller: createLabeller(rules) },
    });
    const lines = [
      patient("p0"),
      ...Array.from({ length: EACH }, (_, i) => about(0, observation(`o${i}`))),
    ];
    await w.permit();
    await w.hl.recordNdjson(ndjson(lines), SOURCE);
    const labels = (await w.hl.records(w.me)).flatMap(({ head: { manifest } }) =>
      manifest.resource!.type === "Observation" ? [manifest.labels] : [],
    );
    expect(labels).toHaveLength(EACH);
    for (const one of labels) {
      expect(one!.codes).toContainEqual({ system: ACT_CODE, code: "PSY" });
      expect(one!.stamp).toEqual({ labeller: "pressure-is-secret", version: "3" });
    }
    expect((await opened(await w.ask())).map(({ resource }) => resource!.resourceType)).toEqual([
      "Patient",
    ]);
    await w.hl.close();
  });

  it.each<readonly [string, () => Partial<OpenLedgerOptions>]>([
    [
      "a labeller of somebody else",
      () => ({ policy: { labeller: { ...LABELLER, label: () => null } } }),
    ],
    [
      "a terminology of somebody else",
      () => {
        const terminology = { ...defaultTerminology(), labelsBelow: () => undefined };
        return { policy: { labeller: createLabeller(undefined, { terminology }) } };
      },
    ],
    [
      "rules that were changed after the labeller was made",
      () => {
        const rules = structuredClone(DEFAULT_LABEL_RULES) as {
          version: string;
        } & typeof DEFAULT_LABEL_RULES;
        const labeller: Labeller = createLabeller(rules);
        rules.version = "changed";
        return { policy: { labeller } };
      },
    ],
    ["workers of somebody else", () => ({ workers: { count: 1 } })],
  ])("is not opened with %s", async (_, options) => {
    const w = await ward();
    await w.hl.close();
    const workers = nodeWorkers({ thread });
    await expect(w.again({ workers, ...options() })).rejects.toThrow(TypeError);
    const hl = await w.again({ workers });
    await hl.close();
  });

  it("describes and seals on its threads", async () => {
    const missing = new URL("./missing.mjs", thread);
    const w = await ward({ workers: nodeWorkers({ thread: missing }) });
    const call = w.hl.recordNdjson(sent(), SOURCE);
    const error = (await call.catch((reason: unknown) => reason)) as WorkerError;
    expect(error).toBeInstanceOf(WorkerError);
    expect(error.code).toBe("ERR_WORKER_FAILED");
    expect((error.cause as { code?: unknown }).code).toMatch(/MODULE_NOT_FOUND$/);
    // What is one by one takes no thread.
    await w.hl.record(w.me, observation("alone"));
    await w.hl.close();
  });
});

describe("a thread of a ledger", () => {
  it.each([
    ["describe", "dies"],
    ["seal", "answers with too little"],
  ] as const)(
    "that fails to %s, as it %s, loses nothing and doubles nothing, and the next call goes on",
    async (kind, what) => {
      await expectRecovered(await bundles.faulty(kind, 2, FAULTS[what]!));
    },
  );

  it("that answers twice doubles nothing", async () => {
    await expectNothingDoubled(await bundles.faulty("seal", 1, TWICE));
  });

  it("that hangs is ended, and does not keep the ledger from closing", async () => {
    await expectClosed(await bundles.faulty("seal", 1, HANG));
  });

  it("is left alone by a caller who gives up", async () => {
    const stalled = await bundles.faulty("describe", 1, "");
    const w = await ward({ workers: nodeWorkers({ thread: stalled }) });
    const controller = new AbortController();
    const { signal } = controller;
    const call = w.hl.recordNdjson(groups(), { ...SOURCE, signal });
    setTimeout(() => controller.abort(new Error("enough")), 50);
    await expect(call).rejects.toThrow("enough");
    expect(await w.hl.recordNdjson(groups(), SOURCE)).toMatchObject({
      recorded: RECORDED,
    });
    await w.hl.close();
  });
});

describe("nodeWorkers", () => {
  it("refuses options that are unknown or out of range", () => {
    for (const count of [0, 65, 1.5, Number.NaN])
      expect(() => nodeWorkers({ count })).toThrow(RangeError);
    for (const timeout of [0, 2 ** 31, 0.5])
      expect(() => nodeWorkers({ timeout })).toThrow(RangeError);
    expect(() => nodeWorkers({ thread: "./thread.js" as unknown as URL })).toThrow(TypeError);
    expect(() => nodeWorkers({ threads: 2 } as object)).toThrow(InputError);
    expect(nodeWorkers({ count: 64, timeout: 2 ** 31 - 1 })).toEqual({ count: 64 });
    expect(nodeWorkers()).toEqual({ count: 1 });
  });
});
