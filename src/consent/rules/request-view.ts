import { NO, UNKNOWN, YES, type Match } from "./truth.ts";
import type { ConsentRequest } from "../model/request.ts";
import type { ConsentSnapshot } from "../model/snapshot.ts";

/** A request with the snapshot's facts about the requester. */
export interface RequestView {
  readonly action: string;
  readonly persons: readonly string[];
  readonly userStated: boolean;
  /** The requester, and every organisation, care team and group that it or the user belongs to. */
  readonly belongsTo: readonly string[];
  readonly device: string | undefined;
  hasRole(code: string): Match;
}

/** Whether a fact holds at an instant. */
export function holdsAt(
  fact: { readonly from?: number; readonly to?: number },
  instant: number,
): boolean {
  return (
    (fact.from === undefined || fact.from <= instant) &&
    (fact.to === undefined || instant <= fact.to)
  );
}

/** The membership facts of a snapshot, by member. */
export type MembershipIndex = ReadonlyMap<string, ConsentSnapshot["memberships"]>;

/** Indexes memberships by member. */
export function indexMemberships(snapshot: ConsentSnapshot): MembershipIndex {
  const index = new Map<string, ConsentSnapshot["memberships"][number][]>();
  for (const fact of snapshot.memberships) {
    const list = index.get(fact.member);
    if (list === undefined) index.set(fact.member, [fact]);
    else list.push(fact);
  }
  return index;
}

/** Looks up the facts about a requester in a snapshot. */
export function viewRequest(
  request: ConsentRequest,
  snapshot: ConsentSnapshot,
  memberships: MembershipIndex,
  members: ReadonlySet<string>,
  asOf: number,
): RequestView {
  const { requester, user } = request;
  const persons = user === undefined || user === requester ? [requester] : [user, requester];
  return {
    action: request.action,
    persons,
    userStated: user !== undefined,
    belongsTo: memberships.size === 0 ? [requester] : reach(request, memberships, asOf),
    device: request.client?.device,
    hasRole(code) {
      let claimed = false;
      const loose = looseRole(code);
      for (const role of request.roles ?? []) {
        if (role.code === code && members.has(role.attestedBy)) return YES;
        // Another spelling may be the same role.
        if (looseRole(role.code) === loose) claimed = true;
      }
      for (const fact of snapshot.roles) {
        const holds =
          persons.includes(fact.actor) && members.has(fact.attestedBy) && holdsAt(fact, asOf);
        if (holds && fact.code === code) return YES;
        if (holds && looseRole(fact.code) === loose) claimed = true;
      }
      // Without a stated user the roles are unknown: somebody may attest them for the user.
      const open = claimed || request.roles === undefined || user === undefined;
      return open ? UNKNOWN : NO;
    },
  };
}

/** A role without its code system, in lower case. */
function looseRole(code: string): string {
  return code
    .slice(code.lastIndexOf("|") + 1)
    .trim()
    .toLowerCase();
}

/**
 * A user is a person: having the name of an organisation or group does not make them a member of
 * it.
 */
function reach(
  { requester, user }: ConsentRequest,
  memberships: MembershipIndex,
  asOf: number,
): readonly string[] {
  const found = new Set([requester]);
  const add = (actor: string): void => {
    for (const fact of memberships.get(actor) ?? []) if (holdsAt(fact, asOf)) found.add(fact.of);
  };
  if (user !== undefined) add(user);
  for (const actor of found) add(actor);
  return [...found];
}
