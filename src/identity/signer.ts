import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import {
  backend,
  ed25519PublicKey,
  ed25519Sign,
  ed25519SignEach,
  p256PublicKey,
  p256Sign,
  randomBytes,
} from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { assertBytes } from "../bytes/guards.ts";
import { beside } from "../crypto/beside.ts";
import { toLowS } from "../crypto/low-s.ts";
import { verifySignature } from "../crypto/sign.ts";
import { signingInput, type SignatureAlg, type SigningDomain } from "../crypto/signing-input.ts";
import { SignatureError } from "../errors.ts";
import { actorFromKey, keyId } from "./actor.ts";

/**
 * Signs for an actor without exposing the private key, which may be in memory, in a file, in an
 * HSM, a KMS or WebCrypto.
 */
export interface Signer {
  /**
   * The did:key of the actor that this key signs for. It encodes the actor's first key, which need
   * not be this one.
   */
  readonly actor: string;
  /** {@link keyId} of the public key. */
  readonly key: Uint8Array;
  readonly alg: SignatureAlg;
  /** 32 bytes for Ed25519, 33 (a compressed point) for ES256. */
  readonly publicKey: Uint8Array;
  /**
   * Signs bytes that already carry their domain.
   *
   * @param bytes - borrowed
   * @returns 64 bytes; for ES256 raw r ‖ s, where s may be high
   */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/**
 * Signs a structure, and normalises the signature to the one form that verifies. A signature that this
 * library did not make itself is checked: what an HSM signed wrongly could be stored, and never be read.
 *
 * @returns 64 bytes; ES256 with low s
 * @throws {SignatureError} `ERR_SIGNATURE_INVALID` when the signer returns something else than its
 *   signature over the structure
 */
export async function signWith(
  signer: Signer,
  what: SigningDomain,
  bytes: Uint8Array,
): Promise<Uint8Array> {
  const signature = await signer.sign(signingInput(what, bytes));
  if (!(signature instanceof Uint8Array) || signature.length !== 64) {
    throw new SignatureError(
      "ERR_SIGNATURE_INVALID",
      "the signer did not return a 64-byte signature",
    );
  }
  const { alg, publicKey } = signer;
  const normal = alg === "ES256" ? toLowS(signature) : signature;
  const own = ownKeyOf(signer);
  const isSure = own !== undefined && equalBytes(own, publicKey);
  if (!isSure && !verifySignature({ alg, publicKey, signature: normal, what, bytes })) {
    throw new SignatureError(
      "ERR_SIGNATURE_INVALID",
      "the signer returned a signature that is not valid under its public key",
    );
  }
  return normal;
}

interface OwnSigner {
  readonly sign: Signer["sign"];
  readonly publicKey: Uint8Array;
  readonly signEach: SignEach | undefined;
}

/** Signs several messages, which already carry their domains, in their order. */
type SignEach = (messages: readonly Uint8Array[]) => Promise<readonly Uint8Array[]>;

const ownSigners = /* @__PURE__ */ new WeakMap<Signer, OwnSigner>();

/**
 * Marks a signer that signs with this library's own code and a key in memory.
 *
 * @param signEach - signs several messages sooner than one after another
 * @returns the same signer
 */
function markOwn(signer: Signer, signEach: SignEach | undefined): Signer {
  const { sign, publicKey } = signer;
  ownSigners.set(signer, { sign, publicKey: publicKey.slice(), signEach });
  return signer;
}

function ownOf(signer: Signer): OwnSigner | undefined {
  const own = ownSigners.get(signer);
  return own !== undefined && own.sign === signer.sign ? own : undefined;
}

/**
 * The public key under which everything that a signer signs is valid, without a check: known only
 * of signers that this library made over a key in memory. Any other (an HSM, a KMS, an object that
 * wraps or changes one of ours) may return anything.
 */
export function ownKeyOf(signer: Signer): Uint8Array | undefined {
  return ownOf(signer)?.publicKey;
}

/** Fewer signatures are made sooner on this thread. */
const FEW = 4;

/**
 * Signs structures of one kind, as {@link signWith} does each.
 *
 * @param pause - awaited between two that are signed one after another
 * @returns the signatures in the order of the structures, all at once
 */
export async function signEachWith(
  signer: Signer,
  what: SigningDomain,
  structures: readonly Uint8Array[],
  pause: () => Promise<void> | undefined,
): Promise<readonly Uint8Array[]> {
  const signEach = structures.length < FEW ? undefined : ownOf(signer)?.signEach;
  if (signEach !== undefined) return signEach(structures.map((one) => signingInput(what, one)));
  const signatures: Uint8Array[] = [];
  for (const one of structures) {
    if (signatures.length > 0) await pause();
    signatures.push(await signWith(signer, what, one));
  }
  return signatures;
}

/**
 * Makes a signer that stands before another one: it asks `assertUsable`, and then lets the other one sign.
 */
export function guardedSigner(inner: Signer, assertUsable: () => void): Signer {
  const signEach = ownOf(inner)?.signEach;
  const guarded: Signer = {
    ...inner,
    async sign(bytes) {
      assertUsable();
      return inner.sign(bytes);
    },
  };
  if (ownOf(inner) === undefined) return guarded;
  return markOwn(
    guarded,
    signEach &&
      (async (messages) => {
        assertUsable();
        return signEach(messages);
      }),
  );
}

/**
 * Proves possession of an announced key: signs with it.
 *
 * @param input - the bytes that the structure announcing the key defines
 * @example
 * const { actor, alg, publicKey } = signer;
 * const input = possessionInput(nonce, actor, { use: "sign", alg, publicKey });
 * const proof = await provePossession(signer, input);
 */
export function provePossession(signer: Signer, input: Uint8Array): Promise<Uint8Array> {
  return signWith(signer, "possession", input);
}

/** Options of {@link memorySigner}. */
export interface MemorySignerOptions {
  readonly alg: SignatureAlg;
  /** The 32-byte Ed25519 seed or P-256 scalar; copied. */
  readonly secret: Uint8Array;
  /** The actor's did:key, if it does not encode this key. */
  readonly actor?: string;
}

const MEMORY_SIGNER_OPTIONS: OptionsOf<MemorySignerOptions> = {
  alg: true,
  secret: true,
  actor: true,
};

/**
 * Makes a signer from a key held in memory.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the secret is not a key
 * @example
 * const secret = crypto.getRandomValues(new Uint8Array(32));
 * const signer = memorySigner({ alg: "Ed25519", secret });
 */
export function memorySigner(options: MemorySignerOptions): Signer {
  assertOptions(options, MEMORY_SIGNER_OPTIONS, "memorySigner");
  assertBytes(options.secret, "secret", 32);
  return borrowingSigner(options.alg, options.secret.slice(), options.actor);
}

/** Options of {@link generateSigner}. */
export interface GenerateSignerOptions {
  /** Default Ed25519. */
  readonly alg?: SignatureAlg;
  /** The actor's did:key, if it does not encode this key. */
  readonly actor?: string;
  /** Random bytes of a length. Default: the platform's. */
  readonly random?: (length: number) => Uint8Array;
}

const GENERATE_SIGNER_OPTIONS: OptionsOf<GenerateSignerOptions> = {
  alg: true,
  actor: true,
  random: true,
};

/**
 * Makes a fresh signing key that exists only in memory and ends with the process: for a patient's
 * key in a test, or a short-lived key. Keys that must last belong in a key store.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_ALGORITHM` for an unknown algorithm
 * @example
 * const signer = generateSigner();
 * signer.actor; // "did:key:z6Mk…"
 */
export function generateSigner(options: GenerateSignerOptions = {}): Signer {
  assertOptions(options, GENERATE_SIGNER_OPTIONS, "generateSigner");
  const { alg = "Ed25519", actor, random = randomBytes } = options;
  return memorySigner({ alg, secret: random(32), ...(actor === undefined ? {} : { actor }) });
}

/** Makes a signer that borrows its secret: for stores, which wipe their keys on close. */
export function borrowingSigner(
  alg: SignatureAlg,
  secret: Uint8Array,
  actor: string | undefined,
): Signer {
  if (alg !== "Ed25519" && alg !== "ES256") {
    throw new SignatureError("ERR_SIGNATURE_ALGORITHM", "unknown signature algorithm");
  }
  const publicKey = alg === "Ed25519" ? ed25519PublicKey(secret) : p256PublicKey(secret);
  const signer: Signer = {
    actor: actor ?? actorFromKey(alg, publicKey),
    key: keyId(alg, publicKey),
    alg,
    publicKey,
    async sign(bytes) {
      return alg === "Ed25519" ? ed25519Sign(bytes, secret) : p256Sign(bytes, secret);
    },
  };
  const isNative = alg === "Ed25519" && backend === "node";
  return markOwn(
    signer,
    isNative ? (messages) => beside(ed25519SignEach(messages, secret)) : undefined,
  );
}
