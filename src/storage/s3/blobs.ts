import { CID } from "multiformats/cid";
import { StorageError } from "../../errors.ts";
import { blobCidBytes } from "../guards.ts";
import type { NamedBlob } from "../types.ts";
import { forEach, type Requests } from "./requests.ts";

/** Blobs as objects: one per blob, under its CID. */
export interface BlobObjects {
  put(blobs: readonly NamedBlob[]): Promise<void>;
  /** @param names - CIDs as text */
  getMany(names: readonly string[]): Promise<(Uint8Array | undefined)[]>;
  has(name: string): Promise<boolean>;
  delete(names: readonly string[]): Promise<void>;
  list(): AsyncIterable<CID>;
}

export interface BlobObjectsOptions {
  readonly requests: Requests;
  readonly prefix: string;
  /** Concurrent requests per call. */
  readonly concurrency: number;
}

export function blobObjects({ requests, prefix, concurrency }: BlobObjectsOptions): BlobObjects {
  const folder = `${prefix}blobs/`;
  return {
    async put(blobs) {
      // Concurrent requests for the same name would only collide.
      const distinct = new Map(blobs.map(({ cid, bytes }) => [cid.toString(), bytes]));
      await forEach([...distinct], concurrency, async ([name, bytes]) => {
        await requests.create(folder + name, bytes);
      });
    },
    getMany(names) {
      return forEach(
        names,
        concurrency,
        async (name) => (await requests.get(folder + name))?.bytes,
      );
    },
    has: (name) => requests.has(folder + name),
    async delete(names) {
      await forEach([...new Set(names)], concurrency, (name) => requests.remove(folder + name));
    },
    async *list() {
      for await (const { Key = "" } of requests.list(folder)) {
        const name = Key.slice(folder.length);
        let cid: CID;
        try {
          cid = CID.parse(name);
          blobCidBytes(cid);
          if (cid.toString() !== name) throw new TypeError("the CID is not in its canonical form");
        } catch (cause) {
          throw new StorageError("ERR_STORAGE_CORRUPT", "an object among the blobs is not a blob", {
            cause,
          });
        }
        yield cid;
      }
    },
  };
}
