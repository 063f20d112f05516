import { ChainError } from "../errors.ts";
import type { Checkpointer, SignedCheckpoint } from "./checkpointer.ts";

/**
 * Gives checkpoints that cover a height: the last one, or one that is signed for all who wait.
 *
 * @throws {ChainError} `ERR_CHAIN_CHECKPOINT` when there is no checkpointer, or it signs no head that
 *   covers the height
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
    // One that was begun before the block was durable need not cover it; the next one must.
    for (let tries = 0; ; tries++) {
      if (newest !== undefined && newest.size > height) return newest;
      if (tries > 2) {
        throw new ChainError(
          "ERR_CHAIN_CHECKPOINT",
          "the checkpointer signs no head that covers it",
        );
      }
      signing ??= checkpointer.sign().finally(() => {
        signing = undefined;
      });
      newest = await signing;
    }
  };
}
