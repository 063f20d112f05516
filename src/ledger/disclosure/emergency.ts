import { ChainError } from "../../errors.ts";
import type { KeptEntries } from "../elsewhere/kept-entries.ts";
import type { Subject } from "../entries/subjects.ts";
import type { RequestToJudge } from "./check-request.ts";
import {
  breaksGlass,
  permittedRecords,
  type JudgeContext,
  type Judgement,
} from "./decide-records.ts";

/** Who may break the glass, and for how long. */
export interface BreakGlassOptions {
  /** Codes of the roles whose holders may break the glass. Default: none. */
  readonly roles?: readonly string[];
  /** Longest time in milliseconds for which breaking the glass gives access. Default one hour. */
  readonly maxDuration?: number;
  /**
   * Whether a member with a `home` decides who breaks the glass also while it is cut off: by what is known here, and
   * with an access entry that is durable in the outbox and not on the ledger yet. Default `false`.
   */
  readonly whileCutOff?: boolean;
}

/** Milliseconds for which an emergency waits for the home to record it. */
const PATIENCE = 5000;

/** What a request that declares an emergency may do while this member is cut off. */
export interface Emergency {
  readonly kept: KeptEntries;
  /** Set if what is known here is too old for everything else. */
  readonly stale?: ChainError;
  /** Throws what keeps every other request from being decided. */
  readonly assertNothingElse: () => void;
}

/** Whether a request declares that it breaks the glass; nothing is judged. */
export const isDeclared = ({ request, sealed }: RequestToJudge): boolean =>
  sealed.declaration !== undefined && breaksGlass(request);

/** Local ids of a person and of those joined with them; none for nobody. */
export async function personsOf(
  { catalogue }: Pick<JudgeContext, "catalogue">,
  subject: Subject | undefined,
): Promise<readonly Uint8Array[]> {
  if (subject === undefined) return [];
  return (await catalogue.joinedWith(subject.local)).personsWith(subject.local);
}

/**
 * Admits a judged request as an emergency, or throws what keeps every other one from being decided.
 *
 * @returns milliseconds to wait for the access entry's block; `undefined` for what is no emergency
 * @throws {ChainError} `ERR_CHAIN_PENDING` while something is kept in the outbox that may concern this person, or
 *   that ends a record which is permitted
 */
export async function admitEmergency(
  context: JudgeContext,
  emergency: Emergency | undefined,
  judgement: Judgement,
  subject: Subject | undefined,
): Promise<number | undefined> {
  if (emergency === undefined) return undefined;
  if (!judgement.opensGlass) {
    emergency.assertNothingElse();
    return undefined;
  }
  await emergency.kept.assertNothingBinds(await personsOf(context, subject));
  await emergency.kept.assertNoneEnds(permittedRecords(judgement), "all");
  return emergency.stale === undefined ? PATIENCE : 0;
}

/** The error for a request whose access entry is kept in the outbox. */
export const keptError = (): ChainError =>
  new ChainError("ERR_CHAIN_PENDING", "an access of this member waits in its outbox");
