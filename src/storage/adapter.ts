/**
 * What adapters need beside their interface: the same checks of arguments, the same errors and the
 * same idea of a head, so that a store of yours refuses what every other one refuses.
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
export { AmbiguousAppend, AppendConflict } from "./errors.ts";
