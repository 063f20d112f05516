import { afterWriting } from "../../storage/settle.ts";
import type { EntryId, RecordId } from "../../codec/ids.ts";
import type { Decision } from "../../consent/model/decision.ts";
import { assertJwe } from "../../envelope/compact-jwe.ts";
import { exportJwe } from "../../envelope/jwe.ts";
import type { Answer } from "./answer.ts";

/** One record as a JWE, and the key that opens it. */
export interface ExportedRecord {
  /** Names the record through all its versions. */
  readonly record: RecordId;
  readonly contentType: string;
  /** Compact JWE, `dir` with `A256GCM`. */
  readonly jwe: string;
  /** 32 bytes; anybody who has it and the JWE can read the record for ever. */
  readonly key: Uint8Array;
  /** Offline proof that this version is on the ledger. */
  readonly receipt: Uint8Array;
}

/** The result of an export. */
export interface RecordExport {
  /** The access entry that records the export. */
  readonly access: EntryId;
  readonly decision: Decision;
  /** The records that the decision permits; may be empty. */
  readonly exported: readonly ExportedRecord[];
}

/**
 * Exports the records of an answer. The request is answered first, so the access entry is durable before
 * the keys of the JWEs are made.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` when no JWE can be made here; no request was made
 */
export async function exportRecords(
  ask: () => Promise<Answer>,
  options: { readonly random: (length: number) => Uint8Array; readonly compress?: boolean },
): Promise<RecordExport> {
  assertJwe();
  const answer = await ask();
  return afterWriting(async () => {
    const exported: ExportedRecord[] = [];
    for await (const { record, manifest, text, receipt } of answer.items()) {
      if (text === undefined) continue;
      const contentType = manifest.mediaType ?? "application/fhir+json";
      const { jwe, key } = await exportJwe({ ...options, content: text, contentType });
      text.fill(0);
      exported.push({ record, contentType, jwe, key, receipt });
    }
    return { access: answer.access, decision: answer.decision, exported };
  });
}
