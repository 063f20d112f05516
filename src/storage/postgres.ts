import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { toHex } from "../bytes/hex.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { sha256 } from "#crypto";
import { AppendConflict } from "./errors.ts";
import { chainNameBytes, checkCommit, copyBytes, EMPTY_HEAD } from "./guards.ts";
import { postgresBlobs } from "./postgres/blobs.ts";
import { openSessionCalls } from "./postgres/calls.ts";
import { headOf, postgresChains } from "./postgres/chains.ts";
import type { PostgresPool } from "./postgres/client.ts";
import { compactTables } from "./postgres/compact.ts";
import { openListener } from "./postgres/listener.ts";
import { prepareSchema, quoted } from "./postgres/schema.ts";
import { isAtLeast, PROMISE_SQL, readPromise, tooWeak } from "./postgres/server.ts";
import { openSessions, type Session } from "./postgres/session.ts";
import { assertStandby, replicatedHeads, waitForStandbys } from "./postgres/standbys.ts";
import { postgresState } from "./postgres/state.ts";
import { openKeyOrder } from "./postgres/key-order.ts";
import { byteaArray } from "./postgres/wire.ts";
import type { AppendOptions, Commit, Durability, FullStorage, Head, StorageCaps } from "./types.ts";

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
   * A `Pool` of the `pg` package (8.x). The caller keeps ownership: closing the storage does not
   * end it. Each call borrows one connection; `tail` keeps one more, for all iterations together.
   */
  readonly pool: PostgresPool;
  /** Schema in the pool's database; created if it does not exist. Default `healthledger`. */
  readonly schema?: string;
  /**
   * Least durability required; a server that promises less is refused. Default `power`. With
   * `process`, a server without `fsync` is accepted, for tests, and its true durability is
   * reported.
   */
  readonly durability?: "process" | "power" | "quorum";
  /** Default 64 MiB, at most 120 MiB: a larger value as text would exceed the longest string. */
  readonly maxAppendBytes?: number;
  readonly maxBatch?: number;
  /**
   * How often `tail` polls, in milliseconds, in case notifications do not arrive (they do not
   * through a pooler that lends a connection per transaction); default 1000.
   */
  readonly pollInterval?: number;
}

const POSTGRES_STORAGE_OPTIONS: OptionsOf<PostgresStorageOptions> = {
  ...{ pool: true, schema: true, durability: true, maxAppendBytes: true, maxBatch: true },
  ...{ pollInterval: true },
};

/**
 * Opens a store in a PostgreSQL database (12 or newer) that any number of processes share.
 *
 * `caps.durability` follows from the server's settings: `quorum` if commits wait for synchronous
 * standbys, `power` if they are flushed to its own disk. Connections opened later, and every write,
 * must promise as much as was found at first.
 *
 * @throws {RangeError} if `schema` is not a valid name, or `maxAppendBytes` is too large
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` if a newer version made the schema
 * @throws {StorageError} `ERR_STORAGE_FAILED` if the server cannot be reached, is a standby,
 *   promises less than `durability`, or has no standby to wait for
 * @example
 * const storage = await postgresStorage({
 *   pool, // new Pool(…) of pg 8; closing the storage does not end it
 *   durability: "quorum", // refuse a server without synchronous standbys
 * });
 */
export async function postgresStorage(options: PostgresStorageOptions): Promise<FullStorage> {
  assertOptions(options, POSTGRES_STORAGE_OPTIONS, "postgresStorage");
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
  const inKeyOrder = openKeyOrder();
  const calls = openSessionCalls(sessions);
  const { close } = calls;
  const listener = openListener(() => sessions.borrow(), channel);
  calls.onClose(() => listener.close());
  const heads = replicatedHeads(isReplicated);
  const chains = postgresChains({
    ...{ calls, schema, heads, pollInterval },
    // A pool with a single connection has none to spare for listening.
    subscribe: (topic, wake) =>
      (pool.options?.max ?? 2) > 1 ? listener.subscribe(topic, wake) : () => {},
  });
  const blobs = postgresBlobs(calls, schema);
  const state = postgresState(calls, schema);

  async function commit(
    batch: Commit,
    { signal }: AppendOptions = {},
    durable = true,
  ): Promise<Head | undefined> {
    calls.assertOpen();
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
        // The settings may have changed since the connection was opened.
        const promise = readPromise([...server.slice(0, 5), session.promise.level]);
        if (!isAtLeast(promise.durability, durability))
          throw tooWeak(promise.durability, durability);
        if (what === "written") return undefined;
        const head = size === null ? EMPTY_HEAD : headOf([size!, hash!]);
        if (isReplicated) await waitForStandbys(query);
        return { replayed: what === "replayed", head };
      });
    };
    const outcome = await calls.track(inKeyOrder(changes.keys(), () => sessions.use(write)));
    if (outcome === "aborted") throw signal?.reason;
    if (chain === undefined || after === undefined) return undefined;
    heads.rememberReplicated(chain, outcome === undefined ? after : outcome.head);
    if (outcome !== undefined && !outcome.replayed) throw new AppendConflict(outcome.head);
    return after;
  }

  return {
    chains: {
      caps,
      head: chains.head,
      async append(chain, expected, records, options) {
        return (await commit({ append: { chain, expected, records } }, options))!;
      },
      read: chains.read,
      tail: chains.tail,
      list: chains.list,
      close,
    },
    blobs: {
      caps,
      async put(list) {
        await commit({ blobs: list });
      },
      ...blobs,
      close,
    },
    state: {
      caps,
      ...state,
      async batch(changes, { sync = true } = {}) {
        await commit({ state: changes }, {}, sync);
      },
      close,
    },
    commit: (batch, options) => commit(batch, options),
    async compact() {
      return calls.use((session) => compactTables(session, schema), { last: true });
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function maxBytes(wanted = 1 << 26): number {
  // Octal needs four characters per byte, and a V8 string holds fewer than 2^29.
  if (!(wanted <= 120 << 20)) throw new RangeError("maxAppendBytes must be at most 120 MiB");
  return wanted;
}

/** Makes the schema, and determines what the server promises. */
async function prepare(session: Session, name: string): Promise<Durability> {
  const { durability } = session.promise;
  if (durability === "quorum") await assertStandby(session);
  await prepareSchema(session, name);
  return durability;
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
