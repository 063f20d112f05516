import type { EntryPlace } from "../../chain/make-receipt.ts";
import { recordIdBytes, type RecordId } from "../../codec/ids.ts";
import { InputError } from "../../errors.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { comparePlaces, createsRecord, type CatalogueItem } from "../entries/catalogue-item.ts";
import { placeInList } from "../entries/list-place.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import {
  currentRecords,
  giveRecord,
  type CurrentRecord,
  type FoldedRecord,
} from "./current-record.ts";

/** Selects which of a person's records to list. */
export interface RecordPageOptions {
  /**
   * Lists the records after this one: the last record of the previous page. It may have been
   * amended, retracted or erased since. Default: from the first record.
   */
  readonly after?: RecordId | undefined;
  /** Most records to list, 1 or more. Default all. */
  readonly limit?: number | undefined;
}

/** A person's records in their current state, in the order in which they were recorded. */
export async function listRecords(
  { catalogue, subjects }: { readonly catalogue: Catalogue; readonly subjects: Subjects },
  subject: Subject,
  { after, limit }: RecordPageOptions = {},
): Promise<readonly CurrentRecord[]> {
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit > 0)) {
    throw new InputError("ERR_INPUT_INVALID", "limit must be an integer, 1 or more");
  }
  const id = after === undefined ? undefined : recordIdBytes(after);
  await subjects.assertKnown(subject);
  const { local } = subject;
  const behind =
    id && (await placeInList(catalogue, id, { local, kind: "record", holds: isFirst }));
  const { records } = await catalogue.entriesOf(local, ["erase", "record"]);
  // All of them, since a record of one person may be outdated by one of another's on another page.
  const all = inOrder(currentRecords(records));
  const start = behind === undefined ? 0 : firstBehind(all, behind);
  return all.slice(start, limit === undefined ? undefined : start + limit).map(giveRecord);
}

/** Records that were folded, as a list. */
const LISTS = /* @__PURE__ */ new WeakMap<
  ReadonlyMap<RecordId, FoldedRecord>,
  readonly FoldedRecord[]
>();

function inOrder(records: ReadonlyMap<RecordId, FoldedRecord>): readonly FoldedRecord[] {
  const list = LISTS.get(records) ?? [...records.values()];
  LISTS.set(records, list);
  return list;
}

/** The position of the first record that was created behind a place. */
function firstBehind(all: readonly FoldedRecord[], behind: EntryPlace): number {
  let [from, to] = [0, all.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    const isBehind = comparePlaces(all[middle]!.history[0]!.place, behind) > 0;
    [from, to] = isBehind ? [from, middle] : [middle + 1, to];
  }
  return from;
}

const isFirst = ({ kind, manifest }: CatalogueItem): boolean => createsRecord(kind, manifest);
