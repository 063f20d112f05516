/**
 * The interface of storage adapters, and helpers that they share: the same checks of arguments, the
 * same errors and the same heads, so that a store of yours refuses what every other store refuses.
 *
 * @module
 */

export {
  assertStateKey,
  blobCid,
  blobCidBytes,
  chainNameBytes,
  chainNameOf,
  checkCommit,
  checkRead,
  checkScan,
  closedError,
  copyBytes,
  copyChange,
  copyHead,
  copyScan,
  disordered,
  EMPTY_HEAD,
  risingKeys,
  sameHead,
  storedCid,
} from "./guards.ts";
export { CID } from "../codec/cid.ts";
export { StorageError, type StorageErrorCode } from "../errors.ts";
export { AmbiguousAppend, AppendConflict } from "./errors.ts";
export {
  type AppendOptions,
  type BatchOptions,
  type BlobStore,
  type ChainReadOptions,
  type ChainRecord,
  type ChainStore,
  type Commit,
  type Compaction,
  type Durability,
  type FullStorage,
  type Head,
  MAX_CHAIN_NAME_BYTES,
  MAX_STATE_KEY_BYTES,
  type NamedBlob,
  type ScanOptions,
  type StateChange,
  type StateEntry,
  type StateStore,
  type StorageAdapter,
  type StorageCaps,
  type TailOptions,
} from "./types.ts";
