import type { Approval } from "../block/entry.ts";
import { MAX_APPROVALS } from "../block/limits.ts";
import { ChainError } from "../errors.ts";
import { approvalFault, approvedBytes, type ApprovalFault } from "./approvals.ts";
import type { Chain } from "./chain.ts";
import { decodeApproval, type Proposal } from "./proposal.ts";
import { keyStateKey, memberKey, POLICY_KEY } from "./state.ts";

/** An approval that does not count, by its place in the list that was given. */
export interface DiscountedApproval {
  readonly index: number;
  /** `repeated`: another approval by the same member counts. */
  readonly reason: "malformed" | "repeated" | ApprovalFault;
}

/** The approvals of a proposal, weighed by the newest state. */
export interface WeighedApprovals {
  /** Number of distinct members that must approve. */
  readonly required: number;
  /** The members whose approvals count. */
  readonly approvedBy: readonly string[];
  readonly discounted: readonly DiscountedApproval[];
}

/** Thrown for a change that not enough members have approved; it was not submitted. */
export class ApprovalsMissing extends ChainError implements WeighedApprovals {
  override readonly name: string = "ApprovalsMissing";
  readonly required: number;
  readonly approvedBy: readonly string[];
  readonly discounted: readonly DiscountedApproval[];

  constructor({ required, approvedBy, discounted }: WeighedApprovals) {
    const missing = required - approvedBy.length;
    const reasons = discounted.map(({ index, reason }) => `approval ${index}: ${reason}`);
    super(
      "ERR_CHAIN_APPROVALS",
      `${missing} of ${required} approvals are missing` +
        (reasons.length === 0 ? "" : `; not counted: ${reasons.join(", ")}`),
    );
    this.required = required;
    this.approvedBy = approvedBy;
    this.discounted = discounted;
  }
}

/** Weighs approvals of a proposal by the state before the next block, and picks one of each member. */
export async function weighApprovals(
  chain: Chain,
  { entry, ledger }: Proposal,
  given: readonly Uint8Array[],
): Promise<{ readonly weighed: WeighedApprovals; readonly counted: readonly Approval[] }> {
  const { state } = chain;
  const read = given.slice(0, MAX_GIVEN).map(decodeApproval);
  await chain.refresh();
  await state.load([
    POLICY_KEY,
    ...read.flatMap((one) =>
      one === undefined ? [] : [memberKey(one.actor), keyStateKey(one.key)],
    ),
  ]);
  const input = approvedBytes(ledger, entry);
  const discounted: DiscountedApproval[] = [];
  const counted = new Map<string, Approval>();
  for (const [index, approval] of read.entries()) {
    const reason =
      approval === undefined ? "malformed" : approvalFault(approval, input, state, chain.size);
    if (approval === undefined || reason !== undefined) {
      discounted.push({ index, reason: reason ?? "malformed" });
    } else if (counted.has(approval.actor)) {
      discounted.push({ index, reason: "repeated" });
    } else {
      counted.set(approval.actor, approval);
    }
  }
  const { threshold: required } = state.policy();
  const weighed = { required, approvedBy: [...counted.keys()], discounted };
  return { weighed, counted: [...counted.values()].slice(0, MAX_APPROVALS) };
}

/** More approvals than any change needs; the rest of a hostile list is not read. */
const MAX_GIVEN = 4 * MAX_APPROVALS;
