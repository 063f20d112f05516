import { toHex } from "../../bytes/hex.ts";
import { decodeEntry, entryIdOf } from "../../block/entry.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { expectCid, expectMap, expectUint } from "../../codec/shape.ts";
import { needsRelabelling, type Labeller } from "../../consent/labels/labeller.ts";
import type { RecordId } from "../../codec/ids.ts";
import { LedgerError } from "../../errors.ts";
import { isDecoy } from "../entries/decoys.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { LedgerContext } from "../context.ts";
import type { Recording } from "./recording.ts";
import { currentRecords, type FoldedRecord } from "./current-record.ts";
import { afterWriting } from "../../storage/settle.ts";

export interface RelabelOptions {
  /**
   * The labeller that the records were labelled by before. It separates labels that somebody else
   * set, which are kept, from those that its rules could not judge, which are judged again. Without
   * it, records without a stamp get the labels that are found, and still no stamp.
   */
  readonly former?: Labeller;
  /** Called after each block, with a count of blocks. */
  readonly onProgress?: (progress: {
    readonly done: number;
    readonly total: number;
    readonly relabelled: number;
  }) => void;
  readonly signal?: AbortSignal;
}

/** The outcome for records whose labels were not by the current rules. */
export interface Relabelled {
  /** Records examined whose labels are by other rules, or missing. */
  readonly stale: number;
  /** Of these, the number that got different labels, each by an entry. */
  readonly relabelled: number;
  /** Of these, the number whose content is missing. */
  readonly unreadable: number;
}

/** Records relabelled in one batch: they become durable together. */
const AT_ONCE = 64;
/** Attempts per record, if others keep changing it. */
const TRIES = 4;

/**
 * Relabels, by the current rules, records that were labelled by others. Goes through the ledger in
 * order and stores its position: if it is stopped, or called again later, it resumes there.
 */
export async function relabelStale(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly recording: Recording;
    readonly labeller: Labeller;
  },
  { former, onProgress, signal }: RelabelOptions = {},
): Promise<Relabelled> {
  const { chain, vault, storage } = context;
  const { catalogue, recording, labeller } = options;
  const markName = vault.name("relabel mark");
  signal?.throwIfAborted();
  await catalogue.catchUp();
  const total = chain.size;
  let height = await readMark();
  let stale = 0;
  let relabelled = 0;
  let unreadable = 0;
  while (height < total) {
    const ids = await staleOf(height);
    stale += ids.length;
    for (let at = 0; at < ids.length; at += AT_ONCE) {
      signal?.throwIfAborted();
      const some = await Promise.allSettled(ids.slice(at, at + AT_ONCE).map(relabel));
      relabelled += some.filter((one) => one.status === "fulfilled" && one.value).length;
      const failed = some.find((one) => one.status === "rejected");
      // Entries filed for the other records are kept, here and in earlier blocks.
      if (failed !== undefined) await told(() => Promise.reject(failed.reason as Error));
    }
    height++;
    if (ids.length > 0 || height === total) await told(() => writeMark(height));
    onProgress?.({ done: height, total, relabelled });
    signal?.throwIfAborted();
  }
  return { stale, relabelled, unreadable };

  function told(work: () => Promise<void>): Promise<void> {
    return relabelled > 0 ? afterWriting(work) : work();
  }

  async function relabel(id: RecordId): Promise<boolean> {
    for (let left = TRIES; ; left--) {
      try {
        return (await recording.refreshLabels(id, former)) !== undefined;
      } catch (error) {
        const code = error instanceof LedgerError ? error.code : "";
        // Erased, retracted or moved meanwhile: nothing is left to label.
        if (GONE.includes(code)) return false;
        if (code === "ERR_STORAGE_MISSING") {
          unreadable++;
          return false;
        }
        // Another process changed the record: its current content is judged instead.
        if (code !== "ERR_RECORD_CONFLICT" || left <= 1) throw error;
      }
    }
  }

  /** Records with entries in the block whose labels are by other rules. */
  async function staleOf(at: number): Promise<RecordId[]> {
    const people = new Map<string, Map<string, FoldedRecord>>();
    const found = new Set<RecordId>();
    const { block } = await chain.readBlock(at);
    for (const signed of block.transactions) {
      const { author, ledger } = decodeTransaction(signed.tx);
      if (author !== context.signer.actor) continue;
      const idOf = entryIdOf(ledger, author);
      for (const bytes of signed.entries) {
        const entry = decodeEntry(bytes);
        if (entry.kind !== "record" || isDecoy(context, entry)) continue;
        const id = idOf(bytes);
        const known = await catalogue.find(id);
        if (known.status !== "present") continue;
        const { local } = known.item.manifest;
        let records = people.get(toHex(local));
        if (records === undefined) {
          records = byEntry(currentRecords(await catalogue.itemsOf(local)));
          people.set(toHex(local), records);
        }
        const record = records.get(toHex(id));
        if (record === undefined || record.retracted) continue;
        if (needsRelabelling(record.labels, labeller)) found.add(record.record);
      }
    }
    return [...found];
  }

  async function readMark(): Promise<number> {
    const bytes = await vault.get(markName);
    if (bytes === undefined) return 0;
    const map = expectMap(decode(bytes), "relabel mark", ["rules", "height"], ["former"]);
    const done = expectUint(map["height"], "relabel mark.height");
    const same = (cid: unknown, other: Labeller | undefined): boolean =>
      cid === undefined || other === undefined
        ? cid === other
        : expectCid(cid, "relabel mark").equals(other.cid);
    // Starts over under other rules, or in a store that holds less than was done.
    const goesOn = same(map["rules"], labeller) && same(map["former"], former) && done <= total;
    return goesOn ? done : 0;
  }

  async function writeMark(done: number): Promise<void> {
    const mark = encode({
      rules: labeller.cid,
      ...(former === undefined ? {} : { former: former.cid }),
      height: done,
    });
    // Losing the position is harmless: records labelled by the current rules are only skipped.
    await storage.state.batch([vault.put(markName, mark)], { sync: false });
  }
}

const GONE: readonly string[] = ["ERR_RECORD_ERASED", "ERR_RECORD_RETRACTED"];

function byEntry(records: ReadonlyMap<RecordId, FoldedRecord>): Map<string, FoldedRecord> {
  const found = new Map<string, FoldedRecord>();
  for (const record of records.values()) {
    for (const { id } of record.history) found.set(toHex(id), record);
  }
  return found;
}
