import type { CID } from "multiformats/cid";
import { sha256 } from "#crypto";
import { concatBytes } from "../bytes/concat.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { DAG_CBOR } from "../codec/cid.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
  type Fields,
} from "../codec/shape.ts";
import { expectActor, expectNewKey, withPub, type KeyAlg, type KeyUse } from "./key.ts";
import { MAX_APPROVALS, MAX_ENTRY_BYTES, MAX_TIME } from "./limits.ts";
import { expectMemberChanges, memberChangesFields, type MemberChange } from "./member.ts";
import {
  expectPolicyChange,
  expectRegisteredName,
  policyFields,
  POLICY_FIELDS,
  type LedgerPolicy,
} from "./policy.ts";

/** Classes of erasable data, each with its own retention period. */
export type ErasureClass = "clinical" | "directive" | "audit";
export const ERASURE_CLASSES: readonly ErasureClass[] = ["clinical", "directive", "audit"];

interface Common {
  readonly v: 1;
  /** 16 random bytes that keep an entry's hash from being guessed. */
  readonly salt: Uint8Array;
}

/** A fact about one person: only the tag and the sealed body. */
export interface SubjectEntry extends Common {
  readonly kind: "record" | "consent" | "access";
  readonly subject: Uint8Array;
  readonly body: CID;
}

/** A statement that sealed data was destroyed; the targets are sealed. */
export interface EraseEntry extends Common {
  readonly kind: "erase";
  readonly class: ErasureClass;
  readonly body: CID;
}

/** Sealed facts about subjects: linked, unlinked, merged; keys and capacities of persons. */
export interface LinkEntry extends Common {
  readonly kind: "link";
  readonly body: CID;
}

/** A change of one actor's keys. */
export interface KeyEntry extends Common {
  readonly kind: "key";
  readonly actor: string;
  readonly op: "add" | "retire" | "recover";
  readonly use: KeyUse;
  readonly alg: KeyAlg;
  readonly publicKey: Uint8Array;
  /** Signature by the new key over {@link possessionInput}. */
  readonly proof?: Uint8Array;
  /** Members' approvals, for a recovery without the recovery key. */
  readonly approvals?: readonly Approval[];
  /** First height from which signatures by the replaced keys are not believed. */
  readonly compromisedSince?: number;
}

/** One member's consent to a change, over {@link approvalInput}. */
export interface Approval {
  readonly actor: string;
  readonly key: Uint8Array;
  readonly alg: "Ed25519" | "ES256";
  readonly sig: Uint8Array;
}

/** A change of the members, by threshold. */
export interface MemberEntry extends Common {
  readonly kind: "member";
  readonly changes: readonly MemberChange[];
  readonly nonce: Uint8Array;
  /** Last height at which the change may be recorded. */
  readonly notAfter: number;
  readonly approvals: readonly Approval[];
}

/** A change of the policy, by threshold. */
export type PolicyChanges = Partial<LedgerPolicy> & {
  /**
   * A block that holds only this entry may be earlier than the block before it, down to this time.
   * Members use this to repair the effect of a wrong clock.
   */
  readonly clock?: number;
};

export interface PolicyEntry extends Common {
  readonly kind: "policy";
  readonly changes: PolicyChanges;
  readonly nonce: Uint8Array;
  readonly notAfter: number;
  readonly approvals: readonly Approval[];
}

/** A call of a contract that the ledger's policy registers. */
export interface ContractEntry extends Common {
  readonly kind: "contract";
  readonly contract: string;
  /** CID of the contract's manifest: the version that the author built the call for. */
  readonly rule: CID;
  readonly action: string;
  /** Checked by the action's schema when the call is run. */
  readonly call: Fields;
  /** The sealed part. */
  readonly body?: CID;
}

/**
 * An entry of a kind that the ledger's policy registers; the rule of the kind checks its fields.
 */
export interface CustomEntry extends Common {
  readonly kind: string;
  readonly fields: Fields;
}

export type BuiltInEntry =
  SubjectEntry | EraseEntry | LinkEntry | KeyEntry | MemberEntry | PolicyEntry | ContractEntry;
export type Entry = BuiltInEntry | CustomEntry;

export { BUILT_IN_KINDS } from "./kinds.ts";

/** Whether an entry is of a kind that the ledger's policy registers. */
export function isCustom(entry: Entry): entry is CustomEntry {
  return "fields" in entry;
}

/**
 * Writes an entry as canonical bytes.
 *
 * @example
 * const bytes = encodeEntry(decodeEntry(entry)); // equal to entry
 */
export function encodeEntry(entry: Entry): Uint8Array {
  return encode(entryFields(entry));
}

function entryFields(entry: Entry): unknown {
  if (isCustom(entry)) return { ...entry.fields, v: 1, kind: entry.kind, salt: entry.salt };
  switch (entry.kind) {
    case "key":
      return withPub(entry);
    case "member":
      return { ...entry, changes: memberChangesFields(entry.changes) };
    case "policy":
      return { ...entry, changes: policyFields(entry.changes) };
    default:
      return entry;
  }
}

/**
 * Decodes an entry. The schema is closed: a field that the kind does not define is refused.
 *
 * @throws {EncodingError} when the bytes are not the canonical form of an entry
 * @example
 * const { kind } = decodeEntry(entry);
 */
export function decodeEntry(bytes: Uint8Array): Entry {
  const value = decode(bytes, { maxBytes: MAX_ENTRY_BYTES, maxDepth: 8, maxItems: 20_000 });
  return readEntry(value);
}

function readEntry(value: unknown): Entry {
  const kind =
    typeof value === "object" && value !== null && "kind" in value
      ? expectString(value.kind, "entry.kind", 32)
      : "";
  const fields = (required: readonly string[], optional: readonly string[] = []): Fields => {
    const map = expectMap(value, `${kind} entry`, ["v", "kind", "salt", ...required], optional);
    expectVersion(map["v"], "entry");
    return map;
  };
  const common = (map: Fields) => ({
    v: 1 as const,
    salt: expectBytes(map["salt"], "entry.salt", 16),
  });
  const body = (map: Fields) => expectCid(map["body"], "entry.body", DAG_CBOR);
  switch (kind) {
    case "record":
    case "consent":
    case "access": {
      const map = fields(["subject", "body"]);
      return {
        ...common(map),
        kind,
        subject: expectBytes(map["subject"], "entry.subject", 32),
        body: body(map),
      };
    }
    case "erase": {
      const map = fields(["class", "body"]);
      return {
        ...common(map),
        kind,
        class: expectOneOf(map["class"], "entry.class", ERASURE_CLASSES),
        body: body(map),
      };
    }
    case "link": {
      const map = fields(["body"]);
      return { ...common(map), kind, body: body(map) };
    }
    case "key":
      return { ...common(fields(KEY_REQUIRED, KEY_OPTIONAL)), ...readKeyEntry(value) };
    case "member": {
      const map = fields(["changes", "nonce", "notAfter", "approvals"]);
      return {
        ...common(map),
        kind,
        changes: expectMemberChanges(map["changes"], "entry.changes"),
        ...governance(map),
      };
    }
    case "policy": {
      const map = fields(["changes", "nonce", "notAfter", "approvals"]);
      const changes = expectMap(map["changes"], "entry.changes", [], [...POLICY_FIELDS, "clock"]);
      return {
        ...common(map),
        kind,
        changes: {
          ...expectPolicyChange(changes, "entry.changes"),
          ...(changes["clock"] === undefined
            ? {}
            : { clock: expectUint(changes["clock"], "entry.changes.clock", MAX_TIME) }),
        },
        ...governance(map),
      };
    }
    case "contract": {
      const map = fields(["contract", "rule", "action", "call"], ["body"]);
      return {
        ...common(map),
        kind,
        contract: expectRegisteredName(map["contract"], "entry.contract"),
        rule: expectCid(map["rule"], "entry.rule", DAG_CBOR),
        action: expectRegisteredName(map["action"], "entry.action"),
        call: expectMap(map["call"], "entry.call", mapKeys(map["call"])),
        ...(map["body"] === undefined ? {} : { body: body(map) }),
      };
    }
    default: {
      if (typeof value !== "object" || value === null) return fields([]) as never;
      const { v: _v, kind: _kind, salt: _salt, ...rest } = value as Record<string, unknown>;
      const map = fields([], Object.keys(rest));
      return { ...common(map), kind, fields: rest };
    }
  }
}

const mapKeys = (value: unknown): string[] =>
  typeof value === "object" && value !== null ? Object.keys(value) : [];

const KEY_REQUIRED = ["actor", "op", "use", "alg", "pub"];
const KEY_OPTIONAL = ["proof", "approvals", "compromisedSince"];

function readKeyEntry(value: unknown): Omit<KeyEntry, "v" | "salt"> {
  const map = value as Fields;
  return {
    kind: "key",
    actor: expectActor(map["actor"], "entry.actor"),
    op: expectOneOf(map["op"], "entry.op", ["add", "retire", "recover"] as const),
    ...expectNewKey(map, "entry"),
    ...(map["proof"] === undefined ? {} : { proof: expectBytes(map["proof"], "entry.proof", 64) }),
    ...(map["approvals"] === undefined ? {} : { approvals: expectApprovals(map["approvals"]) }),
    ...(map["compromisedSince"] === undefined
      ? {}
      : { compromisedSince: expectUint(map["compromisedSince"], "entry.compromisedSince") }),
  };
}

function governance(map: Fields): {
  readonly nonce: Uint8Array;
  readonly notAfter: number;
  readonly approvals: readonly Approval[];
} {
  return {
    nonce: expectBytes(map["nonce"], "entry.nonce", 16),
    notAfter: expectUint(map["notAfter"], "entry.notAfter"),
    approvals: expectApprovals(map["approvals"]),
  };
}

function expectApprovals(value: unknown): readonly Approval[] {
  return expectArray(value, "entry.approvals", MAX_APPROVALS).map(expectApproval);
}

/** Reads an approval. */
export function expectApproval(value: unknown): Approval {
  const map = expectMap(value, "approval", ["actor", "key", "alg", "sig"]);
  return {
    actor: expectActor(map["actor"], "approval.actor"),
    key: expectBytes(map["key"], "approval.key", 32),
    alg: expectOneOf(map["alg"], "approval.alg", ["Ed25519", "ES256"] as const),
    sig: expectBytes(map["sig"], "approval.sig", 64),
  };
}

/**
 * The bytes that a key signs to prove that its holder announces it (`healthledger/possession/1`).
 *
 * @param ledger - the ledger's id, or the nonce of a genesis record that is still being prepared
 * @example
 * const { actor, alg, publicKey } = signer;
 * const input = possessionInput(nonce, actor, { use: "sign", alg, publicKey });
 * const proof = await provePossession(signer, input);
 */
export function possessionInput(
  ledger: CID | Uint8Array,
  actor: string,
  key: { readonly use: KeyUse; readonly alg: KeyAlg; readonly publicKey: Uint8Array },
): Uint8Array {
  return encode([ledger, actor, key.use, key.alg, key.publicKey]);
}

/** What is approved, by the kind of the entry that records it. */
export interface ApprovedChanges {
  readonly member: readonly MemberChange[];
  readonly policy: PolicyChanges;
  /** A recovery. */
  readonly key: Pick<KeyEntry, "actor" | "op" | "use" | "alg" | "publicKey"> & {
    readonly compromisedSince: number | null;
  };
}

const approvedFields: {
  readonly [Kind in keyof ApprovedChanges]: (changes: ApprovedChanges[Kind]) => unknown;
} = { member: memberChangesFields, policy: policyFields, key: withPub };

/**
 * The bytes that a member signs to approve a change (`healthledger/approval/1`).
 *
 * @example
 * const input = approvalInput(chain.ledger, "policy", { threshold: 2 }, nonce, chain.size + 100);
 */
export function approvalInput<Kind extends keyof ApprovedChanges>(
  ledger: CID,
  kind: Kind,
  changes: ApprovedChanges[Kind],
  nonce: Uint8Array,
  notAfter: number,
): Uint8Array {
  return encode([ledger, kind, approvedFields[kind](changes), nonce, notAfter]);
}

const ENTRY_DOMAIN = /* @__PURE__ */ utf8ToBytes("healthledger/entry/1\0");

/** Makes a function that computes the ids of one author's entries on one ledger. */
export function entryIdOf(ledger: CID, author: string): (entry: Uint8Array) => Uint8Array {
  // dag-cbor([ledger, author, entry]): an array head of three instead of two, then the rest.
  const pair = encode([ledger, author]);
  pair[0] = 0x83;
  const prefix = concatBytes(ENTRY_DOMAIN, pair);
  return (entry) => sha256(prefix, byteStringHead(entry.length), entry);
}

/**
 * Computes the id of an entry: SHA-256 over its ledger, its author and its bytes, so that an entry
 * copied by another author or to another ledger has another id.
 *
 * @example
 * const id = entryId(chain.ledger, signer.actor, entry);
 * const receipt = await makeReceipt(chain, place, { checkpoint, id });
 */
export function entryId(ledger: CID, author: string, entry: Uint8Array): Uint8Array {
  return entryIdOf(ledger, author)(entry);
}

function byteStringHead(length: number): Uint8Array {
  if (length < 24) return Uint8Array.of(0x40 | length);
  if (length < 0x100) return Uint8Array.of(0x58, length);
  if (length < 0x1_0000) return Uint8Array.of(0x59, length >> 8, length & 0xff);
  return Uint8Array.of(
    0x5a,
    length >>> 24,
    (length >> 16) & 0xff,
    (length >> 8) & 0xff,
    length & 0xff,
  );
}
