import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import type { Padding } from "../../src/envelope/padding.ts";
import { openOwn } from "../../src/ledger/entries/own-envelope.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { contextOf } from "./by-hand.ts";
import { ward } from "./ward.ts";

/** A record as the host of the storage sees it, and what it would like to know. */
export interface SealedRecord {
  readonly type: string;
  /** Code of the first coding of what the resource is; empty if it has none. */
  readonly code: string;
  /** Length of the signed header and of each ciphertext block. */
  readonly lengths: readonly number[];
  /** Lengths of manifest and content without padding, if they were asked for. */
  readonly plain: readonly number[];
}

interface Resource {
  readonly resourceType: string;
  readonly [element: string]: unknown;
}

/** Types that do not occur once or twice a person only. */
const CLINICAL =
  "Observation Claim Encounter ExplanationOfBenefit Immunization DiagnosticReport Condition " +
  "Procedure MedicationRequest CarePlan Goal";

function codeOf(resource: Resource): string {
  const elements = ["code", "medicationCodeableConcept", "vaccineCode", "type", "category"];
  const found = elements.map((name) => resource[name]).find((value) => value !== undefined);
  const concept = (Array.isArray(found) ? found[0] : found) as
    { coding?: { code?: string }[] } | undefined;
  return concept?.coding?.[0]?.code ?? "";
}

/**
 * Records the resources of a folder of FHIR bundles one by one, and watches the storage.
 *
 * @param opens - whether to open each again, for its lengths without padding
 */
export async function sealEach(
  folder: string,
  padding: Padding,
  opens: boolean,
): Promise<SealedRecord[]> {
  const inner = memoryStorage();
  let taken: Uint8Array[] = [];
  const storage: FullStorage = {
    ...inner,
    commit(batch, options) {
      for (const { bytes } of batch.blobs ?? []) taken.push(bytes);
      return inner.commit(batch, options);
    },
  };
  const w = await ward({ inner: storage, padding });
  const filed = [];
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".json"))) {
    const bundle = JSON.parse(readFileSync(join(folder, name), "utf8")) as {
      entry: { resource: Resource }[];
    };
    for (const { resource } of bundle.entry) {
      if (!CLINICAL.split(" ").includes(resource.resourceType)) continue;
      taken = [];
      const { place } = await w.hl.record(w.me, JSON.stringify(resource));
      filed.push({ resource, place, blobs: taken });
    }
  }
  const context = await contextOf(w);
  const records: SealedRecord[] = [];
  for (const { resource, place, blobs } of filed) {
    const envelope = cidOf(blobs[0]!, DAG_CBOR);
    const own = { kind: "record", envelope, height: place.height, parts: ["manifest", "content"] };
    const parts = opens ? await openOwn(context, own) : undefined;
    records.push({
      type: resource.resourceType,
      code: codeOf(resource),
      lengths: blobs.map(({ length }) => length),
      plain: [...(parts?.values() ?? [])].map(({ length }) => length),
    });
  }
  await context.chain.close();
  await w.hl.close();
  return records;
}

/** Shares of right guesses, from 0 to 1. */
export interface Guesses {
  /** Of somebody who sees lengths. */
  readonly right: number;
  /** Of somebody who does not look and always says what is most frequent. */
  readonly majority: number;
  readonly count: number;
}

type Sample = readonly [label: string, lengths: readonly number[]];

/** Numbers from 0 to 1 that are the same for one seed (mulberry32). */
function numbersOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function mostFrequent(labels: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}

/** Learns from a random half of the samples, and guesses the others by the nearest lengths. */
export function guess(samples: readonly Sample[], seed: number): Guesses {
  const next = numbersOf(seed);
  const mixed = samples.map((sample) => [next(), sample] as const).sort(([a], [b]) => a - b);
  const half = Math.floor(mixed.length / 2);
  const [known, asked] = [mixed.slice(0, half), mixed.slice(half)];
  const labels = new Map<string, string[]>();
  for (const [, [label, lengths]] of known) {
    const same = labels.get(String(lengths)) ?? [];
    labels.set(String(lengths), [...same, label]);
  }
  const all = [...labels].map(
    ([lengths, found]) => [lengths.split(",").map(Number), found] as const,
  );
  const remembered = new Map<string, string | undefined>();
  const nearest = (lengths: readonly number[]): string | undefined => {
    const name = String(lengths);
    if (!remembered.has(name)) {
      const distances = all.map(([theirs]) =>
        lengths.reduce((sum, length, i) => sum + Math.abs(length - (theirs[i] ?? 0)), 0),
      );
      const least = Math.min(...distances);
      const found = all.filter((_, i) => distances[i] === least).flatMap(([, some]) => some);
      remembered.set(name, mostFrequent(found));
    }
    return remembered.get(name);
  };
  const most = mostFrequent(known.map(([, [label]]) => label));
  const share = (isRight: (sample: Sample) => boolean): number =>
    asked.filter(([, sample]) => isRight(sample)).length / asked.length;
  return {
    right: share(([label, lengths]) => nearest(lengths) === label),
    majority: share(([label]) => label === most),
    count: asked.length,
  };
}

/** The mean over ten halves. */
export function guessOften(samples: readonly Sample[]): Guesses {
  const all = Array.from({ length: 10 }, (_, seed) => guess(samples, seed));
  const mean = (of: "right" | "majority"): number =>
    all.reduce((sum, one) => sum + one[of], 0) / all.length;
  return { right: mean("right"), majority: mean("majority"), count: all[0]!.count };
}

/** Guesses of the code by somebody who knows the type, for each type that has several codes. */
export function guessCodes(
  records: readonly SealedRecord[],
  lengthsOf: (record: SealedRecord) => readonly number[],
): ReadonlyMap<string, Guesses> {
  const byType = new Map<string, Guesses>();
  for (const type of new Set(records.map((record) => record.type))) {
    const some = records.filter((record) => record.type === type);
    if (new Set(some.map(({ code }) => code)).size < 2) continue;
    byType.set(type, guessOften(some.map((record) => [record.code, lengthsOf(record)])));
  }
  return byType;
}

/** The share over all types. */
export function overall(byType: ReadonlyMap<string, Guesses>): Guesses {
  const all = [...byType.values()];
  const count = all.reduce((sum, one) => sum + one.count, 0);
  const mean = (of: "right" | "majority"): number =>
    all.reduce((sum, one) => sum + one[of] * one.count, 0) / count;
  return { right: mean("right"), majority: mean("majority"), count };
}
