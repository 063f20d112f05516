import { toHex } from "../bytes/hex.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectString, expectUint } from "../codec/shape.ts";
import { expectKeyFields, withPub, type KeyAlg, type KeyUse } from "../block/key.ts";
import { expectRoles, type Role } from "../block/member.ts";
import { expectPolicy, policyFields, POLICY_FIELDS, type LedgerPolicy } from "../block/policy.ts";

/** Reads values of the authenticated state. */
export interface StateReader {
  /** @returns the value, borrowed, or `undefined` if the state has no value */
  get(key: string): Uint8Array | undefined;
  /** Whether the key was loaded; one that was not reads as absent. */
  isLoaded(key: string): boolean;
}

/** The state of a key: `sys/key/<hex key id>`. */
export interface KeyState {
  readonly actor: string;
  readonly use: KeyUse;
  readonly alg: KeyAlg;
  readonly publicKey: Uint8Array;
  /** First height at which the key may be used. */
  readonly from: number;
  /** First height at which it may no longer be used; `null` while it is in force. */
  readonly until: number | null;
  /** First height from which its signatures are not believed; `null` if it is not compromised. */
  readonly compromisedSince: number | null;
}

/** The state of a member: `sys/member/<did>`. A removed member has no roles and no keys. */
export interface MemberState {
  readonly roles: readonly Role[];
  readonly from: number;
  readonly until: number | null;
  /** Ids of its keys in force. */
  readonly keys: readonly Uint8Array[];
}

/** The ledger's policy, with the number of members and of sequencers: `sys/policy`. */
export interface PolicyState extends LedgerPolicy {
  readonly members: number;
  readonly sequencers: number;
}

/** A nonce of an approved change, kept until the change can no longer be recorded. */
export interface UsedNonce {
  readonly nonce: Uint8Array;
  readonly notAfter: number;
}

export const POLICY_KEY = "sys/policy";
export const memberKey = (actor: string): string => `sys/member/${actor}`;
export const keyStateKey = (keyId: Uint8Array): string => `sys/key/${toHex(keyId)}`;
export const seqKey = (keyId: Uint8Array, lane: number): string =>
  `sys/seq/${toHex(keyId)}/${lane}`;
export const NONCES_KEY = "sys/nonces";

export function encodeKeyState(state: KeyState): Uint8Array {
  return encode(withPub(state));
}

/**
 * Reads the value of `sys/key/<hex key id>`.
 *
 * @throws {EncodingError} when the value is not a key's
 * @example
 * const { value } = await light.state(`sys/key/${hexKeyId}`);
 * if (value !== null) console.log(decodeKeyState(value).until ?? "in force");
 */
export function decodeKeyState(bytes: Uint8Array): KeyState {
  const map = expectMap(decode(bytes), "key state", [
    "actor",
    "use",
    "alg",
    "pub",
    "from",
    "until",
    "compromisedSince",
  ]);
  const heightOrNull = (value: unknown) => (value === null ? null : expectUint(value, "height"));
  return {
    actor: expectString(map["actor"], "actor"),
    ...expectKeyFields(map, "key state"),
    from: expectUint(map["from"], "from"),
    until: heightOrNull(map["until"]),
    compromisedSince: heightOrNull(map["compromisedSince"]),
  };
}

export function encodeMemberState(state: MemberState): Uint8Array {
  return encode(state);
}

/**
 * Reads the value of `sys/member/<did>`.
 *
 * @throws {EncodingError} when the value is not a member's
 * @example
 * const { value } = await light.state(`sys/member/${member}`);
 * if (value !== null) console.log(decodeMemberState(value).roles);
 */
export function decodeMemberState(bytes: Uint8Array): MemberState {
  const map = expectMap(decode(bytes), "member state", ["roles", "from", "until", "keys"]);
  return {
    roles: expectRoles(map["roles"], "roles"),
    from: expectUint(map["from"], "from"),
    until: map["until"] === null ? null : expectUint(map["until"], "until"),
    keys: expectArray(map["keys"], "keys", 1024).map((key) => expectBytes(key, "keys", 32)),
  };
}

export function encodePolicyState(state: PolicyState): Uint8Array {
  return encode(policyFields(state));
}

/**
 * Reads the value of `sys/policy`.
 *
 * @throws {EncodingError} when the value is not a policy
 * @example
 * const { value } = await light.state("sys/policy");
 * if (value !== null) console.log(decodePolicyState(value).threshold);
 */
export function decodePolicyState(bytes: Uint8Array): PolicyState {
  const map = expectMap(decode(bytes, { maxDepth: 8 }), "policy state", [
    ...POLICY_FIELDS,
    "members",
    "sequencers",
  ]);
  return {
    ...expectPolicy(map, "policy state"),
    members: expectUint(map["members"], "members"),
    sequencers: expectUint(map["sequencers"], "sequencers"),
  };
}

export function encodeNonces(nonces: readonly UsedNonce[]): Uint8Array {
  return encode(nonces);
}

/** @throws {EncodingError} when the value is not a list of nonces */
export function decodeNonces(bytes: Uint8Array): readonly UsedNonce[] {
  return expectArray(decode(bytes), "nonces", 1_000_000).map((item) => {
    const map = expectMap(item, "nonces", ["nonce", "notAfter"]);
    return {
      nonce: expectBytes(map["nonce"], "nonce", 16),
      notAfter: expectUint(map["notAfter"], "notAfter"),
    };
  });
}

/** Encodes a sequence number of the state. */
export function encodeNumber(value: number): Uint8Array {
  return encode(value);
}

/** @throws {EncodingError} when the value is not a number */
export function decodeNumber(bytes: Uint8Array): number {
  return expectUint(decode(bytes), "number");
}

/** Typed access to the `sys/` part of the state; decodes each value once. */
export interface SystemState extends StateReader {
  policy(): PolicyState;
  member(actor: string): MemberState | undefined;
  key(keyId: Uint8Array): KeyState | undefined;
  seq(keyId: Uint8Array, lane: number): number | undefined;
  nonces(): readonly UsedNonce[];
}

/** Adds typed access to a reader, which must return the same array for the same unchanged value. */
export function systemState(reader: StateReader): SystemState {
  const cached = <T>(key: string, read: (bytes: Uint8Array) => T): T | undefined => {
    const bytes = reader.get(key);
    if (bytes === undefined) return undefined;
    let value = decoded.get(bytes);
    if (value === undefined) {
      value = read(bytes);
      decoded.set(bytes, value);
    }
    return value as T;
  };
  const decoded = new WeakMap<Uint8Array, unknown>();
  return {
    get: (key) => reader.get(key),
    isLoaded: (key) => reader.isLoaded(key),
    policy: () => cached(POLICY_KEY, decodePolicyState)!,
    member: (actor) => cached(memberKey(actor), decodeMemberState),
    key: (keyId) => cached(keyStateKey(keyId), decodeKeyState),
    seq: (keyId, lane) => cached(seqKey(keyId, lane), decodeNumber),
    nonces: () => cached(NONCES_KEY, decodeNonces) ?? [],
  };
}

/** Changes on top of a state, in the order in which they were made. */
export interface StateOverlay extends SystemState {
  /** `null` for a key that was removed. */
  readonly changes: ReadonlyMap<string, Uint8Array | null>;
  set(key: string, value: Uint8Array | null): void;
}

/** Starts collecting changes on top of a state that stays unchanged. */
export function overlayState(below: StateReader): StateOverlay {
  const changes = new Map<string, Uint8Array | null>();
  const reader: StateReader = {
    get: (key) => {
      const changed = changes.get(key);
      return changed === undefined ? below.get(key) : (changed ?? undefined);
    },
    isLoaded: (key) => changes.has(key) || below.isLoaded(key),
  };
  return {
    ...systemState(reader),
    changes,
    set: (key, value) => void changes.set(key, value),
  };
}

/** Whether a key, or a membership, is in force at a height. */
export function isInForce(
  { from, until }: Pick<KeyState, "from" | "until">,
  height: number,
): boolean {
  return from <= height && (until === null || height < until);
}
