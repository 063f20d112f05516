import type { CID } from "../codec/cid.ts";
import { blobCidBytes, copyBytes } from "./guards.ts";

/** The parts of a CID that identify a blob. */
export interface BlobName {
  readonly codec: number;
  readonly digest: Uint8Array;
}

/** Checks a CID and copies the parts that identify its blob. */
export function toBlobName(cid: CID): BlobName {
  blobCidBytes(cid);
  return { codec: cid.code, digest: copyBytes(cid.multihash.digest) };
}
