// @ts-check
import { generateKeyPairSync, sign, verify } from "node:crypto";
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
      const floor = openFloor(folder("floor"));
      const signing = openFloor(folder("signing"));
      const core = await openHypercore(folder("hypercore"));
      const { privateKey, publicKey } = generateKeyPairSync("ed25519");
      const count = short ? 64 : 1500;

      /** @param {Uint8Array} blob */
      const signed = (blob) => {
        const tx = blob.subarray(0, 280);
        const signature = sign(null, tx, privateKey);
        if (!verify(null, tx, publicKey, signature)) throw new Error("a bad signature");
        return signing.append([blob]);
      };
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
          { name: "ours", ...side((blob) => ledger.append([blob])) },
          { name: "floor", ...side((blob) => floor.append([blob])) },
          { name: "signing", ...side(async (blob) => signed(blob)) },
          { name: "hypercore", ...side((blob) => core.append([blob])) },
        ],
        { rounds },
      );
      await Promise.all([ledger.close(), floor.close(), signing.close(), core.close()]);
      return {
        value: measured.ours,
        floor: measured.floor,
        peers: {
          "floor with a bare signature made and checked": measured.signing,
          "hypercore (unsynced)": measured.hypercore,
        },
      };
    },
  },
];
