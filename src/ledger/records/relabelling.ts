import { toHex } from "../../bytes/hex.ts";
import { decodeEntry, entryIdOf } from "../../block/entry.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { expectCid, expectMap, expectUint } from "../../codec/shape.ts";
import { needsRelabelling, type Labeller } from "../../consent/labels/labeller.ts";
import type { RecordId } from "../../codec/ids.ts";
import { LedgerError } from "../../errors.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { LedgerContext } from "../context.ts";
import type { Recording } from "./recording.ts";
import { currentRecords, type FoldedRecord } from "./current-record.ts";
import { afterWriting } from "../../storage/settle.ts";

export interface RelabelOptions {
  /**
   * The labeller that records were labelled by before. It tells what somebody else had set, which is
   * kept, from what its rules could not judge, which is judged anew. Without it, what has no stamp
   * gets labels by what is found and no stamp.
   */
  readonly former?: Labeller;
  /** Told after each block, of blocks. */
  readonly onProgress?: (progress: {
    readonly done: number;
    readonly total: number;
    readonly relabelled: number;
  }) => void;
  readonly signal?: AbortSignal;
}

/** What became of the records whose labels were not of the current rules. */
export interface Relabelled {
  /** Records looked at whose labels are of other rules, or of none. */
  readonly stale: number;
  /** Of these, the ones that got other labels, each by an entry. */
  readonly relabelled: number;
  /** Of these, the ones whose content is not there. */
  readonly unreadable: number;
}

/** Records relabelled at a time: they become durable together. */
const AT_ONCE = 64;
/** How often one record is tried that others keep changing. */
const TRIES = 4;

/**
 * Labels anew, by the current rules, what was labelled by others. Goes through the ledger in its
 * order and remembers how far it came: stopped anywhere, or called again later, it goes on there.
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
      // What the others filed stands, here and in earlier blocks.
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
        // Erased, retracted or moved meanwhile: there is nothing left to label.
        if (GONE.includes(code)) return false;
        if (code === "ERR_STORAGE_MISSING") {
          unreadable++;
          return false;
        }
        // Another process changed the record: what it holds now is judged instead.
        if (code !== "ERR_RECORD_CONFLICT" || left <= 1) throw error;
      }
    }
  }

  /** Records with entries in the block whose labels are of other rules. */
  async function staleOf(at: number): Promise<RecordId[]> {
    const people = new Map<string, Map<string, FoldedRecord>>();
    const found = new Set<RecordId>();
    const { block } = await chain.readBlock(at);
    for (const signed of block.transactions) {
      const { author, ledger } = decodeTransaction(signed.tx);
      if (author !== context.signer.actor) continue;
      const idOf = entryIdOf(ledger, author);
      for (const bytes of signed.entries) {
        if (decodeEntry(bytes).kind !== "record") continue;
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
    // With other rules it begins anew, and so it does in a store that holds less than was done.
    const goesOn = same(map["rules"], labeller) && same(map["former"], former) && done <= total;
    return goesOn ? done : 0;
  }

  async function writeMark(done: number): Promise<void> {
    const mark = encode({
      rules: labeller.cid,
      ...(former === undefined ? {} : { former: former.cid }),
      height: done,
    });
    // Nothing is lost with it: what is labelled by the current rules is only passed over.
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
