import { equalBytes } from "../bytes/compare.ts";
import type { AppendableChain } from "../chain/chain.ts";
import { readCheckpoint } from "../chain/checkpoint-note.ts";
import type { AcceptedCheckpoint } from "../chain/checkpoints.ts";
import type { TreeHead } from "../chain/connection.ts";
import type { ForkEvidence } from "../chain/fork-evidence.ts";
import { ALL_STEPS_BYTES, encodePolicySteps } from "../chain/follow-steps.ts";
import { policyAt, samePolicy } from "../chain/policy-at.ts";
import { checkpointsOfSteps, newestReached, stepsWithin } from "../chain/policy-position.ts";
import { openPolicySteps } from "../chain/policy-steps.ts";
import { POLICY_KEY } from "../chain/state.ts";
import {
  judgeCheckpoint,
  seenHead,
  trustFromGenesis,
  withPolicy,
  type PolicyStep,
  type Trust,
} from "../chain/trust.ts";
import { ChainError } from "../errors.ts";
import { peakIds, type ReadNodes } from "../merkle/proof.ts";
import { tileTree } from "../merkle/tile-tree.ts";
import type { StorageAdapter } from "../storage/types.ts";
import { compareHeads, judgeBySteps, type Judged } from "./accepting.ts";
import { openKeptHeads } from "./kept-heads.ts";
import { newestCheckpoint, type NewestCheckpoint } from "./newest.ts";

/** The checkpoints that a copy accepts, each of one history with all that came before. */
export interface AcceptedHeads {
  /** The largest that was accepted; its blocks need not be here yet. */
  readonly target: AcceptedCheckpoint | undefined;
  /** The largest whose blocks are all here. */
  readonly newest: NewestCheckpoint;
  /** What must be of one history with every checkpoint to come. */
  readonly seen: TreeHead | undefined;
  readonly trust: Trust;
  readonly fork: ForkEvidence | undefined;
  /** Judges a checkpoint by its signatures, and by steps of the policy if it needs them. */
  judge(note: Uint8Array, steps: () => Promise<Uint8Array>): Promise<Judged>;
  /**
   * Accepts a checkpoint that is larger than the one before, if it is of the same history. Durable once this
   * has resolved.
   *
   * @param readNodes - of the tree under it, each proved to be of it
   * @throws {ChainError} `ERR_CHAIN_FORKED` when the two are proved to contradict each other
   */
  accept(judged: Judged & { readonly ok: true }, readNodes: ReadNodes): Promise<void>;
  /**
   * Compares a checkpoint that is not larger with the accepted one; `false` if nothing is known of it.
   *
   * @param readNodes - of the accepted checkpoint's tree, for as long as its blocks are not here
   * @throws {ChainError} `ERR_CHAIN_FORKED` when the two contradict each other
   */
  agrees(checkpoint: AcceptedCheckpoint, readNodes?: ReadNodes): Promise<boolean>;
  /** Whether kept steps do not lead to the policy of what is here, so that readers cannot follow. */
  readonly lacksSteps: boolean;
  /**
   * Keeps those of a peer's steps that are of what is here.
   *
   * @throws {LedgerError} when they are not believed; none is kept
   */
  takeSteps(bytes: Uint8Array): Promise<void>;
  /** Gives out the accepted checkpoint once all its blocks are here, and keeps what leads to its policy. */
  settle(): Promise<void>;
}

/**
 * Opens them, with those that were kept when the copy was open before.
 *
 * @param base - what the reader trusts without the copy
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the store's blocks are of another history
 */
export async function openAcceptedHeads(
  chain: AppendableChain,
  storage: StorageAdapter,
  base: Trust,
): Promise<AcceptedHeads> {
  const kept = openKeptHeads(storage.state!, chain.ledger);
  const policySteps = openPolicySteps(chain, storage.chains!);
  const newest = newestCheckpoint();
  let fork = await kept.fork();
  let target: AcceptedCheckpoint | undefined;
  let targetTrust = base;
  let stepsTaken: readonly PolicyStep[] = [];
  let lacksSteps = false;

  /** The policy by which the next checkpoint is judged. */
  async function knownPolicy(): Promise<Trust> {
    if (chain.size <= (base.policyHeight ?? 0)) return base;
    await chain.state.load([POLICY_KEY]);
    return withPolicy(base, chain.state.policy(), chain.size);
  }

  async function judge(note: Uint8Array, steps: () => Promise<Uint8Array>): Promise<Judged> {
    const claimed = readCheckpoint(note);
    if (claimed === undefined) return { ok: false, reason: "bad-checkpoint" };
    if (claimed.size > chain.size) return judgeBySteps(note, await knownPolicy(), steps);
    const policy = withPolicy(base, await policyAt(chain, claimed.size), claimed.size);
    return judgeBySteps(note, policy, async () => encodePolicySteps(chain.ledger, []));
  }

  /** What must be of one history with every checkpoint to come. */
  function seen(): AcceptedCheckpoint | TreeHead | undefined {
    const before = seenHead(base);
    return before !== undefined && before.size > (target?.size ?? 0) ? before : target;
  }

  const ownNodes: ReadNodes = (ids) =>
    tileTree({ size: chain.size, root: chain.root }, async (tile) =>
      joinHashes(await chain.readTile(tile)),
    ).readNodes(ids);

  async function forked(evidence: ForkEvidence): Promise<never> {
    await kept.keepFork(evidence);
    fork = evidence;
    throw forkedError();
  }

  /** Takes up what was kept when this was open before. */
  async function resume(): Promise<void> {
    const held = await kept.held();
    if (held !== undefined && held.size <= chain.size) await assertOwn(held);
    const before = await kept.accepted();
    if (before !== undefined) {
      const judged = await judge(before.note, async () => before.steps);
      // A policy that the store's blocks do not lead to any more: asked for again.
      if (judged.ok) {
        if (judged.checkpoint.size <= chain.size) await assertOwn(judged.checkpoint);
        target = judged.checkpoint;
        targetTrust = judged.trust;
        stepsTaken = judged.steps;
      }
    }
    if (held !== undefined && held.size <= chain.size) newest.set(held);
    await settle();
  }

  async function assertOwn({ size, root }: TreeHead): Promise<void> {
    if (equalBytes(await chain.rootAt(size), root)) return;
    throw new ChainError("ERR_CHAIN_INVALID", "the store holds another history than was accepted");
  }

  const reached = () => policySteps.reach(trustFromGenesis(chain.genesisBytes));
  /** Whether kept steps lead to the policy that the accepted checkpoint proves. */
  const isLed = async (): Promise<boolean> =>
    samePolicy(newestReached(await reached()).trust, await policyAt(chain, target!.size));

  async function takeSteps(bytes: Uint8Array): Promise<void> {
    const notes = await checkpointsOfSteps(chain, stepsWithin(chain, bytes));
    for (const note of notes) await policySteps.keep(note);
    lacksSteps = !(await isLed());
  }

  async function settle(): Promise<void> {
    if (target === undefined || chain.size < target.size || newest.value?.size === target.size)
      return;
    for (const step of stepsTaken) await policySteps.keep(step.checkpoint);
    const { note } = target;
    lacksSteps = !(await isLed());
    // One that the policies before do not accept too is no step, and would only take up room.
    if (lacksSteps && (await reached()).some(({ trust }) => judgeCheckpoint(note, trust).ok)) {
      await policySteps.keep(note);
      lacksSteps = !(await isLed());
    }
    await kept.keepHeld(target.note);
    newest.set(target);
  }

  async function accept(
    { checkpoint, trust, steps }: Judged & { ok: true },
    readNodes: ReadNodes,
  ): Promise<void> {
    const heads: (AcceptedCheckpoint | TreeHead | undefined)[] = [seen()];
    if (chain.size > 0) heads.push({ size: chain.size, root: chain.root });
    for (const { checkpoint: note } of steps) heads.push({ note, ...readCheckpoint(note)! });
    for (const head of heads) {
      if (head === undefined) continue;
      const compared = await compareHeads(head, checkpoint, readNodes);
      if (compared.ok) continue;
      if (compared.evidence !== undefined) return forked(compared.evidence);
      throw new ChainError("ERR_CHAIN_INVALID", "a peer's checkpoint is of another history");
    }
    // An empty tree has no tiles to be compared by, but those of this one must lead to its root.
    await readNodes(peakIds(checkpoint.size));
    await kept.keepAccepted(
      checkpoint.note,
      encodePolicySteps(chain.ledger, steps, ALL_STEPS_BYTES),
    );
    target = checkpoint;
    targetTrust = trust;
    stepsTaken = steps;
  }

  async function agrees(checkpoint: AcceptedCheckpoint, readNodes?: ReadNodes): Promise<boolean> {
    const nodes = target?.size === chain.size ? ownNodes : readNodes;
    if (target === undefined || nodes === undefined || checkpoint.size > target.size) return false;
    const compared = await compareHeads(checkpoint, target, nodes);
    if (!compared.ok && compared.evidence !== undefined) return forked(compared.evidence);
    return compared.ok;
  }

  await resume();
  return {
    get target() {
      return target;
    },
    newest,
    get seen() {
      return seen();
    },
    get trust() {
      const head = seen();
      return head === undefined
        ? targetTrust
        : { ...targetTrust, size: head.size, root: head.root };
    },
    get fork() {
      return fork;
    },
    judge,
    accept,
    agrees,
    get lacksSteps() {
      return lacksSteps;
    },
    takeSteps,
    settle,
  };
}

function joinHashes(hashes: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(32 * hashes.length);
  for (const [i, hash] of hashes.entries()) bytes.set(hash, 32 * i);
  return bytes;
}

/** The error of a copy that was shown two histories. */
export function forkedError(): ChainError {
  return new ChainError(
    "ERR_CHAIN_FORKED",
    "two accepted checkpoints contradict each other: nothing more is taken from any peer",
  );
}
