import * as reference from "@ipld/dag-cbor";
import { createHash, createPrivateKey, sign } from "node:crypto";
import { create as createDigest } from "multiformats/hashes/digest";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { CID } from "../../src/codec/cid.ts";
import { keyId } from "../../src/identity/actor.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import {
  openPage,
  PAGE_BYTES,
  PAGE_ITEMS,
  sealPage,
} from "../../src/ledger/disclosure/answer-pages.ts";
import { MAX_ASK_NOTE, openAsk, sealAsk } from "../../src/ledger/disclosure/ask-format.ts";
import {
  decodeMessage,
  decodeSignedMessage,
  signMessage,
} from "../../src/ledger/disclosure/message.ts";
import {
  BLOBS_TOGETHER,
  decodeBlobs,
  decodeBlobsPage,
  encodeBlobs,
  encodeBlobsPage,
} from "../../src/ledger/disclosure/blobs-format.ts";
import {
  decodePull,
  decodePullPage,
  encodePull,
  encodePullPage,
  PULL_LIMIT,
} from "../../src/ledger/disclosure/pull-format.ts";
import {
  decodeDeliver,
  decodeDeliverReply,
  encodeDeliver,
  encodeDeliverReply,
  MAX_AFTER,
  MAX_RECIPIENTS,
} from "../../src/ledger/disclosure/delivery-format.ts";
import {
  decodeHandIn,
  decodeTakenIn,
  encodeHandIn,
  encodeTakenIn,
} from "../../src/ledger/disclosure/hand-in-format.ts";
import { toEntryId } from "../../src/codec/ids.ts";
import { MAX_ASK_BYTES, MAX_PAGE_BYTES } from "../../src/transport/types.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("custodian.md");
const parties = specPage("disclosure.md");
const input = (label: string): Uint8Array => fromHex(parties.value(label));
const write = (value: unknown): string => toHex(new Uint8Array(reference.encode(value)));
const sha256 = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash("sha256").update(bytes).digest());

const ledger = CID.parse(parties.value("ledger"));
const custodian = memorySigner({ alg: "Ed25519", secret: input("custodian's secret") });
const requester = memorySigner({ alg: "Ed25519", secret: input("requester's secret") });
const asker = memoryAgreement({ alg: "X25519", secret: input("requester's X25519") });
const asked = memoryAgreement({ alg: "X25519", secret: input("custodian's X25519") });
const address = { ledger, custodian: custodian.actor };
const request = parties.hex("signed-request");
const how = { padding: "stepped", random: () => input("ephemeral secret") } as const;

/** As the page says: zeros, and the length in the last eight of 3,072 bytes. */
function padded(bytes: Uint8Array): Uint8Array {
  const all = new Uint8Array(3072);
  all.set(bytes);
  new DataView(all.buffer).setUint32(3068, bytes.length);
  return all;
}

function signedBy(secret: string, what: string, bytes: Uint8Array): Uint8Array {
  const der = concatBytes(fromHex("302e020100300506032b657004220420"), input(secret));
  const key = createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" });
  return new Uint8Array(
    sign(null, concatBytes(utf8ToBytes(`healthledger/${what}/1\0`), bytes), key),
  );
}

describe("docs/spec/custodian.md", () => {
  it("has the ask of the example, bound to ledger and custodian", async () => {
    const ask = { v: 1, kind: "request", request, from: { size: 7, policyHeight: 3 } };
    expect(toHex(page.hex("ask"))).toBe(write(ask));
    const aad = page.hex("ask-aad");
    expect(toHex(aad)).toBe(write(["healthledger/ask/1", ledger, custodian.actor]));
    const contents = { kind: "request", signed: request, from: ask.from } as const;
    const sealed = sealAsk(contents, address, asked, how);
    expect(toHex(sha256(sealed))).toBe(page.value("SHA-256 of the sealed ask"));
    expect(toHex(await asked.unwrap(sealed, aad))).toBe(toHex(padded(page.hex("ask"))));
    expect(await openAsk(sealed, address, [asker, asked])).toEqual(contents);
  });

  it("has the message of the example, signed by who asks", async () => {
    const message = {
      ...{ ledger, to: custodian.actor, id: Uint8Array.from({ length: 16 }, (_, i) => i) },
      ...{ recipient: keyId("X25519", asker.publicKey), kind: "pull" as const },
      ...{ time: 1_767_225_600_000, expires: 1_767_225_900_000, content: Uint8Array.of(1, 2, 3) },
    };
    const bytes = page.hex("message");
    expect(toHex(bytes)).toBe(write({ v: 1, from: requester.actor, ...message }));
    const sig = signedBy("requester's secret", "message", bytes);
    const key = keyId("Ed25519", requester.publicKey);
    const signed = page.hex("signed-message");
    expect(toHex(signed)).toBe(write({ message: bytes, key, alg: "Ed25519", sig }));
    expect(toHex(await signMessage(message, requester))).toBe(toHex(signed));
    const { message: inner } = decodeSignedMessage(signed);
    expect(decodeMessage(inner)).toEqual({ v: 1, from: requester.actor, ...message });
    const contents = { kind: "message", signed, from: {} } as const;
    const sealed = sealAsk(contents, address, asked, how);
    const ask = write({ v: 1, kind: "message", message: signed, from: {} });
    const unsealed = await asked.unwrap(sealed, page.hex("ask-aad"));
    expect(toHex(unsealed).startsWith(ask)).toBe(true);
    expect(await openAsk(sealed, address, [asked])).toEqual(contents);
  });

  it("has the delivery of the example, and the reply", () => {
    const after = Uint8Array.from({ length: 32 }, (_, i) => i);
    const delivery = { entry: Uint8Array.of(1, 2, 3), after: [toEntryId(after)] };
    const content = page.hex("deliver");
    expect(toHex(content)).toBe(write({ v: 1, ...delivery, after: [after] }));
    expect(toHex(encodeDeliver(delivery))).toBe(toHex(content));
    expect(decodeDeliver(content)).toEqual(delivery);
    const reply = page.hex("deliver-reply");
    expect(toHex(reply)).toBe(write({ v: 1, status: "held" }));
    expect(toHex(encodeDeliverReply({ status: "held" }))).toBe(toHex(reply));
    expect(decodeDeliverReply(reply)).toEqual({ status: "held" });
    for (const limit of [`at most ${MAX_AFTER}`, `at most ${MAX_RECIPIENTS} custodians`]) {
      expect(page.text).toContain(limit);
    }
  });

  it("has the directive of the example that a person hands in, and the reply", async () => {
    const [signed, salt] = [Uint8Array.of(1, 2, 3), new Uint8Array(32).fill(0x11)];
    const content = page.hex("hand-in");
    expect(toHex(content)).toBe(write({ v: 1, signed, salt }));
    expect(toHex(encodeHandIn({ signed, salt }))).toBe(toHex(content));
    expect(decodeHandIn(content)).toEqual({ signed, salt });
    const reply = { entry: new Uint8Array(32).fill(0xaa), receipt: signed };
    expect(toHex(page.hex("taken-in"))).toBe(write({ v: 1, ...reply }));
    expect(toHex(encodeTakenIn(reply))).toBe(toHex(page.hex("taken-in")));
    expect(decodeTakenIn(page.hex("taken-in"))).toEqual(reply);
    const message = {
      ...{ ledger, to: custodian.actor, id: Uint8Array.from({ length: 16 }, (_, i) => i) },
      ...{ recipient: keyId("X25519", asker.publicKey), kind: "deliver" as const, content },
      ...{ time: 1_767_225_600_000, expires: 1_767_225_900_000 },
      about: { system: "urn:oid:1.2.3", value: "MRN-0012345" },
    };
    const bytes = page.hex("person-message");
    expect(toHex(bytes)).toBe(write({ v: 1, from: requester.actor, ...message }));
    const { message: inner } = decodeSignedMessage(await signMessage(message, requester));
    expect(toHex(inner)).toBe(toHex(bytes));
    expect(decodeMessage(bytes)).toEqual({ v: 1, from: requester.actor, ...message });
  });

  it("has the page of the example, signed by the custodian and bound to its place", async () => {
    const ask = sha256(request);
    const content = { ask, page: 1, last: true, items: [], blobs: [Uint8Array.of(1, 2, 3)] };
    const bytes = page.hex("page");
    expect(toHex(bytes)).toBe(write({ v: 1, ledger, from: custodian.actor, ...content }));
    const sig = signedBy("custodian's secret", "answer", bytes);
    const signed = { page: bytes, key: keyId("Ed25519", custodian.publicKey), alg: "Ed25519", sig };
    expect(toHex(page.hex("signed-page"))).toBe(write(signed));
    const aad = page.hex("page-aad");
    expect(toHex(aad)).toBe(write(["healthledger/answer/1", ledger, custodian.actor, ask, 1]));
    const sealed = await sealPage(content, address, asker, { ...how, signer: custodian });
    expect(toHex(await asker.unwrap(sealed, aad))).toBe(toHex(padded(page.hex("signed-page"))));
    expect((await openPage(sealed, address, ask, 1, asker)).content).toEqual(content);
    const DECRYPT = { code: "ERR_ENVELOPE_DECRYPT" };
    await expect(openPage(sealed, address, ask, 0, asker)).rejects.toMatchObject(DECRYPT);
  });

  it("has the pull of the example, and its reply", () => {
    const [entry, erasedBy] = [new Uint8Array(32).fill(0xaa), new Uint8Array(32).fill(0xbb)];
    const pull = { limit: 2, after: { number: 7, entry } };
    expect(toHex(page.hex("pull"))).toBe(write({ v: 1, ...pull }));
    expect(toHex(encodePull(pull))).toBe(toHex(page.hex("pull")));
    expect(decodePull(page.hex("pull"))).toEqual(pull);
    const reply = { last: 8, moved: false, items: [{ number: 8, entry, erasedBy }], blobs: [] };
    expect(toHex(page.hex("pull-page"))).toBe(write({ v: 1, ...reply }));
    expect(toHex(encodePullPage(reply))).toBe(toHex(page.hex("pull-page")));
    expect(decodePullPage(page.hex("pull-page"))).toEqual(reply);
    expect(page.text).toContain(PULL_LIMIT.toLocaleString("en-US"));
  });

  it("has the ask for ciphertext of the example, and its reply", async () => {
    const [entry, basis] = [new Uint8Array(32).fill(0xaa), new Uint8Array(32).fill(0xbb)];
    const bytes = Uint8Array.of(1, 2, 3);
    const cid = CID.createV1(0x55, createDigest(0x12, sha256(bytes)));
    const ask = { basis, entry, cids: [cid] };
    expect(toHex(page.hex("blobs"))).toBe(write({ v: 1, ...ask }));
    expect(toHex(encodeBlobs(ask))).toBe(toHex(page.hex("blobs")));
    expect(decodeBlobs(page.hex("blobs"))).toEqual(ask);
    const header = reference.encode({ roots: [], version: 1 });
    const sections = [Uint8Array.of(header.length), header, Uint8Array.of(39), cid.bytes, bytes];
    const reply = { states: ["sent" as const], car: concatBytes(...sections) };
    expect(toHex(page.hex("blobs-page"))).toBe(write({ v: 1, ...reply }));
    expect(toHex(encodeBlobsPage(reply))).toBe(toHex(page.hex("blobs-page")));
    expect(decodeBlobsPage(page.hex("blobs-page"))).toEqual(reply);
    expect(BLOBS_TOGETHER).toBe(4);
  });

  it("has the limits of the code", () => {
    const numbers = [MAX_PAGE_BYTES, PAGE_BYTES].map((n) => n.toLocaleString("en-US"));
    for (const number of numbers) expect(page.text).toContain(number);
    expect([MAX_ASK_BYTES, MAX_ASK_NOTE].map((n) => `${n / 1024} KiB`)).toEqual([
      ...["512 KiB", "64 KiB"],
    ]);
    for (const limit of ["512 KiB", "64 KiB", `${PAGE_ITEMS} items`]) {
      expect(page.text).toContain(limit);
    }
  });
});
