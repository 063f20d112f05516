import { StorageError } from "../../errors.ts";
import type { Durability } from "../types.ts";
import type { Row } from "./wire.ts";

/** The event after which a write is acknowledged, as `synchronous_commit` names it. */
export type CommitLevel = "on" | "remote_apply" | "local";

/** How a server handles a commit, according to its settings. */
export interface ServerPromise {
  readonly durability: Durability;
  /** The setting that every write makes for itself. */
  readonly level: CommitLevel;
  readonly version: number;
}

/** In the order of {@link readPromise}. */
export const PROMISE_SQL = `SELECT current_setting('server_version_num'), pg_is_in_recovery(),
  current_setting('fsync'), current_setting('full_page_writes'),
  current_setting('synchronous_standby_names'), current_setting('synchronous_commit')`;

const RANK: Readonly<Record<Durability, number>> = { none: 0, process: 1, power: 2, quorum: 3 };

/** Whether one promise is at least as strong as another. */
export function isAtLeast(found: Durability, wanted: Durability): boolean {
  return RANK[found] >= RANK[wanted];
}

/**
 * Reads what a connection's server promises.
 *
 * The `synchronous_commit` of the role, database or session does not count if it is weaker than
 * `on`: every write sets it for itself. Only two settings are respected: `local`, by which an
 * administrator says that commits must not wait for standbys, and `remote_apply`, which is
 * stronger.
 *
 * @throws {StorageError} `ERR_STORAGE_FAILED` if it is a standby
 */
export function readPromise(row: Row | undefined): ServerPromise {
  const [version, recovery, fsync, fullPages, standbys, commit] = row ?? [];
  if (recovery !== "f") throw standbyError();
  const level = commit === "local" || commit === "remote_apply" ? commit : "on";
  const onDisk = fsync === "on" && fullPages === "on";
  const replicated = (standbys ?? "").trim() !== "" && level !== "local";
  const durability = !onDisk ? "process" : replicated ? "quorum" : "power";
  return { durability, level, version: Number(version) };
}

/** The error for a server that is only a standby. */
export function standbyError(): StorageError {
  return new StorageError(
    "ERR_STORAGE_FAILED",
    "the server is a standby: it accepts no writes, and its data may be out of date",
  );
}

/** The error for a server that promises less than required. */
export function tooWeak(found: Durability, wanted: Durability): StorageError {
  const why =
    found === "process"
      ? "fsync or full_page_writes is off"
      : "it has no synchronous_standby_names, or synchronous_commit is local";
  return new StorageError(
    "ERR_STORAGE_FAILED",
    `the server's durability is "${found}" where "${wanted}" is needed: ${why}`,
  );
}
