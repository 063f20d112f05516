import { toHex } from "../../bytes/hex.ts";
import { least } from "../../bytes/lists.ts";
import { witnessesLocal } from "../consents/witnesses.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { findAsked } from "./asked-person.ts";
import { judgeAttestations } from "./attestation.ts";
import type { RequestToJudge } from "./check-request.ts";
import {
  decideRecords,
  isPermitted,
  readDeciding,
  requireReadableConsents,
  versionName,
  type Decided,
} from "./decide-records.ts";
import type { DiscloseContext } from "./disclose.ts";
import { personsOf } from "./emergency.ts";
import type { ReleasedItem } from "./release.ts";

/**
 * Tells whether records that an answer has yet to send may still be sent.
 *
 * @param expiresAt - when the answer's own decision may change by time alone
 */
export type StillStands = (
  remaining: readonly ReleasedItem[],
  expiresAt: number | null,
) => Promise<boolean>;

/**
 * Watches what an answer rests on, from before it is decided: entries about the person, the list of trusted
 * witnesses, and what members attest of the asker. While none of them changes, and until the time that the decision
 * names, nothing is decided again.
 *
 * @returns a function that rejects with `ERR_CHAIN_PENDING` while an entry that may bind, or that ends a record, is kept in the
 *   outbox
 */
export async function watchDecision(
  context: DiscloseContext,
  checked: RequestToJudge,
): Promise<StillStands> {
  const { catalogue, chain, kept } = context;
  const { request, sealed } = checked;
  const attestations = sealed.attestations ?? [];
  let size = chain.size;
  let known = await mark();
  let next: { readonly expiresAt: number } | undefined;

  /** Names what a decision would be made from. */
  async function mark(): Promise<string> {
    await requireReadableConsents(context);
    const subject = await findAsked(context, checked);
    const { records, others, merges } = await readDeciding(catalogue, subject);
    const lists = await catalogue.itemsOf(witnessesLocal(context), ["link"]);
    // Whoever attests something may be removed meanwhile.
    const attested = await judgeAttestations(context, request, attestations, context.now());
    return JSON.stringify([
      subject && toHex(subject.local),
      attested.signed.map(toHex),
      ...[records, others, merges, lists].flatMap((items) => [items.length, lastOf(items)]),
    ]);
  }

  return async (remaining, expiresAt) => {
    const subject = await findAsked(context, checked);
    await kept?.assertNothingBinds(await personsOf(context, subject));
    await kept?.assertNoneEnds(
      remaining.map(({ record }) => record),
      "all",
    );
    const at = context.now();
    const isOver = at >= (next?.expiresAt ?? expiresAt ?? Infinity);
    if (chain.size === size && !isOver) return true;
    const grown = chain.size;
    const now = await mark();
    if (now !== known || isOver) {
      const { decided } = await decideRecords(context, checked, subject, at);
      const permitted = new Map(decided.filter(isPermitted).map((one) => [nameOf(one), one]));
      const still = remaining.map(({ record, entry }) => permitted.get(`${record} ${entry}`));
      if (still.includes(undefined)) return false;
      next = { expiresAt: least(still.map((one) => one!.decision.expiresAt ?? Infinity)) };
    }
    [size, known] = [grown, now];
    return true;
  };
}

const nameOf = ({ record }: Decided): string => versionName(record);
const lastOf = (items: readonly CatalogueItem[]): string => {
  const last = items.at(-1);
  return last === undefined ? "" : toHex(last.id);
};
