import { bytesKey } from "../../bytes/bytes-key.ts";
import { appendTo } from "../../bytes/lists.ts";
import { InputError } from "../../errors.ts";
import {
  readSteps,
  resourcesSteps,
  type BundleReading,
  type ResourceText,
} from "../../fhir/bundle.ts";
import { bySlices, giveTurn } from "../../loop/give-turn.ts";
import type { MergeProposal } from "../entries/subjects.ts";
import type { RecordedBundle } from "./bundle-options.ts";
import { ndjsonLines, type NdjsonInput } from "./ndjson-lines.ts";
import { readInner, recordReading } from "./record-tree.ts";
import type { BundleTools } from "./sent.ts";
import { assertSource } from "./sources.ts";

/**
 * How many resources were treated how. One that was entered in error counts twice: as recorded or amended,
 * and as retracted.
 */
export interface NdjsonCounts {
  /** New records. */
  readonly recorded: number;
  /** Newer versions of existing records. */
  readonly amended: number;
  /** Resources whose text is on record, and those whose record ended and does not come back. */
  readonly known: number;
  /** Versions older than the one on record; they were not filed. */
  readonly older: number;
  /** Records that ended: their source deleted them, or says that they were entered in error. */
  readonly retracted: number;
  /** What was not recorded; `problems` says why. */
  readonly skipped: number;
  /**
   * Copies, filed for persons, of resources that name nobody and that are kept for everybody: those count above
   * once each, whomever they serve.
   */
  readonly copied: number;
}

export interface NdjsonProgress extends NdjsonCounts {
  /** Lines that were treated, blank ones included. */
  readonly lines: number;
}

export interface NdjsonOptions {
  /**
   * Name of the system that the lines come from, such as `"ehr-1"`: see `BundleOptions.source`. It lets the
   * same input be sent again, whole or in part.
   */
  readonly source: string;
  /** Called after each group of lines, once its records are durable. */
  readonly onProgress?: (progress: NdjsonProgress) => void;
  /** Stops before the next transaction is written; what was recorded remains. */
  readonly signal?: AbortSignal;
  /** Longest line in bytes, 1 to 256 Mi; a longer one is skipped without being held. Default 32 Mi. */
  readonly maxLineBytes?: number;
  /** Most problems that the result lists, 0 or more; all are counted. Default 1,000. */
  readonly maxProblems?: number;
  /** As in `BundleOptions`. */
  readonly mix?: boolean;
  /** As in `BundleOptions`. */
  readonly fields?: boolean;
}

/** Why a line, or an entry of a Bundle in it, was not recorded. */
export interface NdjsonProblem {
  /** Number of the line, from 1, blank lines included. */
  readonly line: number;
  /** Position in `Bundle.entry`, if the line is a Bundle. */
  readonly entry?: number;
  readonly code:
    /** It is not a FHIR resource in JSON. */
    | "malformed"
    /** It is longer than `maxLineBytes`. */
    | "too-long"
    /** It was read, and not recorded: see `why`. */
    | "skipped";
  /** Type of the resource, if it was read. */
  readonly type?: string;
  /** The reason in words, without anything of the line's content. */
  readonly why: string;
}

/** The outcome of recording NDJSON. */
export interface RecordedNdjson extends NdjsonProgress {
  /** How many persons it is about. */
  readonly subjects: number;
  /** The first problems, in the order of the lines. */
  readonly problems: readonly NdjsonProblem[];
  /** Persons who may be one with others known here; at most as many as `maxProblems`. */
  readonly proposals: readonly MergeProposal[];
}

/** Most lines, and bytes of them, that are recorded together. */
const LINES_TOGETHER = 1000;
const BYTES_TOGETHER: number = 4 * 1024 * 1024;
const MOST_LINE_BYTES: number = 256 * 1024 * 1024;

/** A resource, and the line that it is on. */
interface OnLine extends ResourceText {
  readonly line: number;
}

/** Records each line of NDJSON: a resource, or a Bundle whose entries are recorded or deleted. */
export async function recordNdjson(
  input: NdjsonInput,
  tools: BundleTools,
  options: NdjsonOptions,
): Promise<RecordedNdjson> {
  const { onProgress, maxLineBytes, maxProblems, signal } = checked(options);
  const tally = openTally(maxProblems);
  const lines = ndjsonLines(input, { maxLineBytes, signal });
  let group: OnLine[] = [];
  let bytes = 0;
  let last = 0;

  const recordGroup = async (): Promise<void> => {
    const some = group;
    [group, bytes] = [[], 0];
    if (some.length > 0) {
      const found = some.map(({ resource, text }, index) => ({ index, resource, text }));
      const reading = await bySlices(resourcesSteps(found, tools.now()));
      const said = await record(reading);
      tally.add(said, (index) => ({ line: some[index]!.line }));
    }
    onProgress?.({ ...tally.counts(), lines: last });
  };
  const record = async (reading: BundleReading): Promise<RecordedBundle> => {
    const { source, mix, fields } = options;
    const how = { source, signal, ...(mix && { mix }), ...(fields && { fields }) };
    return recordReading(null, reading, tools, how, true);
  };

  for await (const { number, bytes: text } of lines) {
    const read = text === undefined ? undefined : await readLine(text);
    if (text === undefined) {
      tally.skip({ line: number, code: "too-long", why: `it has more than ${maxLineBytes} bytes` });
    } else if (read === undefined) {
      tally.skip({ line: number, code: "malformed", why: "it is not a FHIR resource in JSON" });
    } else if (read.resource.resourceType === "Bundle") {
      // What comes before it may be what it deletes.
      last = number - 1;
      await recordGroup();
      const bundle = await readInner(read.text, tools);
      if (bundle === undefined) {
        tally.skip({ line: number, code: "malformed", type: "Bundle", why: "it is not a Bundle" });
      } else {
        tally.add(await record(bundle), (entry) =>
          entry < 0 ? { line: number } : { line: number, entry },
        );
        onProgress?.({ ...tally.counts(), lines: number });
      }
    } else {
      group.push({ ...read, line: number });
      bytes += read.text.length;
      last = number;
      if (group.length >= LINES_TOGETHER || bytes >= BYTES_TOGETHER) await recordGroup();
    }
    last = number;
    await giveTurn();
  }
  await recordGroup();
  return { ...tally.result(), lines: last };
}

function checked({
  source,
  maxLineBytes = 32 * 1024 * 1024,
  maxProblems = 1000,
  signal = new AbortController().signal,
  onProgress,
}: NdjsonOptions) {
  assertSource(source);
  const isLength = Number.isInteger(maxLineBytes) && maxLineBytes > 0;
  if (!isLength || maxLineBytes > MOST_LINE_BYTES) {
    throw new InputError(
      "ERR_INPUT_INVALID",
      `maxLineBytes must be an integer from 1 to ${MOST_LINE_BYTES}`,
    );
  }
  if (!(Number.isSafeInteger(maxProblems) && maxProblems >= 0)) {
    throw new InputError("ERR_INPUT_INVALID", "maxProblems must be an integer, 0 or more");
  }
  return { maxLineBytes, maxProblems, signal, onProgress };
}

/** The resource on a line; `undefined` if there is none. */
async function readLine(text: Uint8Array): Promise<ResourceText | undefined> {
  try {
    return await bySlices(readSteps(text));
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

const COUNTED_AS: Readonly<Record<RecordedBundle["kept"][number]["as"], keyof NdjsonCounts>> = {
  ...{ created: "recorded", amended: "amended", retracted: "retracted" },
  ...{ recorded: "known", ended: "known", newer: "older" },
};

/** Counts what was recorded, and keeps the first problems. */
function openTally(maxProblems: number) {
  const counts: { -readonly [Name in keyof NdjsonCounts]: number } = {
    recorded: 0,
    amended: 0,
    known: 0,
    older: 0,
    retracted: 0,
    skipped: 0,
    copied: 0,
  };
  const problems: NdjsonProblem[] = [];
  const proposals: MergeProposal[] = [];
  const people = new Set<string>();

  const skip = (problem: NdjsonProblem): void => {
    counts.skipped++;
    if (problems.length < maxProblems) problems.push(problem);
  };

  return {
    skip,
    add(
      said: RecordedBundle,
      placeOf: (index: number) => Pick<NdjsonProblem, "line" | "entry">,
    ): void {
      for (const { amends } of said.recorded) {
        if (amends === undefined) counts.recorded++;
        else counts.amended++;
      }
      counts.retracted += said.retracted.length;
      counts.copied += said.copied.length;
      for (const { as } of said.kept) counts[COUNTED_AS[as]]++;
      for (const { as } of said.known) {
        if (as === "newer") counts.older++;
        else counts.known++;
      }
      const inOrder = [...said.skipped].sort((one, other) => one.index - other.index);
      for (const { index, type, why } of inOrder) {
        skip({ ...placeOf(index), code: "skipped", type, why });
      }
      // A resource that is not recorded is told above; an entry without one, such as a read, is told here alone.
      for (const { code, path } of said.problems) {
        if (code !== "no-resource") continue;
        skip({ ...placeOf(entryOf(path)), code: "skipped", why: "the entry has no resource" });
      }
      for (const list of [said.recorded, said.retracted, said.known, said.copied]) {
        for (const { subject } of list) people.add(bytesKey(subject.local));
      }
      appendTo(proposals, said.proposals.slice(0, Math.max(0, maxProblems - proposals.length)));
    },
    counts: (): NdjsonCounts => ({ ...counts }),
    result: () => ({ ...counts, problems, proposals, subjects: people.size }),
  };
}

/** Position in `Bundle.entry` of the outermost entry that a path leads through. */
const entryOf = (path: string): number => Number(/^Bundle\.entry\[(\d+)\]/.exec(path)![1]);
