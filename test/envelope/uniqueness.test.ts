import { beforeEach, describe, expect, it, vi } from "vitest";
import { randomBytes } from "#crypto";
import { toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { decode } from "../../src/codec/dag-cbor.ts";
import { readCose } from "../../src/crypto/cose-hpke.ts";
import { createCollection, nextEpoch, wrapForCollection } from "../../src/envelope/collection.ts";
import { decodeGrant } from "../../src/envelope/grant-record.ts";
import { makeGrants } from "../../src/envelope/grants.ts";
import { decodeSignedHeader } from "../../src/envelope/header.ts";
import { sealMembership } from "../../src/envelope/membership.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { basis, context, hospital } from "./parties.ts";

/** Every key and nonce that anything was sealed with. */
const uses = vi.hoisted(() => [] as { key: string; nonce: string; plaintext: string }[]);

vi.mock("#crypto", async () => {
  const node = await import("../../src/crypto/node.ts");
  const watch =
    (seal: typeof node.chachaSeal): typeof node.chachaSeal =>
    (key, nonce, plaintext, aad, into) => {
      const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
      uses.push({ key: hex(key), nonce: hex(nonce), plaintext: hex(plaintext.subarray(0, 64)) });
      return seal(key, nonce, plaintext, aad, into);
    };
  return { ...node, chachaSeal: watch(node.chachaSeal), aesGcmSeal: watch(node.aesGcmSeal) };
});

const recipients = (["X25519", "P-256", "X-Wing"] as const).map((alg) =>
  memoryAgreement({ alg, secret: new Uint8Array(32).fill(6) }),
);
const distinct = (values: Iterable<string>): number => new Set(values).size;

beforeEach(() => uses.splice(0));

describe("over many seals", () => {
  it("no key and nonce are used twice, and no key by two parts", async () => {
    const parts = [
      { id: "manifest", bytes: new Uint8Array(10) },
      { id: "content", bytes: new Uint8Array(16 * 65536 + 1) },
      { id: "empty", bytes: new Uint8Array(0) },
    ];
    const [salts, ceks, commits, eks]: [string[], string[], string[], string[]] = [[], [], [], []];
    let collection = createCollection(randomBytes);
    for (let i = 0; i < 60; i++) {
      const suite = i % 2 === 0 ? "chacha" : "aes-gcm";
      const options = { context, parts, signer: hospital, random: randomBytes, suite } as const;
      const sealed = await sealEnvelope(options);
      const { header } = decodeSignedHeader(sealed.header);
      salts.push(toHex(header.salt));
      ceks.push(toHex(sealed.cek));
      commits.push(...header.parts.map(({ commit }) => toHex(commit)));
      const terms = { basis, signer: hospital, random: randomBytes };
      const keys = { cek: sealed.cek };
      const envelope = sealed.cid;
      // The same recipients, envelope and basis twice.
      const twice = [...recipients, ...recipients];
      for (const grant of await makeGrants({ ...terms, envelope, keys, recipients: twice })) {
        eks.push(toHex(readCose(decodeGrant(grant).message)!.ek));
      }
      for (let n = 0; n < 2; n++)
        wrapForCollection(collection, { basis, random: randomBytes, envelope, keys, suite });
      if (i % 10 === 9) {
        collection = nextEpoch(collection, randomBytes);
        for (const recipient of recipients) {
          await sealMembership({ ...terms, key: collection, recipient });
        }
      }
    }
    expect(uses.length).toBe(60 * (1 + 17 + 1 + 6 + 2) + 6 * 3);
    expect(distinct(uses.map(({ key, nonce }) => key + nonce))).toBe(uses.length);
    // A key seals the 17 segments of one part, or one message; that of a wrap those of one envelope,
    // each with a nonce of its own.
    const byKey = new Map<string, number>();
    for (const { key } of uses) byKey.set(key, (byKey.get(key) ?? 0) + 1);
    const counts = [...byKey.values()];
    expect(counts.filter((count) => count === 17)).toHaveLength(60);
    expect(counts.filter((count) => count === 2)).toHaveLength(60);
    expect(counts.filter((count) => count === 1)).toHaveLength(60 * 8 + 18);
    for (const list of [salts, ceks, eks]) expect(distinct(list)).toBe(list.length);
    expect(distinct(commits)).toBe(180);
    // No content key is a segment key, a wrap key or a key of HPKE.
    expect(ceks.some((cek) => byKey.has(cek))).toBe(false);
  });

  it("no plaintext and no key stand in any record", async () => {
    const needle = "Mustermann, Erika";
    for (const suite of ["chacha", "aes-gcm"] as const) {
      const bytes = utf8ToBytes(`${"x".repeat(100)}${needle}`);
      const parts = [{ id: "content", bytes }];
      const random = randomBytes;
      const sealed = await sealEnvelope({ context, parts, signer: hospital, random, suite });
      const keys = { cek: sealed.cek };
      const wrapping = { basis, random, envelope: sealed.cid, keys };
      const terms = { ...wrapping, signer: hospital };
      const collection = createCollection(random);
      const records = [
        sealed.header,
        ...sealed.blocks.map((block) => block.bytes),
        ...(await makeGrants({ ...terms, recipients })),
        wrapForCollection(collection, { ...wrapping, suite }),
        await sealMembership({ ...terms, key: collection, recipient: recipients[0]! }),
      ].map((record) => Buffer.from(record));
      const hidden = [utf8ToBytes(needle), sealed.cek, collection.key];
      for (const record of records) {
        for (const secret of hidden) {
          for (let at = 0; at + 8 <= secret.length; at++) {
            const piece = Buffer.from(secret.subarray(at, at + 8));
            expect(record.includes(piece)).toBe(false);
            expect(record.includes(piece.toString("hex"))).toBe(false);
          }
        }
      }
      expect(Object.keys(decode(sealed.header) as object)).toHaveLength(4);
    }
  });
});
