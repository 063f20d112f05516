import type { CID } from "multiformats/cid";
import {
  decodeEntry,
  encodeEntry,
  expectApproval,
  type Approval,
  type KeyEntry,
  type MemberEntry,
  type PolicyChanges,
  type PolicyEntry,
} from "../block/entry.ts";
import { MAX_ENTRY_BYTES } from "../block/limits.ts";
import { sortRoles, type MemberChange, type Role } from "../block/member.ts";
import { equalBytes } from "../bytes/compare.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectCid, expectMap, expectVersion } from "../codec/shape.ts";
import { EncodingError, InputError } from "../errors.ts";
import { signWith, type Signer } from "../identity/signer.ts";
import { approvedBytes } from "./approvals.ts";
import { verifyDescription, type OrganisationDescription } from "./description.ts";

/** A change of a ledger's members. */
export type ProposedMember =
  /** An organisation joins, as it described itself for this ledger by `signDescription`. */
  | { readonly add: Uint8Array }
  /** A member leaves. */
  | { readonly remove: string }
  /** A member gets other roles in place of its own. */
  | { readonly change: string; readonly roles: readonly Role[] };

/** What members may propose to one another; each proposal is one of these. */
export type ProposedChange =
  | { readonly members: readonly ProposedMember[] }
  | { readonly policy: PolicyChanges }
  /**
   * New signing key of a member whose keys were stolen or lost, and whose recovery key too: as it described
   * itself with this one key. All its signing keys end.
   */
  | { readonly recover: Uint8Array; readonly compromisedSince?: number };

/** The entry that a proposal becomes, still without approvals. */
export type ProposedEntry = MemberEntry | PolicyEntry | KeyEntry;

/** A proposal, decoded. */
export interface Proposal {
  readonly ledger: CID;
  readonly entry: ProposedEntry;
  /** How the organisations that it adds or recovers described themselves, in the order of its changes. */
  readonly described: readonly OrganisationDescription[];
}

const MAX_BYTES = 1024 * 1024;

/** Writes a proposal. */
export function encodeProposal(
  ledger: CID,
  change: ProposedChange,
  fresh: { readonly salt: Uint8Array; readonly nonce: Uint8Array; readonly notAfter: number },
): Uint8Array {
  assertOne(change);
  const { salt, nonce, notAfter } = fresh;
  const descriptions: Uint8Array[] = [];
  const take = (bytes: Uint8Array): OrganisationDescription["member"] => {
    descriptions.push(bytes);
    return verifyDescription(bytes, ledger).member;
  };
  const approved = { v: 1, salt, nonce, notAfter, approvals: [] } as const;
  let entry: ProposedEntry;
  if ("members" in change) {
    const changes = change.members.map((one): MemberChange => {
      if ("add" in one) return { op: "add", ...take(one.add) };
      if ("remove" in one) return { op: "remove", actor: one.remove };
      return { op: "roles", actor: one.change, roles: sortRoles(one.roles) };
    });
    entry = { ...approved, kind: "member", changes };
  } else if ("policy" in change) {
    entry = { ...approved, kind: "policy", changes: change.policy };
  } else {
    entry = recoveryOf(take(change.recover), salt, change.compromisedSince);
  }
  const bytes = encode({ v: 1, ledger, entry: encodeEntry(entry), descriptions });
  decodeProposal(bytes);
  return bytes;
}

const CHANGE: OptionsOf<ProposedChange> = {
  ...{ members: true, policy: true, recover: true, compromisedSince: true },
};
const MEMBER: OptionsOf<ProposedMember> = { add: true, remove: true, change: true, roles: true };

/** Refuses what is not exactly one change: the rest would be lost. */
function assertOne(change: ProposedChange): void {
  const only = (given: object, names: readonly string[], also: string, to: string): void => {
    const found = Object.keys(given).filter((name) => names.includes(name));
    if (found.length !== 1 || (also in given && found[0] !== to)) {
      throw new InputError("ERR_INPUT_INVALID", `give exactly one of ${names.join(", ")}`);
    }
  };
  assertOptions(change, CHANGE, "propose");
  only(change, ["members", "policy", "recover"], "compromisedSince", "recover");
  for (const member of "members" in change ? change.members : []) {
    assertOptions(member, MEMBER, "members");
    only(member, ["add", "remove", "change"], "roles", "change");
  }
}

function recoveryOf(
  member: OrganisationDescription["member"],
  salt: Uint8Array,
  compromisedSince: number | undefined,
): KeyEntry {
  const [key, ...others] = member.keys;
  if (key === undefined || others.length > 0) {
    throw shape("a recovery is of one key, so its description must hold one");
  }
  return {
    ...{ v: 1, salt, kind: "key", actor: member.actor, op: "recover" },
    ...key,
    ...(compromisedSince === undefined ? {} : { compromisedSince }),
  };
}

/**
 * Reads a proposal, and checks that what it adds is what the organisations described themselves.
 *
 * @throws {EncodingError} when the bytes are no proposal, or changes and descriptions differ
 * @throws {DescriptionRefused} when a description is not believed
 */
export function decodeProposal(bytes: Uint8Array): Proposal {
  const map = expectMap(
    decode(bytes, { maxBytes: MAX_BYTES, maxDepth: 4, maxItems: 4096 }),
    "proposal",
    [...["v", "ledger", "entry", "descriptions"]],
  );
  expectVersion(map["v"], "proposal");
  const ledger = expectCid(map["ledger"], "proposal.ledger");
  const entry = expectProposed(expectBytes(map["entry"], "proposal.entry"));
  const descriptions = expectArray(map["descriptions"], "proposal.descriptions", 1024);
  const described = descriptions.map((one) =>
    verifyDescription(expectBytes(one, "proposal.descriptions"), ledger),
  );
  const members = addedBy(entry);
  const isSame =
    members.length === described.length &&
    members.every((one, i) => equalBytes(encode(one), encode(keysOf(described[i]!))));
  if (!isSame) throw shape("proposal.descriptions must be those of what it adds");
  return { ledger, entry, described };
}

/** What a description says of the member that goes onto the ledger. */
const keysOf = ({ member }: OrganisationDescription): unknown => [
  member.actor,
  ...[member.roles, member.keys.map((key) => ({ ...key }))],
];

/** The members that an entry adds, as {@link keysOf} gives them; of a recovery, its key. */
function addedBy(entry: ProposedEntry): readonly unknown[] {
  if (entry.kind === "policy") return [];
  if (entry.kind === "member") {
    return entry.changes.flatMap((one) =>
      one.op === "add" ? [[one.actor, one.roles, one.keys.map((key) => ({ ...key }))]] : [],
    );
  }
  const { use, alg, publicKey, proof, actor } = entry;
  return [[actor, [], [{ use, alg, publicKey, ...(proof === undefined ? {} : { proof }) }]]];
}

function expectProposed(bytes: Uint8Array): ProposedEntry {
  const entry = bytes.length > MAX_ENTRY_BYTES ? undefined : decodeEntry(bytes);
  if (entry === undefined || "fields" in entry)
    throw shape("proposal.entry is no change of governance");
  switch (entry.kind) {
    case "member":
    case "policy":
      if (entry.approvals.length > 0) throw shape("a proposal holds no approvals");
      if (entry.kind === "policy" && Object.keys(entry.changes).length === 0) {
        throw shape("proposal.entry changes nothing");
      }
      return entry;
    case "key":
      if (entry.op === "recover" && entry.approvals === undefined) return entry;
  }
  throw shape("proposal.entry is no change that members approve");
}

/**
 * Approves a proposal with a member's signing key, wherever that is, after somebody has read what the
 * proposal would change: see `explainProposal`.
 *
 * @returns bytes to send to whoever collects the approvals; they count for this change of this ledger only
 * @throws {EncodingError} or {DescriptionRefused} when the bytes are no proposal
 * @example
 * const { lines } = await explainProposal(chain, proposal);
 * if (await people.agreeTo(lines)) send(await approveProposal(proposal, keys.signer()));
 */
export async function approveProposal(proposal: Uint8Array, signer: Signer): Promise<Uint8Array> {
  const { ledger, entry } = decodeProposal(proposal);
  const sig = await signWith(signer, "approval", approvedBytes(ledger, entry));
  return encode({ v: 1, actor: signer.actor, key: signer.key, alg: signer.alg, sig });
}

/** The entry of a proposal with approvals. */
export function approvedEntry(
  { entry }: Pick<Proposal, "entry">,
  approvals: readonly Approval[],
): Uint8Array {
  return encodeEntry({ ...entry, approvals });
}

/** Reads an approval; `undefined` if the bytes are none. */
export function decodeApproval(bytes: Uint8Array): Approval | undefined {
  try {
    const value = decode(bytes, { maxBytes: 1024, maxDepth: 2, maxItems: 32 });
    const { v, ...rest } = expectMap(value, "approval", ["v", "actor", "key", "alg", "sig"]);
    expectVersion(v, "approval");
    return expectApproval(rest);
  } catch (error) {
    if (error instanceof EncodingError) return undefined;
    throw error;
  }
}

const shape = (why: string) => new EncodingError("ERR_ENCODING_SHAPE", why);
