// @ts-check
import { openChainFloor } from "../lib/chain-floor.mjs";
import { openFloor } from "../lib/floor.mjs";
import { openHypercore } from "../lib/hypercore.mjs";
import { found, makeBlobs, openOnLmdb } from "../lib/ledger.mjs";
import { pipelined, rates } from "../lib/measure.mjs";

/** Clients that wait for their own submission before they make the next. */
const CLIENTS = 64;

export const rows = [
  {
    name: "submit/concurrent",
    unit: "entries/s",
    /** @param {import("../run.mjs").Run} run */
    async run({ folder, rounds, short }) {
      const ledger = await openOnLmdb(folder("ledger"), await found());
      const floor = openChainFloor(folder("floor"));
      const bare = openFloor(folder("bare"));
      const core = await openHypercore(folder("hypercore"));
      const count = short ? 64 : 1500;

      /** @param {(blob: Uint8Array) => Promise<unknown>} submit */
      const side = (submit) => ({
        prepare: () => makeBlobs(count),
        /** @param {Uint8Array[]} blobs */
        round: async (blobs) => {
          await pipelined(count, CLIENTS, (i) => submit(/** @type {Uint8Array} */ (blobs[i])));
          return count;
        },
      });
      const measured = await rates(
        [
          { name: "ours", ...side((blob) => ledger.receive([blob])) },
          { name: "floor", ...side(async (blob) => floor.receive(blob)) },
          { name: "bare", ...side((blob) => bare.append([blob])) },
          { name: "hypercore", ...side((blob) => core.append([blob])) },
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
  },
];
