import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { hkdfExpand } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { concatBytes } from "../bytes/concat.ts";
import { assertBytes, assertUint } from "../bytes/guards.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import type { CID } from "../codec/cid.ts";
import { DAG_CBOR } from "../codec/cid.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectBytes,
  expectCid,
  expectMap,
  expectString,
  expectUint,
  expectVersion,
} from "../codec/shape.ts";
import { EnvelopeError } from "../errors.ts";
import { decodeKeys, encodeKeys } from "./grant.ts";
import { MAX_GRANT_BYTES } from "./grant-record.ts";
import { orInvalid } from "./header.ts";
import type { EnvelopeKeys } from "./keys.ts";
import { decryptFailed, KEY_BYTES } from "./keys.ts";
import { type SuiteName, suiteNamed } from "./suite.ts";

/**
 * The key that an audience shares during one epoch. It opens everything that was ever wrapped under
 * it; its holder must wipe it with {@link wipeCollectionKey} when done.
 */
export interface CollectionKey {
  /** The collection's name: 32 random bytes, the same in every epoch. */
  readonly collection: Uint8Array;
  /** Counts from 0, and increases by one each time that a member leaves. */
  readonly epoch: number;
  /** 32 random bytes, new in every epoch. */
  readonly key: Uint8Array;
}

/** Options of {@link wrapForCollection}. */
export interface WrapOptions {
  readonly envelope: CID;
  /** Id of the entry that justifies giving the keys to this audience: 32 bytes. */
  readonly basis: Uint8Array;
  /** The content key, or the keys of only some parts; borrowed. */
  readonly keys: EnvelopeKeys;
  /** Source of the nonce; cryptographically strong. */
  readonly random: (length: number) => Uint8Array;
  /** The suite to wrap with. Default `chacha`. */
  readonly suite?: SuiteName;
}

/** The public fields of a wrap. */
export interface CollectionWrap {
  readonly collection: Uint8Array;
  readonly epoch: number;
  readonly envelope: CID;
  readonly basis: Uint8Array;
  readonly suite: string;
  /** 12 bytes. */
  readonly nonce: Uint8Array;
  readonly wrapped: Uint8Array;
}

const WRAP_INFO = /* @__PURE__ */ utf8ToBytes("healthledger/wrap/1 ");
const NONCE_BYTES = 12;

/**
 * Starts a collection, at epoch 0.
 *
 * @param random - cryptographically strong
 * @example
 * const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
 * const collection = createCollection(random);
 */
export function createCollection(random: (length: number) => Uint8Array): CollectionKey {
  return { collection: random(32), epoch: 0, key: random(KEY_BYTES) };
}

/**
 * Starts a collection's next epoch with a new key, for when a member leaves: seal the key to the
 * members who stay, and wrap new envelopes under it. The member who left can still open what was
 * wrapped before.
 *
 * @example
 * const next = nextEpoch(collection, random);
 * wipeCollectionKey(collection); // once nothing more is to be opened under it
 */
export function nextEpoch(
  current: Pick<CollectionKey, "collection" | "epoch">,
  random: (length: number) => Uint8Array,
): CollectionKey {
  return {
    collection: current.collection.slice(),
    epoch: current.epoch + 1,
    key: random(KEY_BYTES),
  };
}

const WRAP_OPTIONS: OptionsOf<WrapOptions> = {
  ...{ envelope: true, basis: true, keys: true, random: true, suite: true },
};

/**
 * Wraps an envelope's keys for every holder of a collection key. A wrap is not signed: only a
 * holder of the key that opens it can make one, and a wrong wrap opens nothing, because its keys
 * must match the commitments in the envelope's signed header.
 *
 * @returns the wrap's bytes, to keep and hand out like a grant
 * @example
 * const wrap = wrapForCollection(collection, { envelope, basis, keys, random });
 */
export function wrapForCollection(collection: CollectionKey, options: WrapOptions): Uint8Array {
  assertOptions(options, WRAP_OPTIONS, "wrapForCollection");
  const { envelope, basis, keys, random } = options;
  const { name, sealOnce } = suiteNamed(options.suite ?? "chacha");
  const key = deriveWrapKey(collection, envelope, basis, name);
  const plaintext = encodeKeys(keys);
  const nonce = random(NONCE_BYTES);
  const wrapped = sealOnce(key, nonce, plaintext);
  plaintext.fill(0);
  key.fill(0);
  return encode({
    v: 1,
    collection: collection.collection,
    epoch: collection.epoch,
    envelope,
    basis,
    suite: name,
    nonce,
    wrapped,
  });
}

/**
 * Opens a wrap.
 *
 * @param expected.envelope - the envelope to open
 * @param expected.basis - the entry that justified the wrap: 32 bytes
 * @returns keys, which the caller must wipe
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the wrap is not for this envelope, basis,
 *   collection and epoch, `ERR_ENVELOPE_DECRYPT` when it does not open, `ERR_ENVELOPE_UNSUPPORTED`
 * @example
 * const keys = unwrapFromCollection(collection, wrap, { envelope, basis });
 */
export function unwrapFromCollection(
  collection: CollectionKey,
  wrap: Uint8Array,
  expected: { readonly envelope: CID; readonly basis: Uint8Array },
): EnvelopeKeys {
  const { envelope, basis, suite, nonce, wrapped, ...named } = decodeCollectionWrap(wrap);
  const refused =
    (!envelope.equals(expected.envelope) && "envelope") ||
    (!equalBytes(basis, expected.basis) && "basis") ||
    (!equalBytes(named.collection, collection.collection) && "collection") ||
    (named.epoch !== collection.epoch && "epoch");
  if (refused) throw new EnvelopeError("ERR_ENVELOPE_INVALID", `the wrap was refused: ${refused}`);
  const { name, openOnce } = suiteNamed(suite);
  const key = deriveWrapKey(collection, envelope, basis, name);
  const plaintext = openOnce(key, nonce, wrapped);
  key.fill(0);
  if (plaintext === undefined) throw decryptFailed();
  try {
    return decodeKeys(plaintext);
  } finally {
    plaintext.fill(0);
  }
}

/**
 * Decodes a wrap without opening it, to find the collection key that opens it.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the bytes are not a wrap
 * @example
 * const { collection, epoch } = decodeCollectionWrap(wrap); // say which key opens it
 */
export function decodeCollectionWrap(bytes: Uint8Array): CollectionWrap {
  return orInvalid("wrap", () => {
    const value = decode(bytes, { maxBytes: MAX_GRANT_BYTES, maxDepth: 1, maxItems: 32 });
    const names = ["v", "collection", "epoch", "envelope", "basis", "suite", "nonce", "wrapped"];
    const fields = expectMap(value, "wrap", names);
    expectVersion(fields["v"], "wrap");
    return {
      collection: expectBytes(fields["collection"], "wrap.collection", 32),
      epoch: expectUint(fields["epoch"], "wrap.epoch"),
      envelope: expectCid(fields["envelope"], "wrap.envelope", DAG_CBOR),
      basis: expectBytes(fields["basis"], "wrap.basis", 32),
      suite: expectString(fields["suite"], "wrap.suite", 64),
      nonce: expectBytes(fields["nonce"], "wrap.nonce", NONCE_BYTES),
      wrapped: expectBytes(fields["wrapped"], "wrap.wrapped"),
    };
  });
}

/**
 * Overwrites a collection key with zeros.
 *
 * @example
 * const keys = unwrapFromCollection(collection, wrap, { envelope, basis });
 * wipeCollectionKey(collection);
 */
export function wipeCollectionKey(collection: Pick<CollectionKey, "key">): void {
  collection.key.fill(0);
}

// Every piece except the suite's name has a fixed length, so that no two different sets give the
// same info.
function deriveWrapKey(
  { collection, epoch, key }: CollectionKey,
  envelope: CID,
  basis: Uint8Array,
  suite: SuiteName,
): Uint8Array {
  assertBytes(collection, "collection", 32);
  assertBytes(key, "key", KEY_BYTES);
  assertBytes(basis, "basis", 32);
  assertUint(epoch, "epoch");
  const tail = new Uint8Array(9);
  new DataView(tail.buffer).setBigUint64(1, BigInt(epoch));
  const info = concatBytes(
    WRAP_INFO,
    utf8ToBytes(suite),
    tail.subarray(0, 1),
    collection,
    envelope.bytes,
    basis,
    tail.subarray(1),
  );
  return hkdfExpand(key, info, KEY_BYTES);
}
