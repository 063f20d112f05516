import type { FhirResource } from "../fhir/resource.ts";
import type { Subject } from "./entries/subjects.ts";
import type { UnassignedOptions, UnassignedResource } from "./records/assigning.ts";
import type { BundleOptions, RecordedBundle } from "./records/bundle-options.ts";
import type { NdjsonInput } from "./records/ndjson-lines.ts";
import type { NdjsonOptions, RecordedNdjson } from "./records/record-ndjson.ts";
import type { SourceRecord, SourceResource } from "./records/sources.ts";

/** Calls that take in what other systems have. */
export interface Feed {
  /**
   * Records every resource of a FHIR bundle.
   *
   * @param subject - the person that the bundle is about; `null` files each patient in it under the
   *   patient's own identifier
   */
  recordBundle(
    subject: Subject | null,
    bundle: Uint8Array | string | FhirResource,
    options?: BundleOptions,
  ): Promise<RecordedBundle>;
  /**
   * Records NDJSON from a source, such as a FHIR Bulk Data export: each line is a resource, or a Bundle whose
   * entries are recorded and, for `DELETE`, ended. Each patient is filed under their own identifiers. Pulls
   * the input as fast as it is recorded, in memory that does not grow with it. Sending the same input again
   * records nothing twice, so that a call which was interrupted is completed by repeating it.
   *
   * @param input - UTF-8 bytes or strings, in pieces that end anywhere
   * @returns what was recorded; a line that cannot be is counted as skipped, and the rest goes on
   * @throws {InputError} `ERR_INPUT_INVALID` when an option cannot be used
   * @throws the signal's reason once it is aborted; what was recorded by then remains
   * @example
   * const { body } = await fetch("https://ehr.example/export/Observation.ndjson");
   * if (body !== null) await hl.recordNdjson(body, { source: "ehr-1" });
   */
  recordNdjson(input: NdjsonInput, options: NdjsonOptions): Promise<RecordedNdjson>;
  /**
   * The records that a resource of a source is, in no particular order: one of each person whom it is
   * about, and former ones that have ended. Takes no longer for a person with many records.
   *
   * @throws {InputError} `ERR_INPUT_INVALID` when the name cannot be that of a resource
   * @throws {StorageError} `ERR_STORAGE_CORRUPT` when an entry that may be about it is lost
   * @example
   * const [found] = await hl.find({ source: "ehr-1", type: "Observation", id: "5" });
   * if (found !== undefined && !found.ended) await hl.read(found.id);
   */
  find(resource: SourceResource): Promise<readonly SourceRecord[]>;
  /**
   * Files what a source sent that names nobody, and that is therefore kept for everybody, about a person. It is
   * then a record of theirs that goes out also if nothing else about them refers to it. Calling again changes
   * nothing.
   *
   * @throws {RecordError} `ERR_RECORD_NOT_FOUND` when no such resource is kept, `ERR_RECORD_RETRACTED` when the
   *   person's record of it has ended by hand
   * @throws {InputError} `ERR_INPUT_INVALID` when several servers of the source have such a resource;
   *   `ERR_INPUT_UNKNOWN_SUBJECT`
   * @example
   * const plan = { source: "ehr-1", type: "PlanDefinition", id: "7" };
   * await hl.assign(plan, patient);
   */
  assign(resource: SourceResource, subject: Subject): Promise<SourceRecord>;
  /**
   * What is kept for everybody and is on record of nobody: nothing that is on record refers to it.
   *
   * @throws {StorageError} `ERR_STORAGE_CORRUPT` when an entry about what is kept is lost
   * @example
   * for await (const { type, id } of hl.unassigned({ source: "ehr-1" })) console.log(`${type}/${id}`);
   */
  unassigned(options?: UnassignedOptions): AsyncIterable<UnassignedResource>;
}
