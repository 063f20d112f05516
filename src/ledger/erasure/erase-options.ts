import { ERASURE_CLASSES, type ErasureClass } from "../../block/entry.ts";
import { entryIdBytes, recordIdBytes, type EntryId, type RecordId } from "../../codec/ids.ts";
import { InputError } from "../../errors.ts";

/**
 * When the storage is compacted after an erasure: before the call resolves, or when `compact` is
 * called. Until it is compacted, deleted data may remain in the storage's files.
 */
export type CompactionTime = "now" | "later";

interface EraseCommon {
  /** The reason, for the sealed report. */
  readonly reason: string;
  /** Default: the setting that the ledger was opened with. */
  readonly compaction?: CompactionTime;
}

/** Destroys some records, each with all its versions. */
export interface EraseRecords extends EraseCommon {
  readonly class?: "clinical";
  /** At least one. */
  readonly records: readonly RecordId[];
  readonly accesses?: never;
  readonly all?: never;
  readonly forgetSubject?: false;
}

/** Destroys what is stored about some accesses. */
export interface EraseAccesses extends EraseCommon {
  readonly class: "audit";
  /** Ids of the access entries, at least one. */
  readonly accesses: readonly EntryId[];
  readonly records?: never;
  readonly all?: never;
  readonly forgetSubject?: false;
}

/**
 * Destroys all data of a class. Directives can only be erased together: without the newest, an
 * older one that it had replaced would be in force again.
 */
export interface EraseAll extends EraseCommon {
  /** The class to destroy. Default `clinical`. */
  readonly class?: ErasureClass;
  /** Confirms explicitly that nothing of the class is to be left. */
  readonly all: true;
  readonly records?: never;
  readonly accesses?: never;
  /**
   * Also destroys the subject key, which unlinks the tags permanently, and the identifiers, so that
   * the person can no longer be found. Allowed only if no record is left; erase other classes
   * first.
   */
  readonly forgetSubject?: boolean;
}

/** The data to destroy: `records`, `accesses` or `all: true`. There is no default. */
export type EraseOptions = EraseRecords | EraseAccesses | EraseAll;

/** Options of an erasure that were checked and copied. */
export interface CheckedErase {
  readonly what: ErasureClass;
  /** The entries to destroy; `undefined` for all of the class. */
  readonly ids: readonly Uint8Array[] | undefined;
  readonly reason: string;
  readonly forget: boolean;
  readonly compaction: CompactionTime | undefined;
}

const FIELDS: readonly string[] = [
  "class",
  "reason",
  "compaction",
  "records",
  "accesses",
  "all",
  "forgetSubject",
];

/**
 * Checks what is to be destroyed. A field that is present but `undefined` is an error of the
 * caller: no call destroys more than it says explicitly.
 *
 * @returns copies
 * @throws {InputError} `ERR_INPUT_INVALID`
 */
export function checkErase(options: EraseOptions): CheckedErase {
  if (typeof options !== "object" || options === null) {
    throw new TypeError("erase needs options with a reason");
  }
  const given = options as unknown as Readonly<Record<string, unknown>>;
  for (const name of Object.keys(given)) {
    if (!FIELDS.includes(name)) throw invalid("erase has no such option");
    if (given[name] === undefined) throw invalid(`${name} must not be undefined: leave it out`);
  }
  const { class: what = "clinical", reason, compaction, all, forgetSubject } = given;
  const { records, accesses } = given;
  if (!ERASURE_CLASSES.includes(what as ErasureClass)) {
    throw invalid("erase has no such class of data");
  }
  if (typeof reason !== "string" || reason.length > 4096 || reason.includes("\0")) {
    throw invalid("a reason must be a string of at most 4096 characters without U+0000");
  }
  if (compaction !== undefined) checkCompactionTime(compaction);
  if (all !== undefined && all !== true) throw invalid("all must be true or left out");
  if ([records, accesses, all].filter((one) => one !== undefined).length !== 1) {
    throw invalid("erase needs exactly one of records, accesses and all: true");
  }
  if (forgetSubject !== undefined && typeof forgetSubject !== "boolean") {
    throw invalid("forgetSubject must be true, false or left out");
  }
  if (all === undefined && forgetSubject === true) {
    throw invalid("forgetSubject requires that all the data of the subject are erased");
  }
  if (all === undefined && what === "directive") {
    throw invalid("directives can only be erased all together");
  }
  if (
    (records !== undefined && what !== "clinical") ||
    (accesses !== undefined && what !== "audit")
  ) {
    throw invalid("records require the class clinical, accesses the class audit");
  }
  const named =
    records !== undefined
      ? idsOf(records, recordIdBytes)
      : accesses !== undefined
        ? idsOf(accesses, entryIdBytes)
        : undefined;
  return {
    what: what as ErasureClass,
    ids: named,
    reason,
    forget: forgetSubject === true,
    compaction: compaction as CompactionTime | undefined,
  };
}

/** @throws {InputError} `ERR_INPUT_INVALID` if it is neither `now` nor `later` */
export function checkCompactionTime(time: unknown): asserts time is CompactionTime {
  if (time !== "now" && time !== "later") throw invalid("compaction must be now or later");
}

function idsOf<Id>(given: unknown, bytesOf: (id: Id) => Uint8Array): readonly Uint8Array[] {
  if (!Array.isArray(given) || given.length === 0) {
    throw invalid("records or accesses must be one or more ids");
  }
  return (given as readonly Id[]).map(bytesOf);
}

function invalid(message: string): InputError {
  return new InputError("ERR_INPUT_INVALID", message);
}
