import { equalBytes } from "../../bytes/compare.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectUint } from "../../codec/shape.ts";
import { EncodingError } from "../../errors.ts";
import type { Vault } from "../vault/vault.ts";
import { GENERATION_BYTES } from "./names.ts";

/** Version 1 had another directory: such an index is built again. */
const INDEX_VERSION = 2;

/** How far the index goes, and the commitments to its contents. */
export interface IndexRecord {
  /** Distinguishes the rows of this generation of the index from those of earlier ones. */
  readonly generation: Uint8Array;
  /** Whether the rows of earlier generations are gone. */
  readonly swept: boolean;
  /** The index is a function of the member's own entries in the blocks below this height. */
  readonly height: number;
  /** Hash of the last of these blocks' headers, as a leaf of the ledger's tree; `null` at 0. */
  readonly header: Uint8Array | null;
  /** Root of the directory. */
  readonly root: Uint8Array;
}

/** Writes a record, with its MAC. */
export function encodeIndexRecord(vault: Pick<Vault, "mac">, record: IndexRecord): Uint8Array {
  const { generation, swept, height, header, root } = record;
  const bytes = encode({ v: INDEX_VERSION, generation, swept, height, header, root });
  return encode([bytes, vault.mac("record", bytes)]);
}

/**
 * Reads a record.
 *
 * @returns `undefined` if this member did not write it
 */
export function decodeIndexRecord(
  vault: Pick<Vault, "mac">,
  stored: Uint8Array,
): IndexRecord | undefined {
  try {
    const [record, mac] = expectArray(decode(stored), "index record", 2);
    const bytes = expectBytes(record, "index record");
    if (!equalBytes(expectBytes(mac, "index record", 32), vault.mac("record", bytes))) {
      return undefined;
    }
    const fields = ["v", "generation", "swept", "height", "header", "root"];
    const map = expectMap(decode(bytes), "index record", fields);
    if (map["v"] !== INDEX_VERSION) return undefined;
    return {
      generation: expectBytes(map["generation"], "index record.generation", GENERATION_BYTES),
      swept: map["swept"] === true,
      height: expectUint(map["height"], "index record.height"),
      header: map["header"] === null ? null : expectBytes(map["header"], "index record.header", 32),
      root: expectBytes(map["root"], "index record.root", 32),
    };
  } catch (error) {
    if (error instanceof EncodingError) return undefined;
    throw error;
  }
}

/** Whether two records are equal. */
export const isSameRecord = (a: IndexRecord, b: IndexRecord): boolean =>
  equalBytes(a.generation, b.generation) &&
  a.height === b.height &&
  a.swept === b.swept &&
  equalBytes(a.root, b.root);
