import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import type { CID } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { sealCose } from "../../src/crypto/cose-hpke.ts";
import {
  makeGrant,
  narrowKeys,
  openGrant,
  rewrapGrant,
  type OpenGrantOptions,
} from "../../src/envelope/grant.ts";
import {
  decodeGrant,
  MAX_GRANT_BYTES,
  signGrant,
  verifyGrant,
} from "../../src/envelope/grant-record.ts";
import { decodeSignedHeader } from "../../src/envelope/header.ts";
import { derivePartKeys, wipeKeys, type EnvelopeKeys } from "../../src/envelope/keys.ts";
import { openEnvelope } from "../../src/envelope/open.ts";
import { LedgerError } from "../../src/errors.ts";
import {
  basis,
  clinic,
  grantorOf,
  hospital,
  laboratory,
  otherLedger,
  otherRecipient,
  recipient,
  seal,
  seeded,
  openingOf,
} from "./parties.ts";

const DECRYPT = expect.objectContaining({ name: "EnvelopeError", code: "ERR_ENVELOPE_DECRYPT" });
const INVALID = expect.objectContaining({ name: "EnvelopeError", code: "ERR_ENVELOPE_INVALID" });

const sealed = await seal([
  { id: "manifest", bytes: utf8ToBytes("manifest") },
  { id: "content", bytes: utf8ToBytes("content") },
]);
const { header } = decodeSignedHeader(sealed.header);
const cek: EnvelopeKeys = { cek: sealed.cek };
const partKeys = derivePartKeys(header, sealed.cek, ["manifest"]);

const grantTo = (
  to = recipient,
  keys: EnvelopeKeys = cek,
  signer = hospital,
  envelope: CID = sealed.cid,
) => makeGrant({ envelope, basis, keys, recipient: to, signer, random: seeded("grant") });

const grant = await grantTo();
const expected: OpenGrantOptions = {
  grant,
  agreement: recipient,
  envelope: sealed.cid,
  basis,
  grantor: grantorOf(hospital),
};

const open = (keys: EnvelopeKeys, parts?: readonly string[]) =>
  openEnvelope(openingOf(sealed, { keys, ...(parts === undefined ? {} : { parts }) }));

describe("makeGrant and openGrant", () => {
  it("carry the content key to the recipient", async () => {
    const keys = await openGrant(expected);
    expect(keys).toEqual({ cek: sealed.cek });
    expect((await open(keys)).parts.get("content")).toEqual(utf8ToBytes("content"));
  });

  it("carry the keys of some parts only", async () => {
    const keys = await openGrant({ ...expected, grant: await grantTo(recipient, partKeys) });
    expect(keys).toEqual(partKeys);
    expect([...(await open(keys)).parts.keys()]).toEqual(["manifest"]);
    await expect(open(keys, ["content"])).rejects.toThrow(DECRYPT);
  });

  it("work with a grantor that signs ES256", async () => {
    const bytes = await grantTo(recipient, cek, clinic);
    const keys = await openGrant({ ...expected, grant: bytes, grantor: grantorOf(clinic) });
    expect(keys).toEqual(cek);
  });

  it("say nothing that tells who the recipient is", async () => {
    for (const hidden of [recipient.key, recipient.publicKey]) {
      expect(Buffer.from(grant).includes(Buffer.from(hidden))).toBe(false);
    }
    expect((await grantTo(otherRecipient)).length).toBe(grant.length);
  });

  it("do not open for anyone else", async () => {
    await expect(openGrant({ ...expected, agreement: otherRecipient })).rejects.toThrow(DECRYPT);
  });

  it.each<[string, Partial<OpenGrantOptions>]>([
    ["envelope", { envelope: otherLedger }],
    ["basis", { basis: new Uint8Array(32) }],
    ["grantor", { grantor: { ...grantorOf(hospital), actor: laboratory.actor } }],
    ["signing-key", { grantor: { ...grantorOf(laboratory), actor: hospital.actor } }],
    ["signing-key", { grantor: { ...grantorOf(clinic), actor: hospital.actor } }],
  ])("refuse another %s", async (reason, change) => {
    await expect(openGrant({ ...expected, ...change })).rejects.toThrow(INVALID);
    expect(verifyGrant(grant, { ...expected, ...change })).toEqual({ ok: false, reason });
  });

  it("do not open when the message moves to another envelope or basis, even newly signed", async () => {
    const { message } = decodeGrant(grant);
    const toEnvelope = await signGrant({ envelope: otherLedger, basis, message }, hospital);
    await expect(
      openGrant({ ...expected, grant: toEnvelope, envelope: otherLedger }),
    ).rejects.toThrow(DECRYPT);
    const other = new Uint8Array(32).fill(1);
    const toBasis = await signGrant({ envelope: sealed.cid, basis: other, message }, hospital);
    await expect(openGrant({ ...expected, grant: toBasis, basis: other })).rejects.toThrow(DECRYPT);
  });

  it("refuse a grant whose signature is another's, or for another purpose", async () => {
    const fields = decode(grant) as Record<string, unknown>;
    const { sig: _, ...unsigned } = fields;
    const swapped = encode({
      ...fields,
      sig: decodeGrant(await grantTo(recipient, cek, laboratory)).signature,
    });
    expect(verifyGrant(swapped, expected)).toEqual({ ok: false, reason: "signature" });
    const sig = await hospital.sign(
      Buffer.concat([utf8ToBytes("healthledger/envelope/1\0"), encode(unsigned)]),
    );
    expect(verifyGrant(encode({ ...fields, sig }), expected)).toEqual({
      ok: false,
      reason: "signature",
    });
  });

  it("catch every flipped bit", async () => {
    for (let bit = 0; bit < grant.length * 8; bit++) {
      const bytes = grant.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const result = verifyGrant(bytes, expected);
      if (result.ok) expect({ bit, ok: true }).toEqual({ bit, ok: false });
    }
  });

  it("catch every flipped bit of a message, even when it is newly signed", async () => {
    const { message } = decodeGrant(grant);
    for (let bit = 0; bit < message.length * 8; bit++) {
      const changed = message.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const bytes = await signGrant({ envelope: sealed.cid, basis, message: changed }, hospital);
      const failure = await openGrant({ ...expected, grant: bytes }).catch(
        (error: unknown) => error,
      );
      // The algorithm is public, so that naming another is answered as what it is. X25519 ignores
      // the top bit of a public key, but HPKE hashes the encapsulated key as it stands.
      expect(failure).toMatchObject({
        code: expect.stringMatching(/^ERR_ENVELOPE_(DECRYPT|UNSUPPORTED)$/) as string,
      });
    }
  });

  it.each<[string, unknown]>([
    ["no keys", {}],
    ["a short content key", { cek: new Uint8Array(31) }],
    ["a content key that is text", { cek: "k".repeat(32) }],
    ["no parts", { parts: {} }],
    ["parts that are a list", { parts: [new Uint8Array(32)] }],
    ["parts that are null", { parts: null }],
    ["a short part key", { parts: { content: new Uint8Array(16) } }],
    ["both", { cek: new Uint8Array(32), parts: { content: new Uint8Array(32) } }],
    ["something else", "cek"],
  ])("answer a message that holds %s like any that does not open", async (_, value) => {
    const aad = encode(["healthledger/grant/1", sealed.cid, basis]);
    const message = sealCose(recipient, encode(value), aad, seeded("hostile")(32));
    const bytes = await signGrant({ envelope: sealed.cid, basis, message }, hospital);
    await expect(openGrant({ ...expected, grant: bytes })).rejects.toThrow(DECRYPT);
  });

  it("refuse malformed and oversized grants with typed errors", async () => {
    for (let length = 0; length < grant.length; length += 3) {
      const failure = await openGrant({ ...expected, grant: grant.subarray(0, length) }).catch(
        (error: unknown) => error,
      );
      expect(failure).toBeInstanceOf(LedgerError);
    }
    expect(verifyGrant(new Uint8Array(MAX_GRANT_BYTES + 1), expected)).toEqual({
      ok: false,
      reason: "malformed",
    });
  });

  it("refuse to wrap a value that is not a key, as a programmer's mistake", async () => {
    await expect(grantTo(recipient, { cek: new Uint8Array(16) })).rejects.toThrow(RangeError);
    await expect(grantTo(recipient, { parts: {} })).rejects.toThrow(RangeError);
    await expect(grantTo(recipient, { parts: { a: new Uint8Array(1) } })).rejects.toThrow(
      RangeError,
    );
  });
});

describe("rewrapGrant", () => {
  const newBasis = new Uint8Array(32).fill(0xcc);
  const to = {
    recipient: otherRecipient,
    basis: newBasis,
    signer: laboratory,
    random: seeded("rewrap"),
  };
  const opening = {
    agreement: otherRecipient,
    envelope: sealed.cid,
    basis: newBasis,
    grantor: grantorOf(laboratory),
  };

  it("passes a key on without touching the envelope", async () => {
    const bytes = await rewrapGrant({ ...expected, to });
    const keys = await openGrant({ ...opening, grant: bytes });
    expect((await open(keys)).parts.size).toBe(2);
    await expect(openGrant({ ...opening, grant: bytes, agreement: recipient })).rejects.toThrow(
      DECRYPT,
    );
  });

  it("passes on less than was received", async () => {
    const bytes = await rewrapGrant({ ...expected, to, only: { header, parts: ["content"] } });
    const keys = await openGrant({ ...opening, grant: bytes });
    expect([...(await open(keys)).parts.keys()]).toEqual(["content"]);
  });

  it("cannot pass on more than was received", async () => {
    const some = { ...expected, grant: await grantTo(recipient, partKeys) };
    const kept = await rewrapGrant({ ...some, to, only: { header, parts: ["manifest"] } });
    expect(await openGrant({ ...opening, grant: kept })).toEqual(partKeys);
    await expect(
      rewrapGrant({ ...some, to, only: { header, parts: ["manifest", "content"] } }),
    ).rejects.toThrow(DECRYPT);
    await expect(
      rewrapGrant({ ...some, to, only: { header, parts: ["toString"] } }),
    ).rejects.toThrow(DECRYPT);
  });
});

describe("narrowKeys and wipeKeys", () => {
  it("copy what they keep, and leave zeros behind", () => {
    const keys = { parts: { a: new Uint8Array(32).fill(1), b: new Uint8Array(32).fill(2) } };
    const narrowed = narrowKeys(keys, { header, parts: ["a"] });
    wipeKeys(keys);
    expect(keys.parts.a).toEqual(new Uint8Array(32));
    expect(narrowed).toEqual({ parts: { a: new Uint8Array(32).fill(1) } });
  });
});
