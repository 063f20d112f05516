import { StorageError } from "../errors.ts";
import type { Head } from "./types.ts";

/** The chain does not end where the caller expected; nothing was written. */
export class AppendConflict extends StorageError {
  override readonly name: string = "AppendConflict";
  /** Where the chain ended when this was found out. */
  readonly head: Head;

  constructor(head: Head) {
    super("ERR_STORAGE_CONFLICT", `the chain has ${head.size} records and not the expected head`);
    this.head = head;
  }
}

/**
 * Whether the write happened is unknown; the same call again is safe and settles it. That a second
 * call fails says nothing of the first.
 */
export class AmbiguousAppend extends StorageError {
  override readonly name: string = "AmbiguousAppend";
  constructor(cause?: unknown) {
    super("ERR_STORAGE_AMBIGUOUS", "whether the append happened is unknown", { cause });
  }
}
