// @ts-check
import { generateKeyPairSync, hash, sign, verify } from "node:crypto";
import { hlChain } from "../lib/healthledger.mjs";
import { openHypercore, replicate } from "../lib/hypercore.mjs";
import { found, makeBlobs, openOnLmdb } from "../lib/ledger.mjs";
import { pipelined, rates } from "../lib/measure.mjs";

/**
 * @param {string} name
 * @param {number} batch - entries a transaction
 * @param {number} total
 */
const row = (name, batch, total) => ({
  name,
  unit: "entries/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ folder, rounds, short }) {
    const count = short ? batch * 4 : total;
    const founded = await found();
    const ledger = await openOnLmdb(folder("ledger"), founded);
    // Single entries are submitted by many at a time, as in submit/concurrent.
    await pipelined(count / batch, batch === 1 ? 64 : 2, () => ledger.append(makeBlobs(batch, 64)));
    const source = await openHypercore(folder("source"));
    const entry = makeBlobs(1, 148)[0] ?? new Uint8Array();
    const entries = Array.from({ length: count }, () => entry.slice());
    for (let i = 0; i < count; i += batch) await source.append(entries.slice(i, i + batch));

    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const signature = sign(null, entry, privateKey);
    const blocks = ledger.chain.size;
    let clones = 0;
    const measured = await rates(
      [
        {
          name: "ours",
          async round() {
            const result = await hlChain.verifyLedger(ledger.storage.chains, {
              genesis: founded.genesis,
            });
            if (!result.ok || result.entries !== count) throw new Error("the ledger is not whole");
            return count;
          },
        },
        {
          name: "floor",
          round() {
            // A leaf and an inner node of 65 bytes an entry; a signature a transaction and a block.
            const node = entry.subarray(0, 65);
            for (let i = 0; i < count; i++) {
              hash("sha256", entry, "binary");
              hash("sha256", node, "binary");
            }
            for (let i = 0; i < count / batch + blocks; i++) {
              if (!verify(null, entry, publicKey, signature)) throw new Error("a bad signature");
            }
            return count;
          },
        },
        {
          name: "hypercore",
          async round() {
            const clone = await openHypercore(folder(`clone-${clones++}`), source.key);
            await replicate(source, clone);
            await clone.close();
            return count;
          },
        },
      ],
      { rounds },
    );
    await ledger.close();
    await source.close();
    return {
      value: measured.ours,
      floor: measured.floor,
      peers: { "hypercore replicates": measured.hypercore },
    };
  },
});

export const rows = [row("verify/ledger", 100, 20_000), row("verify/single", 1, 2000)];
