import { decodeSubjectEntry } from "../../block/subject-entry.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import type { WaitingEntries } from "../../chain/sequencer.ts";
import { toRecordId } from "../../codec/ids.ts";
import { RecordError } from "../../errors.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { LedgerContext } from "../context.ts";
import { byPlace, keyLocal, type CatalogueItem } from "../entries/catalogue-item.ts";
import type { Manifest } from "../entries/manifest.ts";
import { openManifest } from "../entries/own-envelope.ts";
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
 * Records something unless it was recorded with the same key; then gives what was recorded. What was filed with the
 * key and is not on the ledger yet is waited for.
 *
 * Of two processes that record at once, the first on the ledger counts. The other one's record has ended
 * from the start, and is retracted.
 *
 * @throws {RecordError} `ERR_RECORD_CONFLICT` when something else was recorded with the key
 */
export async function recordOnce(
  context: LedgerContext,
  file: () => Promise<RecordedVersion>,
  keyed: Keyed,
  tools: BundleTools,
): Promise<RecordedVersion> {
  const { catalogue, filing, turns, versions } = tools;
  return turns.exclusive(`key ${toHex(keyed.idempotency)}`, async () => {
    // Taken first: what is recorded meanwhile is found on the ledger.
    const waiting = filing.waiting();
    let before = await firstOf(keyed, tools);
    if (before === undefined) {
      const underway = await waitingWith(context, waiting, keyed, tools);
      await underway?.settled();
      if (underway !== undefined) before = await firstOf(keyed, tools);
    }
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

/** The persons who are joined with the one that something is about, each with the key's name for them. */
async function namesOf(
  { subject, key }: Keyed,
  { catalogue, sources }: BundleTools,
): Promise<readonly { readonly local: Uint8Array; readonly name: Uint8Array }[]> {
  const people = (await catalogue.joinedWith(subject.local)).personsWith(subject.local);
  return people.map((local) => ({ local, name: sources.keyOf({ local }, key) }));
}

type Names = Awaited<ReturnType<typeof namesOf>>;

/** What an entry says of its key. */
type KeyOfEntry = Pick<Manifest, "idempotency" | "local">;

const hasKey = ({ idempotency, local }: KeyOfEntry, one: Names[number] | undefined): boolean =>
  one !== undefined &&
  idempotency !== undefined &&
  equalBytes(idempotency, one.name) &&
  equalBytes(local, one.local);

/** The first entry that was filed with a key about a person, or about somebody joined with them. */
async function firstOf(keyed: Keyed, tools: BundleTools): Promise<CatalogueItem | undefined> {
  const { catalogue } = tools;
  await catalogue.catchUp();
  const names = await namesOf(keyed, tools);
  const lists = await catalogue.listed(
    names.map(({ name }) => keyLocal(name)),
    names.map(({ local }) => local),
  );
  const found = lists.flatMap((items, i) =>
    items.filter(({ manifest }) => hasKey(manifest, names[i])),
  );
  return found.sort(byPlace)[0];
}

/** The keys of entries that wait. */
const keysOfWaiting = /* @__PURE__ */ new WeakMap<Uint8Array, KeyOfEntry | "none">();

/** The first of those that wait to be recorded which has an entry with a key. */
async function waitingWith(
  context: LedgerContext,
  waiting: readonly WaitingEntries[],
  keyed: Keyed,
  tools: BundleTools,
): Promise<WaitingEntries | undefined> {
  if (waiting.length === 0) return undefined;
  const names = await namesOf(keyed, tools);
  for (const one of waiting) {
    for (const bytes of one.entries) {
      const own = keysOfWaiting.get(bytes) ?? (await keyOfWaiting(context, bytes));
      keysOfWaiting.set(bytes, own);
      if (own !== "none" && names.some((name) => hasKey(own, name))) return one;
    }
  }
  return undefined;
}

async function keyOfWaiting(
  context: LedgerContext,
  bytes: Uint8Array,
): Promise<KeyOfEntry | "none"> {
  const entry = decodeSubjectEntry(bytes);
  if (entry?.kind !== "record") return "none";
  const place = { height: context.chain.size, transaction: 0, entry: 0 };
  const told = await openManifest(context, { kind: entry.kind, envelope: entry.body, place });
  if (told?.manifest.op !== "create" || told.manifest.idempotency === undefined) return "none";
  const { idempotency, local } = told.manifest;
  return { idempotency, local };
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
