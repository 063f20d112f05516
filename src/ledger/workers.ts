import { cidOf, DAG_CBOR } from "../codec/cid.ts";
import { encode } from "../codec/dag-cbor.ts";
import { createLabeller, type Labeller, partsOfLabeller } from "../consent/labels/labeller.ts";
import type { LabelRuleSet } from "../consent/labels/label-rules.ts";
import {
  defaultTerminology,
  type Terminology,
  type TerminologyData,
} from "../consent/terminology/terminology.ts";
import type { UnsignedEnvelope } from "../envelope/seal.ts";
import type { InputError } from "../errors.ts";
import type { EnvelopeSecrets, EnvelopeToSeal, SealTerms } from "./entries/seal-together.ts";
import type { BundleToDescribe, Described, EntryToDescribe } from "./records/describe-entry.ts";

/** Other threads for a ledger: what `nodeWorkers` of `healthledger/workers` returns. */
export interface Workers {
  /** How many threads a ledger may start. */
  readonly count: number;
}

/** What the threads of a ledger do for it. */
export interface WorkerThreads {
  /**
   * Describes entries of a bundle.
   *
   * @returns in the order of `wanted`; an error for what cannot be sealed
   * @throws {WorkerError} `ERR_WORKER_FAILED` when the thread ends or does not answer
   */
  describe(
    bundle: BundleToDescribe,
    wanted: readonly EntryToDescribe[],
    signal?: AbortSignal,
  ): Promise<readonly (Described | InputError)[]>;
  /**
   * Seals envelopes, whose headers whoever has the key must sign.
   *
   * @param secrets - one for each; wiped if it fails, else part of the result
   * @throws {WorkerError} `ERR_WORKER_FAILED` when the thread ends or does not answer
   */
  seal(
    terms: SealTerms,
    envelopes: readonly EnvelopeToSeal[],
    secrets: readonly EnvelopeSecrets[],
  ): Promise<readonly UnsignedEnvelope[]>;
  /** Ends the threads; what is under way rejects. */
  close(): Promise<void>;
}

/** What a labeller is made of, as another thread can make one of it. */
export interface LabellerData {
  readonly rules: LabelRuleSet;
  readonly terminology: TerminologyData;
}

type Open = (labeller: LabellerData) => Promise<WorkerThreads>;

const OPENERS = /* @__PURE__ */ new WeakMap<Workers, Open>();

/** @param open - prepares the threads of one ledger */
export function makeWorkers(count: number, open: Open): Workers {
  const workers = Object.freeze({ count });
  OPENERS.set(workers, open);
  return workers;
}

/**
 * Prepares the threads of a ledger. None is started before there is work.
 *
 * @throws {TypeError} when others than this library made the workers, or when the labeller cannot go to another thread
 * @throws {WorkerError} `ERR_WORKER_UNSUPPORTED` when the platform has no such threads
 */
async function openWorkers(workers: Workers, labeller: Labeller): Promise<WorkerThreads> {
  const open = OPENERS.get(workers);
  if (open === undefined) {
    throw new TypeError("workers must be what nodeWorkers of healthledger/workers returns");
  }
  return open(dataOf(labeller));
}

/** What labels the records of a ledger, by its policy, and the threads that do so. */
export async function openLabelling(
  policy: { readonly terminology?: Terminology; readonly labeller?: Labeller },
  workers: Workers | undefined,
): Promise<{
  readonly terminology: Terminology;
  readonly labeller: Labeller;
  readonly workers: WorkerThreads | undefined;
}> {
  const terminology = policy.terminology ?? defaultTerminology();
  const labeller = policy.labeller ?? createLabeller(undefined, { terminology });
  const threads = workers && (await openWorkers(workers, labeller));
  return { terminology, labeller, workers: threads };
}

function dataOf(labeller: Labeller): LabellerData {
  const parts = partsOfLabeller(labeller);
  if (parts === undefined) {
    throw new TypeError(
      "workers take a labeller of createLabeller and a terminology of makeTerminology only: functions cannot go to another thread",
    );
  }
  const { rules, terminology } = parts;
  const data = structuredClone({ rules, terminology: terminology.data });
  const names = [data.rules, data.terminology].map((one) => cidOf(encode(one), DAG_CBOR));
  if (!names[0]!.equals(labeller.cid) || !names[1]!.equals(terminology.cid)) {
    throw new TypeError("the labeller's rules or terminology were changed after it was made");
  }
  return data;
}
