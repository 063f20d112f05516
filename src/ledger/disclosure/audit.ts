import { decodeAccess, decisionOf, unknownSubjectId, type AccessContent } from "./access.ts";
import { equalBytes } from "../../bytes/compare.ts";
import type { Decision } from "../../consent/model/decision.ts";
import type { KeptAccess, KeptEntries } from "../elsewhere/kept-entries.ts";
import { type Catalogue, isErasedNow } from "../entries/catalogue.ts";
import { comparePlaces, type CatalogueItem } from "../entries/catalogue-item.ts";
import { placeInList } from "../entries/list-place.ts";
import { isDamage, lostEntry, openOwn } from "../entries/own-envelope.ts";
import type { LedgerContext } from "../context.ts";
import type { Subject } from "../entries/subjects.ts";
import { entryIdBytes, toEntryId, type EntryId, type RecordId } from "../../codec/ids.ts";
import type { LedgerError } from "../../errors.ts";

/** The decision about one record in one access. */
export interface AccessedRecord {
  /** Names the record through all its versions. */
  readonly record: RecordId;
  /** FHIR resource type. */
  readonly type: string;
  readonly decision: Decision;
  /** Whether its keys were released; also `false` if a later change withdrew it in time. */
  readonly released: boolean;
  /** The final decision, if an entry that landed between decision and release changed it. */
  readonly withdrawn?: Decision;
}

/**
 * An access entry on the ledger that cannot be read: it is damaged, or was written damaged. Somebody made a
 * request, but who it was and what was answered is no longer known here.
 */
export interface UnreadableAccess {
  /** Names the access entry. */
  readonly id: EntryId;
  /** When it was recorded, by the ledger's time, in ms since 1970. */
  readonly recordedAt: number;
  /** Why it cannot be read. */
  readonly unreadable: string;
  /** As in {@link Access}. */
  readonly pending?: true;
  readonly refused?: string;
}

/** One access to a person's data: who asked, why, and what was answered. */
export interface Access {
  readonly unreadable?: undefined;
  /** Names the access entry. */
  readonly id: EntryId;
  /** When it was recorded, by the ledger's time, in ms since 1970. */
  readonly recordedAt: number;
  readonly requester: string;
  readonly user?: string;
  /** Codes of the roles that the decision accepted. */
  readonly roles: readonly string[];
  /** The signed attestations that the decision relied on. */
  readonly attestations: readonly Uint8Array[];
  readonly purposes: readonly string[];
  readonly action: string;
  /** Requested parts of each record; absent if whole records were requested. */
  readonly parts?: readonly string[];
  /** Time in ms since 1970, and height, of the decision, −1 before the first block; with both, `decide` gives it again. */
  readonly decidedAt: number;
  readonly height: number;
  readonly records: readonly AccessedRecord[];
  /** Why the glass was broken; absent if it was not. */
  readonly declaration?: { readonly reason: string; readonly until: number };
  /**
   * Set if it is not on the ledger yet: an emergency while this member was cut off. `recordedAt` says then when it
   * became durable in the outbox, by this member's clock.
   */
  readonly pending?: true;
  /** Why the ledger will never have it, in a word of its rules; `outbox` lists it too. */
  readonly refused?: string;
}

/** Options of `audit`: which accesses to a person's data to list. */
export interface AuditOptions {
  /** List the accesses after this one, which may have been erased since. Default: from the first on. */
  readonly after?: EntryId | undefined;
}

/**
 * Yields the accesses to a person's data, oldest first; without a subject, the requests about persons who
 * were unknown here. An unreadable access is yielded as such, and the others follow. Each access is opened
 * when the iterator reaches it. Emergencies that only the outbox has come last.
 */
export async function* auditOf(
  context: LedgerContext,
  catalogue: Catalogue,
  subject: Subject | null,
  { after }: AuditOptions = {},
  kept?: KeptEntries,
): AsyncIterable<Access | UnreadableAccess> {
  const first = after === undefined ? undefined : entryIdBytes(after);
  // The outbox first: what leaves it is on the ledger by then.
  const waiting = subject === null ? [] : ((await kept?.accesses()) ?? []);
  await catalogue.catchUp();
  const local = subject?.local ?? unknownSubjectId(context);
  const behind = first && (await placeInList(catalogue, first, { local, ...ACCESSES }));
  const about = await catalogue.itemsOf(local, ["access", "erase"]);
  const items = about.filter(
    ({ kind, place }) =>
      kind === "access" && (behind === undefined || comparePlaces(place, behind) > 0),
  );
  yield* openAccesses(context, catalogue, items);
  if (subject === null || waiting.length === 0) return;
  const persons = (await catalogue.joinedWith(subject.local)).personsWith(subject.local);
  const isListed = new Set(about.map(({ id }) => toEntryId(id)));
  for (const one of waiting) {
    const { id, manifest } = one.item;
    const isTheirs = persons.some((local) => equalBytes(local, manifest.local));
    if (!isTheirs || manifest.review !== true || isListed.has(toEntryId(id))) continue;
    const beside = waiting.map(({ item }) => item);
    const only = openAccesses(context, catalogue, beside, (item) => item === one.item);
    for await (const access of only) yield { ...access, ...pendingFields(one) };
  }
}

/** What an access says of itself that is kept in the outbox. */
export const pendingFields = ({
  refused,
}: KeptAccess): { readonly pending: true; readonly refused?: string } => ({
  pending: true,
  ...(refused === undefined ? {} : { refused }),
});

/**
 * Opens accesses one after another, each when the iterator reaches it.
 *
 * @param items - with the entries that say what was not released
 * @param isWanted - which accesses to open; default all
 */
export async function* openAccesses(
  context: LedgerContext,
  catalogue: Catalogue,
  items: readonly CatalogueItem[],
  isWanted: (item: CatalogueItem) => boolean | Promise<boolean> = () => true,
): AsyncIterable<Access | UnreadableAccess> {
  const differences = differencesOf(items);
  for (const item of items) {
    if (item.manifest.op !== "access" || !(await isWanted(item))) continue;
    const id = toEntryId(item.id);
    const access = await openAccess(context, catalogue, item, differences.get(id) ?? []);
    if (typeof access === "string") yield { id, recordedAt: item.recordedAt, unreadable: access };
    else if (access !== undefined) yield access;
  }
}

/** Opens an access, or returns why it cannot be read; returns `undefined` if it was erased meanwhile. */
async function openAccess(
  context: LedgerContext,
  catalogue: Catalogue,
  item: CatalogueItem,
  differences: readonly CatalogueItem[],
): Promise<Access | string | undefined> {
  let withdrawn: AccessContent | undefined;
  for (const one of differences) {
    const content = await readOrSay(context, catalogue, one);
    // If it is unknown what was withdrawn, so is what was released. Both entries are erased together.
    if (content === undefined || typeof content === "string") return content;
    withdrawn = content;
  }
  const content = await readOrSay(context, catalogue, item);
  if (content === undefined || typeof content === "string") return content;
  return toAccess(item, content, withdrawn);
}

/** The entries that `after` of an audit may name. */
const ACCESSES: { readonly kind: string; readonly holds: (item: CatalogueItem) => boolean } = {
  kind: "access",
  holds: ({ manifest: { op } }) => op === "access",
};

/** By access: entries that list what the access did not release although it said so. */
function differencesOf(items: readonly CatalogueItem[]): ReadonlyMap<EntryId, CatalogueItem[]> {
  const found = new Map<EntryId, CatalogueItem[]>();
  for (const item of items) {
    const { op, replaces } = item.manifest;
    if (op !== "difference" || replaces === undefined) continue;
    const others = found.get(replaces);
    if (others === undefined) found.set(replaces, [item]);
    else others.push(item);
  }
  return found;
}

/** Reads an access entry; returns a message instead of throwing if it is damaged. */
export async function readOrSay(
  context: LedgerContext,
  catalogue: Catalogue,
  item: CatalogueItem,
): Promise<AccessContent | string | undefined> {
  try {
    return await readAccess(context, catalogue, item);
  } catch (error) {
    if (!isDamage(error)) throw error;
    return `${(error as LedgerError).code}: ${(error as LedgerError).message}`;
  }
}

/**
 * Reads one access entry by its catalogue item.
 *
 * @returns `undefined` when it was erased meanwhile
 * @throws {StorageError} `ERR_STORAGE_MISSING` when its content is gone although nothing erased it
 */
export async function readAccess(
  context: LedgerContext,
  catalogue: Catalogue,
  { id, kind, envelope, place }: CatalogueItem,
): Promise<AccessContent | undefined> {
  const opened = await openOwn(context, {
    kind,
    envelope,
    height: place.height,
    parts: ["content"],
  });
  const content = opened?.get("content");
  if (content !== undefined) return decodeAccess(content);
  if (await isErasedNow(catalogue, id)) return undefined;
  throw lostEntry("access", id);
}

/** Converts an access entry to the public {@link Access}. */
export function toAccess(
  item: Pick<CatalogueItem, "id" | "recordedAt">,
  content: AccessContent,
  difference?: AccessContent,
): Access {
  const withdrawn = new Map(
    difference?.items.map((one) => [one.record, decisionOf(difference, one)]),
  );
  const { requester, user, roles, purposes, action, parts, decidedAt, declaration } = content;
  const { attestations = [], height } = content;
  return {
    id: toEntryId(item.id),
    recordedAt: item.recordedAt,
    requester,
    ...(user === undefined ? {} : { user }),
    roles,
    attestations,
    purposes,
    action,
    ...(parts === undefined ? {} : { parts }),
    decidedAt,
    height,
    records: content.items.map((one) => {
      const later = withdrawn.get(one.record);
      return {
        record: one.record,
        type: one.type,
        decision: decisionOf(content, one),
        released: one.outcome === "permit" && later === undefined,
        ...(later === undefined ? {} : { withdrawn: later }),
      };
    }),
    ...(declaration === undefined ? {} : { declaration }),
  };
}
