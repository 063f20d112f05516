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
  /** All erase entries: one names at most 2,000 entries. */
  readonly entries: readonly EntryId[];
  readonly class: ErasureClass;
  /** The entries whose envelopes were destroyed. */
  readonly erased: readonly EntryId[];
  /** Blobs that this call deleted: headers and ciphertext. */
  readonly blobs: number;
  /**
   * Envelopes whose header this call found gone or damaged, so that nobody can tell where their
   * ciphertext stands. Their keys here are destroyed; the ciphertext may be in the store still.
   */
  readonly unreached: readonly CID[];
  /**
   * Whether the storage's files were rid of what was deleted. `pending`: not yet; `compact`, the same
   * `erase` again or the next opening does it. `unsupported`: this storage cannot be compacted.
   */
  readonly compacted: "done" | "pending" | "unsupported";
  /** Bytes of the storage's files before and after this call compacted them. */
  readonly compaction?: Compaction;
  /** What kept this call from compacting, where it tried. */
  readonly hindrance?: unknown;
  /** Grants that recipients hold already cannot be taken back. */
  readonly outOfReach: string;
}

const OUT_OF_REACH =
  "Recipients who were granted a key before can still open the copies they keep; backups taken " +
  "before this erasure must be destroyed by whoever keeps them.";

const NOT_COMPACTED: Readonly<Record<ErasureStatement["compacted"], string>> = {
  done: "",
  pending:
    " This storage has not been compacted yet: until it is, what was deleted may stand in its files.",
  unsupported:
    " This storage cannot be compacted: what was deleted may stand in its files for some time.",
};

/** What a statement says of what is left. */
export const outOfReach = (compacted: ErasureStatement["compacted"]): string =>
  `${OUT_OF_REACH}${NOT_COMPACTED[compacted]}`;
