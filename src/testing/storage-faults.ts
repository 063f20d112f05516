import { AmbiguousAppend } from "../storage/errors.ts";
import { StorageError } from "../errors.ts";
import type { StorageAdapter } from "../storage/types.ts";

/** A fault of a write: it happens without an answer, or it does not happen. */
export type Fault = "response-lost" | "not-written";

/**
 * Wraps a storage so that commits and writes to its chains fail according to a plan.
 *
 * @param plan - asked before every such write, in order; `undefined` lets it pass
 * @example
 * // the second write happens, and its answer is lost
 * const faulty = faultyStorage(storage, (write) => (write === 1 ? "response-lost" : undefined));
 * await openLedger({ storage: faulty, keys, genesis });
 */
export function faultyStorage(
  storage: StorageAdapter,
  plan: (write: number) => Fault | undefined,
): StorageAdapter {
  let writes = 0;

  async function through<T>(write: () => Promise<T>): Promise<T> {
    const fault = plan(writes++);
    if (fault === "not-written") {
      throw new StorageError("ERR_STORAGE_FAILED", "injected: not written");
    }
    const result = await write();
    if (fault === "response-lost") throw new AmbiguousAppend(new Error("injected: response lost"));
    return result;
  }

  const { chains, blobs, state } = storage;
  const tail = chains?.tail;
  return {
    ...(chains && {
      chains: {
        caps: chains.caps,
        head: (chain) => chains.head(chain),
        append: (...call) => through(() => chains.append(...call)),
        read: (chain, options) => chains.read(chain, options),
        ...(tail && { tail: (chain, options) => tail.call(chains, chain, options) }),
        list: () => chains.list(),
        close: () => chains.close(),
      },
    }),
    ...(blobs && { blobs }),
    ...(state && { state }),
    ...(storage.commit && { commit: (...call) => through(() => storage.commit!(...call)) }),
    ...(storage.compact && { compact: () => storage.compact!() }),
    close: () => storage.close(),
    [Symbol.asyncDispose]: () => storage.close(),
  };
}

/**
 * Wraps a storage so that every append and commit happens and then reports an unknown outcome.
 * @example
 * const hl = await openLedger({ storage: losingResponses(storage), keys, genesis });
 * await hl.record(patient, resource); // looks whether it was written, instead of writing it twice
 */
export function losingResponses(storage: StorageAdapter): StorageAdapter {
  return faultyStorage(storage, () => "response-lost");
}
