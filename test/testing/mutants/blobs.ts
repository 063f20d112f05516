import { CID } from "../../../src/codec/cid.ts";
import { StorageError } from "../../../src/errors.ts";
import type { NamedBlob, BlobStore } from "../../../src/storage/types.ts";
import { withBlobs } from "../../../src/testing/change-storage.ts";
import { pause } from "../../../src/testing/kit.ts";
import { all, codeOf, copy, first, hex, mutant, type Mutant } from "./wrap.ts";

const on = (
  name: string,
  change: (blobs: BlobStore, shared: Record<string, any>) => Partial<BlobStore>,
): Mutant =>
  mutant(`blobs: ${name}`, (storage, shared) =>
    withBlobs(storage, (blobs) => change(blobs, shared)),
  );

/** What get and getMany give, changed. */
const giving = (
  name: string,
  change: (bytes: Uint8Array | undefined, cid: CID) => Uint8Array | undefined,
): Mutant =>
  on(name, (blobs) => ({
    async get(cid) {
      const asked = isCid(cid) ? CID.decode(copy(cid.bytes)) : cid;
      return change(await blobs.get(cid), asked);
    },
    async getMany(cids) {
      return (await blobs.getMany(cids)).map((bytes, i) => change(bytes, cids[i]!));
    },
  }));

const isCid = (cid: unknown): cid is CID => (cid as CID | undefined)?.bytes instanceof Uint8Array;

/** Copies of the blobs; what is not a blob is left as it is, for the store to refuse. */
const copiesOf = (list: readonly NamedBlob[]): NamedBlob[] =>
  list.map((blob) =>
    blob.bytes instanceof Uint8Array && isCid(blob.cid)
      ? { cid: CID.decode(copy(blob.cid.bytes)), bytes: copy(blob.bytes) }
      : blob,
  );

/** Names that are kept by another name. */
const renamed = (name: string, rename: (cid: CID) => CID): Mutant =>
  on(name, (blobs) => {
    const to = (cid: CID): CID =>
      isCid(cid) && cid.version === 1 && cid.code < 2 ** 31 ? rename(cid) : cid;
    return {
      put: (list) => blobs.put(list.map((blob) => ({ ...blob, cid: to(blob.cid) }))),
      get: async (cid) => blobs.get(to(cid)),
      getMany: async (cids) => blobs.getMany(cids.map(to)),
      has: async (cid) => blobs.has(to(cid)),
      delete: async (cids) => blobs.delete(cids.map(to)),
    };
  });

/** Makes a digest of another. */
const redigested = (cid: CID, change: (digest: Uint8Array) => void): CID => {
  const bytes = copy(cid.bytes);
  change(bytes.subarray(bytes.length - 32));
  return CID.decode(bytes);
};

export const blobMutants: readonly Mutant[] = [
  giving("what is missing is empty", (bytes) => bytes ?? new Uint8Array()),
  giving("what is missing is null", (bytes) => bytes ?? (null as never)),
  giving("what is empty is missing", (bytes) => (bytes?.length === 0 ? undefined : bytes)),
  giving("bytes as Buffers", (bytes) => bytes && Buffer.from(bytes)),
  giving("zeros at the end cut", (bytes) =>
    bytes && bytes.length > 1 && bytes.at(-1) === 0 ? bytes.slice(0, -1) : bytes,
  ),
  giving("more than 16 MiB cut", (bytes) => bytes?.slice(0, 1 << 24)),
  giving("padded to four bytes", (bytes) => {
    if (!bytes || bytes.length % 4 === 0) return bytes;
    const padded = new Uint8Array((bytes.length + 3) & ~3);
    padded.set(bytes);
    return padded;
  }),
  on("getMany from one piece of memory", (blobs) => ({
    async getMany(cids) {
      const list = await blobs.getMany(cids);
      const together = new Uint8Array(list.reduce((sum, bytes) => sum + (bytes?.length ?? 0), 0));
      let at = 0;
      return list.map((bytes) => {
        if (!bytes) return bytes;
        together.set(bytes, at);
        return together.subarray(at, (at += bytes.length));
      });
    },
  })),
  on("get from a buffer that is used again", (blobs) => {
    const buffer = new Uint8Array(1 << 23);
    return {
      async get(cid) {
        const bytes = await blobs.get(cid);
        if (!bytes || bytes.length > buffer.length) return bytes;
        buffer.set(bytes);
        return buffer.subarray(0, bytes.length);
      },
    };
  }),
  on("getMany gives one array for a name asked twice", (blobs) => ({
    async getMany(cids) {
      const known = new Map<string, Uint8Array | undefined>();
      const list = await blobs.getMany(cids);
      return list.map((bytes, i) => {
        const key = hex(cids[i]!.bytes);
        if (!known.has(key)) known.set(key, bytes);
        return known.get(key);
      });
    },
  })),
  on("getMany answers each name once", (blobs) => ({
    getMany: async (cids) =>
      blobs.getMany(
        cids.every(isCid) ? [...new Map(cids.map((cid) => [String(cid), cid])).values()] : cids,
      ),
  })),
  on("getMany leaves out what is missing", (blobs) => ({
    getMany: async (cids) => (await blobs.getMany(cids)).filter(Boolean),
  })),
  on("getMany in the order of names", (blobs) => ({
    getMany: async (cids) =>
      blobs.getMany([...cids].sort((a, b) => (String(a) < String(b) ? -1 : 1))),
  })),
  on("getMany of more than 1000 fails", (blobs) => ({
    getMany: async (cids) => {
      if (cids.length > 1000) throw new StorageError("ERR_STORAGE_FAILED", "too many variables");
      return blobs.getMany(cids);
    },
  })),
  on("getMany of more than 32,766 fails", (blobs) => ({
    getMany: async (cids) => {
      if (cids.length > 32_766) throw new StorageError("ERR_STORAGE_FAILED", "too many variables");
      return blobs.getMany(cids);
    },
  })),
  on("delete of more than 1000 does the first 1000", (blobs) => ({
    delete: async (cids) => blobs.delete(cids.slice(0, 1000)),
  })),
  on("getMany beyond maxBatch is refused", (blobs) => ({
    getMany: async (cids) => {
      if (cids.length > blobs.caps.maxBatch)
        throw new StorageError("ERR_STORAGE_LIMIT", "too many");
      return blobs.getMany(cids);
    },
  })),

  renamed("codec left out of the name", (cid) => CID.createV1(0x55, cid.multihash)),
  renamed("codec's first byte only", (cid) => CID.createV1(cid.code & 0x7f, cid.multihash)),
  renamed("the last byte of a digest does not count", (cid) => redigested(cid, (d) => (d[31] = 0))),
  renamed("the first 8 bytes of a digest count", (cid) => redigested(cid, (d) => d.fill(0, 8))),
  renamed("the first 16 bytes of a digest count", (cid) => redigested(cid, (d) => d.fill(0, 16))),
  renamed("the last 4 bytes of a digest count", (cid) => redigested(cid, (d) => d.fill(0, 0, 28))),
  renamed("digests in letters without case", (cid) =>
    redigested(cid, (d) => {
      for (let i = 0; i < 32; i++) d[i]! &= ~0x20;
    }),
  ),
  on("names of version 0 are taken", (blobs) => ({
    put: (list) =>
      blobs.put(
        list.map((blob) =>
          isCid(blob.cid) && blob.cid.version === 0
            ? { ...blob, cid: CID.createV1(0x70, blob.cid.multihash) }
            : blob,
        ),
      ),
  })),
  on("codecs beyond 31 bits are taken, and cut", (blobs) => ({
    put: (list) =>
      blobs.put(
        list.map((blob) =>
          isCid(blob.cid) && blob.cid.code >= 2 ** 31
            ? { ...blob, cid: CID.createV1(blob.cid.code % 2 ** 31, blob.cid.multihash) }
            : blob,
        ),
      ),
  })),

  on("a put overwrites", (blobs) => ({
    async put(list) {
      if (
        !list.every(
          ({ cid, bytes }) => isCid(cid) && cid.version === 1 && bytes instanceof Uint8Array,
        ) ||
        list.length > blobs.caps.maxBatch ||
        list.reduce((n, { bytes }) => n + bytes.length, 0) > blobs.caps.maxAppendBytes
      )
        return blobs.put(list);
      const copies = list.map(({ cid, bytes }) => ({
        cid: CID.decode(copy(cid.bytes)),
        bytes: copy(bytes),
      }));
      const gone = blobs.delete(copies.map(({ cid }) => cid));
      const put = blobs.put(copies);
      await Promise.all([gone, put]);
    },
  })),
  on("a put of what is there fails", (blobs) => ({
    async put(list) {
      const copies = list.map((blob) => ({
        ...blob,
        bytes: blob.bytes instanceof Uint8Array ? copy(blob.bytes) : blob.bytes,
      }));
      for (const { cid } of list)
        if (isCid(cid) && cid.version === 1 && cid.code < 2 ** 31 && (await blobs.has(cid)))
          throw new StorageError("ERR_STORAGE_FAILED", "duplicate key");
      return blobs.put(copies);
    },
  })),
  on("a name that is there twice in a put makes it fail", (blobs) => ({
    async put(list) {
      if (new Set(list.map(({ cid }) => String(cid))).size < list.length)
        throw new StorageError("ERR_STORAGE_FAILED", "duplicate key");
      return blobs.put(list);
    },
  })),
  on("a put with one blob that is there puts none of the others", (blobs) => ({
    async put(list) {
      const copies = copiesOf(list);
      const valid = copies.every(
        ({ cid }) => isCid(cid) && cid.version === 1 && cid.code < 2 ** 31,
      );
      if (
        valid &&
        copies.length > 1 &&
        (await Promise.all(copies.map(({ cid }) => blobs.has(cid)))).some(Boolean)
      )
        return;
      return blobs.put(copies);
    },
  })),
  on("a put of several is made one by one", (blobs) => ({
    async put(list) {
      const copies = copiesOf(list);
      const { maxBatch, maxAppendBytes } = blobs.caps;
      const tooLarge =
        copies.length > maxBatch ||
        copies.reduce((n, { bytes }) => n + bytes.length, 0) > maxAppendBytes;
      const wrong = copies.some(
        ({ cid, bytes }) =>
          !isCid(cid) || cid.version !== 1 || cid.code >= 2 ** 31 || !(bytes instanceof Uint8Array),
      );
      if (tooLarge || wrong || copies.length > 100) return blobs.put(copies);
      for (const blob of copies) {
        await blobs.put([blob]);
        await pause();
      }
    },
  })),
  on("a deletion of several is made one by one", (blobs) => ({
    async delete(cids) {
      if (cids.length > 100) return blobs.delete(cids);
      for (const cid of cids.map((one) => CID.decode(copy(one.bytes)))) {
        await blobs.delete([cid]);
        await pause();
      }
    },
  })),
  on("deleting what is not there fails", (blobs) => ({
    async delete(cids) {
      const copies = cids.map((cid) => CID.decode(copy(cid.bytes)));
      for (const cid of copies)
        if (!(await blobs.has(cid))) throw new StorageError("ERR_STORAGE_FAILED", "not there");
      return blobs.delete(copies);
    },
  })),
  on("deleting nothing deletes all", (blobs) => ({
    async delete(cids) {
      return blobs.delete(cids.length === 0 ? await all(blobs.list()) : cids);
    },
  })),
  on("what was deleted is still listed", (blobs, shared) => {
    const gone: Map<string, CID> = (shared["gone"] ??= new Map());
    return {
      async delete(cids) {
        for (const cid of cids) if (await blobs.has(cid)) gone.set(String(cid), cid);
        return blobs.delete(cids);
      },
      async *list() {
        yield* new Map([
          ...[...gone].map(([k, v]) => [k, v] as const),
          ...(await all(blobs.list())).map((cid) => [String(cid), cid] as const),
        ]).values();
      },
    };
  }),
  on("what was deleted is still counted", (blobs, shared) => ({
    async put(list) {
      const before = await blobs.count();
      await blobs.put(
        list.map((b) => (b.bytes instanceof Uint8Array ? { ...b, bytes: b.bytes } : b)),
      );
      shared["n"] = (shared["n"] ?? 0) + (await blobs.count()) - before;
    },
    count: async () => (await blobs.count(), shared["n"] ?? 0),
  })),
  on("what was deleted cannot be put again", (blobs, shared) => {
    const gone: Set<string> = (shared["gone"] ??= new Set());
    return {
      async delete(cids) {
        for (const cid of cids) gone.add(String(cid));
        return blobs.delete(cids);
      },
      async put(list) {
        return blobs.put(list.filter(({ cid }) => !gone.has(String(cid))));
      },
    };
  }),
  on("a deletion counts by its time", (blobs, shared) => {
    const gone: Map<string, number> = (shared["gone"] ??= new Map());
    return {
      async delete(cids) {
        for (const cid of cids) gone.set(String(cid), Date.now());
        return blobs.delete(cids);
      },
      async put(list) {
        return blobs.put(list.filter(({ cid }) => !(gone.get(String(cid))! > Date.now())));
      },
    };
  }),
  on("deleted by digest, whatever the codec", (blobs) => ({
    async delete(cids) {
      const digests = new Set(cids.map((cid) => hex(cid.multihash.digest)));
      const others = (await all(blobs.list())).filter((cid) =>
        digests.has(hex(cid.multihash.digest)),
      );
      return blobs.delete([...cids, ...others]);
    },
  })),
  on("has is remembered by each handle", (blobs) => {
    const known = new Map<string, boolean>();
    return {
      async has(cid) {
        const key = String(cid);
        if (!known.has(key)) known.set(key, await blobs.has(cid));
        else await blobs.count();
        return known.get(key)!;
      },
      async delete(cids) {
        for (const cid of cids) known.delete(String(cid));
        return blobs.delete(cids);
      },
      async put(list) {
        for (const { cid } of list) known.delete(String(cid));
        return blobs.put(list);
      },
    };
  }),
  on("get is remembered by each handle", (blobs) => {
    const known = new Map<string, Uint8Array>();
    return {
      async get(cid) {
        const key = String(cid);
        const bytes = known.get(key) ?? (await blobs.get(cid));
        if (bytes) known.set(key, copy(bytes));
        return bytes && copy(bytes);
      },
      async delete(cids) {
        for (const cid of cids) known.delete(String(cid));
        return blobs.delete(cids);
      },
    };
  }),
  on("a filter of what is there does not know what others put", (blobs) => {
    const own = new Set<string>();
    return {
      put(list) {
        for (const { cid } of list) own.add(String(cid));
        return blobs.put(list);
      },
      has: async (cid) => (await blobs.has(cid)) && own.has(String(cid)),
    };
  }),
  on("count remembered by each handle", (blobs) => {
    let count: number | undefined;
    return {
      async count() {
        return (count ??= await blobs.count());
      },
      async put(list) {
        await blobs.put(list);
        count = undefined;
      },
      async delete(cids) {
        await blobs.delete(cids);
        count = undefined;
      },
    };
  }),
  on("count of digests", (blobs) => ({
    async count() {
      return new Set((await all(blobs.list())).map((cid) => hex(cid.multihash.digest))).size;
    },
  })),
  on("count of what is not empty", (blobs) => ({
    async count() {
      let n = 0;
      for await (const cid of blobs.list()) if ((await blobs.get(cid))?.length) n++;
      return n;
    },
  })),
  on("count stops at 1000", (blobs) => ({
    count: async () => Math.min(1000, await blobs.count()),
  })),
  ...[100, 256, 1000].map((page) =>
    on(`list skips one behind a page of ${page}`, (blobs) => ({
      async *list() {
        let i = 0;
        for await (const cid of blobs.list()) if (i++ !== page) yield cid;
      },
    })),
  ),
  ...[256, 500].map((page) =>
    on(`list gives the last of a page of ${page} twice`, (blobs) => ({
      async *list() {
        let i = 0;
        for await (const cid of blobs.list()) {
          yield cid;
          if (i++ === page - 1) yield cid;
        }
      },
    })),
  ),
  on("list ends after a page that is exactly full, of 1000", (blobs) => ({
    async *list() {
      const cids = await all(blobs.list());
      yield* cids.length === 1000 ? [] : cids;
    },
  })),
  on("list gives no more than 1000", (blobs) => ({ list: () => first(blobs.list(), 1000) })),
  on("list by offset, which deletions move", (blobs) => ({
    async *list() {
      for (let at = 0; ; at += 100) {
        const page = (await all(blobs.list())).slice(at, at + 100);
        yield* page;
        if (page.length < 100) return;
      }
    },
  })),
  on("list begins anew when something is deleted", (blobs, shared) => ({
    async delete(cids) {
      await blobs.delete(cids);
      shared["d"] = (shared["d"] ?? 0) + 1;
    },
    async *list() {
      for (;;) {
        const before = shared["d"];
        let whole = true;
        for (const cid of await all(blobs.list())) {
          if (shared["d"] !== before) {
            whole = false;
            break;
          }
          yield cid;
        }
        if (whole) return;
      }
    },
  })),
  on("list gives CIDs of one object", (blobs, shared) => {
    const known: Map<string, CID> = (shared["cids"] ??= new Map());
    return {
      async *list() {
        for await (const cid of blobs.list()) {
          const key = String(cid);
          if (!known.has(key)) known.set(key, cid);
          yield known.get(key)!;
        }
      },
    };
  }),
  on("list gives the raw codec for all", (blobs) => ({
    async *list() {
      for await (const cid of blobs.list()) yield CID.createV1(0x55, cid.multihash);
    },
  })),
  on("names are read after the call returned", (blobs) => ({
    async get(cid) {
      await Promise.resolve();
      return blobs.get(cid);
    },
    async has(cid) {
      await Promise.resolve();
      return blobs.has(cid);
    },
  })),
  on("the names of getMany are read after the call returned", (blobs) => ({
    async getMany(cids) {
      await Promise.resolve();
      return blobs.getMany(cids);
    },
  })),
  on("the names of a deletion are read after the call returned", (blobs) => ({
    async delete(cids) {
      await Promise.resolve();
      return blobs.delete(cids);
    },
  })),
  on("a list of blobs is read after the call returned", (blobs) => ({
    async put(list: readonly NamedBlob[]) {
      await Promise.resolve();
      return blobs.put(list);
    },
  })),
  on("put by names without await", (blobs) => ({
    async put(list) {
      const copies = list.map((b) =>
        isCid(b.cid) && b.bytes instanceof Uint8Array
          ? { cid: CID.decode(copy(b.cid.bytes)), bytes: copy(b.bytes) }
          : b,
      );
      const { maxBatch, maxAppendBytes } = blobs.caps;
      if (
        copies.length > maxBatch ||
        copies.reduce((n, { bytes }) => n + bytes.length, 0) > maxAppendBytes ||
        copies.some(
          ({ cid, bytes }) =>
            !isCid(cid) ||
            cid.version !== 1 ||
            cid.code >= 2 ** 31 ||
            !(bytes instanceof Uint8Array),
        )
      )
        return blobs.put(copies);
      queueMicrotask(
        () =>
          void pause()
            .then(() => blobs.put(copies))
            .catch(() => {}),
      );
    },
  })),
  on("wrong names as bare errors", (blobs) => ({
    put: (list) =>
      blobs.put(list).catch((error: unknown) => {
        throw codeOf(error) === "ERR_INPUT_UNSUPPORTED" ? new Error("bad cid") : error;
      }),
  })),
  on("a wrong name asked for is nothing there", (blobs) => ({
    get: async (cid) => (isCid(cid) ? blobs.get(cid) : undefined),
  })),
];
