import { createHash } from "node:crypto";
import { encode as encodeIpld } from "@ipld/dag-cbor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  approvalInput,
  decodeEntry,
  encodeEntry,
  entryId,
  type Entry,
  type MemberEntry,
  type PolicyEntry,
} from "../../src/block/entry.ts";
import {
  decodeSubjectEntry,
  encodeSubjectEntry,
  subjectEntryKind,
} from "../../src/block/subject-entry.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { bytesFor, recordEntries, signerFor } from "../support/ledger.ts";
import { stride } from "../support/share.ts";

const salt = bytesFor("salt").slice(0, 16);
const body = cidOf(bytesFor("body"), DAG_CBOR);
const subject = bytesFor("tag");
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe("encodeSubjectEntry", () => {
  it("writes what the codec writes, and is recognised", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("record" as const, "consent" as const, "access" as const),
        bytes32,
        bytes32,
        (kind, tag, digest) => {
          const cid = cidOf(digest, DAG_CBOR);
          const bytes = encodeSubjectEntry(kind, salt, tag, cid);
          const entry = { v: 1 as const, kind, salt, subject: tag, body: cid };
          expect(bytes).toEqual(encodeIpld(entry));
          expect(bytes).toEqual(encodeEntry(entry));
          expect(decodeEntry(bytes)).toEqual(entry);
          expect(subjectEntryKind(bytes)).toBe(kind);
          const buffer = Buffer.from(bytes);
          const read = decodeSubjectEntry(buffer);
          expect(read).toStrictEqual(decodeEntry(bytes));
          buffer.fill(0);
          expect(read).toEqual(entry);
        },
      ),
    );
  });

  it("is recognised exactly where the decoder accepts it, whatever bit is flipped", () => {
    for (const kind of ["record", "consent", "access"] as const) {
      const bytes = encodeSubjectEntry(kind, salt, subject, body);
      for (let bit = 0; bit < bytes.length * 8; bit += stride(3)) {
        const flipped = bytes.slice();
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        let decoded: Entry | undefined;
        try {
          decoded = decodeEntry(flipped);
        } catch {
          decoded = undefined;
        }
        // A flipped kind is another kind, for the policy to know or not.
        const same = decoded !== undefined && decoded.kind === kind;
        expect(subjectEntryKind(flipped)).toBe(same ? kind : undefined);
        expect(decodeSubjectEntry(flipped)).toEqual(same ? decoded : undefined);
      }
    }
  });
});

describe("decodeEntry", () => {
  const refused = (value: unknown) => {
    expect(() => decodeEntry(encode(value))).toThrow(
      expect.objectContaining({ name: "EncodingError" }),
    );
  };

  it("has no room for anything that a kind does not have", () => {
    const record = { v: 1, kind: "record", salt, subject, body };
    decodeEntry(encode(record));
    refused({ ...record, note: "free text" });
    refused({ ...record, v: 2 });
    refused({ ...record, salt: salt.slice(1) });
    refused({ ...record, subject: "clear text" });
    refused({ ...record, body: cidOf(salt, RAW) });
    refused({ ...record, body: "clear text" });
    const { subject: _subject, ...withoutSubject } = record;
    refused(withoutSubject);
    refused({ v: 1, kind: "erase", salt, class: "everything", body });
    refused({ v: 1, kind: "erase", salt, class: "clinical", body, subject });
    refused({ v: 1, kind: "link", salt, body, subject });
    refused({ v: 1, salt });
    refused({ v: 1, kind: 5, salt });
    refused([]);
    refused(null);
  });

  it("keeps registered kinds apart from the built-in ones", () => {
    const entry = { kind: "lab-order", v: 1 as const, salt, fields: { priority: 1, tag: subject } };
    expect(decodeEntry(encodeEntry(entry))).toEqual({ ...entry });
    refused({ kind: "lab-order", salt, priority: 1 });
  });
});

describe("a public key", () => {
  const { actor, publicKey } = signerFor("a");
  const pub = publicKey;
  const byIpld = (value: unknown) => new Uint8Array(encodeIpld(value));
  const key = { use: "sign", alg: "Ed25519" } as const;
  const common = { v: 1, salt, nonce: bytesFor("nonce").slice(0, 16), notAfter: 9 } as const;
  const approvals = [
    { actor, key: bytesFor("key"), alg: "Ed25519", sig: new Uint8Array(64) },
  ] as const;
  const proof = new Uint8Array(64).fill(1);

  it("is `pub` in the bytes of a key entry and of a recovery's approval", () => {
    const entry = { v: 1, kind: "key", salt, actor, op: "recover", ...key } as const;
    const bytes = encodeEntry({ ...entry, publicKey });
    expect(bytes).toEqual(byIpld({ ...entry, pub }));
    expect(decodeEntry(bytes)).toEqual({ ...entry, publicKey });
    const recovery = { actor, op: "recover", ...key, compromisedSince: null } as const;
    expect(approvalInput(body, "key", { ...recovery, publicKey }, new Uint8Array(0), 0)).toEqual(
      byIpld([body, "key", { ...recovery, pub }, new Uint8Array(0), 0]),
    );
  });

  it("is `pub` in the bytes of a change of members and of its approval", () => {
    const removal = { op: "remove", actor } as const;
    const add = { op: "add", actor, roles: ["auditor"] } as const;
    const changes = [{ ...add, keys: [{ ...key, publicKey, proof }] }, removal] as const;
    const written = [{ ...add, keys: [{ ...key, pub, proof }] }, removal];
    const entry: MemberEntry = { ...common, kind: "member", changes, approvals };
    const bytes = encodeEntry(entry);
    expect(bytes).toEqual(byIpld({ ...entry, changes: written }));
    expect(decodeEntry(bytes)).toEqual(entry);
    expect(approvalInput(body, "member", changes, common.nonce, 9)).toEqual(
      byIpld([body, "member", written, common.nonce, 9]),
    );
  });

  it("is `pub` in the bytes of a change of policy and of its approval", () => {
    const none = { required: 0, keys: [] };
    const name = "witness.example";
    const changes = {
      clock: 5,
      cosignaturePolicy: {
        validators: none,
        witnesses: { required: 1, keys: [{ name, publicKey }] },
      },
    };
    const written = {
      clock: 5,
      cosignaturePolicy: { validators: none, witnesses: { required: 1, keys: [{ name, pub }] } },
    };
    const entry: PolicyEntry = { ...common, kind: "policy", changes, approvals };
    const bytes = encodeEntry(entry);
    expect(bytes).toEqual(byIpld({ ...entry, changes: written }));
    expect(decodeEntry(bytes)).toEqual(entry);
    expect(approvalInput(body, "policy", changes, common.nonce, 9)).toEqual(
      byIpld([body, "policy", written, common.nonce, 9]),
    );
  });
});

describe("entryId", () => {
  it("hashes ledger, author and bytes, by another implementation, for every length of head", () => {
    const author = signerFor("a").actor;
    for (const length of [0, 1, 23, 24, 255, 256, 65_535, 65_536, 70_000]) {
      const entry = new Uint8Array(length).fill(7);
      const expected = createHash("sha256")
        .update("healthledger/entry/1\0")
        .update(encodeIpld([body, author, entry]))
        .digest();
      expect(entryId(body, author, entry)).toEqual(new Uint8Array(expected));
    }
  });
});

describe("signTransaction", () => {
  it("refuses no entries and too many", async () => {
    const sign = (entries: Uint8Array[]) =>
      signTransaction(signerFor("a"), { ledger: body, lane: 0, seq: 0, time: 0, entries });
    await expect(sign([])).rejects.toMatchObject({ code: "ERR_INPUT_TOO_LARGE" });
    const one = recordEntries(1)[0]!;
    await expect(sign(Array.from({ length: 10_001 }, () => one))).rejects.toMatchObject({
      code: "ERR_INPUT_TOO_LARGE",
    });
  });
});
