import { toHex } from "../../bytes/hex.ts";
import { type CID, cidOf, DAG_CBOR } from "../../codec/cid.ts";
import { encode } from "../../codec/dag-cbor.ts";
import { entryIdBytes, type EntryId } from "../../codec/ids.ts";
import type { CapacityScope, Capacity, Directive, Overlay } from "./model.ts";
import type { DirectiveWitness } from "./witness.ts";

/** Position of an entry on the ledger; places sort in ledger order. */
export interface SnapshotPlace {
  readonly height: number;
  /** Position within the block. */
  readonly index: number;
}

/** Whether a directive counts at all; the builder of the snapshot judges signature and signer. */
export type Standing = "valid" | { readonly void: string };

/** A directive as one of the custodian's own entries filed it. */
export interface SnapshotDirective {
  /** Names the entry. */
  readonly entry: EntryId;
  /** Other entries that filed the same signed directive elsewhere. */
  readonly aliases?: readonly EntryId[];
  readonly place: SnapshotPlace;
  readonly cid: CID;
  readonly directive: Directive;
  readonly standing: Standing;
  /** Ledger time of the entry; the grantor's capacity at signing is judged as of this time. */
  readonly recordedAt?: number;
  /**
   * Marks the substitute for a directive that nobody can read. It denies everything, and counts as
   * the head of its lineage when it was recorded, whatever the directive said.
   */
  readonly unreadable?: true;
  /** Marks one that is kept and not filed yet: it follows what is not here, so its denies count and its permits do not. */
  readonly waits?: true;
  /** Present if the grantor did not sign: the organisation that says that the grantor gave it. */
  readonly witness?: DirectiveWitness;
}

/** A legal overlay and its name. */
export interface SnapshotOverlay {
  readonly cid: CID;
  readonly overlay: Overlay;
}

/** A membership of an organisation, care team or group; instants inclusive, absent: open. */
export interface SnapshotMembership {
  readonly member: string;
  readonly of: string;
  readonly from?: number;
  readonly to?: number;
}

/** A role of a person, attested by a member. */
export interface RoleAttestation {
  readonly actor: string;
  readonly code: string;
  readonly attestedBy: string;
  readonly from?: number;
  readonly to?: number;
}

/** A capacity in which a person may speak for the subject. */
export interface CapacityFact {
  readonly actor: string;
  readonly capacity: Capacity;
  readonly from?: number;
  readonly to?: number;
  /** The granter and their capacity; absent: by law, or attested by the custodian alone. */
  readonly by?: { readonly actor: string; readonly capacity: Capacity };
  /** How often it may be passed on. Absent: 0 for a proxy's, unlimited for any other. */
  readonly depth?: number;
  /** Bounds of the capacity; absent: none. */
  readonly scope?: CapacityScope;
}

/**
 * Everything that a decision about one subject depends on, besides request, resource and legal
 * time. Immutable: the same snapshot always gives the same decision.
 */
export interface ConsentSnapshot {
  /** Last known height; directives recorded above it are unknown. */
  readonly height: number;
  readonly directives: readonly SnapshotDirective[];
  /** The organisation's directives, which apply where the patient has said nothing. */
  readonly organisation: readonly SnapshotDirective[];
  readonly overlays: readonly SnapshotOverlay[];
  /** Members of the ledger in force: only they can attest roles. */
  readonly members: readonly string[];
  readonly memberships: readonly SnapshotMembership[];
  readonly roles: readonly RoleAttestation[];
  readonly capacities: readonly CapacityFact[];
  /**
   * did:key of the custodian whose snapshot this is; directives witnessed by others are a third
   * party's word.
   */
  readonly custodian?: string;
  /** Other organisations whose witnessed directives the custodian believes. Absent: none. */
  readonly witnesses?: readonly string[];
  /** The link entries by which the subject was resolved. */
  readonly links: readonly EntryId[];
  /** The terminology that interprets codes. */
  readonly terminology: CID;
  /** The label rules that were current, if there were any. */
  readonly labels: CID | null;
}

/**
 * Compares directives by ledger order, and those of one place by lineage and content, so that the
 * result never depends on the order in which they were listed.
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
 * Names a snapshot: equal content gives an equal CID, in whatever order the facts are listed.
 * Directives above its height are ignored.
 *
 * @example
 * const same = snapshotCid(snapshot).equals(decision.snapshot);
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
        ...(item.waits === true ? ["waits"] : []),
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

/** The witness of a directive and the form, if it was witnessed. */
function witnessOf({ witness }: SnapshotDirective): unknown[] {
  return witness === undefined ? [] : [[witness.by, witness.form, witness.doubted === true]];
}

function ends(fact: { readonly from?: number; readonly to?: number }): (number | null)[] {
  return [fact.from ?? null, fact.to ?? null];
}

/** How a capacity was granted, if the fact tells. */
function grant({ by, depth, scope }: CapacityFact): unknown[] {
  if (by === undefined && depth === undefined && scope === undefined) return [];
  return [by === undefined ? null : [by.actor, by.capacity], depth ?? null, scope ?? null];
}

/** Sorts facts, which have no order, by their canonical bytes. */
function sorted(items: readonly unknown[]): unknown[] {
  return items
    .map((item) => ({ item, key: toHex(encode(item)) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ item }) => item);
}
