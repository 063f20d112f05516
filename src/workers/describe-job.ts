import type { Labeller } from "../consent/labels/labeller.ts";
import { labelledPart } from "../consent/labels/security-labels.ts";
import { InputError } from "../errors.ts";
import { bytesToUtf8 } from "../bytes/utf8.ts";
import type { BundleResource } from "../fhir/bundle.ts";
import type { FhirResource } from "../fhir/resource.ts";
import {
  describeEntry,
  type BundleToDescribe,
  type Described,
  type EntryToDescribe,
} from "../ledger/records/describe-entry.ts";
import { resolveWithin } from "../ledger/records/label-context.ts";
import { pack, takeFrom, type Packed } from "./packed.ts";
import { tellError, toldError, type ToldError } from "./told-error.ts";

/** Asks to describe entries of a bundle. JSON is copied in less time than what it stands for. */
export interface DescribeJob {
  readonly job: "describe";
  /** `{ resources, within, fields, wanted }` in JSON, without texts and digests. */
  readonly said: string;
  /** The texts of all resources; then, of each that is wanted, the digest of its text or nothing. */
  readonly texts: Packed;
}

interface Said extends Pick<BundleToDescribe, "within" | "fields"> {
  readonly resources: readonly Pick<BundleResource, "fullUrl" | "request">[];
  readonly wanted: readonly EntryToDescribe[];
}

/** What a {@link DescribeJob} gives. */
export interface DescribedByJob {
  /** A list in JSON: for each that was wanted, what is said of it, or why it cannot be sealed. */
  readonly said: string;
  readonly drafts: Packed;
}

type SaidOf = Pick<Described["manifest"], "mediaType" | "resource" | "labels"> | ToldRefusal;
interface ToldRefusal {
  readonly refused: ToldError;
}

const NOTHING = /* @__PURE__ */ new Uint8Array(0);

/** Writes a job. */
export function describeJob(
  { resources, within, fields }: BundleToDescribe,
  wanted: readonly EntryToDescribe[],
): DescribeJob {
  const said: Said = {
    fields,
    within: within.map(labelledPart),
    resources: resources.map(({ fullUrl, request }) => ({
      ...(fullUrl !== undefined && { fullUrl }),
      ...(request !== undefined && { request }),
    })),
    wanted: wanted.map((one) => {
      const { source } = one.note;
      if (source === undefined) return one;
      const { text: _, ...name } = source;
      return { ...one, note: { ...one.note, source: name } };
    }),
  };
  const digests = wanted.map(({ note }) => note.source?.text ?? NOTHING);
  const texts = pack([...resources.map(({ text }) => text), ...digests]);
  return { job: "describe", said: JSON.stringify(said), texts };
}

/** Does a job; runs on the other thread. */
export async function doDescribe(
  { said, texts }: DescribeJob,
  labeller: Labeller,
): Promise<DescribedByJob> {
  const { resources, within, fields, wanted } = JSON.parse(said) as Said;
  const next = takeFrom(texts);
  const all = resources.map((one, index): BundleResource => {
    const text = next();
    const resource = JSON.parse(bytesToUtf8(text)) as FhirResource;
    return { ...one, index, resource, text, patients: [] };
  });
  const context = { fields, within: { within, resolve: resolveWithin(all) } };
  const answers: SaidOf[] = [];
  const drafts: Uint8Array[] = [];
  for (const { at, path, note } of wanted) {
    const digest = next();
    const { source } = note;
    const whole = digest.length === 0 ? note : { ...note, source: { ...source!, text: digest } };
    try {
      const made = await describeEntry(all[at]!, { path, note: whole }, context, labeller);
      const { mediaType, resource, labels } = made.manifest;
      answers.push({
        ...(mediaType !== undefined && { mediaType }),
        ...(resource !== undefined && { resource }),
        labels,
      });
      drafts.push(made.draft);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      answers.push({ refused: tellError(error) });
      drafts.push(NOTHING);
    }
  }
  return { said: JSON.stringify(answers), drafts: pack(drafts) };
}

/**
 * Reads what a job gave.
 *
 * @throws {RangeError} when it did not give an answer for each that was wanted
 */
export function describedByJob(
  { said, drafts }: DescribedByJob,
  wanted: readonly EntryToDescribe[],
): readonly (Described | InputError)[] {
  const next = takeFrom(drafts);
  const answers = JSON.parse(said) as SaidOf[];
  if (answers.length !== wanted.length) throw new RangeError("not what was wanted");
  return answers.map((one, i) => {
    const draft = next();
    if ("refused" in one) return toldError(one.refused) as InputError;
    return { manifest: { ...one, ...wanted[i]!.note }, draft };
  });
}
