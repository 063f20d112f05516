import { ERASURE_CLASSES, type ErasureClass } from "../../block/entry.ts";
import { InputError } from "../../errors.ts";

/**
 * When the storage is compacted after an erasure: before the call resolves, or when `compact` is
 * called. Until it was, what was deleted may stand in the storage's files.
 */
export type CompactionTime = "now" | "later";

interface EraseCommon {
  /** What is destroyed. Default `clinical`. */
  readonly class?: ErasureClass;
  /** Why, for the sealed report. */
  readonly reason: string;
  /** Default what the ledger was opened with. */
  readonly compaction?: CompactionTime;
}

/** Destroys some records of a class. */
export interface EraseRecords extends EraseCommon {
  /**
   * Ids of any version of each record, at least one. Directives go together: without the newest, one
   * that it had replaced would be in force again.
   */
  readonly records: readonly Uint8Array[];
  readonly all?: never;
  readonly forgetSubject?: false;
}

/** Destroys all of a class. */
export interface EraseAll extends EraseCommon {
  /** Says in so many words that nothing of the class is to be left. */
  readonly all: true;
  readonly records?: never;
  /**
   * Also destroys the subject key, so that tags are unlinked for good, and the identifiers, so that
   * the person is found no more. Only where no record is left; erase other classes before.
   */
  readonly forgetSubject?: boolean;
}

/** What is to be destroyed: either `records` or `all: true`; nothing is taken for either. */
export type EraseOptions = EraseRecords | EraseAll;

/** Options of an erasure that were checked and copied. */
export interface CheckedErase {
  readonly what: ErasureClass;
  /** `undefined` for all of the class. */
  readonly records: readonly Uint8Array[] | undefined;
  readonly reason: string;
  readonly forget: boolean;
  readonly compaction: CompactionTime | undefined;
}

const FIELDS: readonly string[] = [
  "class",
  "reason",
  "compaction",
  "records",
  "all",
  "forgetSubject",
];

/**
 * Checks what is to be destroyed. A field that is there and `undefined` is a mistake of the caller's,
 * and no call destroys more than its words say.
 *
 * @returns copies
 * @throws {InputError} `ERR_INPUT_INVALID`
 */
export function checkErase(options: EraseOptions): CheckedErase {
  if (typeof options !== "object" || options === null) {
    throw new TypeError("erasing takes options, with a reason");
  }
  const given = options as unknown as Readonly<Record<string, unknown>>;
  for (const name of Object.keys(given)) {
    if (!FIELDS.includes(name)) throw invalid("erasing knows no such option");
    if (given[name] === undefined) throw invalid(`${name} is there, and undefined`);
  }
  const { class: what = "clinical", reason, compaction, records, all, forgetSubject } = given;
  if (!ERASURE_CLASSES.includes(what as ErasureClass)) {
    throw invalid("there is no such class of data to erase");
  }
  if (typeof reason !== "string" || reason.length > 4096 || reason.includes("\0")) {
    throw invalid("a reason is a string of at most 4096 characters without U+0000");
  }
  if (compaction !== undefined) checkCompactionTime(compaction);
  if (all !== undefined && all !== true) throw invalid("all is true or left out");
  if ((records === undefined) === (all === undefined)) {
    throw invalid("either records or all: true says what is to be erased");
  }
  if (forgetSubject !== undefined && typeof forgetSubject !== "boolean") {
    throw invalid("forgetSubject is true, false or left out");
  }
  if (records !== undefined && forgetSubject === true) {
    throw invalid("a subject is forgotten only with all its data");
  }
  if (records !== undefined && what === "directive") {
    throw invalid("directives are erased all together");
  }
  return {
    what: what as ErasureClass,
    records: records === undefined ? undefined : checkRecords(records),
    reason,
    forget: forgetSubject === true,
    compaction: compaction as CompactionTime | undefined,
  };
}

/** @throws {InputError} `ERR_INPUT_INVALID` when it is neither `now` nor `later` */
export function checkCompactionTime(time: unknown): asserts time is CompactionTime {
  if (time !== "now" && time !== "later") throw invalid("compaction is now or later");
}

function checkRecords(records: unknown): readonly Uint8Array[] {
  if (!Array.isArray(records) || records.length === 0) {
    throw invalid("records are one or more ids");
  }
  return records.map((id: unknown) => {
    if (!(id instanceof Uint8Array) || id.length !== 32) throw invalid("an id has 32 bytes");
    return new Uint8Array(id);
  });
}

function invalid(message: string): InputError {
  return new InputError("ERR_INPUT_INVALID", message);
}
