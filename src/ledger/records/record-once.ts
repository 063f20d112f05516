import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { toRecordId } from "../../codec/ids.ts";
import { RecordError } from "../../errors.ts";
import { afterWriting } from "../../storage/settle.ts";
import { byPlace, keyLocal, type CatalogueItem } from "../entries/catalogue-item.ts";
import type { Subject } from "../entries/subjects.ts";
import { version, type RecordedVersion } from "./record-versions.ts";
import type { BundleTools } from "./sent.ts";

/** What is to be recorded with an idempotency key. */
interface Keyed {
  readonly subject: Subject;
  /** The caller's key, and its name for the person. */
  readonly key: string;
  readonly idempotency: Uint8Array;
  readonly text: Uint8Array;
  readonly attachments: readonly { readonly mediaType: string }[];
}

/**
 * Records something unless it was recorded with the same key; then gives what was recorded.
 *
 * Of two processes that record at once, the first on the ledger counts. The other one's record has ended
 * from the start, and is retracted.
 *
 * @throws {RecordError} `ERR_RECORD_CONFLICT` when something else was recorded with the key
 */
export async function recordOnce(
  file: () => Promise<RecordedVersion>,
  keyed: Keyed,
  tools: BundleTools,
): Promise<RecordedVersion> {
  const { catalogue, turns, versions } = tools;
  return turns.exclusive(`key ${toHex(keyed.idempotency)}`, async () => {
    const before = await firstOf(keyed, tools);
    if (before !== undefined) return sameAs(before, keyed, tools);
    const height = catalogue.height();
    const filed = await file();
    if (filed.place.height === height) return filed;
    return afterWriting(async () => {
      const first = await firstOf(keyed, tools);
      if (first === undefined || toRecordId(first.id) === filed.id) return filed;
      await versions.change(filed.id, (own) =>
        versions.appendVersion(own, { op: "retract", reason: "filed twice" }),
      );
      return sameAs(first, keyed, tools);
    });
  });
}

/** The first entry that was filed with a key about a person, or about somebody joined with them. */
async function firstOf(
  { subject, key }: Keyed,
  { catalogue, sources }: BundleTools,
): Promise<CatalogueItem | undefined> {
  await catalogue.catchUp();
  const people = (await catalogue.joinedWith(subject.local)).personsWith(subject.local);
  const names = people.map((local) => sources.keyOf({ local }, key));
  const lists = await catalogue.listed(names.map(keyLocal), people);
  const found = lists.flatMap((items, i) =>
    items.filter(
      ({ manifest: { idempotency: own, local } }) =>
        own !== undefined && equalBytes(own, names[i]!) && equalBytes(local, people[i]!),
    ),
  );
  return found.sort(byPlace)[0];
}

/** The version that an entry made, if it has the same content. */
async function sameAs(
  item: CatalogueItem,
  { text, attachments }: Keyed,
  { contents }: BundleTools,
): Promise<RecordedVersion> {
  const { labels = null, attachments: types = [] } = item.manifest;
  const isSame =
    types.length === attachments.length &&
    types.every((type, i) => type === attachments[i]!.mediaType) &&
    equalBytes(await contents.textOf(item), text);
  if (isSame) return version(item, labels);
  throw new RecordError(
    "ERR_RECORD_CONFLICT",
    "something else was recorded with this idempotency key about this person",
  );
}
