import type { StateChange } from "../../storage/types.ts";
import type { LedgerStorage } from "../storage.ts";

/** A storage whose commits can be held back and whose changes can be rewritten just before them. */
export interface CommitGate {
  /** To be used in place of the underlying storage. */
  readonly storage: LedgerStorage;
  /** The underlying storage, for work that holds the gate. */
  readonly beneath: LedgerStorage;
  /** Sets a function that is applied to every change of state when it is committed. */
  onCommit(rewrite: (change: StateChange) => StateChange): void;
  /** Runs work while no commit is in progress and none can start. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
}

/** Puts a gate before a storage. */
export function gateCommits(beneath: LedgerStorage): CommitGate {
  let rewrite = (change: StateChange): StateChange => change;
  let shut: Promise<unknown> | undefined;
  const underway = new Set<Promise<unknown>>();

  async function pass<T>(work: () => Promise<T>): Promise<T> {
    while (shut !== undefined) await shut;
    // From here to the underlying call nothing else runs.
    const running = work();
    const settled = running.then(
      () => undefined,
      () => undefined,
    );
    underway.add(settled);
    try {
      return await running;
    } finally {
      underway.delete(settled);
    }
  }

  const { chains, blobs, state } = beneath;
  const storage: LedgerStorage = {
    chains,
    blobs,
    state: {
      caps: state.caps,
      get: (key) => state.get(key),
      getMany: (keys) => state.getMany(keys),
      scan: (range) => state.scan(range),
      batch: (changes, options) => pass(() => state.batch(changes.map(rewrite), options)),
      close: () => state.close(),
    },
    commit: (batch, options) =>
      pass(() => {
        const changes = batch.state?.map(rewrite);
        return beneath.commit(
          { ...batch, ...(changes === undefined ? {} : { state: changes }) },
          options,
        );
      }),
    ...(beneath.compact && { compact: () => beneath.compact!() }),
    close: () => beneath.close(),
    [Symbol.asyncDispose]: () => beneath[Symbol.asyncDispose](),
  };

  return {
    storage,
    beneath,
    onCommit(how) {
      rewrite = how;
    },
    async exclusively(work) {
      while (shut !== undefined) await shut;
      let open = (): void => undefined;
      shut = new Promise<void>((resolve) => {
        open = resolve;
      });
      try {
        await Promise.all(underway);
        return await work();
      } finally {
        shut = undefined;
        open();
      }
    },
  };
}
