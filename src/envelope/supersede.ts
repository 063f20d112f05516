import { equalBytes } from "../bytes/compare.ts";
import type { SignedHeader } from "./header.ts";

/** Why an envelope does not replace another. */
export type SupersessionRefusal =
  /** It names no envelope to replace, or a different one. */
  | "not-superseded"
  /** It belongs to another ledger, author or kind. */
  | "context"
  /** It reuses the salt, which a newly sealed envelope never does. */
  | "same-salt";

export type SupersessionResult =
  { readonly ok: true } | { readonly ok: false; readonly reason: SupersessionRefusal };

/**
 * Verifies one envelope's claim to replace another: the newer one must be sealed separately under
 * another content key, for the same ledger, by the same author, for entries of the same kind.
 *
 * If two envelopes replace the same one, the ledger determines which is in force, not the
 * envelopes.
 *
 * @param newer - accepted by {@link verifyHeader}
 * @param older - accepted by {@link verifyHeader}
 * @example
 * const newer = verifyHeader(newerBytes, { envelope: newerEnvelope, context, author });
 * const older = verifyHeader(headerBytes, { envelope, context, author });
 * const replaces = newer.ok && older.ok && verifySupersession(newer, older).ok;
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
