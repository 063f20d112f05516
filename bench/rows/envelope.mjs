// @ts-check
import { randomBytes } from "node:crypto";
import {
  floorGrant,
  floorOpen,
  floorOpenGrant,
  floorSeal,
  floorWrap,
} from "../lib/envelope-floor.mjs";
import { envelopePeers } from "../lib/envelope-peers.mjs";
import { envelopeWork } from "../lib/envelope-work.mjs";
import { envelope, hl, hlChain } from "../lib/healthledger.mjs";
import { rates } from "../lib/measure.mjs";
import { loadPortable } from "../lib/portable.mjs";

/** The side of every row here that runs on the portable backend. */
const PURE = "ours (pure noble)";

const random = (/** @type {number} */ length) => new Uint8Array(randomBytes(length));
const native = envelopeWork({ hl, chain: hlChain, envelope }, random);

/**
 * @param {string} name
 * @param {number} times
 * @param {() => unknown} work
 */
const side = (name, times, work) => ({
  name,
  async round() {
    for (let i = 0; i < times; i++) await work();
    return times;
  },
});

/**
 * The work of a row, on both backends.
 *
 * @param {string} name
 * @param {number} times - of the native one; the portable one gets a tenth of them
 */
async function ourSides(name, times) {
  const portable = envelopeWork(await loadPortable(), random);
  const work = async (/** @type {typeof native} */ { rows }) => {
    const row = rows.find((one) => one.name === name);
    if (row === undefined) throw new Error(`no work for ${name}`);
    return row.begin();
  };
  return [
    side("ours", times, await work(native)),
    side(PURE, Math.ceil(times / 10), await work(portable)),
  ];
}

/** @param {Record<string, number>} measured */
function asResult({ ours, floor, ...peers }) {
  return {
    value: /** @type {number} */ (ours),
    floor: /** @type {number} */ (floor),
    peers,
  };
}

/**
 * @param {string} what
 * @param {number} bytes
 * @param {number} recipients
 * @param {number} times
 */
const row = (what, bytes, recipients, times) => ({
  name: `${what}/${bytes === 1024 ? "1k" : "16m"}-${recipients}`,
  unit: "envelopes/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ rounds, short, note }) {
    const content = random(bytes);
    const count = short ? Math.ceil(times / 50) : times;
    const slower = Math.ceil(count / 4);
    const floorSealed = () => {
      const sealed = floorSeal(content);
      const grants = Array.from({ length: recipients }, () =>
        floorGrant(sealed.key.subarray(0, 32)),
      );
      return { sealed, grants };
    };
    const floor = floorSealed();
    const sealing = what === "seal";
    const peers = Object.entries(await envelopePeers()).filter(
      ([name]) => recipients === 1 || name === "jose" || name === "age-encryption",
    );
    const sides = [
      ...(await ourSides(`${what}/${bytes === 1024 ? "1k" : "16m"}-${recipients}`, count)),
      side("floor", count, () => {
        if (sealing) return floorSealed();
        floorOpenGrant(/** @type {any} */ (floor.grants[0]));
        return floorOpen(floor.sealed);
      }),
    ];
    for (const [name, seal] of peers) {
      const open = await seal(content, recipients);
      sides.push(side(name, slower, () => (sealing ? seal(content, recipients) : open())));
    }
    note("jose, @hpke/core and age sign nothing; ours signs header and grants, and names blocks");
    return asResult(await rates(sides, { rounds }));
  },
});

const rewrap = {
  name: "grant/rewrap",
  unit: "grants/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ rounds, short }) {
    const bare = floorGrant(random(32));
    const times = short ? 10 : 500;
    const sides = [
      ...(await ourSides("grant/rewrap", times)),
      side("floor", times, () => floorGrant(floorOpenGrant(bare))),
    ];
    return asResult(await rates(sides, { rounds }));
  },
};

const collection = {
  name: "grant/collection",
  unit: "wraps/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ rounds, short, note }) {
    const times = short ? 100 : 20_000;
    const [ours, pure] = await ourSides("grant/collection", times);
    if (ours === undefined || pure === undefined) throw new Error("no work");
    const key = random(32);
    const content = random(38);
    let cpu = 0;
    let wraps = 0;
    const sides = [
      {
        name: "ours",
        async round() {
          const before = process.cpuUsage();
          wraps += await ours.round();
          const { user, system } = process.cpuUsage(before);
          cpu += user + system;
          return times;
        },
      },
      pure,
      side("floor", times, () => {
        randomBytes(12);
        floorWrap(key, content);
      }),
    ];
    const measured = await rates(sides, { rounds });
    note(`${(cpu / wraps).toFixed(1)} µs of CPU a wrap`);
    return asResult(measured);
  },
};

export const rows = [
  row("seal", 1024, 1, 1000),
  row("open", 1024, 1, 1000),
  row("seal", 16 << 20, 10, 4),
  row("open", 16 << 20, 10, 4),
  rewrap,
  collection,
];
