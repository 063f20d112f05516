import { describe, expect, it } from "vitest";
import { sha256 } from "#crypto";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { type AgreementAlg, coseAlgorithm, sealCose } from "../../src/crypto/cose-hpke.ts";
import { drawEphemeral } from "../../src/crypto/hpke-kem.ts";
import { makeGrant, openGrant, rewrapGrant } from "../../src/envelope/grant.ts";
import { decodeGrant, signGrant } from "../../src/envelope/grant-record.ts";
import { decodeSignedHeader } from "../../src/envelope/header.ts";
import { derivePartKeys, type EnvelopeKeys } from "../../src/envelope/keys.ts";
import { openEnvelope } from "../../src/envelope/open.ts";
import { SignatureError } from "../../src/errors.ts";
import { type KeyAgreement, memoryAgreement } from "../../src/identity/agreement.ts";
import {
  basis,
  context,
  grantorOf,
  hospital,
  keyOf,
  laboratory,
  otherLedger,
  reader,
  seal,
  seeded,
  openingOf,
} from "./parties.ts";

const ALGS = ["X25519", "P-256", "X-Wing"] as const;
const DECRYPT = expect.objectContaining({ name: "EnvelopeError", code: "ERR_ENVELOPE_DECRYPT" });
const secrets = seeded("kems");
const keyFor = (alg: AgreementAlg): KeyAgreement => memoryAgreement({ alg, secret: secrets(32) });
const recipients = Object.fromEntries(ALGS.map((alg) => [alg, keyFor(alg)])) as Record<
  AgreementAlg,
  KeyAgreement
>;

const sealed = await seal([
  { id: "manifest", bytes: utf8ToBytes("manifest") },
  { id: "content", bytes: utf8ToBytes("content") },
]);
const { header } = decodeSignedHeader(sealed.header);
const cek: EnvelopeKeys = { cek: sealed.cek };
const random = seeded("grants");
const grantTo = (recipient: KeyAgreement, keys: EnvelopeKeys = cek, from = random) =>
  makeGrant({ envelope: sealed.cid, basis, keys, recipient, signer: hospital, random: from });
const opening = { envelope: sealed.cid, basis, grantor: grantorOf(hospital) };

describe.each(ALGS)("grants to %s keys", (alg) => {
  const agreement = recipients[alg];

  it("carry the content key, or the keys of some parts, to the recipient alone", async () => {
    const grant = await grantTo(agreement);
    expect(await openGrant({ ...opening, grant, agreement })).toEqual(cek);
    const some = derivePartKeys(header, sealed.cek, ["manifest"]);
    const partial = await grantTo(agreement, some);
    expect(await openGrant({ ...opening, grant: partial, agreement })).toEqual(some);
    await expect(openGrant({ ...opening, grant, agreement: keyFor(alg) })).rejects.toThrow(DECRYPT);
  });

  it("name the other algorithm where a key of another kind is tried", async () => {
    const grant = await grantTo(agreement);
    for (const other of ALGS.filter((one) => one !== alg)) {
      await expect(
        openGrant({ ...opening, grant, agreement: recipients[other] }),
      ).rejects.toMatchObject({
        code: "ERR_ENVELOPE_UNSUPPORTED",
        message: expect.stringContaining(String(coseAlgorithm(alg).id)) as unknown,
      });
    }
  });

  it("do not open when moved to another envelope, basis or part", async () => {
    const { message } = decodeGrant(await grantTo(agreement));
    const other = new Uint8Array(32).fill(1);
    for (const moved of [
      { envelope: otherLedger, basis },
      { envelope: sealed.cid, basis: other },
    ]) {
      const grant = await signGrant({ ...moved, message }, hospital);
      await expect(openGrant({ ...opening, ...moved, grant, agreement })).rejects.toThrow(DECRYPT);
    }
    // The key of one part under the name of another: the header's commit refuses it.
    const { parts } = derivePartKeys(header, sealed.cek, ["manifest"]);
    const keys = { parts: { content: parts["manifest"]! } };
    const received = await openGrant({
      ...opening,
      agreement,
      grant: await grantTo(agreement, keys),
    });
    const author = keyOf(hospital);
    const open = { envelope: sealed.cid, header: sealed.header, context, author };
    await expect(
      openEnvelope({ ...open, keys: received, read: reader(sealed.blocks) }),
    ).rejects.toThrow(DECRYPT);
  });

  it("do not open with any bit of the message changed, even newly signed", async () => {
    const { message } = decodeGrant(await grantTo(agreement));
    for (let bit = 0; bit < message.length * 8; bit += 67) {
      const changed = message.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const grant = await signGrant({ envelope: sealed.cid, basis, message: changed }, hospital);
      await expect(openGrant({ ...opening, grant, agreement })).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_ENVELOPE_(DECRYPT|UNSUPPORTED)$/) as unknown,
      });
    }
  });

  it("say nothing of the recipient that public data could test", async () => {
    const others = Array.from({ length: 8 }, () => keyFor(alg));
    const toOne = await Promise.all(others.map(() => grantTo(agreement)));
    const toEach = await Promise.all(others.map((other) => grantTo(other)));
    expect(new Set([...toOne, ...toEach].map(({ length }) => length)).size).toBe(1);
    // Bytes that stay the same from grant to grant do so whether or not the recipient does: nothing
    // in a grant is a function of the recipient's key.
    const constant = (grants: readonly Uint8Array[]) =>
      grants[0]!.reduce<string[]>((at, byte, i) => {
        return grants.every((grant) => grant[i] === byte) ? [...at, `${i}:${byte}`] : at;
      }, []);
    expect(constant(toOne)).toEqual(constant(toEach));
    // And no piece of the key, of its id or of a hash of it stands in one.
    const { publicKey, key } = agreement;
    const plain = [
      publicKey,
      key,
      sha256(publicKey),
      sha256(key),
      sha256(utf8ToBytes(alg), publicKey),
    ];
    const grant = Buffer.from(toOne[0]!);
    for (const bytes of plain) {
      for (let at = 0; at + 6 <= bytes.length; at++) {
        expect(grant.includes(Buffer.from(bytes.subarray(at, at + 6)))).toBe(false);
      }
    }
  });

  it("answer hostile plaintext like any message that does not open", async () => {
    const aad = encode(["healthledger/grant/1", sealed.cid, basis]);
    for (const value of [{}, { cek: new Uint8Array(31) }, { parts: {} }, "cek", null]) {
      const ephemeral = drawEphemeral(coseAlgorithm(alg).suite.kem, random);
      const message = sealCose(agreement, encode(value), aad, ephemeral);
      const grant = await signGrant({ envelope: sealed.cid, basis, message }, hospital);
      await expect(openGrant({ ...opening, grant, agreement })).rejects.toThrow(DECRYPT);
    }
  });

  it("refuse recipients whose key is not usable", async () => {
    const { publicKey } = agreement;
    for (const bad of [publicKey.subarray(1), new Uint8Array(publicKey.length)]) {
      await expect(grantTo({ ...agreement, publicKey: bad })).rejects.toThrow(SignatureError);
    }
  });

  it("leave no ephemeral secret behind, whether they succeed or fail", async () => {
    const drawn: Uint8Array[] = [];
    const watched = (length: number): Uint8Array => {
      const bytes = random(length);
      drawn.push(bytes);
      return bytes;
    };
    await grantTo(agreement, cek, watched);
    const bad = { ...agreement, publicKey: agreement.publicKey.subarray(1) };
    await expect(grantTo(bad, cek, watched)).rejects.toThrow(SignatureError);
    expect(drawn.map(({ length }) => length)).toEqual(alg === "X-Wing" ? [64, 64] : [32, 32]);
    expect(drawn.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
  });

  it("refuse a broken source of randomness", async () => {
    const short = (length: number): Uint8Array => new Uint8Array(length - 1);
    await expect(grantTo(agreement, cek, short)).rejects.toThrow(RangeError);
    if (alg !== "P-256") return;
    const zeros = (length: number): Uint8Array => new Uint8Array(length);
    await expect(grantTo(agreement, cek, zeros)).rejects.toThrow(SignatureError);
    const drawn = [new Uint8Array(32).fill(0xff), new Uint8Array(32).fill(1)];
    expect((await grantTo(agreement, cek, () => drawn.shift()!)).length).toBeGreaterThan(0);
  });

  it.each(ALGS)("are passed on to %s keys without touching the envelope", async (other) => {
    const before = [sealed.header, ...sealed.blocks.map(({ bytes }) => bytes)].map((bytes) =>
      bytes.slice(),
    );
    const newBasis = new Uint8Array(32).fill(0xcc);
    const grant = await rewrapGrant({
      ...opening,
      grant: await grantTo(agreement),
      agreement,
      to: { recipient: recipients[other], basis: newBasis, signer: laboratory, random },
    });
    const keys = await openGrant({
      grant,
      agreement: recipients[other],
      envelope: sealed.cid,
      basis: newBasis,
      grantor: grantorOf(laboratory),
    });
    const { parts } = await openEnvelope(openingOf(sealed, { keys }));
    expect(parts.get("content")).toEqual(utf8ToBytes("content"));
    expect([sealed.header, ...sealed.blocks.map(({ bytes }) => bytes)]).toEqual(before);
  });
});
