import { expect } from "vitest";
import { createLabeller } from "../../src/consent/labels/labeller.ts";
import { InputError } from "../../src/errors.ts";
import type { BundleReading } from "../../src/fhir/bundle.ts";
import {
  describeEntry,
  type Described,
  noteOfEntry,
  pathOfEntry,
  type EntryContext,
} from "../../src/ledger/records/describe-entry.ts";
import { labelsWithin } from "../../src/ledger/records/label-context.ts";
import { describedByJob, describeJob, doDescribe } from "../../src/workers/describe-job.ts";
import { buffersOf } from "../../src/workers/job.ts";

const labeller = createLabeller();

/** What another thread would get of a value. */
export const sentTo = <T extends Parameters<typeof buffersOf>[0]>(value: T): T =>
  structuredClone(value, { transfer: [...buffersOf(value)] });

/** Describes all resources of a bundle here and as another thread does, and expects the same. */
export async function expectTwin(bundle: BundleReading, fields = false): Promise<number> {
  const within = labelsWithin(bundle);
  const context: EntryContext = {
    ...{ within, type: bundle.type, source: "twin", fields },
    marksOf: ({ index }) => (index % 3 === 0 ? { refers: [`Medication/${index}`] } : {}),
  };
  const wanted = bundle.resources.map((one, at) => ({
    at,
    path: pathOfEntry(one),
    note: noteOfEntry(one, context, (text) => new Uint8Array(32).fill(text.length)),
  }));
  const job = describeJob({ resources: bundle.resources, within: within.within, fields }, wanted);
  const gave = await doDescribe(sentTo(job), labeller);
  const there = describedByJob(sentTo({ id: 0, gave }).gave, wanted);
  expect(there).toHaveLength(wanted.length);
  let refused = 0;
  for (const [i, one] of bundle.resources.entries()) {
    const here = await describeEntry(one, wanted[i]!, context, labeller).catch((error) => error);
    if (here instanceof InputError) {
      refused++;
      const other = there[i] as InputError;
      expect(other).toBeInstanceOf(InputError);
      expect([other.code, other.message]).toEqual([here.code, here.message]);
      const [cause, theirs] = [here.cause, other.cause] as [Error, Error];
      expect(theirs).toBeInstanceOf(cause.constructor);
      expect(theirs.message).toBe(cause.message);
    } else {
      const { manifest, draft } = there[i] as Described;
      expect(manifest).toEqual(here.manifest);
      // `toEqual` takes minutes for long bytes.
      expect(Buffer.compare(draft, here.draft)).toBe(0);
    }
  }
  return refused;
}
