// @ts-check
// The envelope rows as a page runs them. Bundled by chromium.mjs.
import { noblePrimitives, pageFloor, webPrimitives } from "./envelope-floor-page.mjs";
import { envelopeWork, MEGA } from "./envelope-work.mjs";
import { pageRates, strongRandom } from "./page-rates.mjs";

/** Megabytes of the streams. */
const STREAM = 64;

/**
 * @param {{ what: string, rounds: number, short: boolean }} options - `what`: a row of
 *   envelope-work.mjs, behind `aes-gcm ` if WebCrypto is to do it
 * @param {import("./envelope-work.mjs").Library} library
 */
export async function measure({ what: named, rounds, short }, library) {
  const native = named.startsWith("aes-gcm ");
  const what = native ? named.slice("aes-gcm ".length) : named;
  const { rows } = envelopeWork(library, strongRandom, native ? "aes-gcm" : "chacha");
  const row = rows.find(({ name }) => name === what);
  if (row === undefined) throw new Error(`no work for ${what}`);
  const mega = short ? 2 : STREAM;
  const times = short ? 1 : Math.ceil(row.times / 10);
  const ours = await row.begin({ mega });
  const bare = () => floorWork(what, mega, pageFloor(noblePrimitives()));
  const web = await floorWork(what, mega, pageFloor(await webPrimitives()));
  const side = (/** @type {string} */ name, /** @type {() => unknown} */ work) => ({
    name,
    async round() {
      let done = 0;
      for (let i = 0; i < times; i++) done += Number(await work());
      return done;
    },
  });
  return pageRates(
    native
      ? [side("ours", ours), side("floor", web)]
      : [side("ours", ours), side("floor", await bare()), side("WebCrypto", web)],
    rounds,
  );
}

/**
 * The same work with bare primitives; how many units it did.
 *
 * @param {string} what
 * @param {number} mega
 * @param {ReturnType<typeof pageFloor>} floor
 */
async function floorWork(what, mega, { seal, grant, open, openGrant, range, wrap }) {
  const [kind, size] = what.split("/");
  if (what === "grant/collection") {
    const key = strongRandom(32);
    return async () => (await wrap(key)) && 1;
  }
  if (kind === "range") {
    const sealed = await seal(strongRandom(mega * MEGA));
    return async () => (await range(sealed)) && 1;
  }
  if (kind === "stream") {
    const piece = strongRandom(mega * MEGA);
    const units = piece.length / 1e6;
    if (size?.startsWith("seal")) return async () => (await seal(piece)) && units;
    const sealed = await seal(piece);
    return async () => (await open(sealed)) && units;
  }
  if (what === "grant/rewrap") {
    const made = await grant(strongRandom(32));
    return async () => (await grant(await openGrant(made))) && 1;
  }
  const [length, recipients] = size?.startsWith("1k") ? [1024, 1] : [16 * MEGA, 10];
  const content = strongRandom(length);
  const whole = async () => {
    const sealed = await seal(content);
    const grants = [];
    for (let i = 0; i < recipients; i++) grants.push(await grant(sealed.key.slice(0, 32)));
    return { sealed, grants };
  };
  if (kind === "seal") return async () => (await whole()) && 1;
  const { sealed, grants } = await whole();
  return async () => {
    await openGrant(/** @type {any} */ (grants[0]));
    await open(sealed);
    return 1;
  };
}
