import { decodeEntry, type ErasureClass } from "../../block/entry.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import type { CID } from "../../codec/cid.ts";
import { toEntryId } from "../../codec/ids.ts";
import { StorageError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { ErasureHandler, IndexHands } from "../entries/catalogue.ts";
import { contentKeyName } from "../entries/filing.ts";
import { openOwn } from "../entries/own-envelope.ts";
import { IndexMoved } from "../index/loss.ts";
import { ciphertextOf, deleteInSteps } from "./ciphertext.ts";
import { decodeErasure, type Erasure } from "./erasure-entry.ts";
import { unfinishedErasures } from "./unfinished.ts";

/** An erase entry that is on the ledger but could not be carried out. */
export interface StuckErasure {
  readonly item: CatalogueItem;
  readonly error: unknown;
}

/** Result of carrying out an erase entry: blobs deleted, and envelopes whose header was gone. */
export interface Outcome {
  readonly blobs: number;
  readonly unreached: readonly CID[];
}

/**
 * Carries out erase entries as the catalogue reaches them. An entry that cannot be carried out is
 * kept as a {@link StuckErasure}, so that the ledger keeps working.
 */
export interface CarryingOut extends ErasureHandler {
  /** Erase entries that could not be carried out. */
  stuck(): readonly StuckErasure[];
  /** The stuck erasures about a person. */
  stuckAbout(local: Uint8Array): readonly StuckErasure[];
  /**
   * Reports what carrying out an entry deleted, while the given work makes the catalogue reach it.
   *
   * @throws {StorageError} `ERR_STORAGE_PENDING` if the entry could not be carried out
   */
  outcomeOf(id: Uint8Array, work: () => Promise<void>): Promise<readonly Outcome[]>;
}

/** Starts with nothing stuck. */
export function createCarryingOut(context: LedgerContext): CarryingOut {
  const { storage, vault } = context;
  const unfinished = unfinishedErasures(vault);
  /** Callers who filed an erase entry and wait for its outcome. */
  const outcomes = new Map<string, Outcome[]>();
  /** Erase entries that are on the ledger but could not be carried out, by id. */
  const stuck = new Map<string, StuckErasure>();

  async function destroyTargets(item: CatalogueItem, index: IndexHands): Promise<void> {
    const content = await erasureOf(context, item);
    if (content === undefined) {
      throw new StorageError(
        "ERR_STORAGE_MISSING",
        `the erase entry ${toHex(item.id)} cannot be decrypted here`,
      );
    }
    const { targets, forget } = content;
    const headers: CID[] = [];
    const unreached: CID[] = [];
    const ciphertext = deleteInSteps(storage.blobs);
    let blobs = 0;
    for (const id of targets) {
      // Targets that another author recorded are not in this catalogue: they are ignored.
      const target = await index.find(id);
      if (target.status === "present" || target.status === "lost") {
        const name = target.status === "present" ? target.item.envelope : target.envelope;
        const parts = await ciphertextOf(storage, name);
        if (parts === undefined) unreached.push(name);
        for (const { size, data } of parts ?? []) {
          for (const cid of data) await ciphertext.add(cid, size / data.length);
          blobs += data.length;
        }
        headers.push(name);
        blobs++;
        index.remove([vault.remove(contentKeyName(context, name))]);
      }
    }
    // On a second run the blobs are already gone: the first run's counts are used.
    const told = outcomes.get(toHex(item.id));
    if (told?.length === 0) told.push({ blobs, unreached });
    // Delete the headers last: as long as a header exists, its ciphertext can still be found.
    await ciphertext.flush();
    if (headers.length > 0) await storage.blobs.delete(headers);
    await index.tombstone(targets, item.id);
    if (forget) await index.forget(item.manifest.local);
  }

  /** Carries out an erase entry, or keeps it for later and durably records that it is pending. */
  async function carryOut(item: CatalogueItem, index: IndexHands): Promise<void> {
    const hex = toHex(item.id);
    try {
      await destroyTargets(item, index);
      stuck.delete(hex);
    } catch (error) {
      if (error instanceof IndexMoved) throw error;
      const mark = {
        id: toEntryId(item.id),
        class: await classOf(context, item),
        since: item.recordedAt,
      };
      await storage.state.batch([unfinished.mark(mark)]);
      stuck.set(hex, { item, error });
    }
  }

  const stuckAbout = (local: Uint8Array): readonly StuckErasure[] =>
    [...stuck.values()].filter(({ item }) => equalBytes(item.manifest.local, local));

  return {
    carryOut,
    stuck: () => [...stuck.values()],
    stuckAbout,
    assertCarriedOut(local) {
      if (stuck.size === 0) return;
      const [first] = stuckAbout(local);
      if (first !== undefined) throw pendingError(first);
    },
    async outcomeOf(id, work) {
      const hex = toHex(id);
      const outcome: Outcome[] = [];
      outcomes.set(hex, outcome);
      try {
        await work();
      } finally {
        outcomes.delete(hex);
      }
      const left = stuck.get(hex);
      if (left !== undefined) throw pendingError(left);
      return outcome;
    },
  };
}

/** The content of an erase entry; `undefined` if it cannot be decrypted. */
export async function erasureOf(
  context: LedgerContext,
  { kind, envelope, place }: CatalogueItem,
): Promise<Required<Erasure> | undefined> {
  const { height } = place;
  const opened = await openOwn(context, { kind, envelope, height, parts: ["content"] });
  const content = opened?.get("content");
  return content === undefined ? undefined : decodeErasure(content);
}

/** The class that an erase entry names in clear. */
async function classOf(context: LedgerContext, { place }: CatalogueItem): Promise<ErasureClass> {
  const { block } = await context.chain.readBlock(place.height);
  const entry = decodeEntry(block.transactions[place.transaction]!.entries[place.entry]!);
  return "class" in entry && typeof entry.class === "string"
    ? (entry.class as ErasureClass)
    : "clinical";
}

/** The error of an erasure that could not be carried out. */
export const pendingError = ({ item, error }: StuckErasure): StorageError =>
  new StorageError(
    "ERR_STORAGE_PENDING",
    `the erasure ${toHex(item.id)} is on the ledger but could not be carried out`,
    { cause: error },
  );
