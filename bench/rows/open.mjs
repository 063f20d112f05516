// @ts-check
import { hlChain, lmdbStorage } from "../lib/healthledger.mjs";
import { openFloor } from "../lib/floor.mjs";
import { openHypercore } from "../lib/hypercore.mjs";
import { found, makeBlobs, openOnLmdb } from "../lib/ledger.mjs";
import { peakMemory, pipelined, values } from "../lib/measure.mjs";

const BATCH = 100;

/**
 * @param {string} label
 * @param {number} entries
 */
const row = (label, entries) => ({
  name: `open/${label}`,
  unit: "ms",
  lessIsBetter: true,
  /** @param {import("../run.mjs").Run} run */
  async run({ folder, rounds, short, note }) {
    const batches = Math.ceil(entries / BATCH / (short ? 100 : 1));
    const founded = await found();
    const heap = peakMemory();
    const ledger = await openOnLmdb(folder("ledger"), founded);
    await pipelined(batches, 2, async (i) => {
      await ledger.append(makeBlobs(BATCH));
      if (i % 50 === 0) heap.look();
    });
    const blocks = ledger.chain.size;
    await ledger.close();
    note(`while appending: ${heap.text()}`);
    const floor = openFloor(folder("floor"));
    await pipelined(batches, 2, () => floor.append(makeBlobs(BATCH)));
    await floor.close();
    const core = await openHypercore(folder("hypercore"));
    await pipelined(batches, 2, () => core.append(makeBlobs(BATCH)));
    await core.close();

    const measured = await values(
      [
        {
          name: "ours",
          async round() {
            const start = performance.now();
            const storage = await lmdbStorage({ path: folder("ledger") });
            const { genesis, signer } = founded;
            const chain = await hlChain.openChain({ storage, genesis, anchor: signer });
            const took = performance.now() - start;
            if (chain.size !== blocks) throw new Error("blocks are missing");
            await chain.close();
            await storage.close();
            return took;
          },
        },
        {
          name: "floor",
          async round() {
            const start = performance.now();
            const opened = openFloor(folder("floor"));
            if (opened.last() === undefined) throw new Error("records are missing");
            const took = performance.now() - start;
            await opened.close();
            return took;
          },
        },
        {
          name: "hypercore",
          async round() {
            const start = performance.now();
            const opened = await openHypercore(folder("hypercore"));
            const took = performance.now() - start;
            if (opened.length !== batches * BATCH) throw new Error("blocks are missing");
            await opened.close();
            return took;
          },
        },
      ],
      { rounds },
    );
    return {
      value: measured.ours,
      floor: measured.floor,
      peers: { hypercore: measured.hypercore },
      also: [{ name: `append/heap-${label}`, unit: "MB", value: heap.megabytes() }],
    };
  },
});

export const rows = [row("1k", 1000), row("100k", 100_000), row("1m", 1_000_000)];
