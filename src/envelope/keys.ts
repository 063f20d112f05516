import { hkdfExpand, hkdfExtract, sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { concatBytes } from "../bytes/concat.ts";
import { assertBytes } from "../bytes/guards.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { encode } from "../codec/dag-cbor.ts";
import { decryptFailed } from "../crypto/decrypt-failed.ts";
import { keyCache, type KeyCache } from "../crypto/key-cache.ts";
import { type ContextMemory, contextMemory } from "./context-memory.ts";
import type { EnvelopeHeader, EnvelopePart } from "./header.ts";
import { SEGMENT_BYTES } from "./suite.ts";

export { decryptFailed };

/** Bytes of a content key, a part key and a commitment. */
export const KEY_BYTES = 32;

/**
 * Keys that open an envelope: the content key, or the keys of some of its parts. The holder must
 * wipe them with {@link wipeKeys} when done.
 */
export type EnvelopeKeys =
  { readonly cek: Uint8Array } | { readonly parts: Readonly<Record<string, Uint8Array>> };

/** The fields of a header that its keys are bound to. */
export type KeyContext = Pick<EnvelopeHeader, "suite" | "context" | "salt">;

const PART_INFO = /* @__PURE__ */ utf8ToBytes("healthledger/part/1 ");
const KEY_INFO = /* @__PURE__ */ utf8ToBytes("key");
const COMMIT_INFO = /* @__PURE__ */ utf8ToBytes("commit");
const ZERO = /* @__PURE__ */ Uint8Array.of(0);

/**
 * Derives `P(id)` of some parts from the content key: the keys in a grant of those parts.
 *
 * @param cek - 32 bytes; borrowed
 * @returns newly allocated keys, which the caller must wipe
 */
export function derivePartKeys(
  header: KeyContext,
  cek: Uint8Array,
  ids: readonly string[],
): { readonly parts: Readonly<Record<string, Uint8Array>> } {
  assertBytes(cek, "cek", KEY_BYTES);
  const bound = boundTo(header);
  const prk = hkdfExtract(header.salt, cek);
  const parts: [string, Uint8Array][] = ids.map((id) => [
    id,
    hkdfExpand(prk, concatBytes(infoOf(id), bound), KEY_BYTES),
  ]);
  prk.fill(0);
  return { parts: Object.fromEntries(parts) };
}

/** What the derivation of a part's key names it by; envelopes have the same few ids. */
function infoOf(id: string): Uint8Array {
  let info = partInfos.get(id);
  if (info === undefined) {
    info = concatBytes(PART_INFO, utf8ToBytes(id), ZERO);
    partInfos.set(id, info);
  }
  return info;
}

const partInfos: KeyCache<Uint8Array> = /* @__PURE__ */ keyCache(64);
const boundHashes: ContextMemory<Uint8Array> = /* @__PURE__ */ contextMemory();

/** Hash of the values other than the salt that keys are bound to. */
function boundTo(header: KeyContext): Uint8Array {
  const known = boundHashes.get(header);
  if (known !== undefined) return known;
  const { suite, context } = header;
  const { ledger, author, kind } = context;
  const hash = sha256(encode({ suite, segment: SEGMENT_BYTES, ctx: { ledger, author, kind } }));
  boundHashes.set({ suite, context: { ledger, author, kind } }, hash);
  return hash;
}

/** The key that seals a part's segments, which the caller must wipe. */
export function deriveSegmentKey(partKey: Uint8Array): Uint8Array {
  return hkdfExpand(partKey, KEY_INFO, KEY_BYTES);
}

/** The commitment to a part key, as in the header. */
export function deriveCommit(partKey: Uint8Array): Uint8Array {
  return hkdfExpand(partKey, COMMIT_INFO, KEY_BYTES);
}

/**
 * Derives the segment key of each part after checking that every commitment matches the given keys:
 * without this check, an author could build one ciphertext that opens differently under two keys.
 *
 * @returns keys in the order of `parts`, which the caller must wipe
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` when a key is absent or does not match its
 *   commitment
 */
export function unlockParts(
  header: KeyContext,
  keys: EnvelopeKeys,
  parts: readonly EnvelopePart[],
): readonly Uint8Array[] {
  const ids = parts.map(({ id }) => id);
  const derived = "cek" in keys ? derivePartKeys(header, keys.cek, ids) : undefined;
  const given = derived?.parts ?? (keys as { parts: Readonly<Record<string, Uint8Array>> }).parts;
  try {
    let committed = true;
    for (const { id, commit } of parts) {
      const partKey = Object.hasOwn(given, id) ? given[id] : undefined;
      committed = partKey !== undefined && equalBytes(deriveCommit(partKey), commit) && committed;
    }
    if (!committed) throw decryptFailed();
    return ids.map((id) => deriveSegmentKey(given[id]!));
  } finally {
    if (derived !== undefined) wipeKeys(derived);
  }
}

/**
 * Overwrites keys with zeros.
 *
 * @example
 * const keys = await openGrant({ grant, envelope, basis, grantor, agreement });
 * try {
 *   await openEnvelope({ envelope, header, keys, context, author, read });
 * } finally {
 *   wipeKeys(keys);
 * }
 */
export function wipeKeys(keys: EnvelopeKeys): void {
  if ("cek" in keys) keys.cek.fill(0);
  else for (const key of Object.values(keys.parts)) key.fill(0);
}
