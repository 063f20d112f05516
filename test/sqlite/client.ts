import { createRequire } from "node:module";
import type { SqliteDatabase } from "../../src/storage/sqlite.ts";

/** The clients that the adapter is tried with. */
export type ClientName = "better-sqlite3" | "node:sqlite";

/** The client of this Node.js: its own from 22 on, unless another is named. */
export const OWN_CLIENT: ClientName =
  (process.env["HEALTHLEDGER_SQLITE_CLIENT"] as ClientName | undefined) ??
  (Number(process.versions.node.split(".")[0]) >= 22 ? "node:sqlite" : "better-sqlite3");

/** A connection as its owner has it. */
export interface Connection extends SqliteDatabase {
  close(): unknown;
}

type Connect = new (path: string, options?: object) => Connection;

/** Opens a connection by one of the clients, which this package and this Node.js bring along. */
export async function connect(path: string, client: ClientName = OWN_CLIENT): Promise<Connection> {
  const Database =
    client === "node:sqlite"
      ? ((await import("node:sqlite" as string)) as { DatabaseSync: Connect }).DatabaseSync
      : (createRequire(import.meta.url)("better-sqlite3") as Connect);
  return new Database(path);
}
