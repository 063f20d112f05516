// @ts-check
import Hypercore from "hypercore";

/**
 * Opens a hypercore. It does not sync its appends: a power failure may lose acknowledged ones.
 *
 * @param {string} path
 * @param {unknown} [key]
 */
export async function openHypercore(path, key) {
  const core = new Hypercore(path, key);
  await core.ready();
  return core;
}

/**
 * Downloads all of a core into another over an in-process stream; each block is verified.
 *
 * @param {any} source
 * @param {any} clone
 */
export async function replicate(source, clone) {
  const from = source.replicate(true, { keepAlive: false });
  const to = clone.replicate(false, { keepAlive: false });
  from.on("error", () => undefined);
  to.on("error", () => undefined);
  from.pipe(to).pipe(from);
  await clone.download({ start: 0, end: source.length }).done();
  if (clone.contiguousLength !== source.length) throw new Error("not all was replicated");
  from.destroy();
  to.destroy();
}

/**
 * Lets a clone learn how long a core is, without any of its blocks.
 *
 * @param {any} source
 * @param {any} clone
 * @returns {Promise<() => void>} ends the connection
 */
export async function replicateLength(source, clone) {
  const from = source.replicate(true, { keepAlive: false });
  const to = clone.replicate(false, { keepAlive: false });
  from.on("error", () => undefined);
  to.on("error", () => undefined);
  from.pipe(to).pipe(from);
  await clone.update({ wait: true });
  if (clone.length !== source.length) throw new Error("the length was not replicated");
  return () => {
    from.destroy();
    to.destroy();
  };
}
