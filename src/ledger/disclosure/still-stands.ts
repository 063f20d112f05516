import { toHex } from "../../bytes/hex.ts";
import { witnessesLocal } from "../consents/witnesses.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { findAsked } from "./asked-person.ts";
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

/** Tells whether records that an answer has yet to send may still be sent. */
export type StillStands = (remaining: readonly ReleasedItem[]) => Promise<boolean>;

/**
 * Watches what an answer rests on, from before it is decided: entries about the person, and the list of trusted
 * witnesses. While none of them is new, nothing is decided again.
 *
 * @returns a function that rejects with `ERR_CHAIN_PENDING` while an entry that may bind is kept in the outbox
 */
export async function watchDecision(
  context: DiscloseContext,
  checked: RequestToJudge,
): Promise<StillStands> {
  const { catalogue, chain, kept } = context;
  let size = chain.size;
  let known = await mark();

  /** Names what a decision would be made from. */
  async function mark(): Promise<string> {
    await requireReadableConsents(context);
    const subject = await findAsked(context, checked);
    const { records, others, merges } = await readDeciding(catalogue, subject);
    const lists = await catalogue.itemsOf(witnessesLocal(context), ["link"]);
    return JSON.stringify([
      subject && toHex(subject.local),
      ...[records, others, merges, lists].flatMap((items) => [items.length, lastOf(items)]),
    ]);
  }

  return async (remaining) => {
    const subject = await findAsked(context, checked);
    await kept?.assertNothingBinds(await personsOf(context, subject));
    if (chain.size === size) return true;
    const grown = chain.size;
    const now = await mark();
    if (now !== known) {
      const { decided } = await decideRecords(context, checked, subject, context.now());
      const permitted = new Set(decided.filter(isPermitted).map(nameOf));
      if (!remaining.every(({ record, entry }) => permitted.has(`${record} ${entry}`)))
        return false;
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
