import { createAuthor } from "../../src/chain/author.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { publishHeads, type PublishedHeads } from "../../src/network/publish-heads.ts";
import { ledgerHandler, type LedgerHandlerOptions } from "../../src/network/ledger-handler.ts";
import type { LedgerSource } from "../../src/network/source.ts";
import { httpPeer, type HttpPeerOptions } from "../../src/transport/http.ts";
import type { LedgerPeer } from "../../src/transport/types.ts";
import type { LedgerPolicy } from "../../src/block/policy.ts";
import type { StorageAdapter } from "../../src/storage/types.ts";
import { recordEntries, signerFor, startLedger, type TestLedger } from "./ledger.ts";

/** A home whose ledger grows when told to, and whose heads are signed when told to. */
export interface Home extends TestLedger {
  readonly source: PublishedHeads;
  /** Appends so many blocks of one transaction each. */
  grow(blocks: number, entries?: number): Promise<void>;
}

export async function startHome(
  options: {
    readonly storage?: StorageAdapter;
    readonly policy?: Partial<LedgerPolicy> & { readonly nonce?: Uint8Array };
    readonly lastSeq?: number;
  } = {},
): Promise<Home> {
  const ledger = await startLedger(options);
  const { chain, sequencer, signers, storage, clock } = ledger;
  const author = createAuthor({
    ...{ ledger: chain.ledger, sequencer, signer: signers["a"]!, lane: 0 },
    lastSeq: options.lastSeq ?? -1,
    now: () => clock.now,
  });
  const checkpointer = createCheckpointer({
    chain,
    chains: storage.chains!,
    signer: signerFor("checkpoint"),
  });
  const source = publishHeads({
    ledger: { chain, checkpoint: async () => (await checkpointer.sign()).note },
    chains: storage.chains!,
    // Only `look` signs.
    sleep: never,
  });
  return {
    ...ledger,
    source,
    async grow(blocks, entries = 1) {
      for (let i = 0; i < blocks; i++) {
        await (
          await author.write(recordEntries(entries))
        ).durable;
      }
    },
  };
}

/** Waits until it is told to stop. */
export function never(_: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve());
  });
}

/** A peer that asks a source in this process. */
export function peerOf(
  source: LedgerSource,
  options: Partial<LedgerHandlerOptions> = {},
  more: Partial<HttpPeerOptions> = {},
): LedgerPeer & { readonly asked: string[] } {
  const handler = ledgerHandler({ source, reads: "public", path: "/ledger", ...options });
  const asked: string[] = [];
  const peer = httpPeer({
    ...{ url: "http://home.invalid/ledger", did: "did:key:home" },
    async fetch(url, init) {
      asked.push(url.replace("http://home.invalid/ledger/", ""));
      return handler(new Request(url, init));
    },
    ...more,
  });
  return Object.assign(peer, { asked });
}

/** A clock that stands still until it is moved, with sleepers that it wakes. */
export function handClock(): {
  readonly time: { now(): number; sleep(ms: number, signal: AbortSignal): Promise<void> };
  advance(ms: number): Promise<void>;
  readonly sleeping: number;
} {
  let time = 0;
  const sleepers = new Set<{ readonly at: number; wake(): void }>();
  return {
    time: {
      now: () => time,
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          const sleeper = {
            at: time + ms,
            wake() {
              sleepers.delete(sleeper);
              resolve();
            },
          };
          if (signal.aborted) return resolve();
          sleepers.add(sleeper);
          signal.addEventListener("abort", () => sleeper.wake());
        }),
    },
    get sleeping() {
      return sleepers.size;
    },
    async advance(ms) {
      time += ms;
      for (const sleeper of [...sleepers]) if (sleeper.at <= time) sleeper.wake();
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}
