import { StorageError } from "../../errors.ts";
import { AmbiguousAppend } from "../errors.ts";
import { createPatience } from "../settle.ts";
import type { Durability } from "../types.ts";
import type { PostgresClient, PostgresNotice, PostgresPool } from "./client.ts";
import { asFailed, asUnsettled, isBroken, isRetryable } from "./errors.ts";
import { isAtLeast, PROMISE_SQL, readPromise, tooWeak, type ServerPromise } from "./server.ts";
import type { Row } from "./wire.ts";

/** Runs one statement; a text with values may hold only one. */
export type Query = (text: string, values?: unknown[]) => Promise<readonly Row[]>;

/** A connection while it is borrowed from the pool. */
export interface Session {
  readonly promise: ServerPromise;
  readonly query: Query;
  /**
   * Runs work in one transaction; once its COMMIT was sent, only the loss of the connection can
   * interrupt it.
   *
   * @throws {AmbiguousAppend} if it is unknown whether it took place, or only this server has it
   */
  transaction<T>(
    options: { readonly durable: boolean },
    work: (query: Query) => Promise<T>,
  ): Promise<T>;
}

const TEXT = { getTypeParser: () => (text: string) => text };
const RETRIES = 5;

/** Lends connections, each checked to be a primary that promises enough. */
export interface Sessions {
  /**
   * Borrows a connection for some work. Rejects with errors of this library only.
   *
   * @param options - `last`: the connection is closed after the work, which may change its settings
   */
  use<T>(work: (session: Session) => Promise<T>, options?: { readonly last: boolean }): Promise<T>;
  /** Borrows a connection for a long time: the borrower must release it. */
  borrow(): Promise<PostgresClient>;
}

/** @param wanted - the least durability that a connection must promise */
export function openSessions(pool: PostgresPool, wanted: Durability): Sessions {
  hearErrors(pool);
  /** The properties found on the connections that are in use or in the pool. */
  const known = new WeakMap<PostgresClient, ServerPromise>();

  async function promiseOf(client: PostgresClient): Promise<ServerPromise> {
    const before = known.get(client);
    if (before !== undefined) return before;
    const promise = readPromise((await run(client, PROMISE_SQL))[0]);
    if (!isAtLeast(promise.durability, wanted)) throw tooWeak(promise.durability, wanted);
    known.set(client, promise);
    return promise;
  }

  async function use<T>(
    work: (session: Session) => Promise<T>,
    { last } = { last: false },
  ): Promise<T> {
    let client: PostgresClient;
    try {
      client = await pool.connect();
    } catch (error) {
      throw asFailed(error);
    }
    // A connection that breaks while idle reports it here; the next query then fails.
    const ignore = (): void => {};
    client.on("error", ignore);
    let broken = last;
    try {
      const promise = await promiseOf(client);
      return await work(sessionOn(client, promise));
    } catch (error) {
      broken ||= isBroken(error) || !known.has(client) || error instanceof Unclean;
      throw error instanceof Unclean ? error.cause : asFailed(error);
    } finally {
      client.removeListener("error", ignore);
      client.release(broken);
    }
  }

  return { use, borrow: () => pool.connect() };
}

const listenedTo = /* @__PURE__ */ new WeakSet<object>();

/**
 * Listens for errors of a pool's connections from the moment they are lent. The pool stops
 * listening then, and the borrower cannot start before the next microtask: without this, a
 * connection that breaks in between (for example, if the server's greeting and its farewell arrive
 * in one packet) would end the process.
 */
function hearErrors(pool: PostgresPool): void {
  if (listenedTo.has(pool)) return;
  listenedTo.add(pool);
  pool.on?.("acquire", (client) => {
    if (listenedTo.has(client)) return;
    listenedTo.add(client);
    // The next query fails because of it.
    client.on("error", () => {});
  });
}

/** An error that leaves the connection in an unknown state. */
class Unclean extends Error {
  constructor(cause: unknown) {
    super("unclean", { cause });
  }
}

function sessionOn(client: PostgresClient, promise: ServerPromise): Session {
  const query: Query = (text, values) => run(client, text, values);

  async function attempt<T>(durable: boolean, work: (query: Query) => Promise<T>): Promise<T> {
    let result: T;
    try {
      await query(begin(promise, durable));
      result = await work(query);
    } catch (error) {
      // COMMIT was not sent, so nothing was written, whatever the reason.
      if (isBroken(error)) throw new Unclean(asFailed(error));
      await query("ROLLBACK").catch((cause: unknown) => {
        throw new Unclean(asFailed(cause));
      });
      throw error;
    }
    // If the wait for a standby was cancelled, COMMIT succeeds with a warning: readers of this
    // server see the transaction, but perhaps no other server has it.
    let warning: PostgresNotice | undefined;
    const listen = (notice: PostgresNotice): void => {
      if (notice.code !== undefined && !notice.code.startsWith("00")) warning = notice;
    };
    client.on("notice", listen);
    try {
      const { command } = await send(client, "COMMIT");
      if (command === "ROLLBACK") {
        throw new StorageError("ERR_STORAGE_FAILED", "the server rolled the transaction back");
      }
      if (warning !== undefined || command !== "COMMIT") throw new AmbiguousAppend(warning);
    } catch (error) {
      if (isBroken(error)) throw new Unclean(asUnsettled(error));
      throw asUnsettled(error);
    } finally {
      client.removeListener("notice", listen);
    }
    return result;
  }

  return {
    promise,
    query,
    async transaction({ durable }, work) {
      const patience = createPatience({ longest: 100 });
      for (let left = RETRIES; ; left--) {
        try {
          return await attempt(durable, work);
        } catch (error) {
          if (left === 0 || !isRetryable(error) || !(await patience.pause())) throw error;
        }
      }
    },
  };
}

/**
 * All time limits are lifted for this transaction: one that expired during the wait for a standby
 * would leave a commit that exists on this server only.
 *
 * Functions are looked up in the catalogue only. Otherwise a function that fits its arguments
 * better, put into `public` by anybody who may, would be called instead, with this role's rights.
 *
 * @see CVE-2018-1058
 */
function begin({ level, version }: ServerPromise, durable: boolean): string {
  const off = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];
  if (version >= 170_000) off.push("transaction_timeout");
  return [
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    ...off.map((name) => `SET LOCAL ${name} = 0`),
    "SET LOCAL client_min_messages = warning",
    "SET LOCAL search_path = pg_catalog, pg_temp",
    `SET LOCAL synchronous_commit = ${durable ? level : "off"}`,
  ].join("; ");
}

function send(
  client: PostgresClient,
  text: string,
  values?: unknown[],
): ReturnType<PostgresClient["query"]> {
  return client.query({ text, ...(values && { values }), rowMode: "array", types: TEXT });
}

async function run(
  client: PostgresClient,
  text: string,
  values?: unknown[],
): Promise<readonly Row[]> {
  return (await send(client, text, values)).rows;
}
