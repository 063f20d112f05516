// @ts-check
import {
  createCipheriv,
  createDecipheriv,
  hash,
  randomBytes,
  verify,
  createPublicKey,
} from "node:crypto";
import { open as openFile } from "node:fs/promises";
import { envelopeWork, MEGA, study } from "../lib/envelope-work.mjs";
import { envelope as env, hl, hlChain } from "../lib/healthledger.mjs";
import { rates, values } from "../lib/measure.mjs";
import { loadPortable } from "../lib/portable.mjs";

const SEGMENT = 65_536;
const SEALED = SEGMENT + 16;
const BLOCK = 15 * SEALED;

/** The side of every row here that runs on the portable backend, on less and in memory. */
const PURE = "ours (pure noble)";
const PURE_MEGA = 64;

const random = (/** @type {number} */ length) => new Uint8Array(randomBytes(length));
const work = envelopeWork({ hl, chain: hlChain, envelope: env }, random);

/**
 * The portable backend's work of a row.
 *
 * @param {string} name
 * @param {boolean} short
 */
async function pureWork(name, short) {
  const { rows } = envelopeWork(await loadPortable(), random);
  const row = rows.find((one) => one.name === name);
  if (row === undefined) throw new Error(`no work for ${name}`);
  return row.begin({ mega: short ? 2 : PURE_MEGA });
}

/** Writes a sealed study to a file, and reads its blocks. @param {string} path @param {number} mega */
async function sealToFile(path, mega) {
  const file = await openFile(path, "w+");
  /** @type {Map<string, number>} */
  const places = new Map();
  const sealed = await work.sealStream(study(mega, random), async (cid, bytes) => {
    const at = places.size * BLOCK;
    places.set(cid.toString(), at);
    await file.write(bytes, 0, bytes.length, at);
  });
  /** @param {number} position */
  const readAt = async (position) => {
    const { buffer, bytesRead } = await file.read({ buffer: new Uint8Array(BLOCK), position });
    return buffer.subarray(0, bytesRead);
  };
  const options = work.openingOf(sealed, async (cid) =>
    readAt(/** @type {number} */ (places.get(cid.toString()))),
  );
  return { file, readAt, options, blocks: places.size };
}

/** Watches between which bounds resident memory stays, once the first pieces have passed. */
function watch() {
  let least = Infinity;
  let most = 0;
  return {
    look() {
      const { rss } = process.memoryUsage();
      least = Math.min(least, rss);
      most = Math.max(most, rss);
    },
    text: () =>
      `resident memory stayed within ${Math.round((most - least) / 1e6)} MB, ` +
      `at most ${Math.round(most / 1e6)} MB`,
  };
}

const key = random(32);
/** @param {number} counter */
const nonce = (counter) => {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(counter, 7);
  return bytes;
};

/** @param {number} counter @param {Uint8Array} plaintext */
function bareSeal(counter, plaintext) {
  const cipher = createCipheriv("chacha20-poly1305", key, nonce(counter), { authTagLength: 16 });
  const sealed = cipher.update(plaintext);
  cipher.final();
  return [sealed, cipher.getAuthTag()];
}

/** @param {number} counter @param {Uint8Array} sealed */
function bareOpen(counter, sealed) {
  const decipher = createDecipheriv("chacha20-poly1305", key, nonce(counter), {
    authTagLength: 16,
  });
  decipher.setAuthTag(sealed.subarray(-16));
  const plaintext = decipher.update(sealed.subarray(0, -16));
  decipher.final();
  return plaintext;
}

const sealRow = {
  name: "stream/seal-1g",
  unit: "MB/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ rounds, short, note }) {
    const mega = short ? 32 : 1024;
    const source = study(mega, random);
    const memory = watch();
    const {
      ours,
      floor,
      [PURE]: pure,
    } = await rates(
      [
        { name: PURE, round: await pureWork("stream/seal-1g", short) },
        {
          name: "ours",
          async round() {
            let blocks = 0;
            await work.sealStream(source, () => {
              if (++blocks % 64 === 0) memory.look();
            });
            return (mega * MEGA) / 1e6;
          },
        },
        {
          name: "floor",
          async round() {
            /** @type {Buffer[]} */
            let segments = [];
            let counter = 0;
            for await (const chunk of source) {
              for (let at = 0; at < chunk.length; at += SEGMENT) {
                segments.push(...bareSeal(counter++, chunk.subarray(at, at + SEGMENT)));
                if (counter % 15 === 0) {
                  hash("sha256", Buffer.concat(segments), "buffer");
                  segments = [];
                }
              }
            }
            hash("sha256", Buffer.concat(segments), "buffer");
            return (mega * MEGA) / 1e6;
          },
        },
      ],
      { rounds: Math.min(rounds, 5) },
    );
    note(`blocks are dropped as they come; ${memory.text()}`);
    return {
      value: /** @type {number} */ (ours),
      floor: /** @type {number} */ (floor),
      peers: { [PURE]: /** @type {number} */ (pure) },
    };
  },
};

const openRow = {
  name: "stream/open-1g",
  unit: "MB/s",
  /** @param {import("../run.mjs").Run} run */
  async run({ folder, rounds, short, note }) {
    const mega = short ? 32 : 1024;
    const { file, options, blocks } = await sealToFile(folder("study"), mega);
    // The floor opens segments of its own, in a file of the same length.
    const other = await openFile(folder("bare"), "w+");
    let counter = 0;
    const piece = random(MEGA);
    for (let i = 0; i < mega; i++) {
      for (let at = 0; at < MEGA; at += SEGMENT) {
        const bytes = Buffer.concat(bareSeal(counter, piece.subarray(at, at + SEGMENT)));
        await other.write(bytes, 0, bytes.length, counter++ * SEALED);
      }
    }
    const memory = watch();
    const {
      ours,
      floor,
      [PURE]: pure,
    } = await rates(
      [
        { name: PURE, round: await pureWork("stream/open-1g", short) },
        {
          name: "ours",
          async round() {
            let length = 0;
            let pieces = 0;
            for await (const { length: more } of env.openStream(options)) {
              length += more;
              if (++pieces % 1000 === 0) memory.look();
            }
            return length / 1e6;
          },
        },
        {
          name: "floor",
          async round() {
            let length = 0;
            let at = 0;
            for (let block = 0; block < blocks; block++) {
              const buffer = new Uint8Array(BLOCK);
              const { bytesRead } = await other.read({ buffer, position: block * BLOCK });
              const sealed = buffer.subarray(0, bytesRead);
              hash("sha256", sealed, "buffer");
              for (let from = 0; from < bytesRead; from += SEALED) {
                length += bareOpen(at++, sealed.subarray(from, from + SEALED)).length;
              }
            }
            return length / 1e6;
          },
        },
      ],
      { rounds: Math.min(rounds, 5) },
    );
    note(`read from a file; ${memory.text()}`);
    await file.close();
    await other.close();
    return {
      value: /** @type {number} */ (ours),
      floor: /** @type {number} */ (floor),
      peers: { [PURE]: /** @type {number} */ (pure) },
    };
  },
};

const rangeRow = {
  name: "range/1g-end",
  unit: "ms",
  lessIsBetter: true,
  /** @param {import("../run.mjs").Run} run */
  async run({ folder, rounds, short, note }) {
    const mega = short ? 32 : 1024;
    const { file, options, readAt, blocks } = await sealToFile(folder("study"), mega);
    const size = mega * MEGA;
    const times = short ? 2 : 50;
    const part = env.openPart(options);
    const last = random(SEALED);
    const sealedLast = Buffer.concat(bareSeal(0, last.subarray(0, SEGMENT)));
    const spki = Buffer.concat([
      Buffer.from("302a300506032b6570032100", "hex"),
      work.signer.publicKey,
    ]);
    const publicKey = createPublicKey({ key: spki, format: "der", type: "spki" });
    /** @param {() => Promise<unknown>} work */
    const timed = async (work) => {
      const start = performance.now();
      for (let i = 0; i < times; i++) await work();
      return (performance.now() - start) / times;
    };
    const pureRange = await pureWork("range/1g-end", short);
    const {
      ours,
      again,
      floor,
      [PURE]: pure,
    } = await values(
      [
        { name: PURE, round: () => timed(async () => pureRange()) },
        {
          name: "ours",
          round: () => timed(() => env.openRange({ ...options, from: size - 100, to: size })),
        },
        { name: "again", round: () => timed(() => part.range(size - 100, size)) },
        {
          name: "floor",
          round: () =>
            timed(async () => {
              hash("sha256", options.header, "buffer");
              verify(null, options.header, publicKey, last.subarray(0, 64));
              hash("sha256", await readAt((blocks - 1) * BLOCK), "buffer");
              bareOpen(0, sealedLast);
            }),
        },
      ],
      { rounds },
    );
    part.close();
    await file.close();
    note(`${/** @type {number} */ (again).toFixed(3)} ms where the header is verified already`);
    return {
      value: /** @type {number} */ (ours),
      floor: /** @type {number} */ (floor),
      peers: { [PURE]: /** @type {number} */ (pure) },
    };
  },
};

export const rows = [sealRow, openRow, rangeRow];
