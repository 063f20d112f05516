import { equalBytes } from "../bytes/compare.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { sha256 } from "#crypto";
import { LedgerError, StorageError } from "../errors.ts";
import { assertHead, assertStateKey, chainNameBytes } from "./guards.ts";
import type { Commit, StateChange } from "./types.ts";

/** A commit in progress: its append and its changes of state. */
export type Pending = NonNullable<Commit["append"]> & { readonly state: readonly StateChange[] };

interface Written {
  readonly chain: string;
  readonly size: number;
  readonly hash: Uint8Array | null;
  readonly records: readonly Uint8Array[];
  readonly state: readonly (readonly [Uint8Array, Uint8Array | null])[];
}

/** Encodes a commit before its append. */
export function encodePending({ chain, expected, records, state }: Pending): Uint8Array {
  const commit = encode({
    chain,
    size: expected.size,
    hash: expected.hash,
    records,
    state: state.map(({ key, value }) => [key, value]),
  });
  // Hashed, because it is appended as read: not every store notices changes on its disk.
  return encode({ v: 2, sha256: sha256(commit), commit });
}

/**
 * Decodes what {@link encodePending} wrote.
 *
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when the bytes are not such a commit
 */
export function decodePending(bytes: Uint8Array): Pending {
  try {
    const limits = { maxBytes: bytes.length, maxItems: bytes.length };
    const { v, sha256: digest, commit } = decode(bytes, limits) as Record<string, unknown>;
    if (v !== 2 || !(commit instanceof Uint8Array) || !(digest instanceof Uint8Array)) {
      throw new TypeError("a pending commit of another version");
    }
    if (!equalBytes(sha256(commit), digest))
      throw new TypeError("the digest of the pending commit does not match");
    const fields = decode(commit, limits) as Written;
    const { chain, size, hash, records, state } = fields;
    const pending: Pending = {
      chain,
      expected: { size, hash },
      records,
      state: state.map(([key, value]) => ({ key, value })),
    };
    chainNameBytes(chain);
    assertHead(pending.expected);
    for (const { key } of pending.state) assertStateKey(key);
    return pending;
  } catch (cause) {
    if (!(
      cause instanceof TypeError ||
      cause instanceof RangeError ||
      cause instanceof LedgerError
    )) {
      throw cause;
    }
    throw new StorageError("ERR_STORAGE_CORRUPT", "a pending commit is damaged", { cause });
  }
}
