import { StorageError } from "../../errors.ts";
import { AmbiguousAppend } from "../errors.ts";
import { copyHead, EMPTY_HEAD, sameHead } from "../guards.ts";
import type { Head } from "../types.ts";
import type { Query, Session } from "./session.ts";

/** Heads that synchronous standbys are known to have. */
export interface ReplicatedHeads {
  rememberReplicated(chain: string, head: Head): void;
  /**
   * Makes sure that the records about to be returned are on a standby too. They may be missing
   * there: after a crash of the primary, or after the writer's wait was cancelled, the primary shows
   * records that only it has. A commit that is waited for comes after everything that was visible
   * before it.
   *
   * @param shown - how many records are returned, if not up to the head
   */
  confirm(session: Session, chain: string, head: Head, shown?: number): Promise<void>;
}

/** @param isReplicated - whether commits wait for standbys; else there is nothing to confirm */
export function replicatedHeads(isReplicated: boolean): ReplicatedHeads {
  const replicated = new Map<string, Head>();

  function rememberReplicated(chain: string, head: Head): void {
    if (!isReplicated) return;
    if ((replicated.get(chain)?.size ?? 0) <= head.size) replicated.set(chain, copyHead(head));
  }

  return {
    rememberReplicated,
    async confirm(session, chain, head, shown = Infinity) {
      if (!isReplicated || head.size === 0) return;
      const known = replicated.get(chain) ?? EMPTY_HEAD;
      if (sameHead(known, head) || known.size >= shown) return;
      try {
        await session.transaction({ durable: true }, waitForStandbys);
      } catch (error) {
        if (!(error instanceof AmbiguousAppend)) throw error;
        throw new StorageError("ERR_STORAGE_FAILED", "no standby confirmed the data read", {
          cause: error,
        });
      }
      rememberReplicated(chain, head);
    },
  };
}

/** Makes the COMMIT of a transaction wait, even if it wrote nothing. */
export async function waitForStandbys(query: Query): Promise<void> {
  await query("SELECT pg_logical_emit_message(true, 'healthledger', '')");
}

/** Refuses rather than wait for ever, provided that the role may see the standbys. */
export async function assertStandby({ query }: Session): Promise<void> {
  const [row] = await query(`SELECT pg_catalog.pg_has_role('pg_read_all_stats', 'usage'),
    EXISTS (SELECT FROM pg_catalog.pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))`);
  if (row?.[0] === "t" && row[1] !== "t") {
    throw new StorageError(
      "ERR_STORAGE_FAILED",
      "the server waits for synchronous standbys, but none is connected",
    );
  }
}
