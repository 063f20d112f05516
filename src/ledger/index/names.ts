import { concatBytes } from "../../bytes/concat.ts";

/** Bytes that distinguish one generation of the index from the others. */
export const GENERATION_BYTES = 4;

const NAME_BYTES = 32;
const ID_MARK = /* @__PURE__ */ Uint8Array.of(1);

/** The generation of the index that a row of the vault belongs to; `undefined` for other rows. */
export function generationOf(name: Uint8Array): Uint8Array | undefined {
  const behind = name.length - NAME_BYTES;
  if (behind !== GENERATION_BYTES && behind !== GENERATION_BYTES + ID_MARK.length) return undefined;
  return name.subarray(NAME_BYTES, NAME_BYTES + GENERATION_BYTES);
}

/** Whether a name is that of the row of an entry's id, see {@link IndexNames.id}. */
export const isIdName = (name: Uint8Array): boolean =>
  name.length === NAME_BYTES + GENERATION_BYTES + ID_MARK.length;

/**
 * Names of the rows of one generation of the index; they reveal nothing without the vault's key.
 */
export interface IndexNames {
  /** Name of the row of the person whom an identifier belongs to. */
  identifier(system: string, value: string): Uint8Array;
  /** A person's identifiers and key. */
  subject(local: Uint8Array): Uint8Array;
  /** Name of the row with the number of entries about a person, and their digest. */
  head(local: Uint8Array): Uint8Array;
  /** Name of a row with some of the entries about a person. */
  page(local: Uint8Array, page: number): Uint8Array;
  /**
   * Name of the row of the person whom an entry is about. Longer than the other names, so that a
   * scan can tell them apart.
   */
  id(id: Uint8Array): Uint8Array;
  /** Sums over all rows of ids. */
  readonly ids: Uint8Array;
  /** Entries that could not be decrypted although nothing erased them. */
  readonly lacking: Uint8Array;
}

/** Makes names that reveal nothing without a key; implemented by the vault. */
export interface SecretNames {
  name(label: string, ...parts: readonly (string | Uint8Array)[]): Uint8Array;
}

/** Makes the names of one generation. */
export function indexNames(vault: SecretNames, generation: Uint8Array): IndexNames {
  const name = (label: string, ...parts: readonly (string | Uint8Array)[]): Uint8Array =>
    concatBytes(vault.name(label, ...parts), generation);
  return {
    identifier: (system, value) => name("identifier", system, value),
    subject: (local) => name("subject", local),
    head: (local) => name("catalogue head", local),
    page: (local, page) => name("catalogue page", local, String(page)),
    id: (id) => concatBytes(name("catalogue entry", id), ID_MARK),
    ids: name("catalogue ids"),
    lacking: name("catalogue lacking"),
  };
}
