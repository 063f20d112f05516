import { verifySignature } from "../crypto/sign.ts";
import { SIGNATURE_ALGS, type SignatureAlg } from "../crypto/signing-input.ts";
import { toHex } from "../bytes/hex.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectBytes,
  expectMap,
  expectNoNuls,
  expectOneOf,
  expectString,
  expectUint,
} from "../codec/shape.ts";
import type { CapacityScope } from "../consent/capacity.ts";
import {
  decodeDirective,
  directiveCid,
  encodeDirective,
  expectCapacityScope,
} from "../consent/directive.ts";
import type { Capacity, Directive } from "../consent/model.ts";
import type { CapacityFact, SnapshotDirective, Standing } from "../consent/snapshot.ts";
import { isDateValue } from "../consent/time.ts";
import { ConsentError, EncodingError, StorageError } from "../errors.ts";
import { actorFromKey, keyId } from "../identity/actor.ts";
import { signWith, type Signer } from "../identity/signer.ts";
import {
  isDamage,
  isErasedNow,
  lostEntry,
  openOwn,
  type Catalogue,
  type CatalogueItem,
} from "./catalogue.ts";
import type { LedgerContext } from "./context.ts";
import { lacks } from "./index/lacking.ts";
import {
  isUnreadable,
  placeOf,
  standIns,
  type UnreadableDirective,
} from "./unreadable-directives.ts";

/** A directive as its grantor signed it. */
export interface SignedDirective {
  /** Canonical bytes of the directive. */
  readonly directive: Uint8Array;
  /** Id of the grantor's key. */
  readonly key: Uint8Array;
  readonly alg: SignatureAlg;
  readonly sig: Uint8Array;
}

/** A person's key, as a custodian attests it: who it speaks for the subject as, and when. */
export interface AttestedKey {
  /** did:key or other name by which directives name the grantor. */
  readonly actor: string;
  readonly alg: SignatureAlg;
  readonly publicKey: Uint8Array;
  readonly capacity: Capacity;
  /** Instants in ms, inclusive; absent: open. */
  readonly from?: number;
  readonly to?: number;
  /** Who granted the capacity, and as whom; absent: the law, or this attestation by itself. */
  readonly by?: { readonly actor: string; readonly capacity: Capacity };
  /** How many times the capacity may be handed on. */
  readonly depth?: number;
  /** What the capacity is bounded to; absent: everything. */
  readonly scope?: CapacityScope;
}

const CAPACITIES: readonly Capacity[] = ["self", "guardian", "proxy", "court"];

/**
 * Signs a directive as its grantor.
 *
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when the directive names another grantor, or is not
 *   well formed
 */
export async function signDirective(directive: Directive, signer: Signer): Promise<Uint8Array> {
  if (directive.grantor.actor !== signer.actor) {
    throw new ConsentError("ERR_CONSENT_INVALID", "the directive names another grantor");
  }
  const bytes = encodeDirective(directive);
  const sig = await signWith(signer, "directive", bytes);
  return encode({ directive: bytes, key: signer.key, alg: signer.alg, sig });
}

/**
 * Reads a signed directive, without judging its signature.
 *
 * @throws {EncodingError} or {ConsentError} when it is none
 */
export function decodeSignedDirective(bytes: Uint8Array): SignedDirective {
  const map = expectMap(decode(bytes), "signed directive", ["directive", "key", "alg", "sig"]);
  return {
    directive: expectBytes(map["directive"], "signed directive.directive"),
    key: expectBytes(map["key"], "signed directive.key", 32),
    alg: expectOneOf(map["alg"], "signed directive.alg", SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], "signed directive.sig", 64),
  };
}

/**
 * Writes an attested key: the content of a `link` entry.
 *
 * @throws {EncodingError} or {SignatureError} when it is no such key
 */
export function encodeAttestedKey(attested: AttestedKey): Uint8Array {
  const { actor, alg, publicKey, capacity, from, to, by, depth, scope } = attested;
  if (from !== undefined && to !== undefined && from > to) {
    throw new ConsentError("ERR_CONSENT_INVALID", "a capacity ends before it begins");
  }
  const bytes = encode({
    v: 1,
    actor,
    alg,
    publicKey,
    capacity,
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(by === undefined ? {} : { by }),
    ...(depth === undefined ? {} : { depth }),
    ...(scope === undefined ? {} : { scope }),
  });
  actorFromKey(alg, publicKey);
  decodeAttestedKey(bytes);
  return bytes;
}

/** @throws {EncodingError} when it is none */
export function decodeAttestedKey(bytes: Uint8Array): AttestedKey {
  const map = expectMap(
    decode(bytes),
    "attested key",
    ["v", "actor", "alg", "publicKey", "capacity"],
    ["from", "to", "by", "depth", "scope"],
  );
  expectNoNuls(map, "attested key");
  return {
    actor: expectString(map["actor"], "attested key.actor"),
    alg: expectOneOf(map["alg"], "attested key.alg", SIGNATURE_ALGS),
    publicKey: expectBytes(map["publicKey"], "attested key.publicKey"),
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

function expectGrantor(value: unknown): NonNullable<AttestedKey["by"]> {
  const map = expectMap(value, "attested key.by", ["actor", "capacity"]);
  return {
    actor: expectString(map["actor"], "attested key.by.actor"),
    capacity: expectOneOf(map["capacity"], "attested key.by.capacity", CAPACITIES),
  };
}

/** Milliseconds since 1970, or before. */
function expectInstant(value: unknown, what: string): number {
  if (typeof value === "number" && isDateValue(value)) return value;
  throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be an instant`);
}

/** A person's directives and the keys they are judged by, as one custodian filed them. */
export interface FiledConsents {
  readonly directives: readonly SnapshotDirective[];
  readonly keys: readonly (AttestedKey & { readonly item: CatalogueItem })[];
}

/**
 * Reads a person's directives and attested keys, remembering what it opened for as long as the
 * catalogue remembers the item. Rejects with `ERR_STORAGE_MISSING` when one does not open that no
 * erasure destroyed, and with `ERR_STORAGE_CORRUPT`, naming the entry, when one cannot be read:
 * without it nobody can say what is permitted. A directive that a later one replaces has a stand-in
 * instead, see {@link standIns}.
 */
export function consentReader(
  context: LedgerContext,
  catalogue: Catalogue,
): (items: readonly CatalogueItem[]) => Promise<FiledConsents> {
  const opened = new WeakMap<CatalogueItem, Uint8Array>();

  async function content(item: CatalogueItem): Promise<Uint8Array | undefined> {
    const known = opened.get(item);
    if (known !== undefined) return known;
    const { kind, envelope, place } = item;
    const parts = await openOwn(context, {
      kind,
      envelope,
      height: place.height,
      parts: ["content"],
    });
    const bytes = parts?.get("content");
    if (bytes !== undefined) {
      opened.set(item, bytes);
      return bytes;
    }
    if (await isErasedNow(catalogue, item.id)) return undefined;
    throw lostEntry(kind, item.id);
  }

  return async (items) => {
    const keys: (AttestedKey & { readonly item: CatalogueItem })[] = [];
    const directives: SnapshotDirective[] = [];
    const unreadable: UnreadableDirective[] = [];
    for (const item of items) {
      if (item.kind === "link" && item.manifest.op === "attest") {
        const bytes = await content(item);
        if (bytes !== undefined)
          keys.push({ ...named(item, () => decodeAttestedKey(bytes)), item });
      } else if (item.kind === "consent") {
        try {
          if (item.lost === true) throw lacks([item]);
          const bytes = await content(item);
          if (bytes !== undefined) directives.push(named(item, () => judge(bytes, item, keys)));
        } catch (error) {
          if (!isUnreadable(error)) throw error;
          unreadable.push({ item, error });
        }
      }
    }
    return { directives: [...directives, ...standIns(unreadable, directives)], keys };
  };
}

/** What cannot be read may refuse everything: nobody can say what is permitted beside it. */
function named<T>({ id, kind }: CatalogueItem, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!isDamage(cause)) throw cause;
    throw new StorageError(
      "ERR_STORAGE_CORRUPT",
      `the ${kind} entry ${toHex(id)} cannot be read: nobody can say what is permitted`,
      { cause },
    );
  }
}

/** What the custodian attests of who may speak for the subject. */
export function capacityFacts(consents: FiledConsents): CapacityFact[] {
  return newest(consents.keys).map(({ actor, capacity, from, to, by, depth, scope }) => ({
    actor,
    capacity,
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(by === undefined ? {} : { by }),
    ...(depth === undefined ? {} : { depth }),
    ...(scope === undefined ? {} : { scope }),
  }));
}

/** Who attests the same key in the same capacity again replaces what was said before. */
function newest<T extends AttestedKey>(keys: readonly T[]): T[] {
  const byKey = new Map<string, T>();
  for (const key of keys) {
    byKey.set(`${key.capacity} ${toHex(keyId(key.alg, key.publicKey))} ${key.actor}`, key);
  }
  return [...byKey.values()];
}

/** Judges a directive's signature by the keys attested before it on the ledger. */
function judge(
  bytes: Uint8Array,
  item: CatalogueItem,
  keys: readonly AttestedKey[],
): SnapshotDirective {
  const signed = decodeSignedDirective(bytes);
  const directive = decodeDirective(signed.directive);
  return {
    entry: item.id,
    place: placeOf(item),
    cid: directiveCid(directive),
    directive,
    recordedAt: item.recordedAt,
    standing: standingOf(signed, directive, keys, item.recordedAt),
  };
}

/** Whether a signed directive counts, by the keys that are attested at an instant. */
export function standingOf(
  signed: SignedDirective,
  directive: Directive,
  keys: readonly AttestedKey[],
  at: number,
): Standing {
  const { actor, capacity } = directive.grantor;
  const attested = newest(keys).filter(
    (one) =>
      one.actor === actor &&
      one.alg === signed.alg &&
      toHex(keyId(one.alg, one.publicKey)) === toHex(signed.key),
  );
  if (attested.length === 0) return { void: "the grantor's key is not attested" };
  const key = attested.find((one) => one.capacity === capacity);
  if (key === undefined) return { void: "the grantor's key is not attested in this capacity" };
  if ((key.from !== undefined && at < key.from) || (key.to !== undefined && at > key.to)) {
    return { void: "the grantor's key was not valid then" };
  }
  const good = verifySignature({
    alg: signed.alg,
    publicKey: key.publicKey,
    signature: signed.sig,
    what: "directive",
    bytes: signed.directive,
  });
  return good ? "valid" : { void: "the signature does not hold" };
}
