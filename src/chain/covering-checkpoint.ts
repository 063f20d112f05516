import { ChainError } from "../errors.ts";
import type { Checkpointer, SignedCheckpoint } from "./checkpointer.ts";

/**
 * Makes a function that returns a checkpoint that covers a height: the last one, or a new one
 * signed for all waiting callers.
 *
 * @throws {ChainError} `ERR_CHAIN_CHECKPOINT` when there is no checkpointer, or it signs no head
 *   that covers the height
 */
export function coveringCheckpoints(
  checkpointer: Checkpointer | undefined,
): (height: number) => Promise<SignedCheckpoint> {
  let newest: SignedCheckpoint | undefined;
  let signing: Promise<SignedCheckpoint> | undefined;
  return async (height) => {
    if (checkpointer === undefined) {
      throw new ChainError("ERR_CHAIN_CHECKPOINT", "this sequencer has no checkpointer");
    }
    // A checkpoint begun before the block was durable need not cover it; the next one must.
    for (let tries = 0; ; tries++) {
      if (newest !== undefined && newest.size > height) return newest;
      if (tries > 2) {
        throw new ChainError(
          "ERR_CHAIN_CHECKPOINT",
          "the checkpointer signed no head that covers the block",
        );
      }
      signing ??= checkpointer.sign().finally(() => {
        signing = undefined;
      });
      newest = await signing;
    }
  };
}
