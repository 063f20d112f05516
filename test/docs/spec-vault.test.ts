import {
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
} from "node:crypto";
import { decode as decodeCbor, encode as encodeCbor } from "cborg";
import { decode, encode } from "@ipld/dag-cbor";
import { CID } from "multiformats/cid";
import { create as createDigest } from "multiformats/hashes/digest";
import { describe, expect, it } from "vitest";
import { decodeEntry } from "../../src/block/entry.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { memoryKeys } from "../../src/identity/key-store.ts";
import { isDecoy } from "../../src/ledger/entries/decoys.ts";
import { gateCommits } from "../../src/ledger/vault/commit-gate.ts";
import { openVault } from "../../src/ledger/vault/vault.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { specPage } from "./spec-page.ts";

const page = specPage("disclosure.md");
const input = (label: string): Buffer => Buffer.from(fromHex(page.value(label)));
const hmac = (key: Uint8Array, ...parts: Uint8Array[]): Buffer =>
  createHmac("sha256", key).update(Buffer.concat(parts)).digest();

/** ChaCha20-Poly1305 by node:crypto; throws where it does not open. */
function open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Buffer {
  const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  const end = sealed.length - 16;
  decipher.setAAD(aad, { plaintextLength: end });
  decipher.setAuthTag(sealed.subarray(end));
  return Buffer.concat([decipher.update(sealed.subarray(0, end)), decipher.final()]);
}

/** RFC 9180 base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305: opens a COSE_Encrypt0 message. */
function openHpke(message: Uint8Array, secret: Uint8Array, external: Uint8Array): Buffer {
  const options = { useMaps: true, tags: { 16: (item: () => unknown) => item() } };
  const [header, unprotected, ciphertext] = decodeCbor(message, options) as [
    Uint8Array,
    Map<number, Uint8Array>,
    Uint8Array,
  ];
  const enc = unprotected.get(-4)!;
  const jwk = (x: Uint8Array) => ({
    ...{ kty: "OKP", crv: "X25519", x: Buffer.from(x).toString("base64url") },
  });
  const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), secret]);
  const privateKey = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const own = createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32);
  const publicKey = createPublicKey({ key: jwk(enc), format: "jwk" });
  const extract = (suite: Buffer, salt: Uint8Array, label: string, ikm: Uint8Array) =>
    hmac(salt, Buffer.from("HPKE-v1"), suite, Buffer.from(label), ikm);
  const expand = (suite: Buffer, prk: Buffer, label: string, info: Uint8Array, length: number) =>
    hmac(
      prk,
      ...[Uint8Array.of(0, length), Buffer.from("HPKE-v1"), suite, Buffer.from(label), info],
      Uint8Array.of(1),
    ).subarray(0, length);
  const none = Buffer.alloc(0);
  const kem = Buffer.from("KEM\x00\x20", "latin1");
  const eae = extract(kem, none, "eae_prk", diffieHellman({ privateKey, publicKey }));
  const shared = expand(kem, eae, "shared_secret", Buffer.concat([enc, own]), 32);
  const hpke = Buffer.from("HPKE\x00\x20\x00\x01\x00\x03", "latin1");
  const context = Buffer.concat([
    Uint8Array.of(0),
    extract(hpke, none, "psk_id_hash", none),
    extract(hpke, none, "info_hash", none),
  ]);
  const root = extract(hpke, shared, "secret", none);
  const key = expand(hpke, root, "key", context, 32);
  const nonce = expand(hpke, root, "base_nonce", context, 12);
  return open(key, nonce, ciphertext, encodeCbor(["Encrypt0", header, external]));
}

const ledger = CID.parse(page.value("ledger"));
const custodian = page.value("custodian");
const root = input("root key");
const name = input("name");

describe("docs/spec/disclosure.md, the vault by another hand", () => {
  it("has a root whose plaintext is the root key and nothing else", () => {
    const { message } = decode<{ message: Uint8Array }>(page.hex("vault-root"));
    const aad = encode(["healthledger/vault/1", ledger, custodian]);
    expect(openHpke(message, input("custodian's X25519"), aad)).toEqual(root);
    expect(() => openHpke(message, input("custodian's X25519"), encode(["x"]))).toThrow();
  });

  it("has a value and a mark of a vault with shard keys, which the library reads", async () => {
    expect(Number(page.value("shard"))).toBe((name[0]! << 4) | (name[1]! >> 4));
    const prk = hmac(input("shard key"), root);
    const key = hmac(prk, Buffer.from("healthledger/vault/1 shard"), Uint8Array.of(1));
    expect(key.toString("hex")).toBe(page.value("shard value key"));
    const value = Buffer.from(page.hex("vault-shard-value"));
    expect(open(key, value.subarray(0, 12), value.subarray(12), name)).toEqual(input("local id"));
    const mark = Buffer.from(page.hex("vault-shard-mark"));
    expect(
      open(input("value key"), mark.subarray(0, 12), mark.subarray(12), Buffer.alloc(0)),
    ).toEqual(input("id of the shard keys"));

    const prefix = page.hex("vault-root-key").subarray(0, -1);
    const storage = memoryStorage();
    await storage.state.batch([
      { key: page.hex("vault-root-key"), value: page.hex("vault-root") },
      { key: Uint8Array.from([...prefix, 2]), value: page.hex("vault-shard-mark") },
      { key: page.hex("vault-key"), value: page.hex("vault-shard-value") },
    ]);
    let secret: Uint8Array = encode({
      ...{ v: 1, owner: prefix.subarray(-16), id: input("id of the shard keys"), former: [] },
      keys: Buffer.concat(Array<Uint8Array>(4096).fill(input("shard key"))),
    });
    const keys = memoryKeys();
    await keys.add({ use: "sign", secret: input("custodian's secret") });
    await keys.add({ use: "agree", secret: input("custodian's X25519") });
    const gate = gateCommits(storage as never);
    const vault = await openVault({
      ...{ storage: gate.storage, keys, ledger: ledger as never, actor: custodian },
      random: () => input("nonce"),
      hasFiled: async () => false,
      shards: {
        gate,
        keys: {
          load: async () => new Uint8Array(secret),
          replace: async (bytes: Uint8Array) => void (secret = bytes.slice()),
        } as never,
      },
    });
    expect(await vault.get(new Uint8Array(name))).toEqual(new Uint8Array(input("local id")));
    expect(vault.put(new Uint8Array(name), new Uint8Array(input("local id")))).toEqual({
      key: page.hex("vault-key"),
      value: page.hex("vault-shard-value"),
    });
    const decoyKey = hmac(root, Buffer.from("healthledger/vault/1 decoy"), Uint8Array.of(1));
    expect(decoyKey.toString("hex")).toBe(page.value("decoy key"));
    const salt = fromHex("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf");
    const inputOf = (what: string) =>
      encode(["healthledger/decoy/1", what, ledger, custodian, salt]);
    expect(toHex(inputOf("tag"))).toBe(toHex(page.hex("decoy-tag-input")));
    const [tag, body] = ["tag", "body"].map((what) => hmac(decoyKey, inputOf(what)));
    expect(vault.decoy("tag", salt)).toEqual(new Uint8Array(tag!));
    const entry = decodeEntry(page.hex("decoy-entry"));
    expect(entry).toMatchObject({ kind: "record", salt, subject: new Uint8Array(tag!) });
    expect(isDecoy({ vault }, entry)).toBe(true);
    expect(toHex(page.hex("decoy-entry"))).toBe(
      toHex(
        encode({
          ...{ v: 1, kind: "record", salt, subject: tag },
          body: CID.createV1(0x71, createDigest(0x12, new Uint8Array(body!))),
        }),
      ),
    );
  });
});
