import { createHash, createPublicKey, verify as verifyRaw, type KeyObject } from "node:crypto";
import { decode, encode } from "@ipld/dag-cbor";
import { base58btc } from "multiformats/bases/base58";
import { CID } from "multiformats/cid";
import * as Digest from "multiformats/hashes/digest";
import { hash, mth, verifyPath } from "./rfc9162.ts";

/**
 * A second reader of ledgers, written from `docs/spec/ledger.md` and `docs/spec/receipt.md` with
 * nothing of the library: CBOR by @ipld/dag-cbor, hashes and signatures by node:crypto.
 */
export type Fields = Record<string, unknown>;

/** Decodes, insisting on the one canonical form. */
export function read(bytes: Uint8Array): Fields {
  const value = decode<Fields>(bytes);
  if (!same(encode(value), bytes)) throw new Error("not canonical");
  return value;
}

export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
const assert = (condition: boolean, what: string): void => {
  if (!condition) throw new Error(what);
};
export const cid = (bytes: Uint8Array): CID => CID.createV1(0x71, Digest.create(0x12, hash(bytes)));
export const keyIdOf = (alg: string, pub: Uint8Array): Uint8Array => hash(encode([alg, pub]));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Public keys by did or by raw bytes; Ed25519 only. */
export function ed25519(pub: Uint8Array): KeyObject {
  const x = Buffer.from(pub).toString("base64url");
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
}

export function publicKeyOf(did: string): Uint8Array {
  const bytes = base58btc.decode(did.slice("did:key:".length));
  assert(bytes[0] === 0xed && bytes[1] === 0x01, "not an Ed25519 did:key");
  return bytes.slice(2);
}

export function isSigned(
  what: string,
  bytes: Uint8Array,
  sig: Uint8Array,
  pub: Uint8Array,
): boolean {
  const input = Buffer.concat([Buffer.from(`healthledger/${what}/1\0`), bytes]);
  return verifyRaw(null, input, ed25519(pub), sig);
}

/** Root of the sparse map of these entries, by its definition. */
export function mapRoot(entries: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const leaves = Array.from(entries, ([key, value]) => ({
    path: hash(Buffer.from(key)),
    value: hash(value),
  }));
  const bit = (path: Uint8Array, depth: number) => (path[depth >> 3]! >> (7 - (depth & 7))) & 1;
  const root = (some: typeof leaves, depth: number): Uint8Array => {
    if (some.length === 0) return new Uint8Array(32);
    if (some.length === 1) return hash(Uint8Array.of(0), some[0]!.path, some[0]!.value);
    const [left, right] = [0, 1].map((side) =>
      root(
        some.filter(({ path }) => bit(path, depth) === side),
        depth + 1,
      ),
    );
    return hash(Uint8Array.of(1), left!, right!);
  };
  return root(leaves, 0);
}

/** Root that a proof of a key's value leads to. */
export function mapRootFromProof(key: string, value: Uint8Array, siblings: readonly Uint8Array[]) {
  const path = hash(Buffer.from(key));
  let at = hash(Uint8Array.of(0), path, hash(value));
  siblings.forEach((sibling, i) => {
    const depth = siblings.length - 1 - i;
    const right = (path[depth >> 3]! >> (7 - (depth & 7))) & 1;
    at = right ? hash(Uint8Array.of(1), sibling, at) : hash(Uint8Array.of(1), at, sibling);
  });
  return at;
}

/** The state that a genesis record sets up. */
export function genesisState(genesis: Uint8Array): Map<string, Uint8Array> {
  const { v: _v, origin: _o, nonce: _n, members, ...policy } = read(genesis);
  const state = new Map<string, Uint8Array>();
  const list = members as { actor: string; roles: string[]; keys: Fields[] }[];
  for (const { actor, roles, keys } of list) {
    const ids = keys.map(({ use, alg, pub }) => {
      const id = keyIdOf(alg as string, pub as Uint8Array);
      const value = { actor, use, alg, pub, from: 0, until: null, compromisedSince: null };
      state.set(`sys/key/${hex(id)}`, encode(value));
      return id;
    });
    state.set(`sys/member/${actor}`, encode({ roles, from: 0, until: null, keys: ids }));
  }
  const sequencers = list.filter(({ roles }) => roles.includes("sequencer")).length;
  state.set("sys/policy", encode({ ...policy, members: list.length, sequencers }));
  return state;
}

export interface SeenTransaction {
  readonly author: string;
  readonly key: string;
  readonly lane: number;
  readonly seq: number;
  readonly entryIds: readonly string[];
  readonly kinds: readonly string[];
}

/** Checks records of blocks as a store holds them; returns what they say, block by block. */
export function readRecords(
  genesis: Uint8Array,
  records: readonly Uint8Array[],
): { readonly headers: Uint8Array[]; readonly transactions: SeenTransaction[][] } {
  const ledger = cid(genesis);
  const headers: Uint8Array[] = [];
  const transactions = records.map((bytes, height) => {
    const record = read(bytes);
    const block = read(record["block"] as Uint8Array);
    const headerBytes = block["header"] as Uint8Array;
    const header = read(headerBytes);
    assert(ledger.equals(header["ledger"] as CID), "ledger");
    assert(header["height"] === height, "height");
    const prev = header["prev"] as CID | null;
    assert(height === 0 ? prev === null : prev!.equals(cid(headers[height - 1]!)), "prev");
    const proposer = publicKeyOf(header["proposer"] as string);
    // Only where the proposer signs with the key that names it.
    if (same(header["key"] as Uint8Array, keyIdOf("Ed25519", proposer))) {
      assert(isSigned("header", headerBytes, block["sig"] as Uint8Array, proposer), "header sig");
    }
    headers.push(headerBytes);
    const peaks = record["peaks"] as Uint8Array[];
    assert(same(fold(peaks), mth(headers)), "peaks");
    const signed = block["transactions"] as {
      tx: Uint8Array;
      alg: string;
      sig: Uint8Array;
      entries: Uint8Array[];
    }[];
    assert(header["count"] === signed.length, "count");
    const leaves = signed.map(({ tx, alg, sig }) => encode({ tx, alg, sig }));
    assert(same(mth(leaves), header["transactions"] as Uint8Array), "transactions");
    return signed.map(({ tx: txBytes, sig, entries }) => {
      const tx = read(txBytes);
      assert(ledger.equals(tx["ledger"] as CID), "tx ledger");
      assert(tx["count"] === entries.length, "tx count");
      assert(same(mth(entries), tx["entries"] as Uint8Array), "entries");
      const author = tx["author"] as string;
      const pub = publicKeyOf(author);
      if (same(tx["key"] as Uint8Array, keyIdOf("Ed25519", pub))) {
        assert(isSigned("transaction", txBytes, sig, pub), "tx sig");
      }
      return {
        author,
        key: hex(tx["key"] as Uint8Array),
        lane: tx["lane"] as number,
        seq: tx["seq"] as number,
        entryIds: entries.map((entry) => hex(entryIdOf(ledger, author, entry))),
        kinds: entries.map((entry) => read(entry)["kind"] as string),
      };
    });
  });
  return { headers, transactions };
}

export function entryIdOf(ledger: CID, author: string, entry: Uint8Array): Uint8Array {
  return hash(Buffer.from("healthledger/entry/1\0"), encode([ledger, author, entry]));
}

function fold(peaks: readonly Uint8Array[]): Uint8Array {
  let at = peaks.at(-1)!;
  for (const peak of peaks.slice(0, -1).reverse()) at = hash(Uint8Array.of(1), peak, at);
  return at;
}

/** Takes a signed checkpoint apart and checks the ledger's own signature on it. */
export function readNote(note: Uint8Array, pub: Uint8Array): { size: number; root: Uint8Array } {
  const text = Buffer.from(note).toString("utf8");
  const at = text.lastIndexOf("\n\n");
  const body = text.slice(0, at + 1);
  const [origin, size, root] = body.split("\n");
  const keyId = createHash("sha256")
    .update(`${origin}\n`)
    .update(Uint8Array.of(1))
    .update(pub)
    .digest()
    .subarray(0, 4);
  const good = text
    .slice(at + 2)
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" "))
    .some(([dash, name, base64]) => {
      const bytes = Buffer.from(base64!, "base64");
      if (dash !== "—" || name !== origin || Buffer.compare(bytes.subarray(0, 4), keyId) !== 0) {
        return false;
      }
      return verifyRaw(null, Buffer.from(body), ed25519(pub), bytes.subarray(4));
    });
  assert(good, "checkpoint signature");
  return { size: Number(size), root: new Uint8Array(Buffer.from(root!, "base64")) };
}

/** Checks a receipt without policy steps; returns the entry's id and author. */
export function readReceipt(bytes: Uint8Array, genesis: Uint8Array) {
  const receipt = read(bytes);
  const ledger = cid(genesis);
  const b = (name: string) => receipt[name] as Uint8Array;
  const list = (name: string) => receipt[name] as Uint8Array[];
  const checkpointKeys = read(genesis)["checkpointKeys"] as Uint8Array[];
  assert(ledger.equals(receipt["ledger"] as CID), "ledger");
  const { size, root } = readNote(b("checkpoint"), checkpointKeys[0]!);
  const header = read(b("header"));
  const leaf = (of: Uint8Array) => hash(Uint8Array.of(0), of);
  const height = header["height"] as number;
  const included = (
    claim: { index: number; size: number; leaf: Uint8Array; root: Uint8Array },
    path: Uint8Array[],
    what: string,
  ) => assert(verifyPath(claim, path), what);
  included({ index: height, size, leaf: leaf(b("header")), root }, list("ledgerPath"), "header");
  const signed = encode({ tx: b("tx"), alg: receipt["alg"], sig: b("sig") });
  const index = receipt["txIndex"] as number;
  const inBlock = { index, size: header["count"] as number, leaf: leaf(signed) };
  included({ ...inBlock, root: header["transactions"] as Uint8Array }, list("txPath"), "tx");
  const tx = read(b("tx"));
  const inTx = { index: receipt["entryIndex"] as number, size: tx["count"] as number };
  included(
    { ...inTx, leaf: leaf(b("entry")), root: tx["entries"] as Uint8Array },
    list("entryPath"),
    "entry",
  );
  const { value, proof } = receipt["key"] as {
    value: Uint8Array;
    proof: { siblings: Uint8Array[] };
  };
  const name = `sys/key/${hex(tx["key"] as Uint8Array)}`;
  const state = mapRootFromProof(name, value, proof.siblings);
  assert(same(state, header["state"] as Uint8Array), "key proof");
  const key = read(value);
  const author = tx["author"] as string;
  assert(key["actor"] === author && key["use"] === "sign", "key");
  assert((key["from"] as number) <= height, "key from");
  assert(key["until"] === null || height < (key["until"] as number), "key until");
  assert(isSigned("transaction", b("tx"), b("sig"), key["pub"] as Uint8Array), "tx signature");
  return { author, height, id: entryIdOf(ledger, author, b("entry")) };
}
