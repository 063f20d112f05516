import { StorageError } from "../../errors.ts";
import { bytesIn, prepare, uintIn, type SqliteDatabase } from "./client.ts";
import type { BlobName } from "../blob-name.ts";

/** The blobs of a store. Synchronous; the caller must hold a transaction for writes. */
export interface Blobs {
  put(name: BlobName, bytes: Uint8Array): void;
  get(name: BlobName): Uint8Array | undefined;
  has(name: BlobName): boolean;
  remove(name: BlobName): void;
  /** At most `limit` names after one, in order of digest and codec. */
  page(after: BlobName | undefined, limit: number): BlobName[];
  count(): number;
}

function digestIn(row: unknown): Uint8Array {
  const digest = bytesIn(row, "sha256");
  if (digest.length === 32) return digest;
  throw new StorageError("ERR_STORAGE_CORRUPT", "the name of a blob is damaged");
}

/** Prepares the statements on blobs. */
export function sqliteBlobs(database: SqliteDatabase): Blobs {
  const put = prepare(
    database,
    "INSERT INTO hl_blobs (sha256, codec, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
  );
  const get = prepare(database, "SELECT bytes FROM hl_blobs WHERE sha256 = ? AND codec = ?");
  const has = prepare(database, "SELECT 1 FROM hl_blobs WHERE sha256 = ? AND codec = ?");
  const remove = prepare(database, "DELETE FROM hl_blobs WHERE sha256 = ? AND codec = ?");
  // Reads only the index.
  const page = prepare(
    database,
    "SELECT sha256, codec FROM hl_blobs WHERE (sha256, codec) > (?, ?)" +
      " ORDER BY sha256, codec LIMIT ?",
  );
  const count = prepare(database, "SELECT count(*) AS count FROM hl_blobs");
  const first: BlobName = { codec: 0, digest: new Uint8Array(1) };
  return {
    put: ({ digest, codec }, bytes) => void put.run(digest, codec, bytes),
    get({ digest, codec }) {
      const row = get.get(digest, codec) ?? undefined;
      return row && bytesIn(row, "bytes");
    },
    has: ({ digest, codec }) => Boolean(has.get(digest, codec)),
    remove: ({ digest, codec }) => void remove.run(digest, codec),
    page: ({ digest, codec } = first, limit) =>
      page.all(digest, codec, limit).map((row) => ({
        codec: uintIn(row, "codec"),
        digest: digestIn(row),
      })),
    count: () => uintIn(count.get(), "count"),
  };
}
