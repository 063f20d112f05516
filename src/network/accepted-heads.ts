import { sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import type { AppendableChain } from "../chain/chain.ts";
import { readCheckpoint } from "../chain/checkpoint-note.ts";
import type { AcceptedCheckpoint } from "../chain/checkpoints.ts";
import type { TreeHead } from "../chain/connection.ts";
import type { ForkEvidence } from "../chain/fork-evidence.ts";
import { forkedError, type ForkVerdict, type KnownForks } from "../chain/known-forks.ts";
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
import { toHex } from "../bytes/hex.ts";
import { judgeFork } from "../chain/judge-fork.ts";
import { ChainError, ProofError } from "../errors.ts";
import { peakIds, type ReadNodes } from "../merkle/proof.ts";
import { tileTree } from "../merkle/tile-tree.ts";
import type { StorageAdapter } from "../storage/types.ts";
import { compareHeads, judgeBySteps, type Judged } from "./accepting.ts";
import { openKeptHeads } from "./kept-heads.ts";
import { newestCheckpoint, type NewestCheckpoint } from "./newest.ts";

/** Contradictions that are remembered, so that each is told once. */
const MAX_TOLD = 256;

/** The checkpoints that a copy accepts, each of one history with all that came before. */
export interface AcceptedHeads {
  /** The largest that was accepted; its blocks need not be here yet. */
  readonly target: AcceptedCheckpoint | undefined;
  /** The largest whose blocks are all here. */
  readonly newest: NewestCheckpoint;
  /** What must be of one history with every checkpoint to come. */
  readonly seen: TreeHead | undefined;
  readonly trust: Trust;
  /** Judges a checkpoint by its signatures, and by steps of the policy if it needs them. */
  judge(note: Uint8Array, steps: () => Promise<Uint8Array>): Promise<Judged>;
  /**
   * Accepts a checkpoint that is larger than the one before, if it is of the same history. Durable once this
   * has resolved.
   *
   * @param readNodes - of the tree under it, each proved to be of it
   * @throws {ChainError} `ERR_CHAIN_FORKED` when the two are proved to contradict each other, or when the
   *   store's blocks are not of the history that the operator trusts; `ERR_CHAIN_INVALID` when it is of another
   *   history, and nobody is convicted
   */
  accept(judged: Judged & { readonly ok: true }, readNodes: ReadNodes): Promise<void>;
  /**
   * Compares a checkpoint that is not larger with the accepted one; `false` if nothing is known of it, or if
   * they contradict each other and no key in force signed both.
   *
   * @param readNodes - of the accepted checkpoint's tree, for as long as its blocks are not here
   * @throws {ChainError} `ERR_CHAIN_FORKED` when the two contradict each other
   */
  agrees(judged: Judged & { readonly ok: true }, readNodes?: ReadNodes): Promise<boolean>;
  /** Whether kept steps do not lead to the policy of what is here, so that readers cannot follow. */
  readonly lacksSteps: boolean;
  /**
   * Keeps those of a peer's steps that are of what is here.
   *
   * @throws {LedgerError} when they are not believed; none is kept
   */
  takeSteps(bytes: Uint8Array): Promise<void>;
  /**
   * Takes evidence that somebody else has found.
   *
   * @returns whom it convicts
   */
  takeFork(evidence: ForkEvidence): Promise<ForkVerdict>;
  /** Gives out the accepted checkpoint once all its blocks are here, and keeps what leads to its policy. */
  settle(): Promise<void>;
}

/**
 * Opens them, with those that were kept when the copy was open before.
 *
 * @param trusted - what the reader trusts without the copy
 * @param onFork - called with each contradiction that is found
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the store's blocks are of another history
 */
export async function openAcceptedHeads(
  chain: AppendableChain,
  storage: StorageAdapter,
  trusted: Trust,
  forks: KnownForks,
  onFork: (evidence: ForkEvidence, verdict: ForkVerdict) => void,
): Promise<AcceptedHeads> {
  const kept = openKeptHeads(storage.state!, chain.ledger);
  const given = seenHead(trusted);
  if (given !== undefined) {
    const isHere = given.size <= chain.size;
    if (isHere) await assertOwn(given);
    await forks.decide(given, isHere ? (size) => chain.rootAt(size) : undefined);
  }
  const base: Trust = { ...trusted, ...forks.decided };
  const told = new Set<string>();
  const policySteps = openPolicySteps(chain, storage.chains!);
  const newest = newestCheckpoint();
  let target: AcceptedCheckpoint | undefined;
  let targetTrust = base;
  let stepsTaken: readonly PolicyStep[] = [];
  let lacksSteps = false;

  /** What is trusted at least, without cosigners that signed two histories. */
  const ground = (): Trust => ({ ...base, distrusted: forks.distrusted });

  /** The policy by which the next checkpoint is judged. */
  async function knownPolicy(): Promise<Trust> {
    if (chain.size <= (base.policyHeight ?? 0)) return ground();
    await chain.state.load([POLICY_KEY]);
    return withPolicy(ground(), chain.state.policy(), chain.size);
  }

  /** The newest policy, which tells whose signatures count in evidence. */
  const policyInForce = async (): Promise<Trust> =>
    target !== undefined && target.size > chain.size ? targetTrust : knownPolicy();

  async function judge(note: Uint8Array, steps: () => Promise<Uint8Array>): Promise<Judged> {
    const claimed = readCheckpoint(note);
    if (claimed === undefined) return { ok: false, reason: "bad-checkpoint" };
    if (claimed.size > chain.size) return judgeBySteps(note, await knownPolicy(), steps);
    const policy = withPolicy(ground(), await policyAt(chain, claimed.size), claimed.size);
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

  async function takeFork(evidence: ForkEvidence): Promise<ForkVerdict> {
    const verdict = await forks.take(evidence, await policyInForce());
    // Larger checkpoints come all the time, and contradict the same smaller one.
    const name = toHex(sha256(evidence.first));
    if (!told.has(name)) {
      if (told.size >= MAX_TOLD) told.clear();
      told.add(name);
      onFork(evidence, verdict);
    }
    return verdict;
  }

  /**
   * Keeps the first evidence that convicts the log, or else the first.
   *
   * @throws {ChainError} `ERR_CHAIN_FORKED` if the log is convicted
   */
  async function contradicted(found: readonly ForkEvidence[]): Promise<void> {
    const policy = await policyInForce();
    const { origin } = chain.genesis;
    const best = found.find((one) => judgeFork(one, origin, policy).log) ?? found[0];
    if (best !== undefined && (await takeFork(best)).frozen) throw forkedError();
  }

  /** What proves that a head contradicts a checkpoint, or a step that leads to it. */
  async function evidenceOf(
    head: AcceptedCheckpoint | TreeHead,
    { checkpoint, steps }: Judged & { readonly ok: true },
    readNodes: ReadNodes,
  ): Promise<{ readonly isConnected: boolean; readonly evidence: readonly ForkEvidence[] }> {
    const compared = await compareHeads(head, checkpoint, readNodes);
    if (compared.ok) return { isConnected: true, evidence: [] };
    const evidence = compared.evidence === undefined ? [] : [compared.evidence];
    for (const { checkpoint: note } of steps) {
      const step = { note, ...readCheckpoint(note)! };
      // The tree under the larger head has the nodes of any smaller one.
      const larger = Math.max(head.size, step.size);
      if (larger > Math.max(head.size, checkpoint.size)) continue;
      try {
        const one = await compareHeads(head, step, readNodes);
        if (!one.ok && one.evidence !== undefined) evidence.push(one.evidence);
      } catch (error) {
        if (!(error instanceof ProofError)) throw error;
      }
    }
    return { isConnected: false, evidence };
  }

  /** Takes up what was kept when this was open before. */
  async function resume(): Promise<void> {
    const held = await kept.held();
    if (held !== undefined && held.size <= chain.size) await assertOwn(held);
    // The operator's decision says what comes next, and not what was accepted before it.
    const before = forks.isDeciding ? undefined : await kept.accepted();
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
    throw new ChainError(
      "ERR_CHAIN_INVALID",
      "the store holds another history than was accepted or is trusted: begin with an empty store",
    );
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
    judged: Judged & { readonly ok: true },
    readNodes: ReadNodes,
  ): Promise<void> {
    const { checkpoint, trust, steps } = judged;
    const before = seen();
    const heads: (AcceptedCheckpoint | TreeHead)[] = before === undefined ? [] : [before];
    if (chain.size > 0) heads.push({ size: chain.size, root: chain.root });
    for (const { checkpoint: note } of steps) heads.push({ note, ...readCheckpoint(note)! });
    for (const [i, head] of heads.entries()) {
      const { isConnected, evidence } = await evidenceOf(head, judged, readNodes);
      if (isConnected) continue;
      await contradicted(evidence);
      // The checkpoint extends the trusted head, which is beyond the store's blocks, and they are not under it.
      const isTrusted = before !== undefined && !("note" in before) && before.size > chain.size;
      if (isTrusted && i === 1) throw wrongStoreError();
      throw new ChainError("ERR_CHAIN_INVALID", "a peer's checkpoint is of another history");
    }
    // An empty tree has no tiles to be compared by, but those of this one must lead to its root.
    await readNodes(peakIds(checkpoint.size));
    await forks.compared();
    await kept.keepAccepted(
      checkpoint.note,
      encodePolicySteps(chain.ledger, steps, ALL_STEPS_BYTES),
    );
    target = checkpoint;
    targetTrust = trust;
    stepsTaken = steps;
  }

  async function agrees(
    judged: Judged & { readonly ok: true },
    readNodes?: ReadNodes,
  ): Promise<boolean> {
    const nodes = target?.size === chain.size ? ownNodes : readNodes;
    if (target === undefined || nodes === undefined || judged.checkpoint.size > target.size) {
      return false;
    }
    const { isConnected, evidence } = await evidenceOf(target, judged, nodes);
    await contradicted(evidence);
    return isConnected;
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
    judge,
    accept,
    agrees,
    get lacksSteps() {
      return lacksSteps;
    },
    takeSteps,
    takeFork,
    settle,
  };
}

function joinHashes(hashes: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(32 * hashes.length);
  for (const [i, hash] of hashes.entries()) bytes.set(hash, 32 * i);
  return bytes;
}

function wrongStoreError(): ChainError {
  return new ChainError(
    "ERR_CHAIN_FORKED",
    "the store's blocks are not of the history that is trusted: begin with an empty store",
  );
}
