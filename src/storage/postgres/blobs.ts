import type { CID } from "../../codec/cid.ts";
import { blobCidBytes, copyBytes, risingKeys, storedCid } from "../guards.ts";
import type { BlobStore } from "../types.ts";
import type { SessionCalls } from "./calls.ts";
import { lookUp } from "./look-up.ts";
import { byteaArray, bytesOf, numberOf } from "./wire.ts";

/** Names read per query while listing. */
const CID_PAGE = 4096;

/**
 * Reads and deletes the blobs of a store.
 *
 * @param schema - its quoted name
 */
export function postgresBlobs(
  calls: SessionCalls,
  schema: string,
): Omit<BlobStore, "caps" | "put" | "close"> {
  async function getMany(cids: readonly CID[]): Promise<(Uint8Array | undefined)[]> {
    return lookUp({ calls, schema }, "blob", cids.map(blobCidBytes));
  }

  async function* list(): AsyncGenerator<CID> {
    const follows = risingKeys();
    for (let last: Uint8Array = new Uint8Array(); ;) {
      const rows = await calls.use(({ query }) =>
        query(`SELECT cid FROM ${schema}.blob WHERE cid > $1 ORDER BY cid LIMIT ${CID_PAGE}`, [
          last,
        ]),
      );
      for (const [cid] of rows) {
        calls.assertOpen();
        last = bytesOf(cid);
        follows(last);
        yield storedCid(last);
      }
      if (rows.length < CID_PAGE) return;
    }
  }

  return {
    async get(cid) {
      return (await getMany([cid]))[0];
    },
    getMany,
    async has(cid) {
      const name = copyBytes(blobCidBytes(cid));
      const rows = await calls.use(({ query }) =>
        query(`SELECT 1 FROM ${schema}.blob WHERE cid = $1`, [name]),
      );
      return rows.length > 0;
    },
    async delete(cids) {
      calls.assertOpen();
      const names = byteaArray(cids.map(blobCidBytes));
      await calls.use(({ transaction }) =>
        transaction({ durable: true }, (query) =>
          // The message makes COMMIT wait even if nothing is left to delete.
          query(
            `WITH gone AS (DELETE FROM ${schema}.blob WHERE cid = ANY ($1::bytea[]))
            SELECT pg_logical_emit_message(true, 'healthledger', '')`,
            [names],
          ),
        ),
      );
    },
    list,
    async count() {
      const [row] = await calls.use(({ query }) => query(`SELECT count(*) FROM ${schema}.blob`));
      return numberOf(row?.[0]);
    },
  };
}
