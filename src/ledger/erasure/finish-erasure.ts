import { InputError, LedgerError, StorageError } from "../../errors.ts";
import { entryIdBytes, toEntryId, type EntryId } from "../../codec/ids.ts";
import type { Compaction } from "../../storage/types.ts";
import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { CarryingOut } from "./carry-out.ts";
import type { CompactionTime } from "./erase-options.ts";
import type { ErasureStatement } from "./statement.ts";
import { unfinishedErasures, type Marked, type PendingErasure } from "./unfinished.ts";

/** The result of a compaction. */
export interface CompactionReport {
  /** Erasures whose statements said `pending` and which are now done. */
  readonly finished: readonly PendingErasure[];
  /** Bytes of the storage's files before and after. */
  readonly compaction: Compaction;
}

/** Whether the storage's files no longer contain the deleted data. */
export type Finished = Pick<ErasureStatement, "compacted" | "compaction" | "hindrance">;

/** Removes what erase entries destroyed from keys and files. */
export interface Finishing {
  /** Retries carrying out an erase entry. */
  again(item: CatalogueItem): Promise<void>;
  /** Finishes now or leaves it for later. The targets are destroyed in either case. */
  finish(time: CompactionTime): Promise<Finished>;
  /**
   * Completes interrupted erasures as far as the storage allows: a storage that accepts no writes,
   * or cannot be compacted now, can still be read.
   */
  resume(): Promise<void>;
  /** Completes every erasure that is pending. */
  compact(): Promise<CompactionReport>;
  /** Erasures whose data may still be in the storage's files, in no particular order. */
  pending(): Promise<readonly PendingErasure[]>;
}

/** @param tools - `compaction`: when {@link Finishing.resume} compacts */
export function createFinishing(
  { storage, vault }: LedgerContext,
  {
    catalogue,
    carryingOut,
    compaction: when,
  }: {
    readonly catalogue: Catalogue;
    readonly carryingOut: CarryingOut;
    readonly compaction: CompactionTime;
  },
): Finishing {
  const unfinished = unfinishedErasures(vault);
  let finishing: Promise<unknown> = Promise.resolve();

  const again = (item: CatalogueItem): Promise<void> =>
    catalogue.withHands((index) => carryingOut.carryOut(item, index));

  const stuckIds = (): ReadonlySet<EntryId> =>
    new Set(carryingOut.stuck().map(({ item }) => toEntryId(item.id)));

  /** Retries what could not be carried out, whether before or after the ledger was opened. */
  async function retry(marked: readonly Marked[]): Promise<void> {
    for (const { erasure } of marked) {
      if (erasure === undefined || stuckIds().has(erasure.id)) continue;
      const found = await catalogue.find(entryIdBytes(erasure.id));
      if (found.status === "present") await again(found.item);
    }
    for (const { item } of carryingOut.stuck()) await again(item);
  }

  /** Removes what erase entries destroyed from keys and files, one call after another. */
  function finishErasure(): Promise<CompactionReport> {
    const mine = finishing.then(async () => {
      const marked = await unfinished.list();
      // Every erasure marked at this point is then carried out; those that others file meanwhile
      // wait for the next run.
      if (marked.length > 0) await catalogue.catchUp();
      await retry(marked);
      await catalogue.flush();
      await vault.rotateKeys();
      const compaction = await compactStorage();
      const stuck = stuckIds();
      const done = marked.filter(({ erasure }) => erasure && !stuck.has(erasure.id));
      const old = marked.filter(({ erasure, damage }) => !erasure && !damage);
      const changes = unfinished.remove([...done, ...old]);
      if (changes.length > 0) await storage.state.batch(changes);
      const finished = done.flatMap(({ erasure }) => erasure ?? []);
      return { finished, compaction };
    });
    finishing = mine.catch(() => undefined);
    return mine;
  }

  async function compactStorage(): Promise<Compaction> {
    if (storage.compact === undefined) return { before: 0, after: 0 };
    try {
      return await storage.compact();
    } catch (error) {
      throw new Hindered(error);
    }
  }

  async function finish(time: CompactionTime): Promise<Finished> {
    if (storage.compact !== undefined && time === "later") {
      await vault.rotateKeys();
      return { compacted: "pending" };
    }
    try {
      const { compaction } = await finishErasure();
      return storage.compact === undefined
        ? { compacted: "unsupported" }
        : { compacted: "done", compaction };
    } catch (error) {
      if (!(error instanceof Hindered)) throw error;
      return { compacted: "pending", hindrance: error.cause };
    }
  }

  return {
    again,
    finish,
    async resume() {
      const left = await unfinished.list();
      try {
        if (left.length > 0) await catalogue.catchUp();
        await retry(left);
        await vault.rotateKeys();
        if (left.length > 0 && (storage.compact === undefined || when === "now")) {
          await finishErasure();
        }
      } catch (error) {
        // Left pending: an erasure that cannot be completed must not prevent the remaining data
        // from being read.
        if (!(error instanceof Hindered) && !takesNoWrites(error)) throw error;
      }
    },
    async compact() {
      if (storage.compact === undefined) {
        throw new InputError("ERR_INPUT_UNSUPPORTED", "this storage cannot be compacted");
      }
      try {
        return await finishErasure();
      } catch (error) {
        if (!(error instanceof Hindered)) throw error;
        const { cause } = error;
        if (cause instanceof LedgerError) throw cause;
        throw new StorageError("ERR_STORAGE_FAILED", "the storage was not compacted", { cause });
      }
    },
    async pending() {
      return (await unfinished.list()).flatMap(({ erasure }) => erasure ?? []);
    },
  };
}

/** Failure of the storage's own compaction, as distinct from any other failure. */
class Hindered extends Error {
  constructor(cause: unknown) {
    super("the storage was not compacted", { cause });
  }
}

/** Whether a store was reached but refused to write, or cannot be written to at present. */
function takesNoWrites(error: unknown): boolean {
  return error instanceof StorageError && NO_WRITES.includes(error.code);
}

const NO_WRITES: readonly string[] = [
  "ERR_STORAGE_FAILED",
  "ERR_STORAGE_AMBIGUOUS",
  "ERR_STORAGE_LIMIT",
];
