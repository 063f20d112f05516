import type { ErasureClass } from "../../block/entry.ts";
import type { CID } from "../../codec/cid.ts";
import type { EntryId } from "../../codec/ids.ts";
import type { Compaction } from "../../storage/types.ts";

/**
 * A custodian's statement of what it destroyed. It is a statement, not a proof: nobody can prove
 * that no copy is left.
 */
export interface ErasureStatement {
  /** Names the first erase entry. */
  readonly id: EntryId;
  /** All erase entries: each names at most 2,000 entries. */
  readonly entries: readonly EntryId[];
  readonly class: ErasureClass;
  /** The entries whose envelopes were destroyed. */
  readonly erased: readonly EntryId[];
  /** Blobs that this call deleted: headers and ciphertext. */
  readonly blobs: number;
  /**
   * Envelopes whose header this call found gone or damaged, so that their ciphertext can no longer
   * be located. Their keys here are destroyed; the ciphertext may still be in the store.
   */
  readonly unreached: readonly CID[];
  /**
   * Whether the deleted data are gone from the storage's files. `pending`: not yet; `compact`,
   * repeating the same `erase` or the next opening does it. `unsupported`: this storage cannot be
   * compacted.
   */
  readonly compacted: "done" | "pending" | "unsupported";
  /** Bytes of the storage's files before and after this call compacted them. */
  readonly compaction?: Compaction;
  /** The error that kept this call from compacting, if it tried. */
  readonly hindrance?: unknown;
  /** Says that grants which recipients already hold cannot be taken back. */
  readonly outOfReach: string;
}

const OUT_OF_REACH =
  "Recipients who were granted a key before can still open the copies they keep; whoever keeps backups " +
  "taken before this erasure must destroy them.";

const NOT_COMPACTED: Readonly<Record<ErasureStatement["compacted"], string>> = {
  done: "",
  pending:
    " This storage has not been compacted yet: until it is, deleted data may remain in its files.",
  unsupported:
    " This storage cannot be compacted: deleted data may remain in its files for some time.",
};

/** The text of a statement about what is left. */
export const outOfReach = (compacted: ErasureStatement["compacted"]): string =>
  `${OUT_OF_REACH}${NOT_COMPACTED[compacted]}`;
