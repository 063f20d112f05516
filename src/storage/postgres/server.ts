import { StorageError } from "../../errors.ts";
import type { Durability } from "../types.ts";
import type { Row } from "./wire.ts";

/** What a write is acknowledged after, as `synchronous_commit` names it. */
export type CommitLevel = "on" | "remote_apply" | "local";

/** What a server makes of a commit, as its settings say. */
export interface ServerPromise {
  readonly durability: Durability;
  /** What every write sets for itself. */
  readonly level: CommitLevel;
  readonly version: number;
}

/** In the order of {@link readPromise}. */
export const PROMISE_SQL = `SELECT current_setting('server_version_num'), pg_is_in_recovery(),
  current_setting('fsync'), current_setting('full_page_writes'),
  current_setting('synchronous_standby_names'), current_setting('synchronous_commit')`;

const RANK: Readonly<Record<Durability, number>> = { none: 0, process: 1, power: 2, quorum: 3 };

/** Whether one promise holds as much as another. */
export function isAtLeast(found: Durability, wanted: Durability): boolean {
  return RANK[found] >= RANK[wanted];
}

/**
 * Reads what a connection's server promises.
 *
 * `synchronous_commit` of the role, database or session does not count where it is weaker than `on`:
 * every write sets it for itself. Only `local` stands, by which an administrator says that standbys
 * are not to be waited for, and `remote_apply`, which is more.
 *
 * @throws {StorageError} `ERR_STORAGE_FAILED` when it is a standby
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

/** The error of a server that only follows another one. */
export function standbyError(): StorageError {
  return new StorageError(
    "ERR_STORAGE_FAILED",
    "the server is a standby: it accepts no writes, and its data may be out of date",
  );
}

/** The error of a server that promises less than it must. */
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
