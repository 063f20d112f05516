import { equalBytes } from "../bytes/compare.ts";
import type { AppendableChain } from "../chain/chain.ts";
import { readCheckpoint } from "../chain/checkpoint-note.ts";
import type { TreeHead } from "../chain/connection.ts";
import type { ForkEvidence } from "../chain/fork-evidence.ts";
import { encodePolicySteps } from "../chain/follow-steps.ts";
import { policyAt, samePolicy } from "../chain/policy-at.ts";
import { checkpointsOfSteps, newestReached, stepsWithin } from "../chain/policy-position.ts";
import { openPolicySteps } from "../chain/policy-steps.ts";
import { openKnownForks, type KnownForks } from "../chain/known-forks.ts";
import { POLICY_KEY } from "../chain/state.ts";
import { isOwnStore } from "../chain/stored-block.ts";
import {
  judgeCheckpoint,
  seenHead,
  trustFromGenesis,
  withPolicy,
  type Trust,
} from "../chain/trust.ts";
import { ChainError, LedgerError, TransportError } from "../errors.ts";
import type { StorageAdapter } from "../storage/types.ts";
import type { LedgerPeer } from "../transport/types.ts";
import { compareHeads, judgeBySteps, type Judged } from "./accepting.ts";
import { peerList, type PeerFault } from "./peer-list.ts";
import { peerTree } from "./peer-tree.ts";
import type { FoundFork } from "./replica.ts";
import { takeBlocks } from "./take-blocks.ts";

/** Milliseconds before a copy that did not answer is asked again. */
const PAUSE = 1000;

/** What a home does before it writes. */
export interface CatchUpOptions {
  /** What is trusted without the store. */
  readonly base: Trust;
  readonly storage: StorageAdapter;
  /** Copies of the ledger, all of which must answer. */
  readonly peers: readonly LedgerPeer[];
  readonly onFault: (fault: PeerFault) => void;
  readonly onFork: (fork: FoundFork) => void;
  /** Milliseconds for which those that do not answer are asked again. */
  readonly within: number;
  /** Clock in ms that never runs backwards. */
  readonly now: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

/** A copy with its newest checkpoint, which the policy accepts. */
interface Answer {
  readonly peer: LedgerPeer;
  readonly judged: Judged & { readonly ok: true };
}

/**
 * Takes the blocks that copies have and the home's own store lacks, as after a backup was restored: a home that
 * wrote below what it has signed would sign a second history. Evidence that it has done so is kept, and nothing
 * is taken while it is not decided.
 *
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the store's blocks are not those that a copy has under an accepted
 *   checkpoint
 * @throws {LedgerError} the fault of a copy that does not answer, or not with an accepted checkpoint, or of the
 *   last one that gives the blocks
 */
export async function catchUpWithPeers(
  chain: AppendableChain,
  options: CatchUpOptions,
): Promise<void> {
  const { peers, onFault, onFork, now, sleep, signal: outer } = options;
  const ending = new AbortController();
  const signal = outer === undefined ? ending.signal : AbortSignal.any([outer, ending.signal]);
  try {
    await chain.refresh();
    const forks = await decidedForks(chain, options);
    // Nothing is written then.
    if (forks.fork !== undefined) return;
    const base = { ...options.base, distrusted: forks.distrusted };
    const answers = await askAll(base);
    const best = answers.reduce<Answer | undefined>(
      (a, b) => (a === undefined || sizeOf(b) > sizeOf(a) ? b : a),
      undefined,
    );
    if (best === undefined) return;
    if (sizeOf(best) <= chain.size) {
      await assertOwn(chain, answers);
      return await keepSteps(chain, { best, answers }, options, signal);
    }
    const evidence = await assertOneHistory(chain, { base, best, answers }, signal);
    if (evidence !== undefined) {
      const verdict = await forks.take(evidence, chain.state.policy());
      onFork({ evidence, ...verdict });
      if (verdict.frozen) return;
      throw otherHistory();
    }
    await takeBlocks(chain, best.judged.checkpoint, peerList(peers, now, onFault), { signal });
    await keepSteps(chain, { best, answers }, options, signal);
  } finally {
    ending.abort();
  }

  /** Asks all at once, those that fail again and again, until the time is up. */
  async function askAll(base: Trust): Promise<readonly Answer[]> {
    const late = new AbortController();
    void sleep(options.within, signal).then(() =>
      late.abort(new TransportError("ERR_TRANSPORT_TIMEOUT", "a copy did not answer in time")),
    );
    const asking = AbortSignal.any([signal, late.signal]);
    const asked = peers.map(async (peer): Promise<Answer | undefined> => {
      for (;;) {
        try {
          return await ask(chain, base, peer, asking);
        } catch (error) {
          outer?.throwIfAborted();
          if (!(error instanceof LedgerError) || isOwnStore(error)) throw error;
          onFault({ did: peer.did, error });
          await sleep(PAUSE, asking);
          outer?.throwIfAborted();
          if (late.signal.aborted) throw error;
        }
      }
    });
    return (await Promise.all(asked)).filter((answer) => answer !== undefined);
  }
}

/**
 * Keeps what leads readers from the genesis record to the policy in force: the home cannot sign it again once the old
 * keys are gone. Asked for at each start until it is here.
 */
async function keepSteps(
  chain: AppendableChain,
  { best, answers }: { readonly best: Answer; readonly answers: readonly Answer[] },
  { storage, onFault }: CatchUpOptions,
  signal: AbortSignal,
): Promise<void> {
  const { note, size } = best.judged.checkpoint;
  if (size === 0) return;
  const policySteps = openPolicySteps(chain, storage.chains!);
  const reached = () => policySteps.reach(trustFromGenesis(chain.genesisBytes));
  const inForce = await policyAt(chain, size);
  const isLed = async (): Promise<boolean> =>
    samePolicy(newestReached(await reached()).trust, inForce);
  if (await isLed()) return;
  for (const { checkpoint } of best.judged.steps) await policySteps.keep(checkpoint);
  for (const { peer } of answers) {
    if (await isLed()) return;
    try {
      const steps = stepsWithin(chain, await peer.policy({ signal }));
      for (const one of await checkpointsOfSteps(chain, steps)) await policySteps.keep(one);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof LedgerError) || isOwnStore(error)) throw error;
      onFault({ did: peer.did, error });
    }
  }
  // Signed by old keys and new ones, it is a step itself.
  const isStep = (await reached()).some(({ trust }) => judgeCheckpoint(note, trust).ok);
  if (isStep && !(await isLed())) await policySteps.keep(note);
}

/** The forks that the store knows of, those apart that the operator's trust decides. */
async function decidedForks(
  chain: AppendableChain,
  { base, storage }: CatchUpOptions,
): Promise<KnownForks> {
  const { ledger, genesis } = chain;
  const forks = await openKnownForks(storage.state!, { ledger, origin: genesis.origin });
  const head = seenHead(base);
  if (head === undefined) return forks;
  const isHere = head.size <= chain.size;
  if (isHere && !equalBytes(await chain.rootAt(head.size), head.root)) throw otherHistory();
  await forks.decide(head, isHere ? (size) => chain.rootAt(size) : undefined);
  return forks;
}

const sizeOf = ({ judged }: Answer): number => judged.checkpoint.size;

/** Asks a copy for its newest checkpoint; `undefined` from one that is empty. */
async function ask(
  chain: AppendableChain,
  base: Trust,
  peer: LedgerPeer,
  signal: AbortSignal,
): Promise<Answer | undefined> {
  signal.throwIfAborted();
  let note: Uint8Array;
  try {
    note = await peer.checkpoint({ signal });
  } catch (error) {
    if (!(error instanceof TransportError && error.code === "ERR_TRANSPORT_NOT_FOUND")) throw error;
    // Whoever has nothing has the genesis record at least; a wrong address has not.
    if (equalBytes(await peer.genesis({ signal }), chain.genesisBytes)) return undefined;
    throw new ChainError("ERR_CHAIN_GENESIS", "a peer has another ledger");
  }
  const judged = await judge(chain, base, note, () => peer.policy({ signal }));
  if (judged.ok) return { peer, judged };
  throw new ChainError("ERR_CHAIN_POLICY", `a checkpoint is not accepted: ${judged.reason}`);
}

async function judge(
  chain: AppendableChain,
  base: Trust,
  note: Uint8Array,
  steps: () => Promise<Uint8Array>,
): Promise<Judged> {
  const claimed = readCheckpoint(note);
  if (claimed === undefined) return { ok: false, reason: "bad-checkpoint" };
  if (claimed.size <= chain.size) {
    const policy = withPolicy(base, await policyAt(chain, claimed.size), claimed.size);
    return judgeBySteps(note, policy, async () => encodePolicySteps(chain.ledger, []));
  }
  if (chain.size <= (base.policyHeight ?? 0)) return judgeBySteps(note, base, steps);
  await chain.state.load([POLICY_KEY]);
  return judgeBySteps(note, withPolicy(base, chain.state.policy(), chain.size), steps);
}

/** The store has all that any copy has: it must be the same. */
async function assertOwn(chain: AppendableChain, answers: readonly Answer[]): Promise<void> {
  for (const { judged } of answers) {
    const { size, root } = judged.checkpoint;
    if (!equalBytes(await chain.rootAt(size), root)) throw otherHistory();
  }
}

/**
 * All must be of one history with the largest checkpoint before anything is taken.
 *
 * @returns what proves that two copies, or the steps to a checkpoint, contradict each other
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the store or the trusted head is of another history
 */
async function assertOneHistory(
  chain: AppendableChain,
  { base, best, answers }: { base: Trust; best: Answer; answers: readonly Answer[] },
  signal: AbortSignal,
): Promise<ForkEvidence | undefined> {
  const { checkpoint, steps } = best.judged;
  const { readNodes } = peerTree(checkpoint, best.peer, signal);
  const own: TreeHead = { size: chain.size, root: chain.root };
  if (!(await compareHeads(own, checkpoint, readNodes)).ok) throw otherHistory();
  const trusted = seenHead(base);
  if (trusted !== undefined && trusted.size <= checkpoint.size) {
    if (!(await compareHeads(trusted, checkpoint, readNodes)).ok) throw otherHistory();
  }
  const notes = steps.map((step) => ({
    note: step.checkpoint,
    ...readCheckpoint(step.checkpoint)!,
  }));
  for (const other of [...answers.map(({ judged }) => judged.checkpoint), ...notes]) {
    const compared = await compareHeads(other, checkpoint, readNodes);
    if (compared.ok) continue;
    if (compared.evidence === undefined) throw otherHistory();
    return compared.evidence;
  }
  return undefined;
}

function otherHistory(): ChainError {
  return new ChainError(
    "ERR_CHAIN_INVALID",
    "the store holds another history than a copy has under an accepted checkpoint",
  );
}
