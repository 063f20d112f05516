import { toHex } from "../bytes/hex.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import type { CID } from "../codec/cid.ts";
import { StorageError } from "../errors.ts";
import { sha256 } from "#crypto";
import { AmbiguousAppend, AppendConflict } from "./errors.ts";
import {
  assertStateKey,
  blobCidBytes,
  chainNameBytes,
  chainNameOf,
  checkCommit,
  checkRead,
  checkScan,
  closedError,
  copyBytes,
  copyHead,
  copyScan,
  EMPTY_HEAD,
  risingKeys,
  sameHead,
  storedCid,
} from "./guards.ts";
import type { PostgresPool } from "./postgres/client.ts";
import { compactTables } from "./postgres/compact.ts";
import { openListener } from "./postgres/listener.ts";
import { prepareSchema, quoted } from "./postgres/schema.ts";
import { isAtLeast, standbyError, PROMISE_SQL, readPromise, tooWeak } from "./postgres/server.ts";
import { openSessions, type Query, type Session } from "./postgres/session.ts";
import { type Row, byteaArray, bytesOf, numberOf } from "./postgres/wire.ts";
import { openTurns } from "./postgres/turns.ts";
import type {
  AppendOptions,
  ChainRecord,
  Commit,
  Durability,
  FullStorage,
  Head,
  ChainReadOptions,
  ScanOptions,
  StateEntry,
  StorageCaps,
  TailOptions,
} from "./types.ts";

export type {
  PostgresClient,
  PostgresNotice,
  PostgresNotification,
  PostgresPool,
  PostgresQuery,
  PostgresResult,
} from "./postgres/client.ts";

export interface PostgresStorageOptions {
  /**
   * A `Pool` of the `pg` package (8.x). It stays the caller's: closing the storage does not end it.
   * Each call borrows one connection; `tail` keeps one more, for all iterations together.
   */
  readonly pool: PostgresPool;
  /** Schema in the pool's database; made if it is not there. Default `healthledger`. */
  readonly schema?: string;
  /**
   * Least durability to work with; a server that promises less is refused. Default `power`. With
   * `process` a server without `fsync` is accepted, for tests, and reported as what it is.
   */
  readonly durability?: "process" | "power" | "quorum";
  /** Default 64 MiB, at most 120 MiB: as text, a larger value is more than a string can hold. */
  readonly maxAppendBytes?: number;
  readonly maxBatch?: number;
  /**
   * How often `tail` looks by itself, in milliseconds, should notifications not get through (they do
   * not behind a pooler that lends a connection per transaction); default 1000.
   */
  readonly pollInterval?: number;
}

/** Records or entries read in one go while scanning. */
const PAGE = 512;
const PAGE_BYTES = 1 << 20;
const CID_PAGE = 4096;

/**
 * Opens a store in a PostgreSQL database (12 or newer) that any number of processes share.
 *
 * `caps.durability` is what the server's settings say: `quorum` where commits wait for synchronous
 * standbys, `power` where they are flushed to its own disk. Connections that are opened later, and
 * every write, are held to what was found at first.
 *
 * @throws {RangeError} when `schema` is no name of one, or `maxAppendBytes` too much
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when a newer version made the schema
 * @throws {StorageError} `ERR_STORAGE_FAILED` when the server cannot be reached, is a standby,
 *   promises less than `durability`, or has no standby to wait for
 */
export async function postgresStorage(options: PostgresStorageOptions): Promise<FullStorage> {
  const { pool, schema: name = "healthledger", pollInterval = 1000 } = options;
  const schema = quoted(name);
  const durability = await openSessions(pool, options.durability ?? "power").use((session) =>
    prepare(session, name),
  );
  const isReplicated = durability === "quorum";
  const sessions = openSessions(pool, durability);
  const caps: StorageCaps = {
    durability,
    multiProcess: true,
    maxAppendBytes: maxBytes(options.maxAppendBytes),
    maxBatch: options.maxBatch ?? 100_000,
    tail: true,
  };
  const channel = `healthledger_${toHex(sha256(utf8ToBytes(name))).slice(0, 16)}`;
  const turns = openTurns();
  const listener = openListener(() => sessions.borrow(), channel);
  /** Heads that are known to be where they were promised to be; with standbys only. */
  const replicated = new Map<string, Head>();
  const waiting = new Set<() => void>();
  const pending = new Set<Promise<unknown>>();
  let closing: Promise<void> | undefined;

  function assertOpen(): void {
    if (closing) throw closedError();
  }

  function close(): Promise<void> {
    if (closing === undefined) {
      closing = Promise.allSettled([...pending]).then(() => {});
      listener.close();
      for (const wake of [...waiting]) wake();
    }
    return closing;
  }

  function use<T>(
    work: (session: Session) => Promise<T>,
    options?: { readonly last: boolean },
  ): Promise<T> {
    assertOpen();
    return track(sessions.use(work, options));
  }

  /** Lets `close` wait for a call. */
  function track<T>(call: Promise<T>): Promise<T> {
    pending.add(call);
    const done = (): void => void pending.delete(call);
    call.then(done, done);
    return call;
  }

  async function commit(
    batch: Commit,
    { signal }: AppendOptions = {},
    durable = true,
  ): Promise<Head | undefined> {
    assertOpen();
    checkCommit(batch, caps);
    signal?.throwIfAborted();
    const { chain } = batch.append ?? {};
    const after = batch.append && headBehind(batch.append);
    const changes = new Map(batch.state?.map((change) => [toHex(change.key), change]));
    const values = encodeBatch({ ...batch, state: [...changes.values()] }, after, channel);
    const write = async (session: Session) => {
      if (signal?.aborted) return "aborted";
      return session.transaction({ durable }, async (query) => {
        const [row] = await query(
          `SELECT outcome, head_size, head_hash, b.* FROM (${PROMISE_SQL}) AS b,
            ${schema}.apply_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
          values,
        );
        const [what, size, hash, ...server] = row ?? [];
        // The settings may have been changed since the connection was opened.
        const promise = readPromise([...server.slice(0, 5), session.promise.level]);
        if (!isAtLeast(promise.durability, durability))
          throw tooWeak(promise.durability, durability);
        if (what === "written") return undefined;
        const head = size === null ? EMPTY_HEAD : headOf([size!, hash!]);
        if (isReplicated) await waitForStandbys(query);
        return { replayed: what === "replayed", head };
      });
    };
    const outcome = await track(turns(changes.keys(), () => sessions.use(write)));
    if (outcome === "aborted") throw signal?.reason;
    if (chain === undefined || after === undefined) return undefined;
    if (isReplicated) rememberReplicated(chain, outcome === undefined ? after : outcome.head);
    if (outcome !== undefined && !outcome.replayed) throw new AppendConflict(outcome.head);
    return after;
  }

  function rememberReplicated(chain: string, head: Head): void {
    if ((replicated.get(chain)?.size ?? 0) <= head.size) replicated.set(chain, copyHead(head));
  }

  /**
   * Makes sure that what is about to be shown is on a standby too. It need not be: after a crash of
   * the primary, or when somebody cancelled the writer's wait, it shows what only it has. A commit
   * that is waited for comes behind all that was visible before it.
   *
   * @param shown - how many records are shown, if not the head
   */
  async function confirm(
    session: Session,
    chain: string,
    head: Head,
    shown = Infinity,
  ): Promise<void> {
    if (!isReplicated || head.size === 0) return;
    const known = replicated.get(chain) ?? EMPTY_HEAD;
    if (sameHead(known, head) || known.size >= shown) return;
    try {
      await session.transaction({ durable: true }, waitForStandbys);
    } catch (error) {
      if (!(error instanceof AmbiguousAppend)) throw error;
      throw new StorageError("ERR_STORAGE_FAILED", "no standby confirmed what was read", {
        cause: error,
      });
    }
    rememberReplicated(chain, head);
  }

  /** Where a chain ends, and a page of its records in the same moment. */
  async function page(
    chain: string,
    from: number,
    end: number,
  ): Promise<{ readonly head: Head; readonly records: readonly ChainRecord[] }> {
    return use(async (session) => {
      const rows = await session.query(
        // A head that was asked for is compared with the record that it is to be that of.
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
        // No more than a page by its numbers: without statistics a LIMIT may be planned as a sort of all.
        [chainNameBytes(chain), from, Math.min(end, from + PAGE)],
      );
      if (rows[0]?.[4] !== "f") throw standbyError();
      const head = rows[0][0] === null ? EMPTY_HEAD : headOf(rows[0]);
      if (end === 0 && head.size > 0 && !(rows[0][5] === "t" && rows[0][6] === "t")) {
        throw new StorageError("ERR_STORAGE_CORRUPT", "the head of a chain is damaged");
      }
      await confirm(session, chain, head, end === 0 ? Infinity : Math.min(end, head.size));
      const records = rows
        .filter(([, , index]) => index !== null)
        .map(([, , index, bytes]) => ({ index: numberOf(index), record: bytesOf(bytes) }));
      return { head, records };
    });
  }

  async function* readChain(chain: string, options: ChainReadOptions): AsyncGenerator<ChainRecord> {
    assertOpen();
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
        assertOpen();
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
    assertOpen();
    const topic = toHex(sha256(chainNameBytes(chain)));
    let news = true;
    let wake: () => void = () => {};
    const notify = (): void => {
      news = true;
      wake();
    };
    // Before the first look, so that nothing falls between the two.
    const unsubscribe = (pool.options?.max ?? 2) > 1 ? listener.subscribe(topic, notify) : () => {};
    waiting.add(notify);
    signal?.addEventListener("abort", notify);
    try {
      for (let next = from; ;) {
        signal?.throwIfAborted();
        if (closing) return;
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
          if (news || closing || signal?.aborted) wake();
        });
      }
    } finally {
      unsubscribe();
      waiting.delete(notify);
      signal?.removeEventListener("abort", notify);
    }
  }

  /** Values of a table by their keys, in the order asked, as of one moment. */
  async function lookUp(
    table: "blob" | "state",
    keys: readonly Uint8Array[],
  ): Promise<(Uint8Array | undefined)[]> {
    const [key, value] = table === "blob" ? ["cid", "bytes"] : ["key", "value"];
    const [only] = keys;
    if (only !== undefined && keys.length === 1) {
      const copy = copyBytes(only);
      const [row] = await use(({ query }) =>
        query(`SELECT ${value} FROM ${schema}.${table} WHERE ${key} = $1`, [copy]),
      );
      return [row && bytesOf(row[0])];
    }
    const names = keys.map(toHex);
    const wanted = byteaArray(keys);
    const rows = await use(({ query }) =>
      query(`SELECT ${key}, ${value} FROM ${schema}.${table} WHERE ${key} = ANY ($1::bytea[])`, [
        wanted,
      ]),
    );
    const found = new Map(rows.map(([name, bytes]) => [toHex(bytesOf(name)), bytes]));
    return names.map((name) => {
      const bytes = found.get(name);
      return bytes === undefined ? undefined : bytesOf(bytes);
    });
  }

  async function getBlobs(cids: readonly CID[]): Promise<(Uint8Array | undefined)[]> {
    return lookUp("blob", cids.map(blobCidBytes));
  }

  async function getState(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    for (const key of keys) assertStateKey(key);
    return lookUp("state", keys);
  }

  async function* listBlobs(): AsyncGenerator<CID> {
    const follows = risingKeys();
    for (let last: Uint8Array = new Uint8Array(); ;) {
      const rows = await use(({ query }) =>
        query(`SELECT cid FROM ${schema}.blob WHERE cid > $1 ORDER BY cid LIMIT ${CID_PAGE}`, [
          last,
        ]),
      );
      for (const [cid] of rows) {
        assertOpen();
        last = bytesOf(cid);
        follows(last);
        yield storedCid(last);
      }
      if (rows.length < CID_PAGE) return;
    }
  }

  async function* scan(options: ScanOptions): AsyncGenerator<StateEntry> {
    assertOpen();
    const { gte, lt, limit, reverse } = checkScan(options);
    let [low, high] = [gte, lt];
    const follows = risingKeys(reverse);
    for (let left = limit, first = true; left > 0; first = false) {
      const above = first || reverse ? ">=" : ">";
      const order = reverse ? "DESC" : "ASC";
      const rows = await use(({ query }) =>
        query(
          `SELECT key, value FROM (
            SELECT key, value, octet_length(value) AS length,
              sum(octet_length(value)) OVER (ORDER BY key ${order}) AS upto
            FROM (
              SELECT key, value FROM ${schema}.state WHERE key ${above} $1 AND key < $2
              ORDER BY key ${order} LIMIT $3
            ) AS s
          ) AS p WHERE upto - length < ${PAGE_BYTES} ORDER BY key ${order}`,
          [low, high, Math.min(PAGE, left)],
        ),
      );
      for (const [key, value] of rows) {
        assertOpen();
        const entry = { key: bytesOf(key), value: bytesOf(value) };
        follows(copyBytes(entry.key));
        if (reverse) high = copyBytes(entry.key);
        else low = copyBytes(entry.key);
        left--;
        yield entry;
      }
      if (rows.length === 0) return;
    }
  }

  return {
    chains: {
      caps,
      async head(chain) {
        assertOpen();
        chainNameBytes(chain);
        const { head } = await page(chain, 0, 0);
        return head;
      },
      async append(chain, expected, records, options) {
        return (await commit({ append: { chain, expected, records } }, options))!;
      },
      read: (chain, how) => readChain(chain, { ...how }),
      tail: (chain, how) => tail(chain, { ...how }),
      async *list() {
        const rows = await use(async ({ query }) => {
          await assertOwned(query, schema);
          return query(`SELECT name FROM ${schema}.chain`);
        });
        for (const [chain] of rows) {
          assertOpen();
          yield chainNameOf(bytesOf(chain));
        }
      },
      close,
    },
    blobs: {
      caps,
      async put(blobs) {
        await commit({ blobs });
      },
      async get(cid) {
        return (await getBlobs([cid]))[0];
      },
      getMany: getBlobs,
      async has(cid) {
        const name = copyBytes(blobCidBytes(cid));
        const rows = await use(({ query }) =>
          query(`SELECT 1 FROM ${schema}.blob WHERE cid = $1`, [name]),
        );
        return rows.length > 0;
      },
      async delete(cids) {
        assertOpen();
        const names = byteaArray(cids.map(blobCidBytes));
        await use(({ transaction }) =>
          transaction({ durable: true }, (query) =>
            // The message has COMMIT wait even where nothing is left to be deleted.
            query(
              `WITH gone AS (DELETE FROM ${schema}.blob WHERE cid = ANY ($1::bytea[]))
              SELECT pg_logical_emit_message(true, 'healthledger', '')`,
              [names],
            ),
          ),
        );
      },
      list: listBlobs,
      async count() {
        const [row] = await use(({ query }) => query(`SELECT count(*) FROM ${schema}.blob`));
        return numberOf(row?.[0]);
      },
      close,
    },
    state: {
      caps,
      async get(key) {
        return (await getState([key]))[0];
      },
      getMany: getState,
      async batch(state, { sync = true } = {}) {
        await commit({ state }, {}, sync);
      },
      scan: (range) => scan(copyScan(range)),
      close,
    },
    commit: (batch, options) => commit(batch, options),
    async compact() {
      return use((session) => compactTables(session, schema), { last: true });
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function maxBytes(wanted = 1 << 26): number {
  // Octal needs four characters a byte, and a string of V8 holds less than 2^29.
  if (!(wanted <= 120 << 20)) throw new RangeError("maxAppendBytes must be at most 120 MiB");
  return wanted;
}

/** Makes the schema, and finds out what the server promises. */
async function prepare(session: Session, name: string): Promise<Durability> {
  const { durability } = session.promise;
  if (durability === "quorum") await assertStandby(session);
  await prepareSchema(session, name);
  return durability;
}

/** Better to refuse than to wait for ever; where the role may see who follows. */
async function assertStandby({ query }: Session): Promise<void> {
  const [row] = await query(`SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'usage'),
    EXISTS (SELECT FROM pg_catalog.pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))`);
  if (row?.[0] === "t" && row[1] !== "t") {
    throw new StorageError(
      "ERR_STORAGE_FAILED",
      "the server waits for synchronous standbys, and none is connected",
    );
  }
}

async function waitForStandbys(query: Query): Promise<void> {
  await query("SELECT pg_logical_emit_message(true, 'healthledger', '')");
}

/** Arguments of `apply_batch`; everything is copied. */
function encodeBatch(
  { append, blobs = [], state = [] }: Commit,
  after: Head | undefined,
  channel: string,
): unknown[] {
  return [
    append ? chainNameBytes(append.chain) : null,
    append ? append.expected.size : null,
    append?.expected.hash ? copyBytes(append.expected.hash) : null,
    append ? byteaArray(append.records) : null,
    after ? after.hash : null,
    channel,
    byteaArray(blobs.map(({ cid }) => cid.bytes)),
    byteaArray(blobs.map(({ bytes }) => bytes)),
    byteaArray(state.map(({ key }) => key)),
    byteaArray(state.map(({ value }) => value)),
  ];
}

function headBehind({ expected, records }: NonNullable<Commit["append"]>): Head {
  return { size: expected.size + records.length, hash: sha256(records.at(-1)!) };
}

function headOf([size, hash]: Row): Head {
  const head = { size: numberOf(size), hash: bytesOf(hash) };
  // A chain is made with its first records.
  if (head.size > 0 && head.hash.length === 32) return head;
  throw new StorageError("ERR_STORAGE_CORRUPT", "the head of a chain is damaged");
}

/** Looks for records that belong to no chain, going by the index from one chain's to the next one's. */
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
    throw new StorageError("ERR_STORAGE_CORRUPT", "there are records that belong to no chain");
  }
}
