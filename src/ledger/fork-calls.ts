import type { Chain } from "../chain/chain.ts";
import { decodeForkEvidence, encodeForkEvidence } from "../chain/fork-evidence.ts";
import { forkedError, openKnownForks, type KnownForks } from "../chain/known-forks.ts";
import type { Sequencer } from "../chain/sequencer.ts";
import { POLICY_KEY } from "../chain/state.ts";
import { seenHead, type Trust } from "../chain/trust.ts";
import type { StateStore } from "../storage/types.ts";
import type { Ledger } from "./ledger.ts";
import type { LedgerStorage } from "./storage.ts";

/**
 * Opens the forks that the store knows of.
 *
 * @param trust - whose head the chain is known to extend; it decides between two histories
 */
export async function openForks(
  chain: Chain,
  state: StateStore,
  trust: Trust | undefined,
): Promise<KnownForks> {
  const { ledger, genesis } = chain;
  const forks = await openKnownForks(state, { ledger, origin: genesis.origin });
  const head = trust && seenHead(trust);
  if (head !== undefined) await forks.decide(head, (size) => chain.rootAt(size));
  return forks;
}

/** The calls about forks. */
export function forkCalls(chain: Chain, forks: KnownForks): Pick<Ledger, "fork" | "takeFork"> {
  return {
    async fork() {
      await forks.refresh();
      return forks.fork && encodeForkEvidence(forks.fork);
    },
    async takeFork(bytes) {
      const evidence = decodeForkEvidence(bytes);
      await chain.refresh();
      await chain.state.load([POLICY_KEY]);
      return forks.take(evidence, chain.state.policy());
    },
  };
}

/** Appends nothing more once the ledger is forked, whichever process kept the evidence. */
export function appendsUnlessForked(storage: LedgerStorage, forks: KnownForks): LedgerStorage {
  return {
    ...storage,
    async commit(batch, options) {
      if (batch.append !== undefined) await forks.assertNone();
      return storage.commit(batch, options);
    },
  };
}

/** Takes nothing more once the ledger is forked. */
export function unlessForked(sequencer: Sequencer, forks: KnownForks): Sequencer {
  return {
    ...sequencer,
    async ready() {
      await sequencer.ready();
      await forks.assertNone();
    },
    submit(signed, writes) {
      if (forks.fork !== undefined) throw forkedError();
      return sequencer.submit(signed, writes);
    },
    async seal() {
      await forks.assertNone();
      return sequencer.seal();
    },
  };
}
