import { assertUint } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { BodyReader } from "./read-body.ts";
import type { AskOptions, BlockRange, HomePeer, PendingOptions } from "./types.ts";

/** Longest checkpoint with its proof that waits for cosignatures. */
export const MAX_PENDING_BYTES = 65_536;
/** Longest note with a cosignature that is handed in. */
export const MAX_COSIGNATURE_BYTES = 4096;
/** Most blocks that are asked for at once. */
export const MAX_PENDING_BLOCKS = 256;

const ASK_OPTIONS: OptionsOf<AskOptions> = { signal: true };
const PENDING_OPTIONS: OptionsOf<PendingOptions> = { signal: true, old: true, wait: true };

/** What the calls for cosigners need of a peer. */
export interface PendingCaller {
  /** Asks for a path; see `httpPeer`. */
  ask(
    path: string,
    most: number,
    given: AskOptions,
    extra?: number,
    posted?: Uint8Array,
  ): Promise<BodyReader>;
  /** Reads exactly so many blocks. */
  readBlocks(path: string, count: number, given: AskOptions): AsyncIterable<Uint8Array>;
  checkWait(wait: number): void;
}

/** Makes the calls by which cosigners ask a home. */
export function pendingCalls({
  ask,
  readBlocks,
  checkWait,
}: PendingCaller): Pick<HomePeer, "pending" | "pendingBlocks" | "cosign"> {
  return {
    async pending(given = {}) {
      assertOptions(given, PENDING_OPTIONS, "pending");
      const { old = 0, wait = 0, signal } = given;
      assertUint(old, "old");
      checkWait(wait);
      const asking = signal === undefined ? {} : { signal };
      const path = `pending?old=${old}&wait=${wait}`;
      return (await ask(path, MAX_PENDING_BYTES, asking, wait * 1000)).rest();
    },
    pendingBlocks({ from, count }: BlockRange, given = {}) {
      assertOptions(given, ASK_OPTIONS, "pendingBlocks");
      assertUint(from, "from");
      if (!Number.isInteger(count) || count < 1 || count > MAX_PENDING_BLOCKS) {
        throw new RangeError(`count must be a whole number from 1 to ${MAX_PENDING_BLOCKS}`);
      }
      return readBlocks(`pending/blocks?from=${from}&count=${count}`, count, given);
    },
    async cosign(note, given = {}) {
      assertOptions(given, ASK_OPTIONS, "cosign");
      await (await ask("cosignature", 0, given, 0, note.slice())).rest();
    },
  };
}
