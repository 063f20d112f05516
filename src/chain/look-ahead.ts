import type { CID } from "multiformats/cid";
import type { Block } from "../block/block.ts";
import { readParts, type BlockParts } from "./apply-block.ts";
import type { LedgerState } from "./ledger-state.ts";
import { isRefused, type LedgerRules, type PreparedTransaction } from "./prepare.ts";
import { signatureChecks, type Verdicts } from "./signature-checks.ts";

/** A block with what was found out about it before those in front of it were judged. */
export interface BlockAhead<T> {
  readonly item: T;
  /** `undefined` if the item is not a block. */
  readonly block: Block | undefined;
  readonly parts: BlockParts | undefined;
  readonly verdicts: Verdicts;
}

/** Most signatures, and bytes of blocks, ahead of the block that is being judged. */
export interface AheadLimits {
  readonly signatures: number;
  readonly bytes: number;
}

/** For blocks at hand: memory stays small, and as many cores are kept busy as there are. */
export const LOOK_AHEAD: AheadLimits = { signatures: 256, bytes: 4 * 1024 * 1024 };

/** For a source from which a block may be asked for only once those before it are found valid. */
export const ONE_BY_ONE: AheadLimits = { signatures: 0, bytes: 0 };

interface Ahead<T> extends BlockAhead<T> {
  /** What signatures are being checked of. */
  readonly begun: (PreparedTransaction | Block)[];
  readonly bytes: number;
}

/**
 * Reads blocks ahead, and checks their signatures beside the main thread meanwhile. Each block, and
 * an error of the source, comes in its turn, so that the earliest fault is still the one found.
 *
 * @param read - decodes an item, and tells its size
 * @param state - the state before the block that is being judged; of keys that it does not hold yet
 *   no signature is checked ahead
 */
export async function* lookAhead<T>(
  items: AsyncIterable<T> | Iterable<T>,
  read: (item: T) => { readonly block: Block | undefined; readonly bytes: number },
  base: { readonly ledger: CID; readonly rules: LedgerRules; readonly state: LedgerState },
  limits: AheadLimits,
  signal: AbortSignal | undefined,
): AsyncGenerator<BlockAhead<T>> {
  const { ledger, rules, state } = base;
  const checks = signatureChecks();
  const waiting: Ahead<T>[] = [];
  let signatures = 0;
  let bytes = 0;

  /** Of a block with very many signatures, the rules check the rest. */
  const mayBegin = () => signatures < 4 * limits.signatures;

  function begin(item: T): void {
    const { block, bytes: size } = read(item);
    const parts = block && limits.signatures > 0 ? readParts(block, ledger, rules) : undefined;
    const ahead: Ahead<T> = { item, block, parts, verdicts: checks, begun: [], bytes: size };
    const proposer = parts?.header && state.key(parts.header.key);
    if (proposer !== undefined && mayBegin()) {
      checks.checkHeader(block!, proposer);
      ahead.begun.push(block!);
      signatures++;
    }
    for (const prepared of parts?.transactions ?? []) {
      if (isRefused(prepared) || !mayBegin()) break;
      const key = state.key(prepared.transaction.key);
      if (key === undefined) continue;
      checks.check(prepared, key, true);
      ahead.begun.push(prepared);
      signatures++;
    }
    waiting.push(ahead);
    bytes += size;
  }

  const iterator =
    Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let end: { readonly error?: unknown } | undefined;
  try {
    for (;;) {
      while (
        end === undefined &&
        (waiting.length === 0 ||
          (Math.max(waiting.length, signatures) < limits.signatures && bytes < limits.bytes))
      ) {
        signal?.throwIfAborted();
        try {
          const next = await iterator.next();
          if (next.done === true) end = {};
          else begin(next.value);
        } catch (error) {
          end = { error };
        }
      }
      const first = waiting.shift();
      if (first === undefined) {
        if (end !== undefined && "error" in end) throw end.error;
        return;
      }
      await checks.done(first.begun);
      signatures -= first.begun.length;
      bytes -= first.bytes;
      yield first;
    }
  } finally {
    await iterator.return?.();
  }
}
