import { StorageError } from "../../errors.ts";
import { peek, putBehind } from "./client.ts";
import type { Environment } from "./environment.ts";
import { readUint32, uint64 } from "./keys.ts";
import {
  liveSlots,
  packBlobs,
  SLOT_BYTES,
  unpack,
  withoutSlots,
  type Pack,
  type PackedBlob,
} from "./packs.ts";
import type { BlobName } from "../blob-name.ts";

/** The packs without blobs that the store has already; must be called in a write transaction. */
export function withoutStored({ index }: Environment, prepared: readonly Pack[]): readonly Pack[] {
  index.refresh();
  const stored = prepared.some(({ table }) => {
    for (let at = 0; at < table.length; at += SLOT_BYTES) {
      if (index.find(readUint32(table, at), table, at + 4)) return true;
    }
    return false;
  });
  if (!stored) return prepared;
  const blobs = prepared.flatMap((pack) => unpack(pack) as PackedBlob[]);
  return packBlobs(blobs.filter(({ codec, digest }) => !index.find(codec, digest)));
}

/** Stores packs after the newest one, in the caller's write transaction. */
export function putPacks({ index, tables, packs }: Environment, fresh: readonly Pack[]): void {
  for (const { table, bytes } of fresh) {
    const number = index.lastPack() + 1;
    putBehind(tables, uint64(number), table);
    if (bytes.length > 0) putBehind(packs, uint64(number), bytes);
    index.add(number, table);
  }
}

/** Reads a blob; newly allocated. */
export function readBlob(
  { index, packs }: Environment,
  { codec, digest }: BlobName,
): Uint8Array | undefined {
  let place = index.find(codec, digest);
  if (place === undefined) {
    index.refresh();
    place = index.find(codec, digest);
  }
  if (place === undefined) return undefined;
  const { pack, offset, length } = place;
  if (length === 0) return new Uint8Array(0);
  const bytes = peek(packs, uint64(pack));
  if (bytes === undefined || offset + length > bytes.length) {
    throw new StorageError("ERR_STORAGE_CORRUPT", `pack ${pack} does not match its table`);
  }
  return bytes.slice(offset, offset + length);
}

/** Whether the store has a blob. */
export function hasBlob({ index }: Environment, { codec, digest }: BlobName): boolean {
  if (index.find(codec, digest)) return true;
  index.refresh();
  return index.find(codec, digest) !== undefined;
}

/** Deletes blobs in the caller's write transaction, by rewriting their packs without them. */
export function deleteBlobs(
  { index, tables, packs }: Environment,
  names: readonly BlobName[],
): void {
  index.refresh();
  const slots = new Map<number, Set<number>>();
  for (const { codec, digest } of names) {
    const place = index.find(codec, digest);
    if (place === undefined) continue;
    slots.set(place.pack, (slots.get(place.pack) ?? new Set()).add(place.slot));
  }
  const rewritten = [...slots].map(([number, deleted]) => {
    const key = uint64(number);
    const table = tables.get(key)!;
    const pack = withoutSlots({ table, bytes: packs.get(key) ?? new Uint8Array(0) }, deleted);
    return { key, number, ...pack };
  });
  for (const { key, number, table, bytes } of rewritten) {
    if (bytes.length > 0) packs.putSync(key, bytes);
    else packs.removeSync(key);
    // The table of the newest pack stays, so that its number is never reused.
    if (liveSlots(table) === 0 && number < index.lastPack()) tables.removeSync(key);
    else tables.putSync(key, table);
  }
}
