import { StorageError } from "../../errors.ts";
import { AmbiguousAppend } from "../errors.ts";
import { copyHead, EMPTY_HEAD, sameHead } from "../guards.ts";
import type { Head } from "../types.ts";
import type { Query, Session } from "./session.ts";

/** Heads that synchronous standbys are known to have. */
export interface ReplicatedHeads {
  rememberReplicated(chain: string, head: Head): void;
  /**
   * Makes sure that what is about to be shown is on a standby too. It need not be: after a crash of
   * the primary, or when somebody cancelled the writer's wait, it shows what only it has. A commit
   * that is waited for comes behind all that was visible before it.
   *
   * @param shown - how many records are shown, if not the head
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
        throw new StorageError(
          "ERR_STORAGE_FAILED",
          "no standby confirmed the data that were read",
          {
            cause: error,
          },
        );
      }
      rememberReplicated(chain, head);
    },
  };
}

/** Has the COMMIT of a transaction wait, even where it wrote nothing. */
export async function waitForStandbys(query: Query): Promise<void> {
  await query("SELECT pg_logical_emit_message(true, 'healthledger', '')");
}

/** Better to refuse than to wait for ever; where the role may see who follows. */
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
