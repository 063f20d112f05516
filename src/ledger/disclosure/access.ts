import type { CID } from "multiformats/cid";
import { decode, encode } from "../../codec/dag-cbor.ts";
import type { RecordId } from "../../codec/ids.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectNoNuls,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import type { Decision, Outcome, Reason } from "../../consent/model/decision.ts";
import { WITNESS_FORMS } from "../../consent/model/witness.ts";
import { EncodingError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import { expectDeclaration, type Declaration } from "./request.ts";

/** The decision about one record. */
export interface AccessItem {
  /** Names the record through all its versions. */
  readonly record: RecordId;
  /** The version that the decision is about: id of the record's newest content entry. */
  readonly entry: Uint8Array;
  /** FHIR type and id, for reports. */
  readonly type: string;
  readonly outcome: Outcome;
  /** Index into {@link AccessContent.grounds}. */
  readonly ground: number;
}

/** Reasons that several records share. */
export interface AccessGround {
  readonly reasons: readonly Reason[];
  readonly obligations: readonly string[];
  readonly refrains: readonly string[];
}

/** The sealed content of an access entry: who asked for what, why, and what was answered. */
export interface AccessContent {
  readonly v: 1;
  /** Id of the request. */
  readonly request: Uint8Array;
  /** SHA-256 of the signed request; absent in entries of before it was recorded. */
  readonly asked?: Uint8Array;
  readonly requester: string;
  readonly user?: string;
  readonly roles: readonly string[];
  readonly purposes: readonly string[];
  readonly action: string;
  /** Requested parts of each record; absent if whole records were requested. */
  readonly parts?: readonly string[];
  /** When it was decided, in ms since 1970, and at which ledger height; −1 before the first block. */
  readonly decidedAt: number;
  readonly height: number;
  readonly snapshot: CID;
  readonly items: readonly AccessItem[];
  readonly grounds: readonly AccessGround[];
  /** The signed attestations that the decision relied on. */
  readonly attestations?: readonly Uint8Array[];
  /** Set if this lists what was not released although an access entry said so. */
  readonly difference?: true;
  /** Present when the access rests on breaking the glass. */
  readonly declaration?: Declaration;
}

const OUTCOMES: readonly Outcome[] = [
  "permit",
  "deny",
  "partial",
  "not-applicable",
  "indeterminate",
];
/** Bound on the items of one decoded value. */
const MOST = 1_048_576;

/** Writes an access entry's content. */
export function encodeAccess(access: AccessContent): Uint8Array {
  return encode(access);
}

/**
 * Reads an access entry's content, which its custodian wrote.
 *
 * @throws {EncodingError} when the bytes are not an access
 */
export function decodeAccess(bytes: Uint8Array): AccessContent {
  const map = expectMap(
    decode(bytes),
    "access",
    [
      ...["v", "request", "requester", "roles", "purposes", "action", "decidedAt", "height"],
      ...["snapshot", "items", "grounds"],
    ],
    ["asked", "user", "parts", "attestations", "difference", "declaration"],
  );
  expectVersion(map["v"], "access");
  expectNoNuls(map, "access");
  expectBytes(map["request"], "access.request", 16);
  for (const name of ["requester", "action"]) expectString(map[name], `access.${name}`);
  for (const name of ["roles", "purposes"]) expectStrings(map[name], `access.${name}`);
  expectUint(map["decidedAt"], "access.decidedAt");
  // The first entry of a ledger may be an access: no block was known then.
  if (map["height"] !== -1) expectUint(map["height"], "access.height");
  expectCid(map["snapshot"], "access.snapshot");
  if (map["asked"] !== undefined) expectBytes(map["asked"], "access.asked", 32);
  if (map["user"] !== undefined) expectString(map["user"], "access.user");
  if (map["parts"] !== undefined) expectStrings(map["parts"], "access.parts");
  if (map["difference"] !== undefined && map["difference"] !== true) {
    throw new EncodingError("ERR_ENCODING_SHAPE", "access.difference must be true, or absent");
  }
  if (map["declaration"] !== undefined) expectDeclaration(map["declaration"]);
  for (const one of expectArray(map["attestations"] ?? [], "access.attestations", MOST)) {
    expectBytes(one, "access.attestations");
  }
  const grounds = expectArray(map["grounds"], "access.grounds", MOST);
  for (const ground of grounds) expectGround(ground);
  for (const item of expectArray(map["items"], "access.items", MOST)) {
    const fields = expectMap(item, "access.item", ["record", "entry", "type", "outcome", "ground"]);
    expectString(fields["record"], "access.record");
    expectBytes(fields["entry"], "access.entry", 32);
    expectString(fields["type"], "access.type");
    expectOneOf(fields["outcome"], "access.outcome", OUTCOMES);
    expectUint(fields["ground"], "access.ground", grounds.length - 1);
  }
  return map as unknown as AccessContent;
}

function expectGround(value: unknown): void {
  const ground = expectMap(value, "access.ground", ["reasons", "obligations", "refrains"]);
  expectStrings(ground["obligations"], "access.obligations");
  expectStrings(ground["refrains"], "access.refrains");
  for (const reason of expectArray(ground["reasons"], "access.reasons", MOST)) {
    const fields = expectMap(
      reason,
      "access.reason",
      [
        ...["kind", "layer", "purpose", "directive", "path", "effect", "matchedOn", "unknown"],
        "codes",
      ],
      ["witnessed"],
    );
    expectString(fields["kind"], "access.reason.kind");
    for (const name of ["layer", "purpose", "effect"]) {
      if (fields[name] !== null) expectString(fields[name], `access.reason.${name}`, MOST);
    }
    if (fields["directive"] !== null) expectCid(fields["directive"], "access.reason.directive");
    for (const name of ["path", "matchedOn", "unknown", "codes"]) {
      expectStrings(fields[name], `access.reason.${name}`);
    }
    if (fields["witnessed"] !== undefined) {
      const witnessed = expectMap(fields["witnessed"], "access.reason.witnessed", ["by", "form"]);
      expectString(witnessed["by"], "access.reason.witnessed.by", MOST);
      expectOneOf(witnessed["form"], "access.reason.witnessed.form", WITNESS_FORMS);
    }
  }
}

function expectStrings(value: unknown, what: string): void {
  for (const one of expectArray(value, what, MOST)) expectString(one, what, MOST);
}

/** Collects items; items with the same reasons share them. */
export function accessItems(
  decided: readonly {
    readonly record: RecordId;
    readonly entry: Uint8Array;
    readonly type: string;
    readonly decision: Decision;
  }[],
): Pick<AccessContent, "items" | "grounds"> {
  const grounds: AccessGround[] = [];
  const known = new Map<string, number>();
  const items = decided.map(({ record, entry, type, decision }): AccessItem => {
    const { reasons, obligations, refrains, outcome } = decision;
    const key = JSON.stringify([reasons, obligations, refrains]);
    let ground = known.get(key);
    if (ground === undefined) {
      ground = grounds.push({ reasons, obligations, refrains }) - 1;
      known.set(key, ground);
    }
    return { record, entry, type, outcome, ground };
  });
  return { items, grounds };
}

/** The decision about one item of an access, for `explain`. */
export function decisionOf(access: AccessContent, item: AccessItem): Decision {
  const { reasons, obligations, refrains } = access.grounds[item.ground]!;
  return {
    outcome: item.outcome,
    obligations,
    refrains,
    breakGlass: null,
    reasons,
    setAside: [],
    basedOn: distinct(reasons.flatMap(({ directive }) => (directive === null ? [] : [directive]))),
    snapshot: access.snapshot,
    asOf: access.decidedAt,
    expiresAt: null,
    evaluator: "",
  };
}

function distinct(cids: readonly CID[]): CID[] {
  return [...new Map(cids.map((cid) => [cid.toString(), cid])).values()];
}

/** The local id under which accesses about persons who are unknown here are filed. */
export const unknownSubjectId = ({ vault }: Pick<LedgerContext, "vault">): Uint8Array =>
  vault.name("unknown persons").slice(0, 16);
