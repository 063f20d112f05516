import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import {
  createCollection,
  unwrapFromCollection,
  wrapForCollection,
} from "../../src/envelope/collection.ts";
import { makeGrant, openGrant, rewrapGrant } from "../../src/envelope/grant.ts";
import { decodeGrant, signGrant } from "../../src/envelope/grant-record.ts";
import { decodeSignedHeader, signHeader } from "../../src/envelope/header.ts";
import { derivePartKeys } from "../../src/envelope/keys.ts";
import { openMembership, sealMembership } from "../../src/envelope/membership.ts";
import { openEnvelope, type OpenOptions } from "../../src/envelope/open.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import {
  basis,
  grantorOf,
  hospital,
  otherRecipient,
  recipient,
  seal,
  seeded,
  openingOf,
} from "./parties.ts";

const random = seeded("failures");
const sealed = await seal([
  { id: "manifest", bytes: utf8ToBytes("manifest") },
  { id: "content", bytes: utf8ToBytes("content") },
]);
const { header } = decodeSignedHeader(sealed.header);
const keys = { cek: sealed.cek };
const grantor = grantorOf(hospital);
const wrapping = { envelope: sealed.cid, basis, keys, random };
const terms = { ...wrapping, signer: hospital };
const opening = { envelope: sealed.cid, basis, grantor };

const open = (change: Partial<OpenOptions>) => openEnvelope(openingOf(sealed, change));
async function openForged(change: Partial<typeof header>) {
  const bytes = await signHeader({ ...header, ...change }, hospital);
  return open({ envelope: cidOf(bytes, DAG_CBOR), header: bytes });
}

async function openChanged(alg: "X25519" | "P-256" | "X-Wing", at: (length: number) => number) {
  const agreement = memoryAgreement({ alg, secret: new Uint8Array(32).fill(4) });
  const message = decodeGrant(await makeGrant({ ...terms, recipient: agreement })).message.slice();
  message[at(message.length)]! ^= 1;
  const grant = await signGrant({ envelope: sealed.cid, basis, message }, hospital);
  return openGrant({ ...opening, grant, agreement });
}

const collection = createCollection(random);
const [manifest, content] = header.parts;

/** Every way of failing to decrypt, by someone who knows what the public can know. */
const FAILURES: Readonly<Record<string, () => unknown>> = {
  "another content key": () => open({ keys: { cek: new Uint8Array(32) } }),
  "the key of another part": () => {
    const { parts } = derivePartKeys(header, sealed.cek, ["manifest"]);
    return open({ keys: { parts: { content: parts["manifest"]! } } });
  },
  "no key for a part that is asked for": () =>
    open({ keys: derivePartKeys(header, sealed.cek, ["manifest"]), parts: ["content"] }),
  "keys of no part at all": () => open({ keys: { parts: {} } }),
  "another salt": () => openForged({ salt: new Uint8Array(32) }),
  "another suite": () => openForged({ suite: "aes-gcm" }),
  "commits exchanged": () =>
    openForged({
      parts: [
        { ...manifest!, commit: content!.commit },
        { ...content!, commit: manifest!.commit },
      ],
    }),
  "blocks exchanged": () =>
    openForged({
      parts: [
        { ...manifest!, data: content!.data, size: content!.size },
        { ...content!, data: manifest!.data, size: manifest!.size },
      ],
    }),
  "a size that is not the ciphertext's": () =>
    openForged({ parts: [{ ...manifest!, size: 8192 }, content!] }),
  "another recipient": async () =>
    openGrant({
      ...opening,
      grant: await makeGrant({ ...terms, recipient }),
      agreement: otherRecipient,
    }),
  "an altered X25519 key": () => openChanged("X25519", () => 12),
  "an altered X25519 message": () => openChanged("X25519", (length) => length - 1),
  "an altered P-256 point": () => openChanged("P-256", () => 20),
  "a P-256 point of no known form": () => openChanged("P-256", () => 11),
  "an altered P-256 message": () => openChanged("P-256", (length) => length - 1),
  "an altered X-Wing ciphertext": () => openChanged("X-Wing", () => 500),
  "an altered X-Wing message": () => openChanged("X-Wing", (length) => length - 1),
  "a message of another form": async () => {
    const { message } = decodeGrant(await makeGrant({ ...terms, recipient }));
    const cut = { envelope: sealed.cid, basis, message: message.subarray(1) };
    return openGrant({ ...opening, grant: await signGrant(cut, hospital), agreement: recipient });
  },
  "a grant of less than is passed on": async () => {
    const some = derivePartKeys(header, sealed.cek, ["manifest"]);
    return rewrapGrant({
      ...opening,
      grant: await makeGrant({ ...terms, keys: some, recipient }),
      agreement: recipient,
      to: { recipient: otherRecipient, basis, signer: hospital, random },
      only: { header, parts: ["content"] },
    });
  },
  "another collection key": () =>
    unwrapFromCollection(
      { ...collection, key: new Uint8Array(32) },
      wrapForCollection(collection, wrapping),
      opening,
    ),
  "another member": async () => {
    const options = { key: collection, basis, recipient, signer: hospital, random };
    const membership = await sealMembership(options);
    const expected = { collection: collection.collection, basis, grantor };
    return openMembership({ ...expected, membership, agreement: otherRecipient });
  },
};

describe("failures to decrypt", () => {
  it.each(Object.keys(FAILURES))("look alike: %s", async (name) => {
    const error = await Promise.resolve()
      .then(FAILURES[name])
      .then(
        () => undefined,
        (thrown: unknown) => thrown as Error,
      );
    // Everything that an error shows but the lines of code that it passed.
    const shown = Object.getOwnPropertyNames(error).filter((property) => property !== "stack");
    expect(Object.fromEntries(shown.map((key) => [key, error![key as "name"]]))).toEqual({
      name: "EnvelopeError",
      code: "ERR_ENVELOPE_DECRYPT",
      message: "cannot be decrypted with this key",
    });
  });
});
