import { equalBytes } from "../bytes/compare.ts";
import type { SignedHeader } from "./header.ts";

/** Why an envelope does not take the place of another. */
export type SupersessionRefusal =
  /** It names no envelope, or another one. */
  | "not-superseded"
  /** It belongs to another ledger, author or kind. */
  | "context"
  /** It uses the salt again, as no new envelope does. */
  | "same-salt";

export type SupersessionResult =
  { readonly ok: true } | { readonly ok: false; readonly reason: SupersessionRefusal };

/**
 * Judges whether one envelope says, rightly, that it replaces another: sealed anew under another
 * content key, for the same ledger, by the same author, for entries of the same kind.
 *
 * Which of two envelopes that both replace one is in force, the ledger says and not the envelopes.
 *
 * @param newer - accepted by {@link verifyHeader}
 * @param older - accepted by {@link verifyHeader}
 */
export function verifySupersession(newer: SignedHeader, older: SignedHeader): SupersessionResult {
  const { supersedes, context, salt } = newer.header;
  const was = older.header.context;
  if (supersedes === undefined || !supersedes.equals(older.envelope)) {
    return { ok: false, reason: "not-superseded" };
  }
  const same =
    context.ledger.equals(was.ledger) && context.author === was.author && context.kind === was.kind;
  if (!same) return { ok: false, reason: "context" };
  if (equalBytes(salt, older.header.salt)) return { ok: false, reason: "same-salt" };
  return { ok: true };
}
