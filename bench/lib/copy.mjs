// @ts-check

/**
 * Copies chains and state from one storage to another in few commits: a ledger of many blocks is
 * built in memory in seconds, where each of its blocks would be synced on disk.
 *
 * @param {import("../../src/storage/types.ts").FullStorage} from
 * @param {import("../../src/storage/types.ts").FullStorage} to
 */
export async function copyStorage(from, to) {
  for await (const chain of from.chains.list()) {
    let head = await to.chains.head(chain);
    /** @type {Uint8Array[]} */
    let records = [];
    for await (const { record } of from.chains.read(chain, { from: 0 })) {
      records.push(record);
      if (records.length < 2000) continue;
      head = await to.chains.append(chain, head, records);
      records = [];
    }
    if (records.length > 0) await to.chains.append(chain, head, records);
  }
  /** @type {{ key: Uint8Array, value: Uint8Array }[]} */
  let changes = [];
  const all = { gte: new Uint8Array(1), lt: new Uint8Array(64).fill(255) };
  for await (const change of from.state.scan(all)) {
    changes.push(change);
    if (changes.length < 10_000) continue;
    await to.state.batch(changes);
    changes = [];
  }
  if (changes.length > 0) await to.state.batch(changes);
}
