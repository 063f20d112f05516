import { lostEntry } from "../entries/own-envelope.ts";
import { equalBytes } from "../../bytes/compare.ts";
import { concatBytes } from "../../bytes/concat.ts";
import { entryIdBytes, type EntryId } from "../../codec/ids.ts";
import { WITNESS_FORMS, type WitnessForm } from "../../consent/model/witness.ts";
import type { PartContent } from "../../envelope/seal.ts";
import { ConsentError, InputError, RecordError, StorageError } from "../../errors.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { decodeFiledForm, namingEntry, openParts } from "./read-consents.ts";
import type { LedgerContext } from "../context.ts";
import { commitToEvidence, MAX_EVIDENCE } from "./witnessed-directive.ts";

/** Evidence of what a person said: a scanned form, a portal's log. */
export interface Evidence {
  readonly mediaType: string;
  /** Copied before the call returns. */
  readonly bytes: Uint8Array;
}

/** How a custodian took down a person's directive. */
export interface WitnessOptions {
  /** The user who took it down, as this organisation names its people. */
  readonly user: string;
  /** `paper` and `electronic` bear the person's own signature or confirmation; `oral` does not. */
  readonly form: WitnessForm;
  /** When the person gave it, in ms since 1970; for paper that is scanned later, when it was signed. */
  readonly takenAt: number;
  /** At most 64 pieces, 16 MiB in all; sealed with the directive and erased with it. Default none. */
  readonly evidence?: readonly Evidence[];
}

/** Evidence in the form in which it is sealed, and the witness's commitments to it. */
export interface SealedEvidence {
  readonly parts: readonly PartContent[];
  readonly mediaTypes: readonly string[];
  readonly commitments: readonly Uint8Array[];
}

/** Maximum size in bytes of all evidence for one directive. */
export const MAX_EVIDENCE_BYTES: number = 16 * 1024 * 1024;
const SALT = 32;

/** Name of the envelope's part that holds a piece of evidence. */
const evidencePart = (at: number): string => `evidence-${at}`;

/**
 * Checks the statement of who took a directive down, how and when.
 *
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when one of these is missing, or the time is in the future
 */
export function checkedWitness(witness: WitnessOptions, now: number): WitnessOptions {
  const { user, form, takenAt } = witness;
  const say = (what: string) => new ConsentError("ERR_CONSENT_INVALID", `witness.${what}`);
  if (typeof user !== "string" || user.trim() === "") throw say("user must name who took it down");
  if (!WITNESS_FORMS.includes(form)) throw say(`form must be one of ${WITNESS_FORMS.join(", ")}`);
  if (!Number.isSafeInteger(takenAt) || takenAt < 0) throw say("takenAt must be an instant in ms");
  if (takenAt > now) throw say("takenAt must not be in the future");
  return witness;
}

/**
 * Salts each piece of evidence separately, so that it can be sealed beside the directive.
 *
 * @throws {InputError} `ERR_INPUT_INVALID`, `ERR_INPUT_TOO_LARGE`
 */
export async function sealableEvidence(
  evidence: readonly Evidence[],
  random: (length: number) => Uint8Array,
): Promise<SealedEvidence> {
  if (!Array.isArray(evidence) || evidence.length > MAX_EVIDENCE) {
    throw new InputError(
      "ERR_INPUT_INVALID",
      `evidence must be a list of at most ${MAX_EVIDENCE} pieces`,
    );
  }
  let size = 0;
  for (const { mediaType, bytes } of evidence) {
    if (typeof mediaType !== "string" || !/^[^\0]{1,256}$/.test(mediaType)) {
      throw new InputError("ERR_INPUT_INVALID", "a piece of evidence must have a media type");
    }
    if (!(bytes instanceof Uint8Array)) {
      throw new InputError(
        "ERR_INPUT_INVALID",
        "the bytes of a piece of evidence must be a Uint8Array",
      );
    }
    size += bytes.length;
  }
  if (size > MAX_EVIDENCE_BYTES) {
    throw new InputError("ERR_INPUT_TOO_LARGE", "evidence must not exceed 16 MiB in all");
  }
  const salts = evidence.map(() => random(SALT));
  const parts: PartContent[] = [];
  const commitments: Uint8Array[] = [];
  for (const [at, { bytes }] of evidence.entries()) {
    parts.push({ id: evidencePart(at), bytes: concatBytes(salts[at]!, bytes) });
    await giveTurn();
    commitments.push(commitToEvidence(salts[at]!, bytes));
    await giveTurn();
  }
  return { parts, mediaTypes: evidence.map(({ mediaType }) => mediaType), commitments };
}

/**
 * Opens the evidence that a person gave a directive, and compares it with what the witness signed.
 *
 * @returns the evidence in the witness's order; empty if there is none
 * @throws {RecordError} `ERR_RECORD_NOT_FOUND`, `ERR_RECORD_ERASED`
 * @throws {StorageError} `ERR_STORAGE_MISSING` when the store lost it; `ERR_STORAGE_CORRUPT` when it is
 *   not what its witness signed
 */
export async function readEvidence(
  context: LedgerContext,
  catalogue: Catalogue,
  directive: EntryId,
): Promise<readonly Evidence[]> {
  const entry = entryIdBytes(directive);
  await catalogue.catchUp();
  const found = await catalogue.find(entry);
  if (found.status === "erased") {
    throw new RecordError(
      "ERR_RECORD_ERASED",
      "the directive was erased, and its evidence with it",
    );
  }
  if (found.status === "lost") throw lostEntry(found.kind, entry);
  if (found.status === "missing" || found.item.kind !== "consent") {
    throw new RecordError("ERR_RECORD_NOT_FOUND", "this custodian filed no such directive");
  }
  const { item } = found;
  const mediaTypes = item.manifest.attachments ?? [];
  const ids = mediaTypes.map((_, at) => evidencePart(at));
  const parts = await openParts(context, catalogue, item, ["content", ...ids]);
  if (parts === undefined) {
    throw new RecordError(
      "ERR_RECORD_ERASED",
      "the directive was erased, and its evidence with it",
    );
  }
  const form = await namingEntry(item, () => decodeFiledForm(parts.get("content")!));
  const signed = form.kind === "witnessed" ? form.witness.evidence : [];
  return mediaTypes.map((mediaType, at) => {
    const { bytes, commitment } = openedEvidence(parts.get(ids[at]!)!);
    if (signed[at] === undefined || !equalBytes(signed[at], commitment)) {
      throw new StorageError(
        "ERR_STORAGE_CORRUPT",
        "the evidence differs from what its witness signed",
      );
    }
    return { mediaType, bytes };
  });
}

/** Splits a sealed piece of evidence into its bytes and the commitment to them. */
function openedEvidence(part: Uint8Array): {
  readonly bytes: Uint8Array;
  readonly commitment: Uint8Array;
} {
  const bytes = part.slice(SALT);
  return { bytes, commitment: commitToEvidence(part.subarray(0, SALT), bytes) };
}
