import { StorageError } from "../errors.ts";
import type { Head } from "./types.ts";

/** The chain does not end where the caller expected; nothing was written. */
export class AppendConflict extends StorageError {
  override readonly name: string = "AppendConflict";
  /** The actual end of the chain. */
  readonly head: Head;

  constructor(head: Head) {
    super(
      "ERR_STORAGE_CONFLICT",
      `the chain has ${head.size} records, and its head is not the expected one`,
    );
    this.head = head;
  }
}

/**
 * Whether the write happened is unknown; repeating the call is safe and settles it. If a repeated
 * call fails, the outcome of the first is still unknown.
 */
export class AmbiguousAppend extends StorageError {
  override readonly name: string = "AmbiguousAppend";
  constructor(cause?: unknown) {
    super(
      "ERR_STORAGE_AMBIGUOUS",
      "whether the append happened is unknown: repeat the call to settle it",
      { cause },
    );
  }
}
