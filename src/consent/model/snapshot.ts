import { toHex } from "../../bytes/hex.ts";
import { type CID, cidOf, DAG_CBOR } from "../../codec/cid.ts";
import { encode } from "../../codec/dag-cbor.ts";
import { entryIdBytes, type EntryId } from "../../codec/ids.ts";
import type { CapacityScope, Capacity, Directive, Overlay } from "./model.ts";
import type { DirectiveWitness } from "./witness.ts";

/** Where an entry stands on the ledger; order of places is ledger order. */
export interface SnapshotPlace {
  readonly height: number;
  /** Position within the block. */
  readonly index: number;
}

/** Whether a directive counts at all; signature and signer are judged by who builds the snapshot. */
export type Standing = "valid" | { readonly void: string };

/** A directive as a custodian's own entry filed it. */
export interface SnapshotDirective {
  /** Names the entry. */
  readonly entry: EntryId;
  /** Other entries that filed the same signed directive elsewhere. */
  readonly aliases?: readonly EntryId[];
  readonly place: SnapshotPlace;
  readonly cid: CID;
  readonly directive: Directive;
  readonly standing: Standing;
  /** Ledger time of the entry, at which the grantor's capacity is judged as of signing. */
  readonly recordedAt?: number;
  /**
   * Stands in for a directive that nobody can read: it denies everything, and whatever it may have been
   * was the head of the lineage when it was recorded.
   */
  readonly unreadable?: true;
  /** Present where it bears no signature of the grantor: who says that he gave it. */
  readonly witness?: DirectiveWitness;
}

/** A legal overlay and its name. */
export interface SnapshotOverlay {
  readonly cid: CID;
  readonly overlay: Overlay;
}

/** Someone belongs to an organisation, care team or group; instants inclusive, absent: open. */
export interface SnapshotMembership {
  readonly member: string;
  readonly of: string;
  readonly from?: number;
  readonly to?: number;
}

/** A role that a member vouches for. */
export interface RoleAttestation {
  readonly actor: string;
  readonly code: string;
  readonly attestedBy: string;
  readonly from?: number;
  readonly to?: number;
}

/** Someone may speak for the subject in a capacity. */
export interface CapacityFact {
  readonly actor: string;
  readonly capacity: Capacity;
  readonly from?: number;
  readonly to?: number;
  /** Who granted it, and as whom; absent: the law, or the custodian attests it by itself. */
  readonly by?: { readonly actor: string; readonly capacity: Capacity };
  /** How many times it may be handed on. Absent: a proxy's never, any other's as often as wanted. */
  readonly depth?: number;
  /** What it is bounded to; absent: everything. */
  readonly scope?: CapacityScope;
}

/**
 * Everything a decision about one subject depends on, besides request, resource and legal time.
 * Never changed after it was made: the same snapshot gives the same decision for ever.
 */
export interface ConsentSnapshot {
  /** Last height that is known; directives recorded above it are not. */
  readonly height: number;
  readonly directives: readonly SnapshotDirective[];
  /** What the organisation says where the patient does not. */
  readonly organisation: readonly SnapshotDirective[];
  readonly overlays: readonly SnapshotOverlay[];
  /** Members of the ledger in force: only they can vouch for roles. */
  readonly members: readonly string[];
  readonly memberships: readonly SnapshotMembership[];
  readonly roles: readonly RoleAttestation[];
  readonly capacities: readonly CapacityFact[];
  /** did:key of the custodian whose snapshot this is; what others witness is another's word. */
  readonly custodian?: string;
  /** Other organisations whose witnessed directives it believes. Absent: none. */
  readonly witnesses?: readonly string[];
  /** The link entries by which the subject was resolved. */
  readonly links: readonly EntryId[];
  /** The terminology that codes are read by. */
  readonly terminology: CID;
  /** The label rules that were current, where there are any. */
  readonly labels: CID | null;
}

/**
 * Orders directives as the ledger does; those of one place by lineage and content, so that the order
 * in which they were listed shows nowhere.
 */
export function byPlace(a: SnapshotDirective, b: SnapshotDirective): number {
  return (
    a.place.height - b.place.height ||
    a.place.index - b.place.index ||
    compareText(a.directive.lineage, b.directive.lineage) ||
    compareText(a.cid.toString(), b.cid.toString()) ||
    compareText(a.entry, b.entry)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Names a snapshot: equal content gives an equal CID, in whatever order facts were listed, and
 * directives above its height do not count.
 */
export function snapshotCid(snapshot: ConsentSnapshot): CID {
  const filed = (list: readonly SnapshotDirective[]): unknown[] =>
    list
      .filter((item) => item.place.height <= snapshot.height)
      .sort(byPlace)
      .map((item) => [
        entryIdBytes(item.entry),
        item.cid,
        item.place.height,
        item.place.index,
        item.standing === "valid" ? null : item.standing.void,
        item.recordedAt ?? null,
        sorted((item.aliases ?? []).map(entryIdBytes)),
        ...(item.unreadable === true ? [true] : []),
        ...witnessOf(item),
      ]);
  const value = {
    v: 1,
    height: snapshot.height,
    directives: filed(snapshot.directives),
    organisation: filed(snapshot.organisation),
    overlays: sorted(snapshot.overlays.map((item) => item.cid)),
    members: sorted(snapshot.members),
    memberships: sorted(snapshot.memberships.map((fact) => [fact.member, fact.of, ...ends(fact)])),
    roles: sorted(
      snapshot.roles.map((fact) => [fact.actor, fact.code, fact.attestedBy, ...ends(fact)]),
    ),
    capacities: sorted(
      snapshot.capacities.map((fact) => [fact.actor, fact.capacity, ...ends(fact), ...grant(fact)]),
    ),
    ...(snapshot.custodian === undefined ? {} : { custodian: snapshot.custodian }),
    ...(snapshot.witnesses === undefined ? {} : { witnesses: sorted(snapshot.witnesses) }),
    links: sorted(snapshot.links.map(entryIdBytes)),
    terminology: snapshot.terminology,
    labels: snapshot.labels,
  };
  return cidOf(encode(value), DAG_CBOR);
}

/** Who witnessed a directive, and how, where one did. */
function witnessOf({ witness }: SnapshotDirective): unknown[] {
  return witness === undefined ? [] : [[witness.by, witness.form, witness.doubted === true]];
}

function ends(fact: { readonly from?: number; readonly to?: number }): (number | null)[] {
  return [fact.from ?? null, fact.to ?? null];
}

/** How a capacity was granted, where it says anything about that. */
function grant({ by, depth, scope }: CapacityFact): unknown[] {
  if (by === undefined && depth === undefined && scope === undefined) return [];
  return [by === undefined ? null : [by.actor, by.capacity], depth ?? null, scope ?? null];
}

/** Facts have no order of their own: sorted by their canonical bytes. */
function sorted(items: readonly unknown[]): unknown[] {
  return items
    .map((item) => ({ item, key: toHex(encode(item)) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ item }) => item);
}
