import type { Chain } from "../chain/chain.ts";
import { isInForce, keyStateKey, memberKey } from "../chain/state.ts";
import { ChainError } from "../errors.ts";
import type { KeyStore } from "../identity/key-store.ts";
import type { Signer } from "../identity/signer.ts";

/**
 * The reason why entries that a member files from this process would be invalid by the newest state;
 * `undefined` if they would be valid.
 */
export async function whyReadOnly(
  chain: Chain,
  signer: Signer,
  keys: KeyStore,
  hasHome = false,
): Promise<string | undefined> {
  const { state } = chain;
  const agreeKeys = keys.list().filter(({ use }) => use === "agree");
  await state.load([
    memberKey(signer.actor),
    keyStateKey(signer.key),
    ...agreeKeys.map(({ key }) => keyStateKey(key)),
  ]);
  const member = state.member(signer.actor);
  if (member === undefined) return "its actor is not a member of this ledger";
  if (member.until !== null) return "its actor was removed from this ledger";
  const key = state.key(signer.key);
  if (key === undefined || key.actor !== signer.actor || key.use !== "sign") {
    return "its signing key is not on the ledger";
  }
  if (!isInForce(key, chain.size)) return "its signing key is not in force";
  if (!member.roles.includes("custodian"))
    return "it is not a custodian, and only custodians file records";
  if (!hasHome && !member.roles.includes("sequencer"))
    return "it is not a sequencer, so it cannot append blocks without a home";
  const canBeAsked = agreeKeys.some(({ key }) => {
    const known = state.key(key);
    return known?.actor === signer.actor && known.use === "agree" && isInForce(known, chain.size);
  });
  if (!canBeAsked) {
    return "no agreement key of its key store is in force on the ledger, so no request reaches it";
  }
  return undefined;
}

export function readOnlyError(why: string): ChainError {
  return new ChainError("ERR_CHAIN_READ_ONLY", `this member cannot write: ${why}`);
}
