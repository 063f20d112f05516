import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { isSubjectTag } from "../../block/tag.ts";
import type { CID } from "../../codec/cid.ts";
import { StorageError } from "../../errors.ts";
import type { Lacking } from "./rows.ts";

/**
 * Whether an entry that cannot be decrypted may be about a person. It cannot be if its tag, which
 * is on the ledger in clear, was not made with the person's key.
 *
 * @param key - the person's subject key; `undefined` if it is not available here
 */
export function mayBeAbout(
  { kind, local, tag }: Lacking,
  person: { readonly local: Uint8Array; readonly key: Uint8Array | undefined },
  made: { readonly ledger: CID; readonly author: string },
): boolean {
  if (local !== undefined) return equalBytes(local, person.local);
  if (tag === undefined || person.key === undefined) return true;
  const { body, salt, subject } = tag;
  return isSubjectTag(subject, person.key, { ...made, kind, salt, body });
}

/** Whether an entry that cannot be decrypted may be about anybody, including unknown persons. */
export const isAboutAnybody = ({ local, tag }: Lacking): boolean =>
  local === undefined && tag === undefined;

/** Rejects if an answer would depend on entries that cannot be decrypted. */
export function assertNoneLack(all: readonly Lacking[]): void {
  if (all.length > 0) throw lacks(all);
}

/** The error that names entries which cannot be decrypted. */
export function lacks(all: readonly Pick<Lacking, "id" | "kind">[]): StorageError {
  const named = all.slice(0, 3).map(({ id, kind }) => `${kind} entry ${toHex(id)}`);
  return new StorageError(
    "ERR_STORAGE_CORRUPT",
    `${named.join(", ")}${all.length > 3 ? ` and ${all.length - 3} more` : ""} on the ledger ` +
      "cannot be decrypted here, although nothing erased it: restore the store and open with repair.index",
  );
}
