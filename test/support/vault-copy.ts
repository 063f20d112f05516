import { createDecipheriv } from "node:crypto";
import { hkdfExpand, hkdfExtract } from "#crypto";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { decode } from "../../src/codec/dag-cbor.ts";
import type { StorageAdapter } from "../../src/storage/types.ts";

/** Every value below the vault of a store, under its whole key. */
export async function valuesOf(
  storage: StorageAdapter,
): Promise<{ key: Uint8Array; value: Uint8Array }[]> {
  const found: { key: Uint8Array; value: Uint8Array }[] = [];
  const gte = utf8ToBytes("vault/");
  for await (const entry of storage.state!.scan({ gte, lt: utf8ToBytes("vault0") })) {
    found.push({ key: entry.key.slice(), value: entry.value.slice() });
  }
  return found;
}

/** Every key that a secret of shard keys leads to, with the vault's root. */
export function keysIn(secret: Uint8Array, root: Uint8Array): Uint8Array[] {
  const { keys, former } = decode(secret) as { keys: Uint8Array; former: [number, Uint8Array][] };
  const all = Array.from({ length: keys.length / 32 }, (_, i) =>
    keys.subarray(32 * i, 32 * i + 32),
  );
  const info = utf8ToBytes("healthledger/vault/1 shard");
  return [...all, ...former.map(([, key]) => key)].map((key) =>
    hkdfExpand(hkdfExtract(key, root), info, 32),
  );
}

export function tryOpen(
  key: Uint8Array,
  name: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  const options = { authTagLength: 16 };
  const decipher = createDecipheriv("chacha20-poly1305", key, sealed.subarray(0, 12), options);
  decipher.setAAD(name, { plaintextLength: sealed.length - 28 });
  decipher.setAuthTag(sealed.subarray(-16));
  const value = decipher.update(sealed.subarray(12, -16));
  try {
    decipher.final();
    return value;
  } catch {
    return undefined;
  }
}
