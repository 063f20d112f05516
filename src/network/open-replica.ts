import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { ledgerId } from "../block/genesis.ts";
import type { AppendableChain } from "../chain/chain.ts";
import { isSameHead } from "../chain/connection.ts";
import type { IngestOptions } from "../chain/ingest-result.ts";
import { openChain } from "../chain/open-chain.ts";
import { stepsSince } from "../chain/policy-position.ts";
import { openPolicySteps } from "../chain/policy-steps.ts";
import { readingChain } from "../chain/reading-chain.ts";
import { isOwnStore } from "../chain/stored-block.ts";
import { judgeCheckpoint, trustFromGenesis, type Trust } from "../chain/trust.ts";
import { ChainError, InputError, LedgerError, TransportError } from "../errors.ts";
import type { LedgerPeer } from "../transport/types.ts";
import { platformSurroundings } from "../transport/surroundings.ts";
import { decodeForkEvidence } from "../chain/fork-evidence.ts";
import { openKnownForks, type KnownForks } from "../chain/known-forks.ts";
import { openAcceptedHeads } from "./accepted-heads.ts";
import type { Judged } from "./accepting.ts";
import { keepDivergingHeaders } from "./diverging.ts";
import { peerList } from "./peer-list.ts";
import { peerTree } from "./peer-tree.ts";
import { peerViews } from "./peer-views.ts";
import type { OpenReplicaOptions, Replica } from "./replica.ts";
import { assertStorePlace, keepStorePlace } from "./store-place.ts";
import { takeBlocks } from "./take-blocks.ts";
import { waitForLarger } from "./wait-for-larger.ts";

const OPTIONS: OptionsOf<OpenReplicaOptions> = {
  ...{ storage: true, genesis: true, kinds: true, contracts: true, anchor: true },
  ...{ trustStore: true, rebuild: true },
  ...{ beside: true, onProgress: true, signal: true, peers: true, trust: true, onFault: true },
  ...{ onFork: true, now: true, sleep: true },
};

/** Milliseconds for which other peers are waited for once one has answered: none may hold up a copy. */
const LATE = 10_000;

/**
 * Opens a copy of a ledger that follows its peers: it accepts checkpoints by the policy, and takes only
 * blocks that an accepted one covers, each checked by every rule. It needs no keys.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` without peers, with trust in another ledger, or when the store is the
 *   home's
 * @throws as `openChain` does
 * @example
 * const replica = await openReplica({ genesis, storage, peers: [peer] });
 * await replica.sync();
 * replica.chain.size; // number of blocks that were taken and verified
 */
export async function openReplica(options: OpenReplicaOptions): Promise<Replica> {
  assertOptions(options, OPTIONS, "openReplica");
  const { peers: given, trust: trusted, onFault, onFork, now, sleep, ...chainOptions } = options;
  const { storage, genesis } = options;
  if (given.length === 0) throw new InputError("ERR_INPUT_INVALID", "a replica needs peers");
  if (trusted?.ledger.equals(ledgerId(genesis)) === false) {
    throw new InputError("ERR_INPUT_INVALID", "`trust` is for another ledger");
  }
  const base = trusted ?? trustFromGenesis(genesis);
  const timers = {
    now: now ?? platformSurroundings.now,
    sleep: sleep ?? platformSurroundings.sleep,
  };
  const chain = await openChain({ ...chainOptions, timers });
  return startReplica(chain, {
    ...{ base, storage, peers: [...given], onFault: onFault ?? (() => undefined) },
    onFork: onFork ?? (() => undefined),
    ...timers,
  });
}

/** What a replica is started with; see {@link OpenReplicaOptions}. */
export interface ReplicaSetting {
  readonly base: Trust;
  readonly storage: OpenReplicaOptions["storage"];
  readonly peers: readonly LedgerPeer[];
  readonly onFault: NonNullable<OpenReplicaOptions["onFault"]>;
  readonly onFork: NonNullable<OpenReplicaOptions["onFork"]>;
  readonly now: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** The operator says that the store, which was the home's, is a copy from now on. */
  readonly moved?: boolean | undefined;
  /** Gives changes of state that become durable together with blocks. */
  readonly beside?: NonNullable<IngestOptions["beside"]>;
}

/** Times of the last answers that showed the newest accepted checkpoint, all of whose blocks are here. */
export interface Confirmed {
  /** When the first of the peers, a member's home, gave it, by the replica's clock. */
  readonly answeredAt?: number;
  /** Time of the last cosignature on it, in ms since 1970, by the cosigner's clock. */
  readonly cosignedAt?: number;
}

/** A replica of which it is known from elsewhere when a peer can be reached again. */
export interface StartedReplica extends Replica {
  readonly forks: KnownForks;
  /** When somebody last showed that the newest checkpoint here is still the newest one. */
  readonly confirmed: Confirmed;
  reached(peer: LedgerPeer): void;
}

/** Follows the peers with a chain that is open already; closing the replica closes it. */
export async function startReplica(
  chain: AppendableChain,
  { base, storage, peers, onFault, onFork, now, sleep, beside, moved = false }: ReplicaSetting,
): Promise<StartedReplica> {
  const { origin } = chain.genesis;
  if (!moved) await assertStorePlace(storage.state!, chain.ledger, "copy");
  await keepStorePlace(storage.state!, chain.ledger, "copy");
  const forks = await openKnownForks(storage.state!, { ledger: chain.ledger, origin });
  const heads = await openAcceptedHeads(chain, storage, base, forks, (evidence, verdict) =>
    onFork({ evidence, ...verdict }),
  );
  const views = peerViews(peers, now);
  const list = peerList(peers, now, onFault);
  const closing = new AbortController();
  let turn: Promise<unknown> = Promise.resolve();
  let confirmed: Confirmed = {};

  /** Notes that a peer showed the newest checkpoint; what is cosigned again has the same size. */
  function confirm({ peer, judged: { checkpoint, trust } }: Answer): void {
    if (checkpoint.size !== heads.newest.value?.size) return;
    const { root: _seen, ...rootless } = trust;
    const judged = judgeCheckpoint(checkpoint.note, rootless);
    const cosignedAt = judged.ok ? judged.cosignedAt : undefined;
    confirmed = {
      ...confirmed,
      ...(peer === peers[0] ? { answeredAt: now() } : {}),
      ...(cosignedAt !== undefined && cosignedAt > (confirmed.cosignedAt ?? 0)
        ? { cosignedAt }
        : {}),
    };
  }

  async function download(signal: AbortSignal): Promise<void> {
    if (heads.target !== undefined) {
      await takeBlocks(chain, heads.target, list, { signal, ...(beside && { beside }) });
    }
    await heads.settle();
  }

  const keepDiverging = (answer: Answer, signal: AbortSignal): Promise<void> =>
    keepDivergingHeaders({ chain, forks, sleep }, answer.judged.checkpoint, answer.peer, signal);

  async function syncNow(signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    await forks.assertMayTake();
    await chain.refresh();
    let fault: LedgerError = new TransportError(
      "ERR_TRANSPORT_FAILED",
      "no peer can be asked at the moment",
    );
    const note = (peer: LedgerPeer, error: unknown): void => {
      signal.throwIfAborted();
      if (!(error instanceof LedgerError)) throw error;
      if (error.code === "ERR_CHAIN_FORKED" || isOwnStore(error)) throw error;
      list.fault(peer, error);
      fault = error;
    };
    const ended = new AbortController();
    const late = new AbortController();
    const asking = { signal: AbortSignal.any([signal, late.signal]) };
    const startTimer = async (): Promise<void> => {
      await sleep(LATE, ended.signal);
      if (ended.signal.aborted) return;
      late.abort(new TransportError("ERR_TRANSPORT_TIMEOUT", "other peers answered long before"));
    };
    const answers = await Promise.all(
      list.ready().map(async (peer) => {
        try {
          const judged = await heads.judge(await peer.checkpoint(asking), () =>
            peer.policy(asking),
          );
          if (judged.ok) {
            views.shown(peer, judged.checkpoint.size);
            void startTimer();
            return { peer, judged };
          }
          throw new ChainError(
            "ERR_CHAIN_POLICY",
            `a checkpoint is not accepted: ${judged.reason}`,
          );
        } catch (error) {
          note(peer, error);
          return undefined;
        }
      }),
    ).finally(() => ended.abort());
    const good = answers.filter((answer) => answer !== undefined);
    good.sort((a, b) => b.judged.checkpoint.size - a.judged.checkpoint.size);
    let accepted = false;
    const wrong = new Set<LedgerPeer>();
    for (const { peer, judged } of good) {
      const { size } = judged.checkpoint;
      // A trusted head has no signatures, so that a checkpoint of its size is taken too.
      if (accepted || size <= (heads.target?.size ?? 0) || size < (heads.seen?.size ?? 0)) continue;
      try {
        await heads.accept(judged, peerTree(judged.checkpoint, peer, signal).readNodes);
        accepted = true;
      } catch (error) {
        await keepDiverging({ peer, judged }, signal);
        note(peer, error);
        wrong.add(peer);
      }
    }
    await compareAhead(good);
    const before = heads.newest.value;
    await download(signal);
    if (heads.newest.value !== before) await takeSteps(good);
    for (const answer of good) {
      try {
        if (!(await heads.agrees(answer.judged))) continue;
        list.good(answer.peer);
        confirm(answer);
      } catch (error) {
        await keepDiverging(answer, signal);
        throw error;
      }
    }
    if (good.every(({ peer }) => wrong.has(peer))) throw fault;
    return chain.size;

    /** Compares all with a checkpoint of which nobody may ever give the blocks. */
    async function compareAhead(answers: readonly Answer[]): Promise<void> {
      const { target } = heads;
      if (target === undefined || chain.size >= target.size) return;
      const holder = answers.find(
        ({ peer, judged: { checkpoint } }) => !wrong.has(peer) && isSameHead(checkpoint, target),
      );
      const tree = holder && peerTree(target, holder.peer, signal);
      for (const answer of answers) {
        const { judged } = answer;
        if (tree === undefined && judged.checkpoint.size !== target.size) continue;
        try {
          await heads.agrees(judged, tree?.readNodes ?? (async () => []));
        } catch (error) {
          await keepDiverging(answer, signal);
          // Only the one that gives the tree can be wrong.
          if (holder === undefined) throw error;
          note(holder.peer, error);
          return;
        }
      }
    }

    /** Those that ask this copy follow by the steps that it keeps. */
    async function takeSteps(answers: readonly Answer[]): Promise<void> {
      for (const { peer } of answers) {
        if (!heads.lacksSteps) return;
        try {
          await heads.takeSteps(await peer.policy({ signal }));
        } catch (error) {
          note(peer, error);
        }
      }
    }
  }

  function sync({ signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    const both = signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal]);
    const mine = turn.then(() => syncNow(both));
    turn = mine.catch(() => undefined);
    return mine;
  }

  async function close(): Promise<void> {
    closing.abort(new ChainError("ERR_CHAIN_CLOSED", "the replica is closed"));
    heads.newest.close();
    await turn;
    await chain.close();
  }

  return {
    reached: list.reached,
    forks,
    get confirmed() {
      return confirmed;
    },
    chain: readingChain(chain),
    get newest() {
      return heads.newest.value;
    },
    grown: heads.newest.grown,
    policy: () => stepsSince(chain, openPolicySteps(chain, storage.chains!)),
    get trust() {
      return heads.trust;
    },
    get fork() {
      return forks.fork;
    },
    get peers() {
      return views.all();
    },
    takeFork: async (evidence) => heads.takeFork(decodeForkEvidence(evidence)),
    sync(given = {}) {
      assertOptions(given, { signal: true }, "sync");
      return sync(given);
    },
    async follow(given = {}) {
      assertOptions(given, { signal: true }, "follow");
      const { signal: own } = given;
      const signal = own === undefined ? closing.signal : AbortSignal.any([own, closing.signal]);
      while (!signal.aborted) {
        try {
          await sync({ signal });
        } catch (error) {
          if (signal.aborted) return;
          const isLasting =
            !(error instanceof LedgerError) ||
            error.code === "ERR_CHAIN_FORKED" ||
            error.code === "ERR_CONTRACT_UNAVAILABLE" ||
            isOwnStore(error);
          if (isLasting) throw error;
        }
        await waitForLarger(list, heads.seen?.size ?? 0, sleep, signal);
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A peer with its checkpoint, which the policy accepts. */
interface Answer {
  readonly peer: LedgerPeer;
  readonly judged: Judged & { readonly ok: true };
}
