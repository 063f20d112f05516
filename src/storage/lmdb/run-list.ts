import { utf8ToBytes } from "../../bytes/utf8.ts";
import { corrupt } from "./errors.ts";
import { putUint32, readUint32, readUint64, uint64 } from "./keys.ts";

/** Keys of the database `meta`. */
export const FORMAT: Uint8Array = /* @__PURE__ */ utf8ToBytes("format");
export const NEXT: Uint8Array = /* @__PURE__ */ utf8ToBytes("next");
export const RUNS: Uint8Array = /* @__PURE__ */ utf8ToBytes("runs");
/** Key of the environment `control`: the number of the current environment. */
export const CURRENT: Uint8Array = /* @__PURE__ */ utf8ToBytes("current");
/** The value under {@link FORMAT}. */
export const FORMAT_VALUE: Uint8Array = /* @__PURE__ */ utf8ToBytes("healthledger-lmdb/1");

/** The runs of the index, and the packs that they cover. */
export interface RunList {
  /** Runs cover the packs up to this one; later packs are found through their tables. */
  readonly indexed: number;
  readonly nextRun: number;
  readonly runs: readonly RunInfo[];
}

export interface RunInfo {
  readonly id: number;
  readonly level: number;
  readonly bits: number;
  readonly entries: number;
}

/** The run list of a store without blobs. Packs are numbered from 1. */
export const EMPTY_RUN_LIST: RunList = { indexed: 0, nextRun: 1, runs: [] };

const RUN_BYTES = 10;

/** Encodes indexed (8), next run (4), and per run id (4), level (1), bits (1), entries (4). */
export function encodeRunList({ indexed, nextRun, runs }: RunList): Uint8Array {
  const bytes = new Uint8Array(12 + RUN_BYTES * runs.length);
  bytes.set(uint64(indexed));
  putUint32(bytes, 8, nextRun);
  runs.forEach((run, i) => {
    const at = 12 + RUN_BYTES * i;
    putUint32(bytes, at, run.id);
    bytes[at + 4] = run.level;
    bytes[at + 5] = run.bits;
    putUint32(bytes, at + 6, run.entries);
  });
  return bytes;
}

/**
 * Decodes what {@link encodeRunList} encoded.
 *
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when it is not a run list
 */
export function decodeRunList(bytes: Uint8Array): RunList {
  const isWhole = bytes.length >= 12 && (bytes.length - 12) % RUN_BYTES === 0;
  if (!isWhole || readUint64(bytes) >= 2 ** 47) throw corrupt("the index of blobs is damaged");
  const runs: RunInfo[] = [];
  for (let at = 12; at + RUN_BYTES <= bytes.length; at += RUN_BYTES) {
    runs.push({
      id: readUint32(bytes, at),
      level: bytes[at + 4]!,
      bits: bytes[at + 5]!,
      entries: readUint32(bytes, at + 6),
    });
  }
  return { indexed: readUint64(bytes), nextRun: readUint32(bytes, 8), runs };
}
