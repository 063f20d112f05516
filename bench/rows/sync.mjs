// @ts-check
import { generateKeyPairSync, hash, sign, verify } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { open } from "lmdb";
import { hlChain, lmdbStorage, network } from "../lib/healthledger.mjs";
import { openHypercore, replicate } from "../lib/hypercore.mjs";
import { found, makeBlobs, openOnLmdb } from "../lib/ledger.mjs";
import { costs, noteCosts, pipelined, rates } from "../lib/measure.mjs";
import { serveLedger } from "../lib/remote.mjs";

/** Entries a transaction, and blocks that a copy keeps with one sync. */
const BATCH = 100;
const BLOCKS = 256;

/** @param {string} path */
function openBare(path) {
  mkdirSync(path, { recursive: true });
  const encodings = /** @type {const} */ ({ keyEncoding: "uint32", encoding: "binary" });
  return open({ path, overlappingSync: false, ...encodings });
}

/**
 * A ledger of so many entries, and its blocks.
 *
 * @param {import("../run.mjs").Run} run
 * @param {number} total
 */
async function grown({ folder, short }, total) {
  const count = short ? BATCH * 4 : total;
  const founded = await found();
  const ledger = await openOnLmdb(folder("ledger"), founded);
  await pipelined(count / BATCH, 2, () => ledger.append(makeBlobs(BATCH, 64)));
  const served = await serveLedger(ledger, founded);
  return { count, founded, ledger, served };
}

export const rows = [
  {
    name: "sync/from-zero",
    unit: "entries/s",
    /** @param {import("../run.mjs").Run} run */
    async run(run) {
      const { folder, rounds, note } = run;
      const entries = run.full ? 1_000_000 : 100_000;
      const { count, founded, ledger, served } = await grown(run, entries);
      const home = openBare(folder("bare"));
      let blocks = 0;
      for await (const block of ledger.chain.readBlocks({ from: 0, limit: Infinity })) {
        await home.put(blocks++, Buffer.from(block));
      }
      const core = await openHypercore(folder("source"));
      const entry = makeBlobs(1, 148)[0] ?? new Uint8Array();
      for (let i = 0; i < count; i += BATCH) {
        await core.append(Array.from({ length: BATCH }, () => entry.slice()));
      }
      const { privateKey, publicKey } = generateKeyPairSync("ed25519");
      const signature = sign(null, entry, privateKey);
      const node = entry.subarray(0, 65);
      let copies = 0;
      const measured = await costs(
        [
          {
            name: "ours",
            async round() {
              const path = folder(`copy-${copies++}`);
              const storage = await lmdbStorage({ path });
              const { genesis } = founded;
              const replica = await network.openReplica({ storage, genesis, peers: [served.peer] });
              if ((await replica.sync()) !== blocks) throw new Error("the copy is not whole");
              await replica.close();
              await storage.close();
              rmSync(path, { recursive: true });
              return count;
            },
          },
          {
            name: "floor",
            async round() {
              const path = folder(`floor-${copies++}`);
              const copy = openBare(path);
              for (let from = 0; from < blocks; from += BLOCKS) {
                /** @type {Buffer[]} */
                const batch = [];
                for (let i = from; i < Math.min(blocks, from + BLOCKS); i++) {
                  const block = home.get(i);
                  hash("sha256", block, "binary");
                  // A leaf and a node of the tree an entry; a signature of the transaction and one of the block.
                  for (let entries = 0; entries < BATCH; entries++) {
                    hash("sha256", entry, "binary");
                    hash("sha256", node, "binary");
                  }
                  for (const what of [entry, node]) {
                    if (verify(null, what, publicKey, signature) !== (what === entry)) {
                      throw new Error("a bad signature");
                    }
                  }
                  batch.push(block);
                }
                await copy.transaction(() => {
                  batch.forEach((block, i) => copy.put(from + i, block));
                });
              }
              await copy.close();
              rmSync(path, { recursive: true });
              return count;
            },
          },
          {
            name: "hypercore",
            async round() {
              const path = folder(`clone-${copies++}`);
              const clone = await openHypercore(path, core.key);
              await replicate(core, clone);
              await clone.close();
              rmSync(path, { recursive: true });
              return count;
            },
          },
        ],
        { rounds: Math.min(rounds, 3) },
      );
      await Promise.all([served.close(), home.close(), core.close()]);
      await ledger.close();
      note(`${count.toLocaleString("en")} entries`);
      noteCosts(measured, note);
      for (const of of /** @type {const} */ (["main", "total"])) {
        const times = measured.less("floor", "ours", of).toFixed(2);
        note(`${times} × floor by CPU time, ${of === "main" ? "main thread" : "all threads"}`);
      }
      const { ours, floor, hypercore } = measured.rates;
      return {
        value: /** @type {number} */ (ours),
        floor: /** @type {number} */ (floor),
        peers: { "hypercore replicates": /** @type {number} */ (hypercore) },
      };
    },
  },
  {
    name: "sync/wire",
    unit: "bytes received a byte of blocks",
    lessIsBetter: true,
    /** @param {import("../run.mjs").Run} run */
    async run(run) {
      const { founded, ledger, served } = await grown(run, 100_000);
      let bytes = 0;
      for await (const block of ledger.chain.readBlocks({ from: 0, limit: Infinity })) {
        bytes += block.length;
      }
      const storage = await lmdbStorage({ path: run.folder("copy") });
      const { genesis } = founded;
      const replica = await network.openReplica({ storage, genesis, peers: [served.peer] });
      const before = served.received();
      await replica.sync();
      const value = (served.received() - before) / bytes;
      await replica.close();
      await storage.close();
      await served.close();
      await ledger.close();
      return { value, floor: 1 };
    },
  },
  {
    name: "submit/remote",
    unit: "transactions/s",
    /** @param {import("../run.mjs").Run} run */
    async run({ folder, rounds, short }) {
      const founded = await found();
      const ledger = await openOnLmdb(folder("ledger"), founded);
      await ledger.append(makeBlobs(1));
      const served = await serveLedger(ledger, founded);
      const count = short ? 64 : 1024;
      /** What an outbox sends together. */
      const together = 64;
      const prepare = async () => {
        const made = await Promise.all(
          Array.from({ length: count }, async () => (await ledger.signOne(makeBlobs(1))).signed),
        );
        return Array.from({ length: count / together }, (_, i) =>
          made.slice(i * together, (i + 1) * together),
        );
      };
      const measured = await rates(
        [
          {
            name: "ours",
            prepare,
            /** @param {Awaited<ReturnType<typeof prepare>>} batches */
            async round(batches) {
              // One after the other, as an outbox does: a lane's transactions have an order.
              for (const batch of batches) {
                const outcomes = await served.peer.submit(batch);
                if (!outcomes.every(({ ok }) => ok)) throw new Error("not all were recorded");
              }
              return count;
            },
          },
          {
            name: "local",
            prepare,
            /** @param {Awaited<ReturnType<typeof prepare>>} batches */
            async round(batches) {
              await pipelined(batches.length, 2, (i) =>
                Promise.all(
                  (batches[i] ?? []).map(
                    (signed) => ledger.sequencer.submit({ ...signed }).durable,
                  ),
                ),
              );
              return count;
            },
          },
        ],
        { rounds },
      );
      await served.close();
      await ledger.close();
      return { value: measured.ours, peers: { "submitted locally": measured.local } };
    },
  },
  {
    name: "witness/cosign",
    unit: "checkpoints/s",
    /** @param {import("../run.mjs").Run} run */
    async run({ folder, rounds, short }) {
      const founded = await found();
      const ledger = await openOnLmdb(folder("ledger"), founded);
      const { chain, storage } = ledger;
      const count = short ? 8 : 200;
      const checkpointer = hlChain.createCheckpointer({
        ...{ chain, chains: storage.chains, signer: founded.checkpointSigner },
      });
      /** @type {{ note: Uint8Array, from: number, proof: Uint8Array[] }[]} */
      const notes = [];
      for (let i = 0; i < count; i++) {
        await ledger.append(makeBlobs(1));
        const { note } = await checkpointer.sign();
        const size = chain.size;
        const proof = i === 0 ? [] : await chain.proveConsistency(size - 1, size);
        notes.push({ note, from: i === 0 ? 0 : size - 1, proof });
      }
      const { origin } = hlChain.decodeGenesis(founded.genesis);
      const { publicKey: logKey } = founded.checkpointSigner;
      const key = hlChain.noteKey(origin, hlChain.NOTE_ED25519, logKey);
      const { privateKey, publicKey } = generateKeyPairSync("ed25519");
      const note = Buffer.from(notes[0]?.note ?? []);
      const signature = sign(null, note, privateKey);
      let made = 0;
      const measured = await rates(
        [
          {
            name: "ours",
            async round() {
              const own = await lmdbStorage({ path: folder(`witness-${made++}`) });
              const witness = hlChain.createWitness({
                ...{ chains: own.chains, signer: founded.signer, name: "w.example", origin },
                ...{ keys: [key], now: () => Math.floor(Date.now() / 1000) },
              });
              for (const { note, from, proof } of notes) {
                const result = await witness.cosign(note, from, proof);
                if (!result.ok) throw new Error(`not cosigned: ${result.reason}`);
              }
              await own.close();
              return count;
            },
          },
          {
            name: "floor",
            async round() {
              const own = openBare(folder(`floor-${made++}`));
              for (let i = 0; i < count; i++) {
                if (!verify(null, note, publicKey, signature)) throw new Error("a bad signature");
                sign(null, note, privateKey);
                await own.put(i, note);
              }
              await own.close();
              return count;
            },
          },
        ],
        { rounds },
      );
      await ledger.close();
      return { value: measured.ours, floor: measured.floor };
    },
  },
];
