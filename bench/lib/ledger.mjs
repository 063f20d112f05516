// @ts-check
import { createHash, randomBytes } from "node:crypto";
import { hl, hlChain, lmdbStorage } from "./healthledger.mjs";

export const BLOB_BYTES = 1024;

/** @param {string} name */
export const signerOf = (name) =>
  hl.memorySigner({
    alg: "Ed25519",
    secret: new Uint8Array(createHash("sha256").update(name).digest()),
  });

/** A ledger of one custodian who also orders; nobody else's signature weighs on the figures. */
export function found() {
  return foundWith(signerOf("bench signing key"));
}

/**
 * As {@link found}, with keys of the caller's.
 *
 * @param {import("../../src/index.ts").Signer} signer
 * @param {import("../../src/index.ts").KeyAgreement} [agreement]
 */
export async function foundWith(signer, agreement) {
  const nonce = new Uint8Array(randomBytes(32));
  const checkpointSigner = signerOf("bench checkpoint key");
  const description = await hl.signDescription(
    { sign: [signer], agree: agreement === undefined ? [] : [agreement] },
    { name: "bench", roles: ["custodian", "sequencer"], for: nonce },
  );
  const { member } = hl.verifyDescription(description, nonce);
  const genesis = hlChain.encodeGenesis({
    v: 1,
    origin: "bench.example/ledger",
    nonce,
    members: [member],
    checkpointKeys: [checkpointSigner.publicKey],
    threshold: 1,
    cosignaturePolicy: {
      validators: { required: 0, keys: [] },
      witnesses: { required: 0, keys: [] },
    },
    maxDrift: 60_000,
    maxTxAge: 600_000,
    kinds: [],
    contracts: [],
  });
  return { genesis, signer, checkpointSigner };
}

/**
 * Opens a founded ledger on LMDB.
 *
 * @param {string} path
 * @param {{ genesis: Uint8Array, signer: import("../../src/index.ts").Signer }} founded
 */
export async function openOnLmdb(path, { genesis, signer }) {
  const storage = await lmdbStorage({ path });
  const chain = await hlChain.openChain({ storage, genesis, anchor: signer });
  const sequencer = hlChain.createSequencer({ chain, storage, signer, now: Date.now });
  let seq = 0;

  /**
   * Names blobs, writes their entries, and signs them as one transaction.
   *
   * @param {readonly Uint8Array[]} blobs
   */
  async function signOne(blobs) {
    const named = [];
    const entries = [];
    for (const bytes of blobs) {
      const cid = hlChain.cidOf(bytes, hlChain.DAG_CBOR);
      const random = nextRandom();
      named.push({ cid, bytes });
      entries.push(
        hlChain.encodeSubjectEntry("record", random.subarray(0, 16), random.subarray(16), cid),
      );
    }
    const signed = await hlChain.signTransaction(signer, {
      ledger: chain.ledger,
      lane: 0,
      seq: ++seq,
      time: Date.now(),
      entries,
    });
    return { signed, writes: { blobs: named } };
  }

  return {
    storage,
    chain,
    sequencer,
    signOne,
    /**
     * Names blobs, writes their entries, signs them as one transaction and waits until all of it
     * is durable.
     *
     * @param {readonly Uint8Array[]} blobs
     */
    async append(blobs) {
      const { signed, writes } = await signOne(blobs);
      return sequencer.submit(signed, writes).durable;
    },
    /**
     * As {@link append}, with a transaction that looks as if it came from somewhere else, so that
     * its signature is checked.
     *
     * @param {readonly Uint8Array[]} blobs
     */
    async receive(blobs) {
      const { signed, writes } = await signOne(blobs);
      return sequencer.submit({ ...signed }, writes).durable;
    },
    async close() {
      await sequencer.close();
      await chain.close();
      await storage.close();
    },
  };
}

const randomPool = new Uint8Array(randomBytes(48 * 4096));
let randomAt = 0;

/** 48 bytes that stand for a salt and a tag, whose making is no part of appending. */
export function nextRandom() {
  const at = 48 * (randomAt++ % 4096);
  return randomPool.subarray(at, at + 48);
}

const blobPool = randomBytes(1 << 22);
let blobCount = 0;

/**
 * Opaque blobs of which no two are alike.
 *
 * @param {number} count
 * @param {number} [length]
 * @returns {Uint8Array[]}
 */
export function makeBlobs(count, length = BLOB_BYTES) {
  return Array.from({ length: count }, () => {
    const at = (blobCount * 64) % (blobPool.length - length);
    const blob = new Uint8Array(length);
    blob.set(blobPool.subarray(at, at + length));
    new DataView(blob.buffer).setFloat64(0, ++blobCount);
    return blob;
  });
}

/**
 * Founds and opens a ledger of one member on LMDB.
 *
 * @param {string} path
 * @param {Pick<import("../../src/index.ts").OpenLedgerOptions, "workers">} [options]
 */
export async function openNew(path, options = {}) {
  const keys = hl.memoryKeys();
  await keys.add({ use: "sign", secret: new Uint8Array(randomBytes(32)) });
  await keys.add({ use: "agree", secret: new Uint8Array(randomBytes(32)) });
  const { genesis } = await foundWith(keys.signer(), keys.agreement());
  const storage = await lmdbStorage({ path });
  const ledger = await hl.openLedger({ storage, keys, genesis, ...options });
  return { storage, ledger };
}
