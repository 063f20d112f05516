import { equalBytes } from "../bytes/compare.ts";
import { ChainError, InputError, LedgerError, ProofError } from "../errors.ts";
import type { Signer } from "../identity/signer.ts";
import type { ChainStore } from "../storage/types.ts";
import type { Chain } from "./chain.ts";
import type { Checkpointer } from "./checkpointer.ts";
import { connectHeads, type TreeHead } from "./connection.ts";
import { createCosigning, type Cosigner, type CosigningTimes } from "./cosigning.ts";
import { encodeNote, noteSigner, splitNote, type NoteSignature } from "./note.ts";
import { policyAt, samePolicy, type CheckpointPolicy } from "./policy-at.ts";
import { checkpointsOfSteps, newestReached, stepsSince } from "./policy-position.ts";
import type { PolicyPosition } from "./follow-steps.ts";
import { openPolicySteps, type Reached } from "./policy-steps.ts";
import {
  judgeCheckpoint,
  seenHead,
  trustFromGenesis,
  withPolicy,
  type PolicyStep,
  type Trust,
} from "./trust.ts";
import { policyKeys, unacceptedError, validatorsOf } from "./unsatisfied.ts";

/** A checkpoint that the ledger's policy accepts. */
export interface AcceptedCheckpoint extends TreeHead {
  readonly note: Uint8Array;
}

/** A checkpoint with the steps by which a given trust accepts it. */
export interface ProvableCheckpoint extends AcceptedCheckpoint {
  readonly policyPath: readonly PolicyStep[];
}

/** A key of this process that may sign checkpoints. */
export interface CheckpointKey {
  readonly signer: Signer;
  readonly checkpointer: Checkpointer;
}

/** Makes checkpoints that verify, or throws the reason why it cannot. */
export interface Checkpoints {
  /**
   * Signs the newest durable head with the key in force, and has it cosigned.
   *
   * @throws {ChainError} `ERR_CHAIN_POLICY` when the policy does not accept the signatures
   *   obtained; `ERR_CHAIN_CHECKPOINT` as a checkpointer does
   */
  sign(): Promise<AcceptedCheckpoint>;
  /**
   * Like {@link Checkpoints.sign}, with the steps that lead a trust to the policy in force. Reuses
   * signatures of the newest head.
   *
   * @param trust - default: trust in the genesis record alone
   * @throws {ChainError} `ERR_CHAIN_POLICY` also when no steps lead there
   * @throws {ProofError} `ERR_PROOF_RANGE` when the trusted root covers more blocks than there are,
   *   `ERR_PROOF_UNAVAILABLE` when it is of another history
   */
  provable(trust?: Trust): Promise<ProvableCheckpoint>;
  /**
   * If the policy has changed and this process's keys are needed for the change, signs a checkpoint
   * for it.
   *
   * @returns whether kept checkpoints lead from the genesis record to the policy in force
   */
  followPolicy(): Promise<boolean>;
  /** The kept steps from the policy that a reader has to the policy in force, as far as they lead. */
  steps(since: PolicyPosition): Promise<readonly PolicyStep[]>;
  /**
   * Keeps the steps that another store has kept, as `encodePolicySteps` writes them.
   *
   * @returns whether kept checkpoints lead to the policy in force then
   * @throws {EncodingError} or {ProofError} when they are not believed; none is kept
   */
  takeSteps(bytes: Uint8Array): Promise<boolean>;
}

/** Most checkpoints of one policy change that may wait for signatures of other processes. */
const MAX_WAITING = 8;
const TRIES = 4;

/** Starts making checkpoints of a chain under its policy. */
export function openCheckpoints(options: {
  readonly chain: Chain;
  readonly chains: ChainStore;
  /** This process's keys that are in use, oldest first. */
  readonly keys: () => readonly CheckpointKey[];
  readonly cosigners?: readonly Cosigner[];
  readonly cosigningTimes?: CosigningTimes;
  /** Public keys of cosigners whose signatures do not count. */
  readonly distrusted?: () => readonly Uint8Array[];
  /** Appends a block; needed if the last block brought the key in force. */
  readonly seal?: () => Promise<unknown>;
  /** Of a copy: the newest checkpoint that was accepted. Nothing is signed then. */
  readonly accepted?: () => AcceptedCheckpoint | undefined;
}): Checkpoints {
  const { chain, chains, cosigners = [] } = options;
  const { origin } = chain.genesis;
  const genesisTrust = trustFromGenesis(chain.genesisBytes);
  const cosigning = createCosigning(chain, cosigners, options.cosigningTimes);
  const steps = openPolicySteps(chain, chains);
  let newest: AcceptedCheckpoint | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  /** Runs one after another: two at a time would both ask the cosigners. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  }

  const keysIn = (policies: readonly CheckpointPolicy[]): readonly CheckpointKey[] =>
    options.keys().filter(({ signer }) => policies.some((policy) => listsKey(policy, signer)));

  /**
   * @param also - policies that should accept the checkpoint too, as far as this process's keys
   *   allow
   */
  async function make(also: readonly CheckpointPolicy[] = []): Promise<AcceptedCheckpoint> {
    if (options.accepted !== undefined) return acceptedOf(options.accepted());
    let sealed = false;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const size = await chain.refresh();
      if (size === 0) {
        throw new ChainError(
          "ERR_CHAIN_CHECKPOINT",
          "the ledger has no blocks, so there is no head to sign",
        );
      }
      const now = await policyAt(chain, size);
      const [key] = keysIn([now]).slice(-1);
      if (key === undefined) {
        if (!sealed && keysIn([chain.state.policy()]).length > 0 && (await sealedBlock())) {
          sealed = true;
          continue;
        }
        await helpOthers(now);
        throw unacceptedError(undefined, origin, now);
      }
      const signed = await key.checkpointer.sign();
      // Other processes may have appended meanwhile.
      const policy = signed.size === size ? now : await policyAt(chain, signed.size);
      if (!listsKey(policy, key.signer)) continue;
      const before = await unledTo(policy);
      const policies = [policy, ...also, ...(before ?? []).map(({ trust }) => trust)];
      const all = policies.length === 1 ? signed.note : await countersigned(signed, policies);
      const note = await cosigned({ ...signed, note: all }, policies);
      if (before !== undefined) await keepChange(note, policy, before);
      if (!accepts(policy, note)) throw unacceptedError(note, origin, policy);
      newest = { note, size: signed.size, root: signed.root };
      return newest;
    }
    throw new ChainError("ERR_CHAIN_BUSY", "the policy changed while a checkpoint was signed");
  }

  /**
   * Appends a block after the change of policy, so that a checkpoint proves the state with the
   * change.
   */
  async function sealedBlock(): Promise<boolean> {
    try {
      await options.seal?.();
      return options.seal !== undefined;
    } catch (error) {
      // Only a sequencer may append, and this process need not be one.
      if (error instanceof ChainError) return false;
      throw error;
    }
  }

  function accepts(policy: CheckpointPolicy, note: Uint8Array): boolean {
    const distrusted = options.distrusted?.() ?? [];
    return judgeCheckpoint(note, { ...withPolicy(genesisTrust, policy, 0), distrusted }).ok;
  }

  /**
   * The policies that kept checkpoints lead to, if the last one is not this policy; otherwise
   * `undefined`.
   */
  async function unledTo(policy: CheckpointPolicy): Promise<readonly Reached[] | undefined> {
    const reached = await steps.reach(genesisTrust);
    return samePolicy(newestReached(reached).trust, policy) ? undefined : reached;
  }

  /** Keeps the checkpoint of a policy change, and signs those that wait for this process. */
  async function keepChange(
    note: Uint8Array,
    policy: CheckpointPolicy,
    before: readonly Reached[],
  ): Promise<void> {
    const policies = [policy, ...before.map(({ trust }) => trust)];
    const waiting = (await steps.notes()).filter((one) => samePolicy(one.policy, policy));
    const whole =
      accepts(policy, note) && before.some(({ trust }) => judgeCheckpoint(note, trust).ok);
    if (whole || waiting.length < MAX_WAITING) await steps.keep(note);
    for (const one of waiting) {
      if ((await unledTo(policy)) === undefined) return;
      const kept = encodeNote(one.text, one.signatures);
      await steps.keep(await countersigned({ ...one, note: kept }, policies));
    }
  }

  /**
   * Refuses a trusted root of another history or of more blocks than there are: no receipt can be
   * connected to it.
   */
  async function assertConnected(trust: Trust): Promise<void> {
    const seen = seenHead(trust);
    if (seen === undefined) return;
    const now = { size: chain.size, root: chain.root };
    if (seen.size > now.size) {
      throw new ProofError(
        "ERR_PROOF_RANGE",
        "the trusted root covers more blocks than this ledger has",
      );
    }
    const proof =
      seen.size === 0 || seen.size === now.size
        ? []
        : await chain.proveConsistency(seen.size, now.size);
    if (connectHeads(seen, now, proof) !== "connected") {
      throw new ProofError("ERR_PROOF_UNAVAILABLE", "the trusted root is of another history");
    }
  }

  /** Signs as the holder of a key that is no longer in force, so that the new keys are trusted. */
  async function helpOthers(policy: CheckpointPolicy): Promise<void> {
    const before = await unledTo(policy);
    const key = keysIn((before ?? []).map(({ trust }) => trust)).at(-1);
    if (before === undefined || key === undefined) return;
    const { note, size } = await key.checkpointer.sign();
    const policies = [policy, ...before.map(({ trust }) => trust)];
    await keepChange(await cosigned({ note, size }, policies), policy, before);
  }

  /** Asks the cosigners of all of these policies. */
  function cosigned(
    { note, size }: Pick<AcceptedCheckpoint, "note" | "size">,
    policies: readonly CheckpointPolicy[],
  ): Promise<Uint8Array> {
    const isEnough = (one: Uint8Array): boolean => policies.every((each) => accepts(each, one));
    const known = policyKeys(origin, policies);
    return cosigning.cosign(note, size, known, isEnough, validatorsOf(policies));
  }

  /** Adds signatures by those of this process's keys that any of these policies lists. */
  async function countersigned(
    head: AcceptedCheckpoint,
    policies: readonly CheckpointPolicy[],
  ): Promise<Uint8Array> {
    const split = splitNote(head.note);
    if (!split.ok) return head.note;
    const { text, signatures } = split.note;
    const lines: NoteSignature[] = [...signatures];
    for (const key of keysIn(policies)) {
      const { name, keyId, sign } = noteSigner(key.signer, origin);
      if (lines.some((line) => line.name === name && line.keyId === keyId)) continue;
      try {
        if (!(await mayAlsoSign(key, head))) continue;
        lines.push({ name, keyId, signature: await sign(text) });
      } catch (error) {
        // The policy decides whether enough have signed.
        if (!(error instanceof LedgerError)) throw error;
      }
    }
    return encodeNote(text, lines);
  }

  /**
   * Whether a key may also sign an older head: all that it has signed must be of the same history.
   */
  async function mayAlsoSign({ checkpointer }: CheckpointKey, head: TreeHead): Promise<boolean> {
    let known: readonly TreeHead[] = await checkpointer.known();
    if (!known.some(({ size }) => size >= head.size)) known = [await checkpointer.sign()];
    for (const one of known) {
      const [old, now] = [Math.min(one.size, head.size), Math.max(one.size, head.size)];
      const proof = old === now || old === 0 ? [] : await chain.proveConsistency(old, now);
      if (connectHeads(head, one, proof) !== "connected") return false;
    }
    return true;
  }

  return {
    sign: () => inTurn(() => make()),
    provable: (trust = genesisTrust) =>
      inTurn(async () => {
        if (!trust.ledger.equals(chain.ledger)) {
          throw new InputError("ERR_INPUT_INVALID", "`trust` is for another ledger");
        }
        let made = newest;
        if (made === undefined || made.size !== (await chain.refresh())) made = await make();
        let policyPath = await steps.find(trust, made.note);
        if (policyPath === undefined) {
          made = await make([trust]);
          policyPath = await steps.find(trust, made.note);
        }
        if (policyPath !== undefined) {
          await assertConnected(trust);
          return { ...made, policyPath };
        }
        throw new ChainError(
          "ERR_CHAIN_POLICY",
          "no steps lead from the trusted policy to the one in force; missing: a checkpoint after the " +
            "change that satisfies both policies, signed by a key of each",
        );
      }),
    followPolicy: () =>
      inTurn(async () => {
        const isLed = async () => (await unledTo(chain.state.policy())) === undefined;
        if (chain.size === 0 || (await isLed())) return true;
        try {
          // A checkpoint proves the state before its last block.
          const proved = await policyAt(chain, chain.size);
          if (!samePolicy(proved, chain.state.policy()) && options.keys().length > 0) {
            await sealedBlock();
          }
          await make();
        } catch (error) {
          // A later call that needs a checkpoint reports the error.
          if (!(error instanceof LedgerError)) throw error;
        }
        return isLed();
      }),
    takeSteps: (bytes) =>
      inTurn(async () => {
        await chain.refresh();
        for (const note of await checkpointsOfSteps(chain, bytes)) await steps.keep(note);
        return chain.size === 0 || (await unledTo(chain.state.policy())) === undefined;
      }),
    steps: (since) =>
      inTurn(async () => {
        await chain.refresh();
        return stepsSince(chain, steps, since);
      }),
  };
}

function listsKey({ checkpointKeys }: CheckpointPolicy, { publicKey }: Signer): boolean {
  return checkpointKeys.some((key) => equalBytes(key, publicKey));
}

function acceptedOf(accepted: AcceptedCheckpoint | undefined): AcceptedCheckpoint {
  if (accepted !== undefined) return accepted;
  throw new ChainError("ERR_CHAIN_CHECKPOINT", "this copy has no block under a checkpoint yet");
}
