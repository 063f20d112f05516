import { decodeAccess, decisionOf, strangers, type AccessContent } from "./access.ts";
import type { Decision } from "../../consent/model/decision.ts";
import { type Catalogue, isErasedNow } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { isDamage, lostEntry, openOwn } from "../entries/own-envelope.ts";
import type { LedgerContext } from "../context.ts";
import type { Subject } from "../entries/subjects.ts";
import { toEntryId, type EntryId, type RecordId } from "../../codec/ids.ts";
import type { LedgerError } from "../../errors.ts";

/** What was decided about one record in one access. */
export interface AccessedRecord {
  /** Names the record through all its versions. */
  readonly record: RecordId;
  /** FHIR resource type. */
  readonly type: string;
  readonly decision: Decision;
  /** Whether its keys were released; `false` also where a later change withdrew it in time. */
  readonly released: boolean;
  /** What was decided in the end, where something landed between decision and release. */
  readonly withdrawn?: Decision;
}

/**
 * An access entry that is on the ledger and cannot be read: it is damaged, or was written damaged.
 * Somebody asked, and nobody here can say any more who, and what was answered.
 */
export interface UnreadableAccess {
  /** Names the access entry. */
  readonly id: EntryId;
  /** When it was recorded, by the ledger's time, in ms since 1970. */
  readonly recordedAt: number;
  /** Why it cannot be read. */
  readonly unreadable: string;
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
  /** Codes of the roles that were believed. */
  readonly roles: readonly string[];
  /** The signed attestations that the decision relied on. */
  readonly attestations: readonly Uint8Array[];
  readonly purposes: readonly string[];
  readonly action: string;
  /** Parts of each record that were asked for, where not the whole. */
  readonly parts?: readonly string[];
  /** When it was decided, in ms since 1970, and at which height: what `decide` answers again. */
  readonly decidedAt: number;
  readonly height: number;
  readonly records: readonly AccessedRecord[];
  /** Why the glass was broken, where it was. */
  readonly declaration?: { readonly reason: string; readonly until: number };
}

/**
 * Yields the accesses to a person's data, oldest first; without a subject, the requests about
 * persons that were unknown here. One that cannot be read is yielded as such, and others follow.
 */
export async function* auditOf(
  context: LedgerContext,
  catalogue: Catalogue,
  subject: Subject | null,
): AsyncIterable<Access | UnreadableAccess> {
  await catalogue.catchUp();
  const local = subject?.local ?? strangers(context);
  const about = await catalogue.itemsOf(local, ["access", "erase"]);
  const items = about.filter(({ kind }) => kind === "access");
  const withdrawn = new Map<EntryId, AccessContent>();
  const unknown = new Map<EntryId, string>();
  for (const item of items) {
    const { op, replaces } = item.manifest;
    if (op !== "difference" || replaces === undefined) continue;
    const content = await readOrSay(context, catalogue, item);
    if (typeof content === "string") unknown.set(replaces, content);
    else if (content !== undefined) withdrawn.set(replaces, content);
  }
  for (const item of items) {
    if (item.manifest.op !== "access") continue;
    const { recordedAt } = item;
    const id = toEntryId(item.id);
    const lost = unknown.get(id);
    // What was withdrawn is not known, so neither is what was released.
    const content = lost ?? (await readOrSay(context, catalogue, item));
    if (typeof content === "string") yield { id, recordedAt, unreadable: content };
    else if (content !== undefined) yield toAccess(item, content, withdrawn.get(id));
  }
}

/** Reads an access entry; what is damaged is told, not thrown. */
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
 * @throws {StorageError} `ERR_STORAGE_MISSING` when its content is gone though nothing erased it
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

/** Puts an access entry into the form that people read. */
export function toAccess(
  item: CatalogueItem,
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
