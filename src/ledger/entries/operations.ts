/** The effect of an entry on the history of a record, a consent, or a person's facts. */
export type Operation =
  /** A new record. */
  | "create"
  /** A new version of a record. */
  | "amend"
  /** New labels for a record whose content does not change. */
  | "relabel"
  /** The record was entered in error. */
  | "retract"
  /** The record moved here from another person. */
  | "reattribute"
  /** A directive. */
  | "directive"
  /** A person's key or capacity, attested by the custodian. */
  | "attest"
  /** A directive that was delivered and does not count yet. */
  | "held"
  /** A directive is to be delivered to other custodians; what became of it at one of them. */
  | ("deliver" | "delivered")
  /** The list of witnesses that the custodian trusts. */
  | "witnesses"
  /** A person's identifiers and key. */
  | "identify"
  /** Two persons are one; they are not: a merge ends. */
  | ("merge" | "unmerge")
  /** A hold is placed, so that nothing about the person may be erased; it is lifted. */
  | ("hold" | "release")
  /** An access was reviewed. */
  | "reviewed"
  /** An access: what was asked and answered. */
  | "access"
  /** What was not released although an access entry said so, because something changed meanwhile. */
  | "difference"
  /** An erasure: what was destroyed. */
  | "erase"
  /** A source deleted a resource that was not on record. */
  | "deleted"
  /** Two persons may be one, or a person may have a number: people are to decide. */
  | "propose"
  /** People decided that a proposal is wrong. */
  | "dismiss"
  /** Another member asks about the person by a name that was agreed with it; it no longer does. */
  | ("alias" | "unalias");

/** All of them. */
export const OPERATIONS: readonly Operation[] = [
  ...(["create", "amend", "relabel", "retract", "reattribute"] as const),
  ...(["held", "deliver", "delivered", "witnesses"] as const),
  ...(["directive", "attest", "access", "difference", "erase"] as const),
  ...(["identify", "merge", "unmerge", "hold", "release", "reviewed", "deleted"] as const),
  ...(["propose", "dismiss", "alias", "unalias"] as const),
];
