import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { randomBytes } from "#crypto";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { sealCose } from "../../src/crypto/cose-hpke.ts";
import { signWith } from "../../src/identity/signer.ts";
import {
  type CollectionKey,
  createCollection,
  decodeCollectionWrap,
  nextEpoch,
  unwrapFromCollection,
  wipeCollectionKey,
  wrapForCollection,
} from "../../src/envelope/collection.ts";
import { decodeSignedHeader } from "../../src/envelope/header.ts";
import { derivePartKeys, type EnvelopeKeys } from "../../src/envelope/keys.ts";
import {
  decodeMembership,
  openMembership,
  type OpenMembershipOptions,
  sealMembership,
  sealMemberships,
  verifyMembership,
} from "../../src/envelope/membership.ts";
import { openEnvelope } from "../../src/envelope/open.ts";
import { LedgerError } from "../../src/errors.ts";
import { type KeyAgreement, memoryAgreement } from "../../src/identity/agreement.ts";
import {
  basis,
  clinic,
  context,
  grantorOf,
  hospital,
  keyOf,
  laboratory,
  otherLedger,
  reader,
  seal,
  seeded,
} from "./parties.ts";

const DECRYPT = expect.objectContaining({ name: "EnvelopeError", code: "ERR_ENVELOPE_DECRYPT" });
const INVALID = expect.objectContaining({ name: "EnvelopeError", code: "ERR_ENVELOPE_INVALID" });
const random = seeded("collection");
const sealed = await seal([
  { id: "manifest", bytes: utf8ToBytes("manifest") },
  { id: "content", bytes: utf8ToBytes("content") },
]);
const { header } = decodeSignedHeader(sealed.header);
const keys: EnvelopeKeys = { cek: sealed.cek };
const cohort = createCollection(random);
const wrapping = { envelope: sealed.cid, basis, keys, random };
const wrap = wrapForCollection(cohort, wrapping);
const named = { envelope: sealed.cid, basis };

const member = (alg: "X25519" | "P-256" | "X-Wing", fill: number): KeyAgreement =>
  memoryAgreement({ alg, secret: new Uint8Array(32).fill(fill) });
const members = [member("X25519", 1), member("P-256", 2), member("X-Wing", 3)];
const admit = (key: CollectionKey, recipient: KeyAgreement) =>
  sealMembership({ key, recipient, basis, signer: hospital, random });
const joining = { collection: cohort.collection, basis, grantor: grantorOf(hospital) };

describe("wrapForCollection and unwrapFromCollection", () => {
  it("carry the content key, or the keys of some parts, to whoever holds the collection key", async () => {
    expect(unwrapFromCollection(cohort, wrap, named)).toEqual(keys);
    const some = derivePartKeys(header, sealed.cek, ["manifest"]);
    const partial = wrapForCollection(cohort, { ...wrapping, keys: some });
    const received = unwrapFromCollection(cohort, partial, named);
    expect(received).toEqual(some);
    const { parts } = await openEnvelope({
      envelope: sealed.cid,
      header: sealed.header,
      keys: received,
      context,
      author: keyOf(hospital),
      read: reader(sealed.blocks),
    });
    expect([...parts.keys()]).toEqual(["manifest"]);
  });

  it("work with aes-gcm, and name a suite that is unknown", () => {
    const gcm = wrapForCollection(cohort, { ...wrapping, suite: "aes-gcm" });
    expect(decodeCollectionWrap(gcm)).toMatchObject({ suite: "aes-gcm", epoch: 0 });
    expect(unwrapFromCollection(cohort, gcm, named)).toEqual(keys);
    const fields = decode(gcm) as object;
    const posing = encode({ ...fields, suite: "chacha" });
    expect(() => unwrapFromCollection(cohort, posing, named)).toThrow(DECRYPT as Error);
    const unknown = encode({ ...fields, suite: "aegis" });
    expect(() => unwrapFromCollection(cohort, unknown, named)).toThrow(/aegis/);
  });

  it("refuse another envelope, basis, collection or epoch by name", () => {
    const open =
      (key: CollectionKey, change = {}) =>
      () =>
        unwrapFromCollection(key, wrap, { ...named, ...change });
    expect(open(cohort, { envelope: otherLedger })).toThrow("the wrap was refused: envelope");
    expect(open(cohort, { basis: new Uint8Array(32) })).toThrow("the wrap was refused: basis");
    expect(open(createCollection(random))).toThrow("the wrap was refused: collection");
    expect(open(nextEpoch(cohort, random))).toThrow("the wrap was refused: epoch");
    expect(open(nextEpoch(cohort, random))).toThrow(INVALID as Error);
  });

  it("do not open when any of these is changed to what is expected", () => {
    const fields = decode(wrap) as Record<string, unknown>;
    const other = createCollection(random);
    const moved = [
      [encode({ ...fields, envelope: otherLedger }), cohort, { ...named, envelope: otherLedger }],
      [
        encode({ ...fields, basis: new Uint8Array(32) }),
        cohort,
        { ...named, basis: new Uint8Array(32) },
      ],
      [
        encode({ ...fields, collection: other.collection }),
        { ...cohort, collection: other.collection },
        named,
      ],
      [encode({ ...fields, epoch: 1 }), { ...cohort, epoch: 1 }, named],
      [wrap, { ...cohort, key: random(32) }, named],
    ] as const;
    for (const [bytes, key, expected] of moved) {
      expect(() => unwrapFromCollection(key, bytes, expected)).toThrow(DECRYPT as Error);
    }
  });

  it("catch every flipped bit", () => {
    for (let bit = 0; bit < wrap.length * 8; bit++) {
      const bytes = wrap.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => unwrapFromCollection(cohort, bytes, named)).toThrow(LedgerError);
    }
  });

  it("refuse malformed and oversized wraps with typed errors", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(wrap.length - 1), (bytes, cut) => {
        const hostile = Uint8Array.from([...wrap.subarray(0, cut), ...bytes]);
        expect(() => unwrapFromCollection(cohort, hostile, named)).toThrow(LedgerError);
      }),
    );
    expect(() => decodeCollectionWrap(new Uint8Array(70_000))).toThrow(INVALID as Error);
    const hostile = wrapForCollection({ ...cohort, key: random(32) }, wrapping);
    expect(() => unwrapFromCollection(cohort, hostile, named)).toThrow(DECRYPT as Error);
  });

  it("never give one wrap twice, though key, envelope and basis are the same", () => {
    const wraps = Array.from({ length: 500 }, () =>
      decodeCollectionWrap(wrapForCollection(cohort, { ...wrapping, random: randomBytes })),
    );
    const distinct = (pick: (one: (typeof wraps)[number]) => Uint8Array): number =>
      new Set(wraps.map((one) => Buffer.from(pick(one)).toString("hex"))).size;
    expect(distinct(({ nonce }) => nonce)).toBe(500);
    expect(distinct(({ wrapped }) => wrapped)).toBe(500);
  });
});

describe("sealMembership and openMembership", () => {
  it("give the collection key to each member once, whatever its key", async () => {
    for (const agreement of members) {
      const membership = await admit(cohort, agreement);
      const opened = await openMembership({ ...joining, membership, agreement });
      expect(opened).toEqual(cohort);
      expect(unwrapFromCollection(opened, wrap, named)).toEqual(keys);
    }
  });

  it("work in bulk, with progress", async () => {
    const progress: unknown[] = [];
    const admitting = sealMemberships({
      key: cohort,
      recipients: members,
      basis,
      signer: clinic,
      random,
      onProgress: (at) => progress.push(at),
    });
    const expected = { ...joining, grantor: grantorOf(clinic) };
    for await (const { recipient, membership } of admitting) {
      expect(await openMembership({ ...expected, membership, agreement: recipient })).toEqual(
        cohort,
      );
    }
    expect(progress.at(-1)).toEqual({ done: 3, total: 3 });
  });

  it("say nothing of the member, and refuse what is not the grantor's for this collection", async () => {
    const [agreement] = members as [KeyAgreement];
    const membership = await admit(cohort, agreement);
    for (const hidden of [agreement.key, agreement.publicKey, cohort.key]) {
      expect(Buffer.from(membership).includes(Buffer.from(hidden))).toBe(false);
    }
    const cases: readonly [string, Partial<OpenMembershipOptions>][] = [
      ["collection", { collection: new Uint8Array(32) }],
      ["epoch", { epoch: 1 }],
      ["basis", { basis: new Uint8Array(32) }],
      ["grantor", { grantor: grantorOf(laboratory) }],
      ["signing-key", { grantor: { ...grantorOf(laboratory), actor: hospital.actor } }],
    ];
    for (const [reason, change] of cases) {
      const options = { ...joining, membership, agreement, ...change };
      expect(verifyMembership(membership, options)).toEqual({ ok: false, reason });
      await expect(openMembership(options)).rejects.toThrow(INVALID);
    }
    const fields = decode(membership) as Record<string, unknown>;
    const { sig: _, ...unsigned } = fields;
    const grantSig = await signWith(hospital, "grant", encode(unsigned));
    expect(verifyMembership(encode({ ...fields, sig: grantSig }), joining)).toEqual({
      ok: false,
      reason: "signature",
    });
    for (let cut = 0; cut < membership.length; cut += 7) {
      expect(verifyMembership(membership.subarray(0, cut), joining).ok).toBe(false);
    }
  });

  it("do not open when the message moves to another collection, epoch or basis, even newly signed", async () => {
    const [agreement] = members as [KeyAgreement];
    const { message, collection, epoch } = decodeMembership(await admit(cohort, agreement));
    const { actor: grantor, key, alg } = hospital;
    const resign = async (change: object): Promise<Uint8Array> => {
      const unsigned = { v: 1, collection, epoch, basis, grantor, key, message, alg, ...change };
      const sig = await signWith(hospital, "membership", encode(unsigned));
      return encode({ ...unsigned, sig });
    };
    const other = new Uint8Array(32).fill(4);
    for (const change of [{ collection: other }, { epoch: 1 }, { basis: other }]) {
      const options = { ...joining, ...change, agreement, membership: await resign(change) };
      await expect(openMembership(options)).rejects.toThrow(DECRYPT);
    }
    // What is no collection key looks like a message that does not open.
    const aad = encode(["healthledger/membership/1", collection, epoch, basis]);
    for (const value of [{}, { collection: new Uint8Array(16) }, { cek: new Uint8Array(32) }, 1]) {
      const hostile = sealCose(agreement, encode(value), aad, random(32));
      const membership = await resign({ message: hostile });
      await expect(openMembership({ ...joining, agreement, membership })).rejects.toThrow(DECRYPT);
    }
  });
});

describe("members who come and go", () => {
  const [stays, leaves] = members as [KeyAgreement, KeyAgreement];

  it("a member that joins reads everything wrapped in the epochs whose keys it is given", async () => {
    const membership = await admit(cohort, member("X25519", 7));
    const opened = await openMembership({
      ...joining,
      membership,
      agreement: member("X25519", 7),
    });
    expect(unwrapFromCollection(opened, wrap, named)).toEqual(keys);
  });

  it("a member that leaves keeps what it had, and gets nothing that is wrapped from then on", async () => {
    const before = await openMembership({
      ...joining,
      membership: await admit(cohort, leaves),
      agreement: leaves,
    });
    const next = nextEpoch(cohort, random);
    expect(next).toMatchObject({ collection: cohort.collection, epoch: 1 });
    expect(next.key).not.toEqual(cohort.key);
    const newer = wrapForCollection(next, wrapping);
    const membership = await admit(next, stays);

    const stayed = await openMembership({ ...joining, epoch: 1, membership, agreement: stays });
    expect(unwrapFromCollection(stayed, newer, named)).toEqual(keys);
    // Who stays still needs the old key for old wraps: epochs are not derived from one another.
    expect(() => unwrapFromCollection(stayed, wrap, named)).toThrow(INVALID as Error);

    expect(unwrapFromCollection(before, wrap, named)).toEqual(keys);
    expect(() => unwrapFromCollection({ ...before, epoch: 1 }, newer, named)).toThrow(
      DECRYPT as Error,
    );
    await expect(openMembership({ ...joining, membership, agreement: leaves })).rejects.toThrow(
      LedgerError,
    );
  });

  it("wipes keys", () => {
    const key = createCollection(random);
    wipeCollectionKey(key);
    expect(key.key).toEqual(new Uint8Array(32));
  });
});
