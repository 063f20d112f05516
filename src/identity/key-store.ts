import { randomBytes } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { coseAlgorithm, type AgreementAlg } from "../crypto/cose-hpke.ts";
import { drawSecret } from "../crypto/hpke-kem.ts";
import type { SignatureAlg } from "../crypto/signing-input.ts";
import { SignatureError } from "../errors.ts";
import { borrowingAgreement, type KeyAgreement } from "./agreement.ts";
import { memorySignedHeads, type SignedHeads } from "./signed-heads.ts";
import { borrowingSigner, guardedSigner, type Signer } from "./signer.ts";

/** Uses of a signing key. */
export type SigningUse = "sign" | "checkpoint" | "recovery";

/** Description of a key, without its secret. */
export interface KeyInfo {
  /** `keyId` of the public key. */
  readonly key: Uint8Array;
  readonly use: SigningUse | "agree";
  readonly alg: SignatureAlg | AgreementAlg;
  readonly publicKey: Uint8Array;
  /** The actor that the key belongs to; `undefined` while the store has no actor. */
  readonly actor: string | undefined;
  readonly retired: boolean;
}

/** Options of {@link KeyStore.generate}. */
export interface GenerateOptions {
  readonly use: SigningUse | "agree";
  /** Default Ed25519, for `agree` X25519. */
  readonly alg?: SignatureAlg | AgreementAlg;
  /** Default: the actor of the store's first signing key, or else the did:key of the new key. */
  readonly actor?: string;
}

/** Options of {@link KeyStore.add}. */
export interface AddOptions extends GenerateOptions {
  /** The private key, 32 bytes; copied. */
  readonly secret: Uint8Array;
}

/**
 * The keys of one party. Private keys go in and never come out: a store returns objects that sign
 * or open.
 */
export interface KeyStore {
  /**
   * Remembers what the keys have signed; `fileKeys` and `memoryKeys` provide one. To open a ledger
   * with a store that has none, pass one to `openLedger`.
   */
  readonly signedHeads?: SignedHeads;
  /** All keys, oldest first, retired ones included. */
  list(): readonly KeyInfo[];
  /**
   * Returns the signer of the key with this id, or of the newest key in use for a purpose. Retired
   * keys do not sign.
   *
   * @param which - a purpose (default `"sign"`) or the id of a key
   * @param actor - only keys of this actor
   * @throws {SignatureError} `ERR_SIGNATURE_KEYSTORE` when there is no such key
   */
  signer(which?: SigningUse | Uint8Array, actor?: string): Signer;
  /**
   * Returns the agreement key with this id, retired or not, or the newest one in use.
   *
   * @throws {SignatureError} `ERR_SIGNATURE_KEYSTORE` when there is no such key
   */
  agreement(key?: Uint8Array): KeyAgreement;
  /** Generates a key and stores it durably before the promise resolves. */
  generate(options: GenerateOptions): Promise<KeyInfo>;
  /**
   * Adds an existing private key.
   *
   * @throws {SignatureError} `ERR_SIGNATURE_KEYSTORE` when the store already holds it
   */
  add(options: AddOptions): Promise<KeyInfo>;
  /**
   * Retires a key, which then no longer signs. A retired agreement key still opens what was sealed
   * to it.
   *
   * @throws {SignatureError} `ERR_SIGNATURE_KEYSTORE` when the store does not hold it
   */
  retire(key: Uint8Array): Promise<void>;
  /** Wipes the private keys; signers that the store has returned stop working. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A key as stores keep it. */
export interface StoredKey {
  readonly use: SigningUse | "agree";
  readonly alg: SignatureAlg | AgreementAlg;
  readonly secret: Uint8Array;
  readonly actor: string | undefined;
  readonly retired: boolean;
}

/**
 * A change to a list of keys; a function, so that it can be applied to the list that other
 * processes have written since.
 */
export type KeyChange = (keys: readonly StoredKey[]) => readonly StoredKey[];

/**
 * Makes a key store in memory, with a memory of signed heads in memory too, for tests and
 * short-lived processes.
 *
 * @example
 * const keys = memoryKeys();
 * for (const use of ["sign", "checkpoint", "agree"] as const) await keys.generate({ use });
 */
export function memoryKeys(): KeyStore {
  return keyStore(
    [],
    async (change, keys) => change(keys),
    () => {},
    memorySignedHeads(),
  );
}

/**
 * Makes a key store over a list of keys and a function that changes it durably.
 *
 * @param initial - the store takes over its arrays, and wipes them on close
 * @param commit - applies a change to the newest durable list and returns the list that is durable
 *   then
 */
export function keyStore(
  initial: readonly StoredKey[],
  commit: (change: KeyChange, current: readonly StoredKey[]) => Promise<readonly StoredKey[]>,
  onClose: () => unknown,
  signedHeads: SignedHeads,
): KeyStore {
  let held = initial.map(describe);
  let closed = false;
  let queue: Promise<unknown> = Promise.resolve();

  const assertOpen = (): void => {
    if (closed) throw keyStoreError("the key store is closed");
  };
  const apply = (change: KeyChange): Promise<void> => {
    assertOpen();
    const result = queue.then(async () => {
      assertOpen();
      const keys = await commit(
        change,
        held.map(({ stored }) => stored),
      );
      // A key that is already held keeps its array, because signers already returned still use it.
      held = keys.map((stored) => {
        const known = held.find((one) => equalBytes(one.stored.secret, stored.secret));
        return describe(known === undefined ? stored : { ...stored, secret: known.stored.secret });
      });
    });
    queue = result.catch(() => {});
    return result;
  };
  const find = (key: Uint8Array): Held | undefined =>
    held.find(({ info }) => equalBytes(info.key, key));
  const add = async (options: AddOptions): Promise<KeyInfo> => {
    const secret = options.secret.slice();
    const alg = options.alg ?? (options.use === "agree" ? "X25519" : "Ed25519");
    assertUsable(options.use, alg);
    const { use, actor } = options;
    const { info } = describe({ use, alg, secret, actor, retired: false });
    await apply((keys) => {
      if (keys.some((one) => equalBytes(describe(one).info.key, info.key))) {
        throw keyStoreError("the key store already holds this key");
      }
      const first = keys.find((one) => one.use === "sign" && one.actor !== undefined);
      const named = actor ?? first?.actor ?? (use === "sign" ? info.actor : undefined);
      return [...keys, { use, alg, secret, actor: named, retired: false }];
    });
    return find(info.key)!.info;
  };

  const store: KeyStore = {
    signedHeads,
    list() {
      assertOpen();
      return held.map(({ info }) => info);
    },
    signer(which = "sign", actor) {
      assertOpen();
      const found = held.findLast(
        ({ info }) =>
          info.use !== "agree" &&
          !info.retired &&
          (actor === undefined || info.actor === actor) &&
          (typeof which === "string" ? info.use === which : equalBytes(info.key, which)),
      );
      if (found === undefined) throw keyStoreError("the key store has no such signing key in use");
      const inner = signerOf(found.stored);
      return guardedSigner(inner, () => {
        // The key is wiped only once the store is closed.
        assertOpen();
        const now = find(inner.key);
        if (now === undefined || now.info.retired) throw keyStoreError("the key is retired");
      });
    },
    agreement(key) {
      assertOpen();
      const found = held.findLast(
        ({ info }) =>
          info.use === "agree" && (key === undefined ? !info.retired : equalBytes(info.key, key)),
      );
      if (found === undefined) throw keyStoreError("the key store has no such agreement key");
      const inner = agreementOf(found.stored);
      return {
        ...inner,
        async unwrap(message, externalAad) {
          assertOpen();
          return inner.unwrap(message, externalAad);
        },
      };
    },
    async generate(options) {
      assertOpen();
      const { use, alg = use === "agree" ? "X25519" : "Ed25519" } = options;
      assertUsable(use, alg);
      const secret =
        use === "agree"
          ? drawSecret(coseAlgorithm(alg as AgreementAlg).suite.kem, randomBytes)
          : randomBytes(32);
      try {
        return await add({ ...options, secret });
      } finally {
        secret.fill(0);
      }
    },
    add,
    async retire(key) {
      await apply((keys) => {
        const at = keys.findIndex((one) => equalBytes(describe(one).info.key, key));
        if (at < 0) throw keyStoreError("the key store does not hold this key");
        return keys.with(at, { ...keys[at]!, retired: true });
      });
    },
    async close() {
      if (closed) return;
      closed = true;
      await queue;
      for (const { stored } of held) stored.secret.fill(0);
      held = [];
      onClose();
    },
    [Symbol.asyncDispose]: () => store.close(),
  };
  return store;
}

/** Makes an error of a key store. */
export function keyStoreError(message: string, cause?: unknown): SignatureError {
  const options = cause === undefined ? undefined : { cause };
  return new SignatureError("ERR_SIGNATURE_KEYSTORE", message, options);
}

/**
 * Checks that a key of this algorithm can serve this use.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_ALGORITHM`
 */
export function assertUsable(use: string, alg: string): void {
  const algs: Readonly<Record<string, readonly string[]>> = {
    sign: ["Ed25519", "ES256"],
    recovery: ["Ed25519", "ES256"],
    // Existing witnesses read no other algorithm in signed notes.
    checkpoint: ["Ed25519"],
    agree: ["X25519", "P-256", "X-Wing"],
  };
  if (!Object.hasOwn(algs, use) || !algs[use]!.includes(alg)) {
    throw new SignatureError(
      "ERR_SIGNATURE_ALGORITHM",
      "a key of this algorithm cannot serve this use",
    );
  }
}

interface Held {
  readonly stored: StoredKey;
  readonly info: KeyInfo;
}

function describe(stored: StoredKey): Held {
  const { use, alg, retired } = stored;
  if (use === "agree") {
    const { key, publicKey } = agreementOf(stored);
    return { stored, info: { key, use, alg, publicKey, actor: stored.actor, retired } };
  }
  const { key, publicKey, actor } = signerOf(stored);
  return { stored, info: { key, use, alg, publicKey, actor, retired } };
}

function signerOf({ alg, secret, actor }: StoredKey): Signer {
  return borrowingSigner(alg as SignatureAlg, secret, actor);
}

function agreementOf({ alg, secret }: StoredKey): KeyAgreement {
  return borrowingAgreement(alg as AgreementAlg, secret);
}
