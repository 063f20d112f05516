/**
 * The primitives that a backend provides, all synchronous except scrypt. `#crypto` resolves to the
 * `node:crypto` backend under the `node` condition and to the portable noble backend elsewhere;
 * both accept and refuse exactly the same inputs.
 */
export interface CryptoBackend {
  readonly backend: "node" | "noble";
  /** SHA-256 over the concatenation of the parts. */
  sha256(...parts: readonly Uint8Array[]): Uint8Array;
  /** HMAC-SHA256 over the concatenation of the parts. */
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;
  hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Uint8Array;
  hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array;
  /** @param seed - 32-byte RFC 8032 private key */
  ed25519PublicKey(seed: Uint8Array): Uint8Array;
  ed25519Sign(message: Uint8Array, seed: Uint8Array): Uint8Array;
  /** The signatures of messages, in their order; made off this thread where the platform can. */
  ed25519SignEach(messages: readonly Uint8Array[], seed: Uint8Array): Promise<Uint8Array[]>;
  /** RFC 8032 cofactorless, canonical encodings, no small-order A or R; false on anything malformed. */
  ed25519Verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
  /**
   * {@link ed25519Verify} beside the main thread, where the platform can.
   *
   * @param signature - borrowed until the promise settles, as are message and publicKey
   */
  ed25519VerifyAside(
    signature: Uint8Array,
    message: Uint8Array,
    publicKey: Uint8Array,
  ): Promise<boolean>;
  /** @returns 33-byte compressed point */
  p256PublicKey(secret: Uint8Array): Uint8Array;
  /** ECDSA over SHA-256 of the message, raw r‖s of 64 bytes, low-S. */
  p256Sign(message: Uint8Array, secret: Uint8Array): Uint8Array;
  /** @param publicKey - 33-byte compressed point; high-S is refused */
  p256Verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
  /** {@link p256Verify} beside the main thread, as {@link ed25519VerifyAside}. */
  p256VerifyAside(
    signature: Uint8Array,
    message: Uint8Array,
    publicKey: Uint8Array,
  ): Promise<boolean>;
  /**
   * The full form 04 ‖ x ‖ y, 65 bytes, of a P-256 point in either form.
   *
   * @returns `undefined` if the bytes are not a point of the curve
   */
  p256FullPoint(point: Uint8Array): Uint8Array | undefined;
  /**
   * ECDH on P-256 (SP 800-56A).
   *
   * @param publicKey - a point in either form
   * @returns its x coordinate, 32 bytes
   * @throws {SignatureError} `ERR_SIGNATURE_KEY` when either argument is not a key
   */
  p256Ecdh(secret: Uint8Array, publicKey: Uint8Array): Uint8Array;
  x25519PublicKey(secret: Uint8Array): Uint8Array;
  /** @throws {SignatureError} `ERR_SIGNATURE_KEY` when the shared secret is all zero */
  x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array;
  /**
   * @param into - buffer of the result's length that receives it; default: newly allocated
   * @returns ciphertext ‖ 16-byte tag
   */
  chachaSeal(
    key: Uint8Array,
    nonce: Uint8Array,
    plaintext: Uint8Array,
    aad?: Uint8Array,
    into?: Uint8Array,
  ): Uint8Array;
  /** @returns the plaintext, or `undefined` if the message does not authenticate */
  chachaOpen(
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    aad?: Uint8Array,
  ): Uint8Array | undefined;
  /**
   * AES-GCM with a nonce of 12 bytes.
   *
   * @param key - 32 bytes
   * @param into - buffer of the result's length that receives it; default: newly allocated
   * @returns ciphertext ‖ 16-byte tag
   */
  aesGcmSeal(
    key: Uint8Array,
    nonce: Uint8Array,
    plaintext: Uint8Array,
    aad?: Uint8Array,
    into?: Uint8Array,
  ): Uint8Array;
  /** @returns the plaintext, or `undefined` if the message does not authenticate */
  aesGcmOpen(
    key: Uint8Array,
    nonce: Uint8Array,
    sealed: Uint8Array,
    aad?: Uint8Array,
  ): Uint8Array | undefined;
  randomBytes(length: number): Uint8Array;
  /**
   * Works outside the event loop, or in slices within it. Both arguments are borrowed until the
   * promise settles.
   */
  scrypt(passphrase: Uint8Array, salt: Uint8Array, params: ScryptParams): Promise<Uint8Array>;
}

/** Cost of {@link CryptoBackend.scrypt}: it takes 128·N·r bytes and 128·N·r·p steps. */
export interface ScryptParams {
  readonly N: number;
  readonly r: number;
  readonly p: number;
  /** Number of bytes to derive. */
  readonly length: number;
}
