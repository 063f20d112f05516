import type { UnsignedEnvelope } from "../../envelope/seal.ts";
import type { LedgerContext } from "../context.ts";
import { sealTogether, wipeContentKeys, type EnvelopeToSeal } from "./seal-together.ts";

/** Envelopes of one job for another thread: fewer cost more to send, more leave other threads idle. */
const GROUP = 64;
/** Fewer envelopes are sealed sooner on this thread. */
const FEW = 8;

/**
 * Seals envelopes, on other threads if there are any and it is worth it. All groups are begun at once, and come in
 * the order of the envelopes; whoever takes a group must wipe its content keys.
 */
export async function* sealInGroups(
  { chain, signer, suite, padding, random, workers }: LedgerContext,
  envelopes: readonly EnvelopeToSeal[],
): AsyncGenerator<readonly UnsignedEnvelope[], void, void> {
  const terms = { ledger: chain.ledger, author: signer.actor, suite, padding };
  if (workers === undefined || envelopes.length < FEW) {
    yield await sealTogether(terms, envelopes, random);
    return;
  }
  const groups: Promise<readonly UnsignedEnvelope[]>[] = [];
  for (let at = 0; at < envelopes.length; at += GROUP) {
    const some = envelopes.slice(at, at + GROUP);
    const secrets = some.map(() => ({ cek: random(32), salt: random(32) }));
    const sealed = workers.seal(terms, some, secrets);
    // Nobody waits for a later group if an earlier one fails.
    sealed.catch(() => undefined);
    groups.push(sealed);
  }
  try {
    while (groups.length > 0) {
      const sealed = await groups[0]!;
      groups.shift();
      yield sealed;
    }
  } finally {
    for (const group of groups) group.then(wipeContentKeys, () => undefined);
  }
}
