import { createLabeller, type Labeller } from "../consent/labels/labeller.ts";
import { makeTerminology } from "../consent/terminology/terminology.ts";
import { LedgerError } from "../errors.ts";
import type { LabellerData } from "../ledger/workers.ts";
import { doDescribe, type DescribedByJob, type DescribeJob } from "./describe-job.ts";
import { doSeal, type SealedByJob, type SealJob } from "./seal-job.ts";
import { tellError, type ToldError } from "./told-error.ts";

export type Job = DescribeJob | SealJob;

/** What a thread answers. */
export type Answer = { readonly id: number } & (
  | { readonly gave: DescribedByJob | SealedByJob }
  | { readonly refused: ToldError }
  | { readonly failed: unknown }
);

/** Makes what a thread does with its jobs. */
export function jobRunner({
  rules,
  terminology,
}: LabellerData): (id: number, job: Job) => Promise<Answer> {
  let labeller: Labeller | undefined;
  return async (id, job) => {
    try {
      if (job.job === "seal") return { id, gave: await doSeal(job) };
      labeller ??= createLabeller(rules, { terminology: makeTerminology(terminology) });
      return { id, gave: await doDescribe(job, labeller) };
    } catch (error) {
      return error instanceof LedgerError
        ? { id, refused: tellError(error) }
        : { id, failed: error };
    }
  };
}

/** Buffers that go with a job or an answer: nobody else has them. */
export function buffersOf(what: Job | Answer): readonly ArrayBuffer[] {
  if ("job" in what) {
    const packed = what.job === "seal" ? [what.parts, what.secrets] : [what.texts];
    return packed.map(({ bytes }) => bytes.buffer);
  }
  if (!("gave" in what)) return [];
  const { gave } = what;
  return ["pieces" in gave ? gave.pieces.bytes.buffer : gave.drafts.bytes.buffer];
}
