// @ts-check
import { openChainFloor } from "../lib/chain-floor.mjs";
import { openFloor } from "../lib/floor.mjs";
import { openHypercore } from "../lib/hypercore.mjs";
import { found, makeBlobs, openOnLmdb } from "../lib/ledger.mjs";
import { pipelined, rates } from "../lib/measure.mjs";

/** @param {number} batch */
const row = (batch) => ({
  name: `append/batch-${batch}`,
  unit: "entries/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ folder, rounds, short, window }) {
    const ledger = await openOnLmdb(folder("ledger"), await found());
    const floor = openChainFloor(folder("floor"));
    const bare = openFloor(folder("bare"));
    const core = await openHypercore(folder("hypercore"));
    const batches = Math.max(3, Math.ceil((short ? 200 : batch === 1 ? 400 : 12_000) / batch));
    /** @param {(blobs: Uint8Array[]) => Promise<unknown>} append */
    const side = (append) => ({
      prepare: () => Array.from({ length: batches }, () => makeBlobs(batch)),
      /** @param {Uint8Array[][]} made */
      round: async (made) => {
        await pipelined(batches, window, (i) => append(/** @type {Uint8Array[]} */ (made[i])));
        return batches * batch;
      },
    });
    const measured = await rates(
      [
        { name: "ours", ...side((blobs) => ledger.append(blobs)) },
        { name: "floor", ...side((blobs) => floor.append(blobs)) },
        { name: "bare", ...side((blobs) => bare.append(blobs)) },
        { name: "hypercore", ...side((blobs) => core.append(blobs)) },
      ],
      { rounds },
    );
    await Promise.all([ledger.close(), floor.close(), bare.close(), core.close()]);
    return {
      value: measured.ours,
      floor: measured.floor,
      peers: {
        "bare LMDB": measured.bare,
        "hypercore (unsynced)": measured.hypercore,
      },
    };
  },
});

export const rows = [row(1), row(100), row(1000)];
