import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import type { EntryId } from "../../codec/ids.ts";
import { InputError, RecordError } from "../../errors.ts";
import { serverNameIn } from "../../fhir/source-name.ts";
import type { LedgerContext } from "../context.ts";
import type { Access, UnreadableAccess } from "../disclosure/audit.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { Filing } from "../entries/filing.ts";
import type {
  IdentifiedSubject,
  PersonIdentifier,
  Subject,
  Subjects,
} from "../entries/subjects.ts";
import { bearersOf, whoIsAmong } from "../records/named-patients.ts";
import { assertSource, type Sources } from "../records/sources.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { Turns } from "../turns.ts";
import { aliasCalls, type AliasCalls } from "./aliases.ts";
import { createMerging, type MergeOptions, type UnmergedPersons } from "./merging.ts";
import type { DismissOptions, OpenProposal, Proposals } from "./proposals.ts";

/** A patient as a source names them. */
export interface PatientOfSource {
  /** The source's name, as in `BundleOptions.source`. */
  readonly source: string;
  /** `"Patient/123"`, or a URL that ends so. */
  readonly reference: string;
}

/** The calls about who somebody is. */
export interface PersonCalls extends AliasCalls {
  /**
   * The person with this identifier, or whom a source names so; `undefined` if this custodian does not know
   * them.
   *
   * @throws {RecordError} `ERR_RECORD_CONFLICT` when a source's name is that of several persons
   * @example
   * await hl.findSubject({ system: "urn:oid:1.2.3", value: "MRN-0012345" });
   * await hl.findSubject({ source: "ehr-1", reference: "Patient/123" });
   */
  findSubject(person: PersonIdentifier | PatientOfSource): Promise<Subject | undefined>;
  /** The person with this identifier. Makes them known to this custodian if they are not yet. */
  ensureSubject(identifier: PersonIdentifier): Promise<Subject>;
  /**
   * Gives a known person more identifiers, by any of which they are found from then on. Resolves once they
   * are durable. An identifier that belongs to another person is not given: the outcome lists it as a
   * proposal to merge the two.
   *
   * @param identifiers - 1 to 64
   * @throws {InputError} `ERR_INPUT_INVALID`, `ERR_INPUT_UNKNOWN_SUBJECT`, and `ERR_INPUT_TOO_LARGE` when the
   *   person would have more than 1,024
   */
  identify(subject: Subject, identifiers: readonly PersonIdentifier[]): Promise<IdentifiedSubject>;
  /**
   * Says that two persons are one. From then on they are joined: every call about either is about both, and
   * every directive, attestation and hold about either counts for both. Decisions as of earlier heights stay
   * as they were, and no record changes.
   *
   * @returns names the link entry, for {@link unmerge} and {@link mixed}
   * @throws {InputError} `ERR_INPUT_INVALID` when they are the same person or joined already;
   *   `ERR_INPUT_UNKNOWN_SUBJECT` when one is not known or was forgotten
   * @throws {RecordError} `ERR_RECORD_CONFLICT` when another process joined them first
   */
  merge(from: Subject, into: Subject, options: MergeOptions): Promise<EntryId>;
  /**
   * Ends a merge. Each person is again as if never joined with the other, but for what was erased meanwhile.
   * What was filed meanwhile stays with the person it was filed about; the outcome lists it. Directives that this
   * custodian witnessed meanwhile are held about the other person too, and holds placed on both: what is refused or kept
   * is so for both until people said whose it is.
   *
   * @param link - the merge, by the id that {@link merge} returned
   * @throws {RecordError} `ERR_RECORD_NOT_FOUND`, `ERR_RECORD_ERASED`, or `ERR_RECORD_RETRACTED` when the
   *   merge is not in effect
   * @throws {StorageError} when a directive that was filed meanwhile cannot be read
   * @example
   * const { filed } = await hl.unmerge(merged, { reason: "two passports after all" });
   * for (const { record, subject } of filed.records) console.log(record, subject); // reattribute(record, …)?
   * for (const { directive, subject } of filed.directives) console.log(directive, subject); // whose is it?
   */
  unmerge(link: EntryId, options: MergeOptions): Promise<UnmergedPersons>;
  /**
   * The accesses that released records of one person in answer to a question about another, only because
   * this merge joined them, oldest first, each with the records that were released.
   *
   * @param link - a merge, in effect or ended
   * @throws {RecordError} `ERR_RECORD_NOT_FOUND`, `ERR_RECORD_ERASED`
   */
  mixed(link: EntryId): AsyncIterable<Access | UnreadableAccess>;
  /**
   * Persons who may be one, as far as bundles, NDJSON and {@link identify} found and nobody has decided, oldest
   * first. A proposal ends when the two are merged, when one is forgotten, and when it is dismissed.
   *
   * @throws {StorageError} when an entry is lost by which a proposal was made or ended
   * @example
   * for await (const { id, subjects, because } of hl.proposals()) {
   *   const [one, other] = subjects;
   *   if (other === undefined) await hl.dismissProposal(id, { reason: "the number of the family" });
   *   else if (because !== "Patient.link") await hl.merge(one!, other, { reason: "same papers" });
   * }
   */
  proposals(): AsyncIterable<OpenProposal>;
  /**
   * Files that a proposal is wrong. It does not come back for the same reason about the same persons.
   *
   * @throws {RecordError} `ERR_RECORD_NOT_FOUND` when no such proposal is open
   */
  dismissProposal(proposal: EntryId, options: DismissOptions): Promise<void>;
}

const PATIENT_OF_SOURCE: OptionsOf<PatientOfSource> = { source: true, reference: true };

/** Makes the calls about who somebody is. */
export function personCalls(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly filing: Filing;
    readonly subjects: Subjects;
    readonly sources: Sources;
    readonly proposals: Proposals;
    readonly turns: Turns;
  },
): PersonCalls {
  const { catalogue, subjects, sources, proposals } = options;

  async function findNamed(patient: PatientOfSource): Promise<Subject | undefined> {
    assertOptions(patient, PATIENT_OF_SOURCE, "findSubject");
    const { source, reference } = patient;
    assertSource(source);
    const name = serverNameIn(reference);
    if (name?.type !== "Patient") {
      throw new InputError(
        "ERR_INPUT_INVALID",
        'a patient\'s reference must end in "Patient/" and an id',
      );
    }
    await catalogue.catchUp();
    const [found] = await sources.onRecord([{ source, type: "Patient", id: name.id }]);
    const named = await whoIsAmong(bearersOf(found!), name.base, subjects);
    if (named.is === "unclear") {
      throw new RecordError("ERR_RECORD_CONFLICT", "several persons are known by this name");
    }
    return named.is === "person" ? named.person : undefined;
  }

  return {
    ...createMerging(context, options),
    ...aliasCalls(context, options),
    findSubject: (person) => ("source" in person ? findNamed(person) : subjects.find(person)),
    ensureSubject: (identifier) => subjects.findOrCreate(identifier),
    async identify(subject, identifiers) {
      const done = await subjects.identify(subject, identifiers);
      await afterWriting(() => proposals.file(done.proposals));
      return done;
    },
    proposals: proposals.open,
    dismissProposal: proposals.dismiss,
  };
}
