import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { assertBytes } from "../bytes/guards.ts";
import type { CID } from "../codec/cid.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectBytes, expectMap } from "../codec/shape.ts";
import type { CoseRecipient } from "../crypto/cose-hpke.ts";
import { sealCoseFresh } from "../crypto/cose-hpke.ts";
import { EncodingError, EnvelopeError } from "../errors.ts";
import type { KeyAgreement } from "../identity/agreement.ts";
import type { Signer } from "../identity/signer.ts";
import type { ExpectedGrant } from "./grant-record.ts";
import { MAX_GRANT_BYTES, signGrant, verifyGrant } from "./grant-record.ts";
import { MAX_PARTS } from "./header.ts";
import type { EnvelopeKeys, KeyContext } from "./keys.ts";
import { decryptFailed, derivePartKeys, KEY_BYTES, wipeKeys } from "./keys.ts";

/** Options common to every grant. */
export interface GrantTerms {
  /** The recipient; the grant itself does not name it. */
  readonly recipient: CoseRecipient;
  /** Id of the entry that justifies the grant: 32 bytes. */
  readonly basis: Uint8Array;
  /** Signs as the grantor. */
  readonly signer: Signer;
  /** Source of the ephemeral key; cryptographically strong. */
  readonly random: (length: number) => Uint8Array;
}

/** Options of {@link makeGrant}. */
export interface MakeGrantOptions extends GrantTerms {
  readonly envelope: CID;
  /** The content key, or the keys of only some parts; borrowed. */
  readonly keys: EnvelopeKeys;
}

/** Options of {@link openGrant}, including the expected values. */
export interface OpenGrantOptions extends ExpectedGrant {
  readonly grant: Uint8Array;
  /** The recipient's private key, wherever it lives. */
  readonly agreement: KeyAgreement;
}

/** Options of {@link rewrapGrant}. */
export interface RewrapOptions extends OpenGrantOptions {
  /** Terms of the new grant. */
  readonly to: GrantTerms;
  /**
   * Grants only these parts of an envelope with this header. Default: everything that was received.
   */
  readonly only?: { readonly header: KeyContext; readonly parts: readonly string[] };
}

/**
 * Wraps an envelope's keys for one recipient, and signs the result.
 *
 * @returns the grant's bytes, to hand to the recipient
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the recipient's key is not usable
 * @example
 * const grant = await makeGrant({ envelope, keys, recipient, basis, signer, random });
 */
export async function makeGrant(options: MakeGrantOptions): Promise<Uint8Array> {
  const sealer = grantSealer(options);
  try {
    return await sealer.seal(options.recipient);
  } finally {
    sealer.wipe();
  }
}

/** Makes grants of the same keys, one recipient at a time, until it is wiped. */
export function grantSealer(options: Omit<MakeGrantOptions, "recipient">): {
  seal(recipient: CoseRecipient): Promise<Uint8Array>;
  wipe(): void;
} {
  const { envelope, basis, keys, signer, random } = options;
  assertBytes(basis, "basis", 32);
  const plaintext = encodeKeys(keys);
  const aad = grantAad(envelope, basis);
  return {
    async seal(recipient) {
      const message = sealCoseFresh(recipient, plaintext, aad, random);
      return signGrant({ envelope, basis, message }, signer);
    },
    wipe() {
      plaintext.fill(0);
    },
  };
}

/**
 * Verifies a grant and unwraps its keys.
 *
 * @returns keys, which the caller must wipe
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the grant is not the grantor's for this
 *   envelope and basis, `ERR_ENVELOPE_DECRYPT` when it does not open
 * @example
 * const keys = await openGrant({ grant, envelope, basis, grantor, agreement });
 * const { parts } = await openEnvelope({ envelope, header, keys, context, author, read });
 * wipeKeys(keys);
 */
export async function openGrant(options: OpenGrantOptions): Promise<EnvelopeKeys> {
  const verified = verifyGrant(options.grant, options);
  if (!verified.ok) {
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", `the grant was refused: ${verified.reason}`);
  }
  const { envelope, basis, message } = verified.grant;
  const plaintext = await options.agreement.unwrap(message, grantAad(envelope, basis));
  try {
    return decodeKeys(plaintext);
  } finally {
    plaintext.fill(0);
  }
}

const REWRAP_OPTIONS: OptionsOf<RewrapOptions> = {
  ...{ envelope: true, basis: true, grantor: true, grant: true, agreement: true },
  ...{ to: true, only: true },
};

/**
 * Grants received keys, or some of them, to another recipient; the envelope stays unchanged.
 *
 * @returns the new grant's bytes
 * @throws {EnvelopeError} as {@link openGrant} does; `ERR_ENVELOPE_DECRYPT` also when `only` lists
 *   parts that were not granted
 * @example
 * const received = { grant, envelope, basis, grantor, agreement };
 * const passedOn = await rewrapGrant({ ...received, to: { recipient, basis, signer, random } });
 */
export async function rewrapGrant(options: RewrapOptions): Promise<Uint8Array> {
  assertOptions(options, REWRAP_OPTIONS, "rewrapGrant");
  const received = await openGrant(options);
  const given: EnvelopeKeys[] = [received];
  try {
    if (options.only !== undefined) given.push(narrowKeys(received, options.only));
    return await makeGrant({ ...options.to, envelope: options.envelope, keys: given.at(-1)! });
  } finally {
    for (const keys of given) wipeKeys(keys);
  }
}

/** Reduces keys to those of some parts; newly allocated. */
export function narrowKeys(
  keys: EnvelopeKeys,
  only: { readonly header: KeyContext; readonly parts: readonly string[] },
): EnvelopeKeys {
  if ("cek" in keys) return derivePartKeys(only.header, keys.cek, only.parts);
  const parts = only.parts.map((id): [string, Uint8Array] => {
    if (!Object.hasOwn(keys.parts, id)) throw decryptFailed();
    return [id, keys.parts[id]!.slice()];
  });
  return { parts: Object.fromEntries(parts) };
}

/** The `external_aad` of a grant's message: binds the wrapped key to one envelope and one basis. */
function grantAad(envelope: CID, basis: Uint8Array): Uint8Array {
  return encode(["healthledger/grant/1", envelope, basis]);
}

/** Encodes the plaintext of a grant or wrap, which the caller must wipe. */
export function encodeKeys(keys: EnvelopeKeys): Uint8Array {
  if ("cek" in keys) {
    assertBytes(keys.cek, "cek", KEY_BYTES);
    return encode({ cek: keys.cek });
  }
  const parts = Object.entries(keys.parts);
  if (parts.length === 0 || parts.length > MAX_PARTS) {
    throw new RangeError(`a grant must hold the keys of 1 to ${MAX_PARTS} parts`);
  }
  for (const [, key] of parts) assertBytes(key, "part key", KEY_BYTES);
  return encode({ parts: keys.parts });
}

/**
 * Decodes the plaintext of a grant or wrap.
 *
 * @returns copies
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` when the bytes are not such a plaintext
 */
export function decodeKeys(plaintext: Uint8Array): EnvelopeKeys {
  try {
    const value = decode(plaintext, { maxBytes: MAX_GRANT_BYTES, maxDepth: 2 });
    const fields = expectMap(value, "keys", [], ["cek", "parts"]);
    if (fields["parts"] === undefined) {
      return { cek: expectBytes(fields["cek"], "cek", KEY_BYTES) };
    }
    const held = expectMap(value, "keys", ["parts"])["parts"];
    const ids = Object.keys(held as object);
    const parts = expectMap(held, "parts", ids) as Readonly<Record<string, Uint8Array>>;
    if (ids.length === 0 || ids.length > MAX_PARTS) throw decryptFailed();
    for (const id of ids) expectBytes(parts[id], "part key", KEY_BYTES);
    return { parts };
  } catch (error) {
    if (error instanceof EncodingError || error instanceof TypeError) throw decryptFailed();
    throw error;
  }
}
