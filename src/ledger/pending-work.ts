import type { EntryId } from "../codec/ids.ts";
import type { Subject } from "./entries/subjects.ts";

/** Something that could not be carried out yet. */
export interface PendingWork {
  readonly what: "erasure" | "upload";
  /** Names the erase entry. */
  readonly entry?: EntryId;
  /** The person that it is about, if known. */
  readonly subject?: Subject;
  /** The error of the last attempt. */
  readonly error: unknown;
}
