import { EncodingError } from "../errors.ts";
import { expectArray, expectMap, expectOneOf, type Fields } from "../codec/shape.ts";
import { expectActor, expectKeyDescription, withPub, type KeyDescription } from "./key.ts";
import { MAX_MEMBER_KEYS, MAX_MEMBERS } from "./limits.ts";

/** Role of a member: hold records, order blocks, validate them, witness, or read audits. */
export type Role = "custodian" | "sequencer" | "validator" | "witness" | "auditor";

export const ROLES: readonly Role[] = ["custodian", "sequencer", "validator", "witness", "auditor"];

/** A member as a genesis record or a `member` entry adds it. */
export interface MemberDescription {
  readonly actor: string;
  readonly roles: readonly Role[];
  /** Its first keys; the first signing key must be the key that `actor` encodes. */
  readonly keys: readonly KeyDescription[];
}

/** One change of a `member` entry. */
export type MemberChange =
  | ({ readonly op: "add" } & MemberDescription)
  | { readonly op: "remove"; readonly actor: string }
  | { readonly op: "roles"; readonly actor: string; readonly roles: readonly Role[] };

/** Reads roles: distinct, in the order of {@link ROLES}, so that one set has one encoding. */
export function expectRoles(value: unknown, what: string): readonly Role[] {
  const roles = expectArray(value, what, ROLES.length).map((role) =>
    expectOneOf(role, what, ROLES),
  );
  for (let i = 1; i < roles.length; i++) {
    if (ROLES.indexOf(roles[i - 1]!) >= ROLES.indexOf(roles[i]!)) {
      throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be distinct and in order`);
    }
  }
  return roles;
}

/** Sorts roles into the order that {@link expectRoles} requires. */
export function sortRoles(roles: Iterable<Role>): Role[] {
  return [...new Set(roles)].sort((a, b) => ROLES.indexOf(a) - ROLES.indexOf(b));
}

/** Reads a member description. */
export function expectMember(value: unknown, what: string): MemberDescription {
  return memberFrom(expectMap(value, what, ["actor", "roles", "keys"]), what);
}

/** The encoded fields of a member description, or of a change that adds a member. */
export function memberFields({ keys, ...rest }: MemberDescription): Fields {
  return { ...rest, keys: keys.map(withPub) };
}

/** The encoded fields of the changes of a `member` entry. */
export function memberChangesFields(changes: readonly MemberChange[]): readonly Fields[] {
  return changes.map((change) => (change.op === "add" ? memberFields(change) : change));
}

/** Reads the changes of a `member` entry. */
export function expectMemberChanges(value: unknown, what: string): readonly MemberChange[] {
  const changes = expectArray(value, what, MAX_MEMBERS).map((item): MemberChange => {
    const { op } = expectMap(item, what, ["op", "actor"], ["roles", "keys"]);
    switch (expectOneOf(op, `${what}.op`, ["add", "remove", "roles"] as const)) {
      case "add": {
        const fields = expectMap(item, what, ["op", "actor", "roles", "keys"]);
        return { op: "add", ...memberFrom(fields, what) };
      }
      case "remove": {
        const fields = expectMap(item, what, ["op", "actor"]);
        return { op: "remove", actor: expectActor(fields["actor"], `${what}.actor`) };
      }
      case "roles": {
        const fields = expectMap(item, what, ["op", "actor", "roles"]);
        return {
          op: "roles",
          actor: expectActor(fields["actor"], `${what}.actor`),
          roles: expectRoles(fields["roles"], `${what}.roles`),
        };
      }
    }
  });
  if (changes.length === 0)
    throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must not be empty`);
  return changes;
}

function memberFrom(fields: Fields, what: string): MemberDescription {
  return {
    actor: expectActor(fields["actor"], `${what}.actor`),
    roles: expectRoles(fields["roles"], `${what}.roles`),
    keys: expectArray(fields["keys"], `${what}.keys`, MAX_MEMBER_KEYS).map((key) =>
      expectKeyDescription(key, `${what}.keys`),
    ),
  };
}
