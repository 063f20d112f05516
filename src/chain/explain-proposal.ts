import type { MemberEntry, PolicyChanges } from "../block/entry.ts";
import type { KeyDescription } from "../block/key.ts";
import type { MemberChange } from "../block/member.ts";
import type {
  ContractRegistration,
  KindRegistration,
  LedgerPolicy,
  Quorum,
} from "../block/policy.ts";
import { equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import { isoInstant } from "../consent/model/time.ts";
import { keyId } from "../identity/actor.ts";
import type { Chain } from "./chain.ts";
import type { OrganisationDescription } from "./description.ts";
import { judgeProposal, type JudgedProposal } from "./judge-proposal.ts";
import { samePolicy } from "./policy-at.ts";
import { decodeProposal, type Proposal } from "./proposal.ts";
import type { Refusal } from "./refusal.ts";

/** What a proposal would change, for the people who decide whether to approve it. */
export interface ExplainedProposal {
  readonly kind: "members" | "policy" | "recovery";
  /** One sentence a line. */
  readonly lines: readonly string[];
  /** The rule that refuses it at present, whoever approves it; absent if it can be recorded. */
  readonly refusal?: Refusal;
  /** Number of distinct members that must approve it. */
  readonly required: number;
  /** Last height at which it can be recorded; absent for a recovery, whose approvals do not expire. */
  readonly notAfter?: number;
  /** Whether readers must follow a step of policy afterwards, signed by keys of before and after. */
  readonly changesCheckpoints: boolean;
}

/**
 * Says in words what a proposal would change, by the newest state, and whether the rules admit it.
 *
 * @throws {EncodingError} when the bytes are no proposal
 * @throws {DescriptionRefused} when it would add an organisation whose description is not believed
 * @throws {InputError} `ERR_INPUT_INVALID` when it is for another ledger
 * @example
 * const { lines, refusal } = await explainProposal(chain, proposal);
 * for (const line of lines) console.log(line);
 * if (refusal !== undefined) console.log(`This cannot be recorded: ${refusal}.`);
 */
export async function explainProposal(
  chain: Chain,
  proposal: Uint8Array,
): Promise<ExplainedProposal> {
  const decoded = decodeProposal(proposal);
  const judged = await judgeProposal(chain, decoded);
  const { before, after, refusal, height } = judged;
  const { entry } = decoded;
  const now = before.policy();
  const then = after.policy();
  const changesCheckpoints = !samePolicy(now, then);
  const lines = linesOf(decoded, judged);
  if (refusal === undefined) {
    lines.push(
      `The ledger then has ${count(then.members, "member")}. Of these, ${then.sequencers} may order ` +
        `blocks, and ${then.threshold} must approve any later change.`,
    );
  } else {
    lines.push(`The ledger's rules refuse it at present: ${refusal}.`);
  }
  if (changesCheckpoints) {
    lines.push(
      `Whose signatures a checkpoint needs changes: ${checkpointKeys(now, then)}. ` +
        "Readers can follow once a checkpoint is signed by keys of before and after.",
    );
  }
  const notAfter = entry.kind === "key" ? undefined : entry.notAfter;
  lines.push(
    notAfter === undefined
      ? "Approvals of it do not expire."
      : `It can be recorded up to block ${notAfter}; the next block is ${height}.`,
  );
  return {
    kind: entry.kind === "key" ? "recovery" : entry.kind === "member" ? "members" : "policy",
    lines,
    ...(refusal === undefined ? {} : { refusal }),
    required: now.threshold,
    ...(notAfter === undefined ? {} : { notAfter }),
    changesCheckpoints,
  };
}

function linesOf({ entry, described }: Proposal, judged: JudgedProposal): string[] {
  switch (entry.kind) {
    case "member":
      return memberLines(entry, described, judged);
    case "policy":
      return policyLines(entry.changes, judged.before.policy());
    case "key": {
      const { actor, compromisedSince } = entry;
      const name = described[0]!.name;
      return [
        `Gives ${actor}, which calls itself “${name}”, a new signing key: ${keyText(entry)}. ` +
          "Its present signing keys end.",
        "Nothing shows that the new key is that member's: ask it over another channel.",
        ...(compromisedSince === undefined
          ? []
          : [
              `What the former keys signed from block ${compromisedSince} on is not believed any more.`,
            ]),
      ];
    }
  }
}

function memberLines(
  { changes }: MemberEntry,
  described: readonly OrganisationDescription[],
  { before }: JudgedProposal,
): string[] {
  let next = 0;
  const lineOf = (change: MemberChange): string[] => {
    const member = before.member(change.actor);
    const roles = member === undefined ? [] : member.roles;
    switch (change.op) {
      case "add": {
        const { name } = described[next++]!;
        const keys = change.keys.map(keyText).join("; ");
        return [
          `Adds ${change.actor}, which calls itself “${name}”, as ${listed(change.roles)}. ` +
            `Its keys: ${keys}.`,
          ...(member === undefined
            ? []
            : [
                `It was a member up to block ${(member.until ?? 0) - 1}. Nothing shows that the ` +
                  "new keys are that organisation's: ask it over another channel.",
              ]),
        ];
      }
      case "remove":
        return [
          `Removes ${change.actor}, ${listed(roles)}. Its ${member?.keys.length ?? 0} keys end; ` +
            "what it recorded before stays valid.",
        ];
      case "roles":
        return [`Makes ${change.actor}, so far ${listed(roles)}, ${listed(change.roles)} instead.`];
    }
  };
  return changes.flatMap(lineOf);
}

/** A line for each field of a policy: a field that lacks one does not compile. */
const POLICY_LINES: {
  readonly [Field in keyof Required<PolicyChanges>]: (
    now: LedgerPolicy,
    then: Required<PolicyChanges>[Field],
  ) => string;
} = {
  threshold: (now, then) =>
    `Members that must approve a change: ${then} instead of ${now.threshold}.`,
  maxDrift: (now, then) => `A clock may be ahead by ${then} ms instead of ${now.maxDrift} ms.`,
  maxTxAge: (now, then) =>
    `A transaction may wait for its block for ${then} ms instead of ${now.maxTxAge} ms.`,
  checkpointKeys: (_now, then) =>
    `Checkpoints are to be signed by one of ${count(then.length, "key")}.`,
  cosignaturePolicy: ({ cosignaturePolicy: now }, then) =>
    `Cosignatures that a checkpoint needs: validators ${quorumText(then.validators)} instead of ` +
    `${quorumText(now.validators)}; witnesses ${quorumText(then.witnesses)} instead of ` +
    `${quorumText(now.witnesses)}.`,
  kinds: (now, then) => `Kinds of entries: ${registered(now.kinds, then)}.`,
  contracts: (now, then) => `Versions of contracts: ${registered(now.contracts, then)}.`,
  clock: (_now, then) =>
    `One block may be dated back to ${isoInstant(then)}, to mend a wrong clock.`,
};

function policyLines(changes: PolicyChanges, now: LedgerPolicy): string[] {
  return Object.entries(changes).map(([field, then]) =>
    (POLICY_LINES[field as keyof PolicyChanges] as (now: LedgerPolicy, then: unknown) => string)(
      now,
      then,
    ),
  );
}

function quorumText({ required, keys }: Quorum): string {
  if (keys.length === 0) return "none";
  const names = keys.map(({ name, publicKey }) => `${name} ${idText("Ed25519", publicKey)}`);
  return `${required} of ${keys.length} (${names.join(", ")})`;
}

/** A kind, or a version of a contract with the height from which it is in force. */
type Registered = KindRegistration & Partial<ContractRegistration>;

function registered(now: readonly Registered[], then: readonly Registered[]): string {
  const line = ({ name, rule, from }: Registered): string =>
    `${name} by ${rule.toString()}${from === undefined ? "" : ` from height ${from}`}`;
  const text = (list: readonly Registered[]): string =>
    list.length === 0 ? "none" : list.map(line).join(", ");
  return `${text(then)} instead of ${text(now)}`;
}

function checkpointKeys(now: LedgerPolicy, then: LedgerPolicy): string {
  const lacking = (from: LedgerPolicy, to: LedgerPolicy): string[] =>
    from.checkpointKeys
      .filter((key) => !to.checkpointKeys.some((other) => equalBytes(other, key)))
      .map((key) => idText("Ed25519", key));
  const added = lacking(then, now);
  const dropped = lacking(now, then);
  const parts = [
    ...(added.length === 0 ? [] : [`key ${added.join(", ")} is added`]),
    ...(dropped.length === 0 ? [] : [`key ${dropped.join(", ")} is dropped`]),
  ];
  return parts.length === 0 ? "the cosigners" : parts.join("; ");
}

const keyText = ({ use, alg, publicKey }: Omit<KeyDescription, "proof">): string =>
  `${use} ${alg} ${idText(alg, publicKey)}`;

/** The first half of a key's id: enough to compare over the telephone, too much to search for. */
const idText = (alg: string, publicKey: Uint8Array): string =>
  toHex(keyId(alg, publicKey)).slice(0, 32);

const listed = (names: readonly string[]): string =>
  names.length === 0 ? "no role" : names.join(", ");

const count = (number: number, what: string): string =>
  `${number} ${what}${number === 1 ? "" : "s"}`;
