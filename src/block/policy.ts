import type { CID } from "multiformats/cid";
import {
  expectArray,
  expectCid,
  expectMap,
  expectString,
  expectUint,
  type Fields,
} from "../codec/shape.ts";
import { toHex } from "../bytes/hex.ts";
import { EncodingError } from "../errors.ts";
import { expectCheckpointKey, withPub } from "./key.ts";
import { BUILT_IN_KINDS } from "./kinds.ts";
import { MAX_APPROVALS, MAX_CHECKPOINT_KEYS } from "./limits.ts";

/** A key that cosigns checkpoints: its C2SP name and its Ed25519 public key. */
export interface CosignerKey {
  readonly name: string;
  readonly publicKey: Uint8Array;
}

/** A number of keys, and how many of them must have cosigned. */
export interface Quorum {
  /** 0: their cosignatures are reported, but none is needed. */
  readonly required: number;
  readonly keys: readonly CosignerKey[];
  /**
   * Says that half of the keys or fewer are meant to suffice, although two histories can then both
   * have enough cosignatures. Present exactly where that is so.
   */
  readonly minority?: true;
}

/** The cosignatures that a checkpoint needs before it is accepted. */
export interface CosignaturePolicy {
  /** They run every rule before they sign. */
  readonly validators: Quorum;
  /** They attest only consistency. */
  readonly witnesses: Quorum;
}

/** An entry kind beyond the built-in ones, with the CID of its rule's code. */
export interface KindRegistration {
  readonly name: string;
  readonly rule: CID;
}

/** A version of a contract, and the height from which calls are calls of it. */
export interface ContractRegistration extends KindRegistration {
  /** First height of the version. It is in force until the next version of the same name. */
  readonly from: number;
}

/** The rules of a ledger that genesis sets and `policy` entries change. */
export interface LedgerPolicy {
  /** Distinct members that must approve a change of members or policy. */
  readonly threshold: number;
  /**
   * How far a transaction's time may be ahead of its block's, in ms, to allow for clock
   * differences.
   */
  readonly maxDrift: number;
  /** Greatest age of a transaction when its block is made, in ms. */
  readonly maxTxAge: number;
  /** Ed25519 public keys that sign the ledger's checkpoints. */
  readonly checkpointKeys: readonly Uint8Array[];
  readonly cosignaturePolicy: CosignaturePolicy;
  readonly kinds: readonly KindRegistration[];
  /** The versions of each contract, in the order in which they come into force. */
  readonly contracts: readonly ContractRegistration[];
}

export const POLICY_FIELDS: readonly (keyof LedgerPolicy)[] = [
  "threshold",
  "maxDrift",
  "maxTxAge",
  "checkpointKeys",
  "cosignaturePolicy",
  "kinds",
  "contracts",
];

/**
 * Below this, writes would succeed only by chance, including the one that would change the policy
 * back.
 */
const MIN_TX_AGE = 1000;
const MAX_SPAN = 366 * 24 * 3600 * 1000;

const readers: {
  readonly [Key in keyof LedgerPolicy]: (value: unknown, what: string) => LedgerPolicy[Key];
} = {
  threshold: (value, what) => {
    const threshold = expectUint(value, what, MAX_APPROVALS);
    if (threshold === 0)
      throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be at least 1`);
    return threshold;
  },
  maxDrift: (value, what) => expectUint(value, what, MAX_SPAN),
  maxTxAge: expectAge,
  checkpointKeys: (value, what) => {
    const keys = expectArray(value, what, MAX_CHECKPOINT_KEYS).map((key) =>
      expectCheckpointKey(key, what),
    );
    return expectDistinct(keys, toHex, what);
  },
  cosignaturePolicy: (value, what) => {
    const fields = expectMap(value, what, ["validators", "witnesses"]);
    const validators = expectQuorum(fields["validators"], `${what}.validators`);
    const witnesses = expectQuorum(fields["witnesses"], `${what}.witnesses`);
    // One cosignature would count in both, as if two parties had looked.
    const all = [...validators.keys, ...witnesses.keys];
    expectDistinct(all, ({ publicKey }) => toHex(publicKey), `the keys of ${what}`);
    return { validators, witnesses };
  },
  kinds: (value, what) => {
    const kinds = expectRegistrations(value, what);
    if (kinds.some(({ name }) => (BUILT_IN_KINDS as readonly string[]).includes(name))) {
      throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must not name a built-in kind`);
    }
    return kinds;
  },
  contracts: expectVersions,
};

/** Reads all policy fields of a decoded map. */
export function expectPolicy(fields: Fields, what: string): LedgerPolicy {
  return expectPolicyChange(fields, what) as LedgerPolicy;
}

/** Reads the policy fields that are present in a decoded map. */
export function expectPolicyChange(fields: Fields, what: string): Partial<LedgerPolicy> {
  const change: Record<string, unknown> = {};
  for (const name of POLICY_FIELDS) {
    if (Object.hasOwn(fields, name)) change[name] = readers[name](fields[name], `${what}.${name}`);
  }
  return change as Partial<LedgerPolicy>;
}

/** The encoded policy fields, together with any other fields of the structure. */
export function policyFields(policy: Partial<LedgerPolicy>): Fields {
  const { cosignaturePolicy, ...rest } = policy;
  if (cosignaturePolicy === undefined) return policy;
  const { validators, witnesses } = cosignaturePolicy;
  const written = { validators: quorumFields(validators), witnesses: quorumFields(witnesses) };
  return { ...rest, cosignaturePolicy: { ...cosignaturePolicy, ...written } };
}

/**
 * Reads a name that C2SP signed notes allow: no white space, control characters or plus sign. Also
 * refuses invisible characters and characters that change the writing direction, which would make
 * two names look alike.
 */
export function expectKeyName(value: unknown, what: string): string {
  const name = expectString(value, what, 255);
  if (!/^[^\s+\p{Cc}\p{Cf}\p{Surrogate}]+$/u.test(name)) {
    throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must have no white space or '+'`);
  }
  return name;
}

function expectAge(value: unknown, what: string): number {
  const age = expectUint(value, what, MAX_SPAN);
  if (age >= MIN_TX_AGE) return age;
  throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be at least ${MIN_TX_AGE} ms`);
}

function quorumFields({ keys, ...rest }: Quorum): Fields {
  return { ...rest, keys: keys.map(withPub) };
}

function expectQuorum(value: unknown, what: string): Quorum {
  const fields = expectMap(value, what, ["required", "keys"], ["minority"]);
  const keys = expectArray(fields["keys"], `${what}.keys`, 256).map((item): CosignerKey => {
    const key = expectMap(item, `${what}.keys`, ["name", "pub"]);
    return {
      name: expectKeyName(key["name"], `${what}.keys.name`),
      publicKey: expectCheckpointKey(key["pub"], `${what}.keys`),
    };
  });
  // A key under two names would be counted twice.
  expectDistinct(keys, ({ publicKey }) => toHex(publicKey), `${what}.keys`);
  // For two keys under one name, only four bytes tell the signatures apart, and nothing tells the
  // reports apart.
  expectDistinct(keys, ({ name }) => name, `${what}.keys.name`);
  const required = expectUint(fields["required"], `${what}.required`, keys.length);
  const minority = fields["minority"];
  if (isMinority(required, keys.length) ? minority !== true : minority !== undefined) {
    throw new EncodingError(
      "ERR_ENCODING_SHAPE",
      minority === undefined
        ? `${what} must require more than half of its keys, or say \`minority: true\``
        : `${what}.minority must be true, and only where at most half of the keys are required`,
    );
  }
  return { required, keys, ...(minority === undefined ? {} : { minority: true as const }) };
}

/** Whether two groups of `required` keys without a key in common fit into `count` keys. */
function isMinority(required: number, count: number): boolean {
  return required > 0 && 2 * required <= count;
}

function expectRegistrations(value: unknown, what: string): readonly KindRegistration[] {
  const registrations = expectArray(value, what, 256).map((item) => {
    const fields = expectMap(item, what, ["name", "rule"]);
    return registrationFrom(fields, what);
  });
  return expectDistinct(registrations, ({ name }) => name, what);
}

/** Reads a name of a kind or contract: lower-case letters, digits and hyphens. */
export function expectRegisteredName(value: unknown, what: string): string {
  const name = expectString(value, what, 32);
  if (/^[a-z][a-z0-9-]*$/.test(name)) return name;
  throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be lower-case words`);
}

function registrationFrom(fields: Fields, what: string): KindRegistration {
  return {
    name: expectRegisteredName(fields["name"], `${what}.name`),
    rule: expectCid(fields["rule"], `${what}.rule`),
  };
}

function expectVersions(value: unknown, what: string): readonly ContractRegistration[] {
  const newest = new Map<string, number>();
  return expectArray(value, what, 256).map((item) => {
    const fields = expectMap(item, what, ["name", "rule", "from"]);
    const from = expectUint(fields["from"], `${what}.from`);
    const registration = registrationFrom(fields, what);
    const before = newest.get(registration.name);
    if (before !== undefined && from <= before) {
      throw new EncodingError(
        "ERR_ENCODING_SHAPE",
        `${what}.from must rise from version to version of a contract`,
      );
    }
    newest.set(registration.name, from);
    return { ...registration, from };
  });
}

/** The version of a contract that is in force at a height; `undefined` if none is. */
export function contractInForce(
  { contracts }: Pick<LedgerPolicy, "contracts">,
  name: string,
  height: number,
): ContractRegistration | undefined {
  return contracts.findLast((one) => one.name === name && one.from <= height);
}

function expectDistinct<T>(
  items: readonly T[],
  nameOf: (item: T) => string,
  what: string,
): readonly T[] {
  if (new Set(items.map(nameOf)).size < items.length) {
    throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be distinct`);
  }
  return items;
}
