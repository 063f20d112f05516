import { putUint32, readUint32 } from "./keys.ts";

/**
 * Blobs that are put together are stored together: a *pack* is their bytes in sequence, and its
 * *table* says what each is. A slot of the table never names another blob later; deletion empties
 * it.
 */
export interface Pack {
  readonly table: Uint8Array;
  readonly bytes: Uint8Array;
}

/** A blob with the parts of its CID. */
export interface PackedBlob {
  readonly codec: number;
  readonly digest: Uint8Array;
  readonly bytes: Uint8Array;
}

/** The position of a blob in its pack. */
export interface Slot {
  readonly codec: number;
  readonly digest: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

/** Bytes of a slot: codec (4), digest (32), offset (4), length (4). */
export const SLOT_BYTES = 44;
/** Codec of a slot whose blob was deleted; no CID has it. */
export const DELETED = 0xffffffff;

/** A pack is closed before it exceeds this size, so that reading one blob copies little. */
const PACK_BYTES = 32_000;
const PACK_SLOTS = 256;

/** Groups blobs into packs, in order; copies their bytes. */
export function packBlobs(blobs: readonly PackedBlob[]): Pack[] {
  const packs: Pack[] = [];
  for (let from = 0; from < blobs.length;) {
    let size = 0;
    let to = from;
    while (to < blobs.length && to - from < PACK_SLOTS) {
      const { length } = blobs[to]!.bytes;
      if (to > from && size + length > PACK_BYTES) break;
      size += length;
      to++;
    }
    packs.push(packOf(blobs.slice(from, to), size));
    from = to;
  }
  return packs;
}

function packOf(blobs: readonly PackedBlob[], size: number): Pack {
  const table = new Uint8Array(blobs.length * SLOT_BYTES);
  const bytes = new Uint8Array(size);
  let offset = 0;
  blobs.forEach((blob, slot) => {
    putSlot(table, slot, blob, offset);
    bytes.set(blob.bytes, offset);
    offset += blob.bytes.length;
  });
  return { table, bytes };
}

function putSlot(table: Uint8Array, slot: number, blob: PackedBlob, offset: number): void {
  const at = slot * SLOT_BYTES;
  putUint32(table, at, blob.codec);
  table.set(blob.digest, at + 4);
  putUint32(table, at + 36, offset);
  putUint32(table, at + 40, blob.bytes.length);
}

/** Number of slots in a table, emptied ones included. */
export function slotCount(table: Uint8Array): number {
  return Math.floor(table.length / SLOT_BYTES);
}

/** Decodes a slot; `undefined` if there is none or its blob was deleted. */
export function readSlot(table: Uint8Array, slot: number): Slot | undefined {
  const at = slot * SLOT_BYTES;
  if (slot < 0 || at + SLOT_BYTES > table.length) return undefined;
  const codec = readUint32(table, at);
  if (codec === DELETED) return undefined;
  return {
    codec,
    digest: table.subarray(at + 4, at + 36),
    offset: readUint32(table, at + 36),
    length: readUint32(table, at + 40),
  };
}

/** The blobs of a pack by slot, `undefined` if deleted; borrowed from its bytes. */
export function unpack({ table, bytes }: Pack): (PackedBlob | undefined)[] {
  return Array.from({ length: slotCount(table) }, (_, index) => {
    const slot = readSlot(table, index);
    return (
      slot && {
        codec: slot.codec,
        digest: slot.digest,
        bytes: bytes.subarray(slot.offset, slot.offset + slot.length),
      }
    );
  });
}

/** Rewrites a pack without some of its slots; the others keep their numbers. */
export function withoutSlots(pack: Pack, deleted: ReadonlySet<number>): Pack {
  const kept = unpack(pack).map((blob, slot) => (deleted.has(slot) ? undefined : blob));
  const table = new Uint8Array(pack.table.length);
  const bytes = new Uint8Array(kept.reduce((sum, blob) => sum + (blob?.bytes.length ?? 0), 0));
  let offset = 0;
  kept.forEach((blob, slot) => {
    if (blob === undefined) return putUint32(table, slot * SLOT_BYTES, DELETED);
    putSlot(table, slot, blob, offset);
    bytes.set(blob.bytes, offset);
    offset += blob.bytes.length;
  });
  return { table, bytes };
}

/** Number of slots of a table that are not empty. */
export function liveSlots(table: Uint8Array): number {
  let count = 0;
  for (let slot = 0; slot < slotCount(table); slot++) {
    if (readUint32(table, slot * SLOT_BYTES) !== DELETED) count++;
  }
  return count;
}
