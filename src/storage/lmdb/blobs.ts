import type { Environment } from "./environment.ts";
import { uint64 } from "./keys.ts";
import { isEmptied, packBlobs, unpack, withoutSlots, type Pack, type PackedBlob } from "./packs.ts";

/** Stores packs in the caller's write transaction, without what is there already. */
export function putBlobs({ index, tables, packs }: Environment, prepared: readonly Pack[]): void {
  index.refresh();
  let fresh = prepared;
  const blobs = prepared.flatMap((pack) => unpack(pack) as PackedBlob[]);
  const missing = blobs.filter(({ codec, digest }) => !index.find(codec, digest));
  if (missing.length < blobs.length) fresh = packBlobs(missing);
  let number = index.lastPack();
  for (const { table, bytes } of fresh) {
    number++;
    tables.put(uint64(number), table, { append: true });
    if (bytes.length > 0) packs.put(uint64(number), bytes, { append: true });
  }
  index.refresh();
}

/** Deletes blobs in the caller's write transaction, by writing their packs anew without them. */
export function deleteBlobs(
  { index, tables, packs }: Environment,
  names: readonly { readonly codec: number; readonly digest: Uint8Array }[],
): void {
  index.refresh();
  const slots = new Map<number, Set<number>>();
  for (const { codec, digest } of names) {
    const place = index.find(codec, digest);
    if (place === undefined) continue;
    slots.set(place.pack, (slots.get(place.pack) ?? new Set()).add(place.slot));
  }
  for (const [number, deleted] of slots) {
    const key = uint64(number);
    const { table, bytes } = withoutSlots(
      { table: tables.get(key)!, bytes: packs.get(key) ?? new Uint8Array(0) },
      deleted,
    );
    if (bytes.length > 0) packs.put(key, bytes);
    else packs.remove(key);
    // The table of the newest pack stays, so that its number is not given out again.
    if (isEmptied(table) && number < index.lastPack()) tables.remove(key);
    else tables.put(key, table);
  }
}
