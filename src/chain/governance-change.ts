import { ChainError } from "../errors.ts";
import type { AppliedBlock } from "./apply-block.ts";
import type { Chain } from "./chain.ts";
import type { GovernanceBlock } from "./derived.ts";
import { keyStateKey, memberKey, POLICY_KEY, type KeyState, type MemberState } from "./state.ts";

const MEMBER = memberKey("");

/** What a block changed of members or policy; `undefined` for nearly every block. */
export function governanceChange({ header, changes }: AppliedBlock): GovernanceBlock | undefined {
  const policy = changes.has(POLICY_KEY);
  // Nearly every block: only sequence numbers.
  const actors: string[] = [];
  for (const name of changes.keys()) {
    if (name.startsWith(MEMBER)) actors.push(name.slice(MEMBER.length));
  }
  return policy || actors.length > 0 ? { height: header.height, actors, policy } : undefined;
}

/** A member in force, with its keys in force. */
export interface MemberInForce extends Pick<MemberState, "roles" | "from"> {
  readonly actor: string;
  /** Each with its id, by which all structures name it. */
  readonly keys: readonly (Pick<KeyState, "use" | "alg" | "publicKey" | "from"> & {
    readonly key: Uint8Array;
  })[];
}

/**
 * The members of a ledger as of its newest block, in the order in which they joined.
 *
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the store does not know all of them, by the number in
 *   the authenticated state: open the ledger with `repair.derived`
 */
export async function membersOf(chain: Chain): Promise<readonly MemberInForce[]> {
  await chain.refresh();
  const actors = new Set(chain.genesis.members.map(({ actor }) => actor));
  for (const block of await chain.governance()) for (const actor of block.actors) actors.add(actor);
  const { state } = chain;
  await state.load([POLICY_KEY, ...[...actors].map(memberKey)]);
  const present = [...actors].flatMap((actor) => {
    const member = state.member(actor);
    return member === undefined || member.until !== null ? [] : [{ actor, member }];
  });
  // A lost row must not read as "no member".
  if (present.length !== state.policy().members) {
    throw new ChainError(
      "ERR_CHAIN_INVALID",
      "the store does not know all members: open the ledger with repair.derived",
    );
  }
  await state.load(present.flatMap(({ member }) => member.keys.map(keyStateKey)));
  return present
    .map(({ actor, member: { roles, from, keys: ids } }) => ({
      ...{ actor, roles, from },
      keys: ids.map((key) => {
        const { use, alg, publicKey, from: since } = state.key(key)!;
        return { key, use, alg, publicKey, from: since };
      }),
    }))
    .sort((a, b) => a.from - b.from);
}
