import { toHex } from "../../bytes/hex.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectBytes,
  expectMap,
  expectNoNuls,
  expectOneOf,
  expectString,
  expectUint,
  type Fields,
} from "../../codec/shape.ts";
import type { CapacityScope, Capacity } from "../../consent/model/model.ts";
import { expectCapacityScope } from "../../consent/model/directive.ts";
import type { CapacityFact } from "../../consent/model/snapshot.ts";
import { isDateValue } from "../../consent/model/time.ts";
import { AGREEMENT_ALGS, type AgreementAlg } from "../../crypto/cose-hpke.ts";
import { SIGNATURE_ALGS, type SignatureAlg } from "../../crypto/signing-input.ts";
import { isUsableKey } from "../../crypto/usable-key.ts";
import { ConsentError, EncodingError, SignatureError } from "../../errors.ts";
import { keyId } from "../../identity/actor.ts";

/**
 * A custodian's attestation that somebody may speak for a person, in which capacity and when. Carries the
 * key that verifies this grantor's signatures, if they have one; or, with `use: "agree"`, the key that what they
 * ask for is sealed to.
 */
export interface AttestedKey {
  /** did:key or other name by which directives name the grantor. */
  readonly actor: string;
  /** What the key is for: `agree` receives what is asked for, and lets nobody speak. Default `sign`. */
  readonly use?: "sign" | "agree";
  /** Algorithm and key, both or neither. Without them, only witnessed directives of this grantor count. */
  readonly alg?: SignatureAlg | AgreementAlg;
  readonly publicKey?: Uint8Array;
  readonly capacity: Capacity;
  /** Instants in ms, inclusive; absent: unbounded. */
  readonly from?: number;
  readonly to?: number;
  /**
   * The grantor of the capacity, and their own capacity; absent: the law, or this attestation alone. This and what
   * follows is said of signing keys only.
   */
  readonly by?: { readonly actor: string; readonly capacity: Capacity };
  /** How many times the capacity may be handed on. */
  readonly depth?: number;
  /** Scope that the capacity is limited to; absent: everything. */
  readonly scope?: CapacityScope;
}

const CAPACITIES: readonly Capacity[] = ["self", "guardian", "proxy", "court"];

/**
 * Writes an attested key or capacity: the content of a `link` entry.
 *
 * @throws {EncodingError} or {SignatureError} when it is not a valid attested key
 */
export function encodeAttestedKey(attested: AttestedKey): Uint8Array {
  const { actor, use, alg, publicKey, capacity, from, to, by, depth, scope } = attested;
  if (from !== undefined && to !== undefined && from > to) {
    throw new ConsentError("ERR_CONSENT_INVALID", "a capacity must not end before it begins");
  }
  const bytes = encode({
    v: 1,
    actor,
    ...(use === undefined || use === "sign" ? {} : { use }),
    ...(alg === undefined ? {} : { alg }),
    ...(publicKey === undefined ? {} : { publicKey }),
    capacity,
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(by === undefined ? {} : { by }),
    ...(depth === undefined ? {} : { depth }),
    ...(scope === undefined ? {} : { scope }),
  });
  decodeAttestedKey(bytes);
  if (alg !== undefined && publicKey !== undefined && !isUsableKey(alg, publicKey)) {
    throw new SignatureError("ERR_SIGNATURE_KEY", "the bytes are not a usable public key");
  }
  return bytes;
}

/** @throws {EncodingError} when the bytes are not an attested key */
export function decodeAttestedKey(bytes: Uint8Array): AttestedKey {
  const map = expectMap(
    decode(bytes),
    "attested key",
    ["v", "actor", "capacity"],
    ["use", "alg", "publicKey", "from", "to", "by", "depth", "scope"],
  );
  expectNoNuls(map, "attested key");
  const receives = map["use"] !== undefined;
  if (receives) expectReceiving(map);
  if ((map["alg"] === undefined) !== (map["publicKey"] === undefined)) {
    throw new EncodingError(
      "ERR_ENCODING_SHAPE",
      "an attested key must have both an algorithm and a key, or neither",
    );
  }
  return {
    actor: expectString(map["actor"], "attested key.actor"),
    ...(receives ? { use: "agree" } : {}),
    ...(map["alg"] === undefined
      ? {}
      : {
          alg: expectOneOf(
            map["alg"],
            "attested key.alg",
            receives ? AGREEMENT_ALGS : SIGNATURE_ALGS,
          ),
          publicKey: expectBytes(map["publicKey"], "attested key.publicKey"),
        }),
    capacity: expectOneOf(map["capacity"], "attested key.capacity", CAPACITIES),
    ...(map["from"] === undefined ? {} : { from: expectInstant(map["from"], "attested key.from") }),
    ...(map["to"] === undefined ? {} : { to: expectInstant(map["to"], "attested key.to") }),
    ...(map["by"] === undefined ? {} : { by: expectGrantor(map["by"]) }),
    ...(map["depth"] === undefined
      ? {}
      : { depth: expectUint(map["depth"], "attested key.depth") }),
    ...(map["scope"] === undefined ? {} : { scope: expectCapacityScope(map["scope"]) }),
  };
}

/** A key that receives lets nobody speak, so there is nothing to hand on or to limit. */
function expectReceiving(map: Fields): void {
  expectOneOf(map["use"], "attested key.use", ["agree"]);
  const none = ["by", "depth", "scope"].every((name) => map[name] === undefined);
  if (map["alg"] !== undefined && none) return;
  throw new EncodingError(
    "ERR_ENCODING_SHAPE",
    "an attested key that receives must have a key, and no grantor, depth or scope",
  );
}

function expectGrantor(value: unknown): NonNullable<AttestedKey["by"]> {
  const map = expectMap(value, "attested key.by", ["actor", "capacity"]);
  return {
    actor: expectString(map["actor"], "attested key.by.actor"),
    capacity: expectOneOf(map["capacity"], "attested key.by.capacity", CAPACITIES),
  };
}

/** Milliseconds since 1970; negative before. */
function expectInstant(value: unknown, what: string): number {
  if (typeof value === "number" && isDateValue(value)) return value;
  throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be an instant`);
}

/** Whether an attestation lets somebody speak: a key that only receives says nothing about that. */
export const speaks = ({ use }: AttestedKey): boolean => use !== "agree";

/** The custodian's attestations about who may speak for the subject, as facts for a decision. */
export function capacityFacts(attested: readonly FiledKey[]): CapacityFact[] {
  return newestOf(attested.filter(speaks)).map(
    ({ actor, capacity, from, to, by, depth, scope }) => ({
      actor,
      capacity,
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      ...(by === undefined ? {} : { by }),
      ...(depth === undefined ? {} : { depth }),
      ...(scope === undefined ? {} : { scope }),
    }),
  );
}

/** An attestation, and the person whom it is filed about: persons may be joined. */
export type FiledKey = AttestedKey & { readonly local?: Uint8Array };

/**
 * The attestations that count, in ledger order. A later attestation about the same person of the same key, or
 * of the same name without a key, in the same capacity replaces the earlier one.
 */
export function newestOf<T extends FiledKey>(attested: readonly T[]): T[] {
  const byKey = new Map<string, T>();
  for (const one of attested) {
    const person = one.local === undefined ? "" : toHex(one.local);
    byKey.set(`${person} ${one.capacity} ${idOf(one) ?? "none"} ${one.actor}`, one);
  }
  return [...byKey.values()];
}

/** Hexadecimal id of the attested key; `undefined` if there is no key. */
export function idOf({ alg, publicKey }: AttestedKey): string | undefined {
  return alg === undefined || publicKey === undefined ? undefined : toHex(keyId(alg, publicKey));
}
