import { equalBytes } from "../bytes/compare.ts";
import type { TreeHead } from "../chain/connection.ts";
import type { BlocksAhead, IngestFault } from "../chain/ingest-result.ts";
import { seenHead } from "../chain/trust.ts";
import { ChainError } from "../errors.ts";
import { MAX_PENDING_BLOCKS } from "../transport/pending.ts";
import type { HomePeer } from "../transport/types.ts";
import type { LedgerCopy } from "./replica.ts";

/**
 * Why a validator does not cosign:
 *
 * - `invalid-block`: a block breaks a rule
 * - `other-blocks`: the blocks that the home gave are not those that it signed
 * - `forked`: the validator's copy knows of another history
 * - `too-far-ahead`: more blocks are under no accepted checkpoint than the memory would do for
 */
export type ValidatorRefusal = "invalid-block" | "other-blocks" | "forked" | "too-far-ahead";

/** What a validator found wrong. */
export interface ValidatorFault {
  readonly reason: ValidatorRefusal;
  /** Which block, and which rule it breaks. */
  readonly block?: IngestFault;
}

/**
 * Checks a head by every rule before it is cosigned; `undefined` if nothing is wrong with it. It is `early` for a
 * head that is smaller than an accepted checkpoint of which the copy has not got the blocks: until it has them,
 * nothing tells whether both are of one history.
 */
export type CheckPending = (
  head: TreeHead,
  signal: AbortSignal,
) => Promise<ValidatorFault | "early" | undefined>;

/**
 * Makes the check of a validator, which fetches the blocks beyond its copy and keeps them in no store: only what an
 * accepted checkpoint covers is appended, and that comes with the copy's own sync.
 */
export function checkPending(
  home: Pick<HomePeer, "pendingBlocks">,
  copy: Pick<LedgerCopy, "chain" | "trust" | "fork">,
): CheckPending {
  const { chain } = copy;
  let ahead: BlocksAhead | undefined;

  async function checkAll(size: number, signal: AbortSignal): Promise<ValidatorFault | undefined> {
    ahead ??= chain.checkAhead();
    await ahead.settle();
    while (ahead.size < size) {
      const range = { from: ahead.size, count: Math.min(MAX_PENDING_BLOCKS, size - ahead.size) };
      for await (const block of home.pendingBlocks(range, { signal })) {
        const fault = await ahead.check(block);
        if (fault !== undefined) return { reason: "invalid-block", block: fault };
      }
    }
    return undefined;
  }

  const rootAt = async (size: number): Promise<Uint8Array | undefined> =>
    size < chain.size ? chain.rootAt(size) : ahead?.rootAt(size);

  async function judge(
    { size, root }: TreeHead,
    signal: AbortSignal,
  ): Promise<ValidatorFault | "early" | undefined> {
    try {
      const fault = await checkAll(size, signal);
      if (fault !== undefined) return fault;
    } catch (error) {
      if (error instanceof ChainError && error.code === "ERR_CHAIN_BUSY") {
        return { reason: "too-far-ahead" };
      }
      throw error;
    }
    const own = await rootAt(size);
    if (own === undefined || !equalBytes(own, root)) return { reason: "other-blocks" };
    const seen = seenHead(copy.trust);
    if (seen === undefined) return undefined;
    if (seen.size > size) return size > chain.size ? "early" : undefined;
    const known = await rootAt(seen.size);
    return known !== undefined && equalBytes(known, seen.root) ? undefined : { reason: "forked" };
  }

  const isOfBlocks = (found: ValidatorFault | "early" | undefined): boolean =>
    found !== undefined &&
    found !== "early" &&
    (found.reason === "invalid-block" || found.reason === "other-blocks");

  return async (head, signal) => {
    if (copy.fork !== undefined) return { reason: "forked" };
    const wasAhead = ahead !== undefined && ahead.size > chain.size;
    let found = await judge(head, signal);
    if (isOfBlocks(found)) {
      ahead = undefined;
      // What was checked before may be of a history that the home does not sign any more.
      if (wasAhead) found = await judge(head, signal);
      if (isOfBlocks(found)) ahead = undefined;
    }
    // It may have been found meanwhile.
    return copy.fork === undefined ? found : { reason: "forked" };
  };
}
