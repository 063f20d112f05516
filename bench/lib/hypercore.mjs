// @ts-check
// @ts-ignore: comes without types
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
