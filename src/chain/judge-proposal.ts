import { InputError } from "../errors.ts";
import type { Chain } from "./chain.ts";
import { checkStillOpen } from "./approvals.ts";
import {
  changeMembers,
  changePolicy,
  governanceKeyReads,
  governanceReads,
  replaceKeys,
} from "./governance.ts";
import type { GovernanceContext } from "./governance-context.ts";
import type { Proposal, ProposedEntry } from "./proposal.ts";
import type { Refusal } from "./refusal.ts";
import { overlayState, type SystemState } from "./state.ts";

/** What a proposal would do to the newest state. */
export interface JudgedProposal {
  /** The height at which it would be recorded now. */
  readonly height: number;
  readonly before: SystemState;
  /** As far as the rules admit the changes. */
  readonly after: SystemState;
  /** The rule that refuses it now, whoever approves it. */
  readonly refusal: Refusal | undefined;
}

/**
 * Tries a proposal on the newest state, without its approvals.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when the proposal is for another ledger
 */
export async function judgeProposal(
  chain: Chain,
  { ledger, entry }: Proposal,
): Promise<JudgedProposal> {
  if (!ledger.equals(chain.ledger)) {
    throw new InputError("ERR_INPUT_INVALID", "the proposal is for another ledger");
  }
  await chain.refresh();
  const { state } = chain;
  await state.load(governanceReads(entry));
  await state.load(governanceKeyReads(entry, state));
  // From here on nothing is awaited: the state is that of one height.
  const height = chain.size;
  const after = overlayState(state);
  const context: GovernanceContext = {
    ...{ ledger, height, before: state, within: after },
    ...{ author: "", signedWith: new Uint8Array(32) },
  };
  return { height, before: state, after, refusal: refusalOf(entry, context) };
}

function refusalOf(entry: ProposedEntry, context: GovernanceContext): Refusal | undefined {
  switch (entry.kind) {
    case "member":
      return checkStillOpen(entry, context) ?? changeMembers(entry, context);
    case "policy":
      return checkStillOpen(entry, context) ?? changePolicy(entry, context);
    case "key": {
      const member = context.within.member(entry.actor);
      if (member === undefined || member.until !== null) return "not-a-member";
      return replaceKeys(entry, member, context);
    }
  }
}
