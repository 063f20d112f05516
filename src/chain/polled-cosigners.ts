import type { NoteKey } from "./note-key.ts";

/** A signed checkpoint, as it waits for cosignatures. */
export interface WaitingCheckpoint {
  /** With the cosignatures that it has by now. */
  readonly note: Uint8Array;
  readonly size: number;
  /** Keys of the cosigners that the ledger's policy lists. */
  readonly keys: readonly NoteKey[];
  /** Public keys of those of them that are validators, by any of the policies that it should satisfy. */
  readonly validators: readonly Uint8Array[];
  /** Whether no cosignature by this key is on it yet. */
  lacks(key: NoteKey): boolean;
  /** Adds a signature line; one that is no good cosignature by one of the keys changes nothing. */
  add(line: string): void;
}

/**
 * Cosigners that nobody can reach: they ask for the checkpoint that waits, and hand in their cosignatures.
 * Made by {@link polledCosigners}.
 */
export interface PolledCosigners {
  /** The checkpoint that waits at the moment. */
  readonly waiting: WaitingCheckpoint | undefined;
  /** Most blocks of a checkpoint that has waited so far. */
  readonly size: number;
  /** Resolves once another checkpoint waits, or the signal aborts. */
  changed(signal: AbortSignal): Promise<void>;
  /** Lets a checkpoint wait until the signal aborts; what signs checkpoints calls it. */
  offer(checkpoint: WaitingCheckpoint, signal: AbortSignal): void;
}

/**
 * Makes the cosigners that poll, of one ledger: for the option `cosigners` of `openLedger` and the option
 * `polled` of `ledgerHandler`. Whoever the ledger's policy lists may sign; they run `cosignPending`.
 *
 * @example
 * const polled = polledCosigners();
 * const hl = await openLedger({ storage, keys, genesis, cosigners: [polled] });
 * const source = publishHeads({ ledger: hl, chains: storage.chains });
 * const handler = ledgerHandler({ source, polled, sessions: { did: hl.member } });
 */
export function polledCosigners(): PolledCosigners {
  const offered = new Set<WaitingCheckpoint>();
  const listening = new Set<() => void>();
  let size = 0;
  return {
    get waiting() {
      return [...offered].at(-1);
    },
    get size() {
      return size;
    },
    changed: (signal) =>
      new Promise((resolve) => {
        const end = (): void => {
          listening.delete(end);
          signal.removeEventListener("abort", end);
          resolve();
        };
        if (signal.aborted) return resolve();
        listening.add(end);
        signal.addEventListener("abort", end);
      }),
    offer(checkpoint, signal) {
      if (signal.aborted) return;
      offered.add(checkpoint);
      size = Math.max(size, checkpoint.size);
      signal.addEventListener("abort", () => offered.delete(checkpoint), { once: true });
      for (const tell of [...listening]) tell();
    },
  };
}
