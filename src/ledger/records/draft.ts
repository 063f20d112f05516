import type { Steps } from "../../bytes/steps.ts";
import { preparedSteps } from "../../envelope/disclosed.ts";
import type { PartContent } from "../../envelope/seal.ts";
import { EncodingError, InputError } from "../../errors.ts";
import { fieldSteps } from "../../fhir/fields.ts";
import { manifestSteps, type Manifest } from "../entries/manifest.ts";

/** A manifest without the fields that are the same in all of a person's. */
export type ManifestOf = Omit<Manifest, "v" | "local">;

/** The resource of a record, and how it is sealed. */
export interface ResourceContent {
  /** The resource's exact JSON. */
  readonly text: Uint8Array;
  /** Whether its values can be proved one by one. */
  readonly fields?: boolean;
}

/**
 * Checks whether a record can be sealed, so that many records can be checked before the first is filed; runs in
 * steps.
 *
 * @returns the manifest's bytes, without the person it is about
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` or `ERR_INPUT_INVALID`
 */
export function* draftSteps(
  manifest: ManifestOf,
  content: ResourceContent,
  path: string,
): Steps<Uint8Array> {
  try {
    const draft = yield* manifestSteps({ v: 1, local: new Uint8Array(16), ...manifest });
    if (content.fields === true) yield* partsOf(content, (length) => new Uint8Array(length));
    return draft;
  } catch (cause) {
    if (!(cause instanceof EncodingError) && !(cause instanceof InputError)) throw cause;
    const isLimit = cause.code === "ERR_ENCODING_LIMIT" || cause.code === "ERR_INPUT_TOO_LARGE";
    throw new InputError(
      isLimit ? "ERR_INPUT_TOO_LARGE" : "ERR_INPUT_INVALID",
      `${path} cannot be sealed`,
      { cause },
    );
  }
}

/** The parts of a record that are held in memory, without the manifest. */
export function* partsOf(
  { text, fields = false }: ResourceContent,
  random: (length: number) => Uint8Array,
): Steps<{ readonly parts: readonly PartContent[]; readonly disclosed?: Uint8Array }> {
  const content = { id: "content", bytes: text };
  if (!fields) return { parts: [content] };
  const { part, disclosed } = yield* preparedSteps(yield* fieldSteps(text), random);
  return { parts: [content, part], disclosed };
}
