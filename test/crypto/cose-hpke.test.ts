import {
  createCipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
} from "node:crypto";
import { decode, encode } from "cborg";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { x25519PublicKey } from "../../src/crypto/node.ts";
import { concatBytes } from "../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import {
  coseAlgorithm,
  encStructure,
  openCose,
  readCose,
  sealCose,
} from "../../src/crypto/cose-hpke.ts";
import { EnvelopeError, SignatureError } from "../../src/errors.ts";

const secret = new Uint8Array(32).fill(3);
const recipient = { alg: "X25519", publicKey: x25519PublicKey(secret) } as const;
const ephemeral = new Uint8Array(32).fill(5);
const aad = utf8ToBytes("bound to this");
const maps = { useMaps: true, tags: { 16: (item: () => unknown) => item() } };

describe("sealCose", () => {
  it("opens with openCose, at every length", () => {
    for (const length of [0, 1, 7, 8, 239, 240, 65_519, 65_520, 70_000]) {
      const plaintext = new Uint8Array(length).fill(9);
      const message = sealCose(recipient, plaintext, aad, ephemeral);
      expect(openCose("X25519", secret, message, aad)).toEqual(plaintext);
    }
  });

  it("is COSE_Encrypt0 as cborg writes it, with {alg} protected and {ek} not", () => {
    const message = sealCose(recipient, new Uint8Array(300), aad, ephemeral);
    const [header, unprotected, ciphertext] = decode(message, maps) as [
      Uint8Array,
      Map<number, Uint8Array>,
      Uint8Array,
    ];
    expect(decode(header, { useMaps: true })).toEqual(new Map([[1, 42]]));
    expect(unprotected).toEqual(new Map([[-4, x25519PublicKey(ephemeral)]]));
    expect(ciphertext).toHaveLength(316);
    expect(message).toEqual(
      concatBytes(Uint8Array.of(0xd0), encode([header, unprotected, ciphertext])),
    );
    expect(encStructure(header, aad)).toEqual(encode(["Encrypt0", header, aad]));
  });

  it("refuses recipients that are not keys, and algorithms that are not available", () => {
    const sealTo = (publicKey: Uint8Array) => () =>
      sealCose({ alg: "X25519", publicKey }, aad, aad, ephemeral);
    expect(sealTo(new Uint8Array(32))).toThrow(SignatureError);
    expect(sealTo(new Uint8Array(31))).toThrow(SignatureError);
    expect(() => coseAlgorithm("X448" as "X25519")).toThrow(EnvelopeError);
  });
});

describe("openCose", () => {
  const message = sealCose(recipient, utf8ToBytes("content key"), aad, ephemeral);

  it("opens nothing under another aad or another key", () => {
    expect(openCose("X25519", secret, message, utf8ToBytes("bound to that"))).toBeUndefined();
    expect(openCose("X25519", ephemeral, message, aad)).toBeUndefined();
  });

  it("opens nothing with any one bit flipped", () => {
    for (let bit = 0; bit < message.length * 8; bit++) {
      // The topmost bit of an X25519 public key is ignored by RFC 7748, but the KEM hashes it.
      const changed = message.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(openCose("X25519", secret, changed, aad)).toBeUndefined();
    }
  });

  it("refuses messages that are cut short or have trailing bytes", () => {
    for (let length = 0; length < message.length; length++) {
      expect(openCose("X25519", secret, message.subarray(0, length), aad)).toBeUndefined();
    }
    expect(openCose("X25519", secret, concatBytes(message, Uint8Array.of(0)), aad)).toBeUndefined();
  });

  it("never throws on arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const tail = concatBytes(message.subarray(0, bytes[0] ?? 0), bytes);
        expect(readCose(tail)?.ciphertext.length ?? 0).toBeLessThan(101);
      }),
    );
  });
});

describe("readCose", () => {
  const header = Uint8Array.of(0xa1, 1, 0x18, 42);
  const ek = new Uint8Array(32);
  const ct = new Uint8Array(20);
  const tagged = (...items: readonly unknown[]) => concatBytes(Uint8Array.of(0xd0), encode(items));

  it("reads the one form", () => {
    expect(readCose(tagged(header, new Map([[-4, ek]]), ct))?.id).toBe(42);
  });

  it("names algorithms that it does not know, negative ones too", () => {
    const far = encode(new Map([[1, -70_001]]));
    expect(readCose(tagged(far, new Map([[-4, ek]]), ct))?.id).toBe(-70_001);
  });

  it.each([
    [
      "a kid beside ek",
      tagged(
        header,
        new Map<number, Uint8Array>([
          [4, ek],
          [-4, ek],
        ]),
        ct,
      ),
    ],
    ["no ek", tagged(header, new Map(), ct)],
    ["a kid alone", tagged(header, new Map([[4, ek]]), ct)],
    [
      "two protected headers",
      tagged(
        encode(
          new Map([
            [1, 42],
            [4, 1],
          ]),
        ),
        new Map([[-4, ek]]),
        ct,
      ),
    ],
    ["an empty protected header", tagged(new Uint8Array(0), new Map([[-4, ek]]), ct)],
    ["a detached ciphertext", tagged(header, new Map([[-4, ek]]), null)],
    ["recipients", tagged(header, new Map([[-4, ek]]), ct, [])],
    ["no tag", encode([header, new Map([[-4, ek]]), ct])],
    ["a long form of alg", tagged(Uint8Array.of(0xa1, 1, 0x19, 0, 42), new Map([[-4, ek]]), ct)],
    ["a long form of a length", concatBytes(Uint8Array.of(0xd0, 0x98, 3), encode(header))],
    [
      "a key that claims to be longer than the message",
      Uint8Array.of(0xd0, 0x83, 0x44, ...header, 0xa1, 0x23, 0x5a, 0xff, 0xff, 0xff, 0xff, 1),
    ],
    [
      "a length of 64 bits",
      Uint8Array.of(0xd0, 0x83, 0x5b, 0, 0, 0, 0, 0, 0, 0, 4, ...header, 0xa1, 0x23, 0x41, 1, 0x40),
    ],
    ["nothing", new Uint8Array(0)],
  ])("refuses %s", (_, bytes) => {
    expect(readCose(bytes)).toBeUndefined();
  });
});

describe("a second implementation", () => {
  // RFC 9180 written anew on node:crypto, sealing to our key.
  it("seals what openCose opens", () => {
    const label = (suite: Uint8Array, name: string) =>
      concatBytes(utf8ToBytes("HPKE-v1"), suite, utf8ToBytes(name));
    const extract = (salt: Uint8Array, ikm: Uint8Array) => [salt, ikm] as const;
    const expand = (from: readonly [Uint8Array, Uint8Array], info: Uint8Array, length: number) =>
      new Uint8Array(hkdfSync("sha256", from[1], from[0], info, length));
    const none = new Uint8Array(0);
    const size = (n: number) => Uint8Array.of(0, n);
    const kem = Uint8Array.of(0x4b, 0x45, 0x4d, 0, 0x20);
    const hpke = Uint8Array.of(0x48, 0x50, 0x4b, 0x45, 0, 0x20, 0, 1, 0, 3);
    const own = generateKeyPairSync("x25519");
    const raw = (jwk: { x?: string }) => new Uint8Array(Buffer.from(jwk.x!, "base64url"));
    const enc = raw(own.publicKey.export({ format: "jwk" }));
    const x = Buffer.from(recipient.publicKey).toString("base64url");
    const theirs = createPublicKey({ key: { kty: "OKP", crv: "X25519", x }, format: "jwk" });
    const dh = diffieHellman({ privateKey: own.privateKey, publicKey: theirs });
    const shared = expand(
      extract(none, concatBytes(label(kem, "eae_prk"), dh)),
      concatBytes(size(32), label(kem, "shared_secret"), enc, recipient.publicKey),
      32,
    );
    // HKDF-Extract alone is HKDF-Expand's input, which hkdfSync does not show: HMAC by hand.
    const hash = (name: string) => createHmac("sha256", "").update(label(hpke, name)).digest();
    const context = concatBytes(Uint8Array.of(0), hash("psk_id_hash"), hash("info_hash"));
    const from = extract(shared, label(hpke, "secret"));
    const key = expand(from, concatBytes(size(32), label(hpke, "key"), context), 32);
    const nonce = expand(from, concatBytes(size(12), label(hpke, "base_nonce"), context), 12);
    const header = encode(new Map([[1, 42]]));
    const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
    cipher.setAAD(encode(["Encrypt0", header, aad]), { plaintextLength: 5 });
    const body = concatBytes(cipher.update("hello"), cipher.final(), cipher.getAuthTag());
    const message = concatBytes(Uint8Array.of(0xd0), encode([header, new Map([[-4, enc]]), body]));
    expect(openCose("X25519", secret, message, aad)).toEqual(utf8ToBytes("hello"));
  });
});
