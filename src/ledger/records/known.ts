import { giveTurn } from "../../loop/give-turn.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { bytesKey } from "../../bytes/bytes-key.ts";
import { encode } from "../../codec/dag-cbor.ts";
import { toEntryId, type EntryId, type RecordId } from "../../codec/ids.ts";
import { StorageError } from "../../errors.ts";
import { compareVersions } from "../../fhir/version-order.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { Manifest } from "../entries/manifest.ts";
import { isNamed, namesOf, type RecordNames } from "../entries/record-names.ts";
import { currentRecords, type FoldedRecord } from "./current-record.ts";
import type { Subject } from "../entries/subjects.ts";

/** An incoming resource, to be filed about somebody. */
export interface Incoming {
  readonly subject: Subject;
  readonly manifest: Pick<Manifest, "resource" | "fullUrl" | "labels">;
  readonly text: Uint8Array;
}

/** The existing record that an incoming resource matches. */
export interface KnownRecord {
  /** Names the record. */
  readonly id: RecordId;
  /** The newest entry about it. */
  readonly entry: EntryId;
  /**
   * `recorded`: this text is a version of it. `newer`: the record already has a newer version.
   * `ended`: the record was retracted, or moved to another person.
   */
  readonly as: "recorded" | "newer" | "ended";
}

/** How incoming resources are to be handled. */
export interface Sorted<T extends Incoming> {
  readonly fresh: readonly T[];
  /** Newer versions of existing records, each with the newest entry about the record. */
  readonly changed: readonly {
    readonly one: T;
    readonly record: RecordId;
    readonly amends: EntryId;
  }[];
  readonly known: readonly { readonly one: T; readonly known: KnownRecord }[];
  /** Resources that occur twice in the input, with the same text under the same name. */
  readonly repeated: readonly T[];
}

/**
 * Tells which resources are on record already.
 *
 * A resource is recognised by its text, even if its record has ended since; and by its address on a
 * server, which always names the same resource. A `urn:` names something within one bundle only.
 *
 * @param recorded - the person's records, including those that were retracted
 */
export async function sortIncoming<T extends Incoming>(
  incoming: readonly T[],
  recorded: Pick<Catalogue, "itemsOf" | "mayHold">,
  textOf: (item: CatalogueItem) => Promise<Uint8Array>,
): Promise<Sorted<T>> {
  const finders = new Map<string, Finder>();
  const names = namesOf(incoming.map(({ manifest }) => manifest));
  const fresh: T[] = [];
  const changed: Sorted<T>["changed"][number][] = [];
  const known: { one: T; known: KnownRecord }[] = [];
  const repeated: T[] = [];
  const before = new Map<string, Uint8Array[]>();
  for (const one of incoming) {
    await giveTurn();
    const person = bytesKey(one.subject.local);
    if (one.manifest.resource?.id !== undefined || one.manifest.fullUrl !== undefined) {
      const name = `${person} ${resourceKey(one.manifest)}`;
      const texts = before.get(name) ?? [];
      if (texts.some((text) => equalBytes(text, one.text))) {
        repeated.push(one);
        continue;
      }
      before.set(name, texts);
      texts.push(one.text);
    }
    let find = finders.get(person);
    if (find === undefined) {
      const { local } = one.subject;
      // Of a person's thousands of records few have these names, and usually none does.
      const items = (await recorded.mayHold(local, names)) ? await recorded.itemsOf(local) : [];
      find = finderAmong(items, names, textOf);
      finders.set(person, find);
    }
    const found = await find(one);
    if (found === undefined) fresh.push(one);
    else if (found.as === "changed") changed.push({ one, record: found.id, amends: found.entry });
    else known.push({ one, known: { id: found.id, entry: found.entry, as: found.as } });
  }
  return { fresh, changed, known, repeated };
}

type Finder = (
  incoming: Incoming,
) => Promise<
  (Pick<KnownRecord, "id" | "entry"> & { readonly as: KnownRecord["as"] | "changed" }) | undefined
>;

const idsOf = ({ record, history }: FoldedRecord): Pick<KnownRecord, "id" | "entry"> => ({
  id: record,
  entry: toEntryId(history.at(-1)!.id),
});

interface Version {
  readonly record: FoldedRecord;
  readonly item: CatalogueItem;
}

function finderAmong(
  items: readonly CatalogueItem[],
  names: RecordNames,
  textOf: (item: CatalogueItem) => Promise<Uint8Array>,
): Finder {
  const versions = new Map<string, Version[]>();
  const byAddress = new Map<string, FoldedRecord>();
  for (const record of currentRecords(items).values()) {
    for (const item of record.history) {
      if (!isNamed(item.manifest, names)) continue;
      if (item.manifest.resource === undefined || item.manifest.mediaType === undefined) continue;
      const name = resourceKey(item.manifest);
      const all = versions.get(name);
      if (all === undefined) versions.set(name, [{ record, item }]);
      else all.push({ record, item });
    }
    const address = addressOf(record.head.manifest);
    // A retracted record must not hide a later recording of the same content.
    if (address !== undefined && byAddress.get(address)?.retracted !== false) {
      byAddress.set(address, record);
    }
  }
  return async ({ manifest, text }) => {
    const named = versions.get(resourceKey(manifest)) ?? [];
    const description = named.length === 0 ? undefined : encode(manifest.resource);
    for (const { record, item } of named) {
      // Equal texts have equal descriptions, so only a few have to be decrypted.
      if (!equalBytes(encode(item.manifest.resource), description!)) continue;
      const own = await textOf(item).catch(noText);
      if (own === undefined || !equalBytes(own, text)) continue;
      const ids = idsOf(record);
      if (record.retracted) return { ...ids, as: "ended" };
      if (item !== record.head) return { ...ids, as: "newer" };
      return { ...ids, as: saysMore(manifest, record) ? "changed" : "recorded" };
    }
    const address = addressOf(manifest);
    const record = address === undefined ? undefined : byAddress.get(address);
    if (record === undefined) return undefined;
    const ids = idsOf(record);
    if (record.retracted) return { ...ids, as: "ended" };
    const order = compareVersions(manifest.resource!, record.head.manifest.resource!);
    return { ...ids, as: order === "older" ? "newer" : "changed" };
  };
}

/** A record that was erased or cannot be read is never recognised as the same. */
function noText(error: unknown): undefined {
  if (!(error instanceof StorageError)) throw error;
}

/** Whether skipping an identical text would lose what the new bundle says about it. */
export function saysMore(
  { labels }: Pick<Manifest, "labels">,
  record: Pick<FoldedRecord, "labels">,
): boolean {
  const own = record.labels?.codes ?? [];
  return (labels?.codes ?? []).some(
    ({ system, code }) => !own.some((one) => one.system === system && one.code === code),
  );
}

const resourceKey = ({ resource, fullUrl = "" }: Pick<Manifest, "resource" | "fullUrl">): string =>
  `${resource?.type}/${resource?.id ?? ""} ${fullUrl}`;

function addressOf(manifest: Pick<Manifest, "resource" | "fullUrl">): string | undefined {
  const { resource, fullUrl } = manifest;
  return fullUrl !== undefined && /^https?:/i.test(fullUrl)
    ? `${resource?.type} ${fullUrl}`
    : undefined;
}
