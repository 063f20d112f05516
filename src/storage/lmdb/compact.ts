import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { rebuildIndex } from "./blob-index.ts";
import type { LmdbDatabase } from "./client.ts";
import {
  openEnvironment,
  successor,
  type Environment,
  type EnvironmentOptions,
} from "./environment.ts";
import { corrupt } from "./errors.ts";
import type { StoreFolder } from "./folder.ts";
import { syncFolder } from "./folders.ts";
import { packNumber, uint64 } from "./keys.ts";
import { FORMAT, FORMAT_VALUE, NEXT } from "./run-list.ts";
import { packBlobs, readSlot, unpack, type PackedBlob } from "./packs.ts";

/** Bytes copied per transaction of the new environment; other work runs in between. */
const CHUNK_BYTES = 16 << 20;

/**
 * Copies the live entries into a new environment, one by one, and names it the successor of the old
 * one. LMDB's own compacting copy would keep whole pages, including deleted bytes between their
 * entries.
 *
 * All of this runs in a write transaction of the old environment, so that nobody else writes. Its
 * commit is the moment of change. If the process is killed before it, the old environment is the
 * store, and the next compaction removes the new one; if it is killed after it, the next opening
 * switches to the new one and removes the old.
 *
 * @returns whether it compacted; `false` if another process was first
 */
export async function compactInto(
  folder: StoreFolder,
  old: Environment,
  options: EnvironmentOptions,
): Promise<boolean> {
  const number = old.number + 1;
  const path = folder.path(number);
  return old.root.transaction(async () => {
    if (successor(old) !== undefined) return false;
    rmSync(path, { recursive: true, force: true });
    const target = openEnvironment(path, number, options, "may be new");
    try {
      await copyAll(old, target);
    } catch (error) {
      await target.root.close();
      rmSync(path, { recursive: true, force: true });
      throw error;
    }
    await target.root.close();
    syncFolder(path);
    syncFolder(join(path, ".."));
    old.meta.putSync(NEXT, uint64(number));
    return true;
  });
}

/** Size of an environment on disk, in bytes. */
export function environmentSize(path: string): number {
  return statSync(join(path, "data.mdb")).size;
}

async function copyAll(old: Environment, target: Environment): Promise<void> {
  await copyEntries(old.names, target, target.names);
  await copyEntries(old.chains, target, target.chains);
  await copyEntries(old.state, target, target.state);
  await copyBlobs(old, target);
  for (const write of rebuildIndex(target)) {
    target.root.transactionSync(write);
    await turn();
  }
  target.root.transactionSync(() => {
    target.meta.putSync(FORMAT, FORMAT_VALUE);
  });
}

async function copyEntries(
  from: LmdbDatabase,
  target: Environment,
  to: LmdbDatabase,
): Promise<void> {
  for (let start: Uint8Array | undefined = new Uint8Array(1), exclusive = false; start;) {
    const page: { key: Uint8Array; value: Uint8Array }[] = [];
    let bytes = 0;
    let last: Uint8Array | undefined;
    for (const entry of from.getRange({ start, exclusiveStart: exclusive, limit: 10_000 })) {
      page.push(entry);
      last = entry.key;
      bytes += entry.key.length + entry.value.length;
      if (bytes > CHUNK_BYTES) break;
    }
    target.root.transactionSync(() => {
      for (const { key, value } of page) putLast(to, key, value);
    });
    start = last;
    exclusive = true;
    await turn();
  }
}

/** Repacks the remaining blobs, in their order. */
async function copyBlobs(old: Environment, target: Environment): Promise<void> {
  let pack = 0;
  let start = 1;
  for (let more = true; more;) {
    const blobs: PackedBlob[] = [];
    let bytes = 0;
    more = false;
    for (const { key, value: table } of old.tables.getRange({ start: uint64(start) })) {
      const stored = old.packs.get(key) ?? new Uint8Array(0);
      for (const [slot, blob] of unpack({ table, bytes: stored }).entries()) {
        if (blob === undefined) continue;
        if (blob.bytes.length !== readSlot(table, slot)!.length) {
          throw corrupt("a pack of blobs does not match its table");
        }
        blobs.push(blob);
      }
      bytes += stored.length + table.length;
      start = packNumber(key, start - 1) + 1;
      more = bytes > CHUNK_BYTES;
      if (more) break;
    }
    target.root.transactionSync(() => {
      for (const packed of packBlobs(blobs)) {
        pack++;
        putLast(target.tables, uint64(pack), packed.table);
        if (packed.bytes.length > 0) putLast(target.packs, uint64(pack), packed.bytes);
      }
    });
    await turn();
  }
}

/** Puts entries that arrive in key order, which fills pages completely. */
function putLast(to: LmdbDatabase, key: Uint8Array, value: Uint8Array): void {
  if (!to.putSync(key, value, { append: true })) {
    throw corrupt("the entries of the store are out of order");
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
