import { toHex } from "../../bytes/hex.ts";
import { sha256 } from "#crypto";
import { StorageError } from "../../errors.ts";
import { chainNameBytes, chainNameOf, checkRead, EMPTY_HEAD } from "../guards.ts";
import type { ChainReadOptions, ChainRecord, ChainStore, Head, TailOptions } from "../types.ts";
import type { SessionCalls } from "./calls.ts";
import { standbyError } from "./server.ts";
import type { Query } from "./session.ts";
import type { ReplicatedHeads } from "./standbys.ts";
import { bytesOf, numberOf, type Row } from "./wire.ts";

/** Dependencies of a store's chains. */
export interface ChainParts {
  readonly calls: SessionCalls;
  /** Quoted name of the schema. */
  readonly schema: string;
  readonly heads: ReplicatedHeads;
  /** Calls back when a topic may have new records; a topic is the hash of a chain's name in hex. */
  readonly subscribe: (topic: string, wake: () => void) => () => void;
  /** How often `tail` polls, in ms. */
  readonly pollInterval: number;
}

/** Records read per query. */
const PAGE = 512;
const PAGE_BYTES = 1 << 20;

/** Reads the chains of a store. */
export function postgresChains({
  calls,
  schema,
  heads,
  subscribe,
  pollInterval,
}: ChainParts): Required<Pick<ChainStore, "head" | "read" | "tail" | "list">> {
  /** The head of a chain, and a page of its records as of the same moment. */
  async function page(
    chain: string,
    from: number,
    end: number,
  ): Promise<{ readonly head: Head; readonly records: readonly ChainRecord[] }> {
    return calls.use(async (session) => {
      const rows = await session.query(
        // A head that was asked for is compared with the record that it must belong to.
        `SELECT c.size, c.hash, p.index, p.bytes, server.is_standby${
          end === 0 ? ", c.hash = sha256(last.bytes), next.index IS NULL" : ""
        }
        FROM (SELECT pg_is_in_recovery() AS is_standby) AS server
        LEFT JOIN ${schema}.chain AS c ON c.name = $1
        ${
          end === 0
            ? `LEFT JOIN ${schema}.record AS last ON last.chain = c.id AND last.index = c.size - 1
               LEFT JOIN ${schema}.record AS next ON next.chain = c.id AND next.index = c.size`
            : ""
        }
        LEFT JOIN LATERAL (
          SELECT index, bytes, sum(octet_length(bytes)) OVER (ORDER BY index) AS upto,
            octet_length(bytes) AS length
          FROM (
            SELECT index, bytes FROM ${schema}.record
            WHERE chain = c.id AND index >= $2 AND index < $3
          ) AS r
        ) AS p ON p.upto - p.length < ${PAGE_BYTES}
        ORDER BY p.index`,
        // At most a page, by number: without statistics a LIMIT may be planned as a sort of all rows.
        [chainNameBytes(chain), from, Math.min(end, from + PAGE)],
      );
      if (rows[0]?.[4] !== "f") throw standbyError();
      const head = rows[0][0] === null ? EMPTY_HEAD : headOf(rows[0]);
      if (end === 0 && head.size > 0 && !(rows[0][5] === "t" && rows[0][6] === "t")) {
        throw new StorageError("ERR_STORAGE_CORRUPT", "the head of a chain is damaged");
      }
      await heads.confirm(session, chain, head, end === 0 ? Infinity : Math.min(end, head.size));
      const records = rows
        .filter(([, , index]) => index !== null)
        .map(([, , index, bytes]) => ({ index: numberOf(index), record: bytesOf(bytes) }));
      return { head, records };
    });
  }

  async function* readChain(chain: string, options: ChainReadOptions): AsyncGenerator<ChainRecord> {
    calls.assertOpen();
    chainNameBytes(chain);
    const { from, limit } = checkRead(options);
    const { signal } = options;
    let end = Math.min(from + limit, Number.MAX_SAFE_INTEGER);
    for (let next = from; next < end;) {
      signal?.throwIfAborted();
      const { head, records } = await page(chain, next, end);
      if (next === from) end = Math.min(end, head.size);
      for (const item of records) {
        signal?.throwIfAborted();
        calls.assertOpen();
        if (item.index !== next || next >= end) break;
        next++;
        yield item;
      }
      if (next < end && records[0]?.index !== next - records.length) {
        throw new StorageError("ERR_STORAGE_CORRUPT", `the chain lacks record ${next}`);
      }
    }
  }

  async function* tail(chain: string, { from, signal }: TailOptions): AsyncGenerator<ChainRecord> {
    calls.assertOpen();
    const topic = toHex(sha256(chainNameBytes(chain)));
    let news = true;
    let wake: () => void = () => {};
    const notify = (): void => {
      news = true;
      wake();
    };
    // Subscribed before the first read, so that no record is missed in between.
    const unsubscribe = subscribe(topic, notify);
    const forget = calls.onClose(notify);
    signal?.addEventListener("abort", notify);
    try {
      for (let next = from; ;) {
        signal?.throwIfAborted();
        if (calls.isClosed) return;
        news = false;
        for await (const item of readChain(chain, { from: next, ...(signal && { signal }) })) {
          next = item.index + 1;
          yield item;
        }
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pollInterval);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
          if (news || calls.isClosed || signal?.aborted) wake();
        });
      }
    } finally {
      unsubscribe();
      forget();
      signal?.removeEventListener("abort", notify);
    }
  }

  return {
    async head(chain) {
      calls.assertOpen();
      chainNameBytes(chain);
      const { head } = await page(chain, 0, 0);
      return head;
    },
    read: (chain, how) => readChain(chain, { ...how }),
    tail: (chain, how) => tail(chain, { ...how }),
    async *list() {
      const rows = await calls.use(async ({ query }) => {
        await assertOwned(query, schema);
        return query(`SELECT name FROM ${schema}.chain`);
      });
      for (const [chain] of rows) {
        calls.assertOpen();
        yield chainNameOf(bytesOf(chain));
      }
    },
  };
}

/** The head in a row of its size and hash. */
export function headOf([size, hash]: Row): Head {
  const head = { size: numberOf(size), hash: bytesOf(hash) };
  // A chain is created with its first records.
  if (head.size > 0 && head.hash.length === 32) return head;
  throw new StorageError("ERR_STORAGE_CORRUPT", "the head of a chain is damaged");
}

/**
 * Looks for records that belong to no chain, stepping through the index from one chain to the next.
 */
async function assertOwned(query: Query, schema: string): Promise<void> {
  const [row] = await query(
    `WITH RECURSIVE owner (id) AS (
      (SELECT chain FROM ${schema}.record ORDER BY chain LIMIT 1)
      UNION ALL
      SELECT (SELECT r.chain FROM ${schema}.record AS r WHERE r.chain > owner.id
        ORDER BY r.chain LIMIT 1)
      FROM owner WHERE owner.id IS NOT NULL
    )
    SELECT count(*) FROM owner WHERE id IS NOT NULL AND id NOT IN (SELECT c.id FROM ${schema}.chain AS c)`,
  );
  if (numberOf(row?.[0]) > 0) {
    throw new StorageError("ERR_STORAGE_CORRUPT", "some records belong to no chain");
  }
}
