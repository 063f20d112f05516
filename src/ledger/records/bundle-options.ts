import type { EntryId } from "../../codec/ids.ts";
import type { BundleProblem } from "../../fhir/bundle.ts";
import type { MergeProposal, PersonIdentifier, Subject } from "../entries/subjects.ts";
import type { SourceResource } from "../entries/source-names.ts";
import type { FiledCopy } from "./copies.ts";
import type { KnownRecord } from "./known.ts";
import type { RecordedVersion } from "./record-versions.ts";

export interface BundleOptions {
  /**
   * Called after every 25 sealed resources and after each transaction, with the number of resources
   * to record, the number sealed, and how many of those are durable.
   */
  readonly onProgress?: (progress: {
    readonly done: number;
    readonly sealed: number;
    readonly total: number;
  }) => void;
  /**
   * Stops before the next transaction is written. Earlier transactions remain, and `onProgress` was
   * called for them; persons who were made known remain too.
   */
  readonly signal?: AbortSignal;
  /**
   * Files every entry as a transaction of its own, so that transactions do not reveal whom an entry
   * is about; slower. Default `false`: then entries of one transaction may be presumed to concern
   * one person.
   */
  readonly mix?: boolean;
  /** Lets recipients of a resource prove single values of it to others. Default `false`. */
  readonly fields?: boolean;
  /**
   * Name of the system that the bundle comes from, such as `"ehr-1"`: 1 to 256 characters. A
   * resource is then known by this name, its type, its id and the person whom it is about. Its
   * versions are versions of one record, and `DELETE` ends that record. Without it, a resource is
   * known by its text and by its `fullUrl`, and nothing is deleted.
   */
  readonly source?: string;
}

/** The outcome of recording a bundle. */
export interface RecordedBundle {
  /** The resources that this call recorded. */
  readonly recorded: readonly (RecordedVersion & {
    readonly subject: Subject;
    readonly type: string;
    /** Position in `Bundle.entry`. */
    readonly index: number;
    /** For a newer version of a record: the entry that was its newest until now. */
    readonly amends?: EntryId;
    /**
     * Set if neither `meta.versionId` nor `meta.lastUpdated` tells that it is newer than what was
     * on record, or if they disagree: it is the current version because it came last.
     */
    readonly byArrival?: true;
  })[];
  /** Records of the source that this call ended. */
  readonly retracted: readonly (RecordedVersion & {
    readonly subject: Subject;
    readonly type: string;
    /** Position in `Bundle.entry`. */
    readonly index: number;
    readonly why: "deleted" | "entered in error";
  })[];
  /**
   * Resources that were on record already and were not recorded again: the same text, or a record
   * of the same resource (by its source, or by its `fullUrl` on a server) that has a newer version.
   * An erased resource is not recognised, and is recorded again.
   */
  readonly known: readonly (KnownRecord & {
    readonly subject: Subject;
    readonly type: string;
    /** Position in `Bundle.entry`. */
    readonly index: number;
  })[];
  /**
   * With a source: resources that name nobody, such as a Medication or an Organization. Each is kept once, for
   * everybody, and `as` says what became of what is kept: as in `recorded`, `retracted` and `known`.
   */
  readonly kept: readonly {
    readonly type: string;
    /** Position in `Bundle.entry`. */
    readonly index: number;
    readonly resource: SourceResource;
    readonly as: "created" | "amended" | "retracted" | KnownRecord["as"];
  }[];
  /**
   * Copies of what is kept that this call filed for persons whom it serves, since something about them refers to
   * it; whether it came in this bundle or before.
   */
  readonly copied: readonly FiledCopy[];
  /** Persons found in the bundle, each with one of the identifiers that they are known by. */
  readonly subjects: readonly {
    readonly identifier: PersonIdentifier;
    readonly subject: Subject;
  }[];
  /** Persons in the bundle who may be one with others known here, or with each other; nobody is merged. */
  readonly proposals: readonly MergeProposal[];
  /**
   * Resources that were skipped: they are about no patient and nothing about one refers to them, or
   * about a patient without an identifier, or about one whose numbers do not tell which known person they are; they were deleted or
   * superseded; or they occur twice in the bundle.
   */
  readonly skipped: readonly {
    readonly type: string;
    readonly index: number;
    readonly why: string;
  }[];
  readonly problems: readonly BundleProblem[];
}
