import { decodeEntry, type Entry } from "../block/entry.ts";
import type { TransactionWithEntries } from "../block/transaction.ts";
import { equalBytes } from "../bytes/compare.ts";
import type { Checkpoints } from "../chain/checkpoints.ts";
import { explainProposal, type ExplainedProposal } from "../chain/explain-proposal.ts";
import { encodePolicySteps, type PolicyPosition } from "../chain/follow-steps.ts";
import { membersOf, type MemberInForce } from "../chain/governance-change.ts";
import { heldKey, type KeyChange, signedKeyChange } from "../chain/key-change.ts";
import { judgeProposal } from "../chain/judge-proposal.ts";
import { samePolicy } from "../chain/policy-at.ts";
import {
  approvedEntry,
  approveProposal,
  decodeProposal,
  encodeProposal,
  type Proposal,
  type ProposedChange,
} from "../chain/proposal.ts";
import type { Sequencer } from "../chain/sequencer.ts";
import { decodeSignedChange, encodeSignedChange, signChange } from "../chain/signed-change.ts";
import { keyStateKey } from "../chain/state.ts";
import { TransactionRefused, type DurablePlace } from "../chain/submission.ts";
import { ApprovalsMissing, weighApprovals } from "../chain/weigh-approvals.ts";
import { ChainError, InputError } from "../errors.ts";
import { afterWriting } from "../storage/settle.ts";
import type { LedgerContext } from "./context.ts";

/** Options of calls that change who signs checkpoints. */
export interface EnactOptions {
  /**
   * Records the change although no kept steps lead to the policy in force. Readers with an older trust may
   * then never be able to follow. Default: rejects with `ERR_CHAIN_POLICY`.
   */
  readonly breakSteps?: boolean;
}

/** A change that is on the ledger. */
export interface EnactedChange {
  /** Height of its block; it is in force from the next block on. */
  readonly height: number;
  /**
   * Whether readers can follow to the policy in force. `unchanged`: whose signatures checkpoints need did
   * not change. `kept`: the step is kept. `missing`: it needs signatures of keys that other processes hold,
   * which add theirs as soon as they open the ledger or make a checkpoint.
   */
  readonly steps: "unchanged" | "kept" | "missing";
}

/**
 * Changes of members, policy and keys. All that crosses between organisations is bytes: a member proposes a
 * change and sends it, others read it in words and send back approvals, and any member that may write
 * records it once enough have approved.
 */
export interface Governance {
  /**
   * The members as of the newest block, with their keys in force, in the order in which they joined.
   *
   * @throws {ChainError} `ERR_CHAIN_INVALID` when the store does not know all of them: open the ledger with
   *   `repair.derived`
   */
  members(): Promise<readonly MemberInForce[]>;
  /**
   * Proposes a change to the other members.
   *
   * @param options.notAfter - last height at which it may be recorded; default 10,000 blocks from now
   * @returns bytes to send to them; the proposing member approves by {@link approve} like everyone else
   * @throws {TransactionRefused} when the rules would refuse the change, whoever approves it
   * @throws {DescriptionRefused} when an organisation's description is not believed
   * @throws {EncodingError} when a field of the change is not of its form
   */
  propose(change: ProposedChange, options?: { readonly notAfter?: number }): Promise<Uint8Array>;
  /**
   * Says in words what a proposal would change, and whether the rules admit it. People should read this
   * before they approve.
   *
   * @throws {EncodingError} when the bytes are no proposal
   * @throws {DescriptionRefused} when an organisation's description is not believed
   * @throws {InputError} `ERR_INPUT_INVALID` when it is for another ledger; all calls with a proposal throw
   *   the same
   */
  explain(proposal: Uint8Array): Promise<ExplainedProposal>;
  /**
   * Approves a proposal in this member's name, with this process's signing key.
   *
   * @returns bytes to send to whoever collects the approvals
   * @throws {TransactionRefused} when the rules would refuse the change, for instance since it expired
   * @throws {InputError} `ERR_INPUT_INVALID` when this process acts for no member in force
   */
  approve(proposal: Uint8Array): Promise<Uint8Array>;
  /**
   * Records a proposed change. Resolves once it is durable, and once the step by which readers follow is
   * kept if this process's keys suffice for it.
   *
   * @param approvals - all that came back; what does not count is left out
   * @throws {ApprovalsMissing} when too few members in force have approved, with what is missing
   * @throws {TransactionRefused} when the rules refuse it
   * @throws {ChainError} `ERR_CHAIN_POLICY` when no kept steps lead to the policy in force, so that readers
   *   might never be able to follow; see {@link EnactOptions}
   */
  enact(
    proposal: Uint8Array,
    approvals: readonly Uint8Array[],
    options?: EnactOptions,
  ): Promise<EnactedChange>;
  /**
   * Changes this member's own keys; needs no approvals. Resolves once that is durable. A key that was retired
   * or replaced is then retired in the key store too. A new signing key is used from the next time that the
   * ledger is opened; close and open all processes before the old one is retired.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` when the key store does not hold the key, or this process
   *   signs with the key that would be retired
   * @throws {TransactionRefused} when the rules refuse it
   * @throws {ChainError} `ERR_CHAIN_POLICY` as {@link enact} does
   */
  changeKey(change: KeyChange, options?: EnactOptions): Promise<EnactedChange>;
  /**
   * Signs a change of this member's own keys for another member to {@link submit}: for a member that may not
   * write, or whose signing keys are lost.
   *
   * @returns bytes that the rules admit for as long as a transaction may wait (`maxTxAge`)
   */
  signKeyChange(change: KeyChange): Promise<Uint8Array>;
  /**
   * Records what another member signed by {@link signKeyChange}.
   *
   * @throws {EncodingError} when the bytes are no signed change
   * @throws {TransactionRefused} when the rules refuse it
   * @throws {ChainError} `ERR_CHAIN_POLICY` as {@link enact} does
   */
  submit(signed: Uint8Array, options?: EnactOptions): Promise<EnactedChange>;
  /**
   * The steps by which a reader follows the policy of checkpoints, since what it knows: for a reader's
   * `followPolicySteps`. As many as fit in 1 MiB; no steps follow once there are none.
   *
   * @param since - `policyPosition` of the reader's trust. Default: trust in the genesis record
   * @throws {ProofError} `ERR_PROOF_RANGE` when the reader has seen more blocks than this ledger has
   */
  policySteps(since?: PolicyPosition): Promise<Uint8Array>;
  /**
   * Keeps the steps of another member's store, which no export holds: without them a member that opened an
   * export can make no receipts for readers who trust an older policy.
   *
   * @param steps - what {@link policySteps} of the other member gave, from the genesis record on
   * @returns whether the kept steps lead to the policy in force; if not, the other member may have more
   * @throws {EncodingError} when the bytes are no steps
   * @throws {ProofError} `ERR_PROOF_INVALID` when a step is not believed, `ERR_PROOF_UNAVAILABLE` when it is of
   *   another history, `ERR_PROOF_RANGE` when it covers more blocks than this store has
   */
  takePolicySteps(steps: Uint8Array): Promise<boolean>;
}

/** Blocks for which a proposal may wait for approvals. */
const DEFAULT_LIFE = 10_000;
/** How often a change is signed on another lane before its caller gets the error. */
const TRIES = 16;

/** Makes the calls that change members, policy and keys. */
export function createGovernance(
  context: LedgerContext,
  { sequencer, checkpoints }: { readonly sequencer: Sequencer; readonly checkpoints: Checkpoints },
): Governance {
  const { chain, keys, signer, now, random } = context;
  const { ledger } = chain;

  /** @throws {TransactionRefused} when the rules refuse the proposal, whoever approves it */
  async function assertAdmissible(proposal: Proposal): Promise<void> {
    const { refusal } = await judgeProposal(chain, proposal);
    if (refusal !== undefined) throw new TransactionRefused({ reason: refusal });
  }

  /** @param again - signs the change on another lane, if this process may */
  async function record(
    signed: TransactionWithEntries,
    { breakSteps = false }: EnactOptions,
    again?: () => Promise<TransactionWithEntries>,
  ): Promise<EnactedChange> {
    await chain.refresh();
    if (!breakSteps && signed.entries.some((entry) => mayDropSigners(decodeEntry(entry)))) {
      // Readers could not follow if the keys that a missing step needs were gone.
      if (!(await checkpoints.followPolicy())) {
        throw new ChainError(
          "ERR_CHAIN_POLICY",
          "no kept steps lead to the policy in force; missing: a checkpoint that satisfies the policy " +
            "before and the one in force, signed by a key of each",
        );
      }
    }
    const before = chain.state.policy();
    const { height } = await place(signed, again);
    return afterWriting(async () => {
      if (samePolicy(before, chain.state.policy())) return { height, steps: "unchanged" };
      return { height, steps: (await checkpoints.followPolicy()) ? "kept" : "missing" };
    });
  }

  /** A transaction whose number is taken is certainly not recorded, so another may be signed. */
  /** A transaction whose number is taken is certainly not recorded, so another may be signed. */
  async function place(
    first: TransactionWithEntries,
    again: (() => Promise<TransactionWithEntries>) | undefined,
  ): Promise<DurablePlace> {
    let signed = first;
    for (let tries = 1; ; tries++) {
      try {
        return await sequencer.submit(signed).durable;
      } catch (error) {
        const isTaken =
          error instanceof TransactionRefused && error.refused.reason === "replayed-sequence";
        if (!isTaken || again === undefined || tries === TRIES) throw error;
        signed = await again();
      }
    }
  }

  const own = (key: Uint8Array) => heldKey(keys, signer.actor, key);
  const sign = (change: KeyChange): Promise<TransactionWithEntries> =>
    signedKeyChange(chain, change, { keys, actor: signer.actor, now, random });

  /** Retires in the key store what is no longer in force on the ledger. */
  async function retireEnded(key: Uint8Array, steps: EnactedChange["steps"]): Promise<void> {
    const use = own(key)?.use;
    // An old checkpoint key may still have to sign the step to the new one.
    if (use === "checkpoint" && steps === "missing") return;
    const held = keys.list().filter((one) => one.use === use && !one.retired && own(one.key));
    await chain.state.load(held.map((one) => keyStateKey(one.key)));
    const ended = held.filter((one) => (chain.state.key(one.key)?.until ?? null) !== null);
    for (const one of ended) await keys.retire(one.key);
  }

  return {
    members: () => membersOf(chain),
    async propose(change, { notAfter } = {}) {
      await chain.refresh();
      const bytes = encodeProposal(ledger, change, {
        ...{ salt: random(16), nonce: random(16) },
        notAfter: notAfter ?? chain.size + DEFAULT_LIFE,
      });
      await assertAdmissible(decodeProposal(bytes));
      return bytes;
    },
    explain: (proposal) => explainProposal(chain, proposal),
    async approve(proposal) {
      const decoded = decodeProposal(proposal);
      await assertAdmissible(decoded);
      const approval = await approveProposal(proposal, signer);
      const { weighed } = await weighApprovals(chain, decoded, [approval]);
      const [fault] = weighed.discounted;
      if (fault === undefined) return approval;
      throw new InputError("ERR_INPUT_INVALID", `this process cannot approve: ${fault.reason}`);
    },
    async enact(proposal, approvals, options = {}) {
      const decoded = decodeProposal(proposal);
      await assertAdmissible(decoded);
      const { weighed, counted } = await weighApprovals(chain, decoded, approvals);
      if (counted.length < weighed.required) throw new ApprovalsMissing(weighed);
      const entries = [approvedEntry(decoded, counted)];
      const again = () => signChange(chain, signer, entries, { now, random });
      return record(await again(), options, again);
    },
    async changeKey(change, options = {}) {
      if (change.op === "retire" && equalBytes(change.key, signer.key)) {
        throw new InputError(
          "ERR_INPUT_INVALID",
          "this process signs with this key: open the ledger again with the new key in force, then retire it",
        );
      }
      const enacted = await record(await sign(change), options, () => sign(change));
      if (change.op !== "add") await afterWriting(() => retireEnded(change.key, enacted.steps));
      return enacted;
    },
    signKeyChange: async (change) => encodeSignedChange(await sign(change)),
    async submit(bytes, options = {}) {
      return record(decodeSignedChange(bytes), options);
    },
    async policySteps(since = {}) {
      return encodePolicySteps(ledger, await checkpoints.steps(since));
    },
    takePolicySteps: checkpoints.takeSteps,
  };
}

/** Whether a change may end a key that signs or cosigns checkpoints. */
function mayDropSigners(entry: Entry): boolean {
  if ("fields" in entry) return false;
  switch (entry.kind) {
    case "key":
      return entry.use === "checkpoint" && entry.op !== "add";
    case "member":
      return entry.changes.some(({ op }) => op !== "add");
    case "policy":
      return (
        entry.changes.checkpointKeys !== undefined || entry.changes.cosignaturePolicy !== undefined
      );
    default:
      return false;
  }
}
