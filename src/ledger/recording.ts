import { toHex } from "../bytes/hex.ts";
import type { EntryPlace } from "../chain/make-receipt.ts";
import type { Labeller } from "../consent/labeller.ts";
import type { ResourceLabels } from "../consent/resource.ts";
import { InputError, StorageError } from "../errors.ts";
import { readBundle, readResource, type BundleProblem, type ResourceText } from "../fhir/bundle.ts";
import { describeResource } from "../fhir/manifest.ts";
import type { FhirResource } from "../fhir/resource.ts";
import { openOwn, type Catalogue, type CatalogueItem } from "./catalogue.ts";
import type { LedgerContext } from "./context.ts";
import {
  MAX_BYTES_TOGETHER,
  MAX_FILED_TOGETHER,
  sealEntry,
  sizeOfSealed,
  type Filed,
  type Filing,
  type SealedEntry,
} from "./filing.ts";
import type { Manifest } from "./manifest.ts";
import { currentRecords, type CurrentRecord } from "./records.ts";
import type { PersonIdentifier, Subject, Subjects } from "./subjects.ts";

/** FHIR JSON: as UTF-8 bytes or a string, which keep every digit, or parsed. */
export type ResourceInput = Uint8Array | string | FhirResource;

/** A version of a record that was filed. */
export interface RecordedVersion {
  /** Id of the entry, 32 bytes. */
  readonly id: Uint8Array;
  readonly place: EntryPlace;
  /** Labels that consent will judge it by; `null` where nothing could be told. */
  readonly labels: ResourceLabels | null;
}

export interface RecordOptions {
  /** Id of any version of the record that this one corrects. */
  readonly amends?: Uint8Array;
  /** Labels to use instead of the labeller's. */
  readonly labels?: ResourceLabels | null;
}

export interface BundleOptions {
  /** Told after each transaction. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
  readonly signal?: AbortSignal;
  /**
   * Files every entry as a transaction of its own, so that transactions say nothing of who it is
   * about; slower. Default `false`: then entries of one transaction may be presumed to concern one
   * person.
   */
  readonly mix?: boolean;
}

/** What became of a bundle. */
export interface RecordedBundle {
  readonly recorded: readonly (RecordedVersion & {
    readonly subject: Subject;
    readonly type: string;
    /** Place in `Bundle.entry`. */
    readonly index: number;
  })[];
  /** Persons found in the bundle, each filed under an identifier of theirs. */
  readonly subjects: readonly {
    readonly identifier: PersonIdentifier;
    readonly subject: Subject;
  }[];
  /** Resources that are about no patient, or about one without identifier. */
  readonly skipped: readonly {
    readonly type: string;
    readonly index: number;
    readonly why: string;
  }[];
  readonly problems: readonly BundleProblem[];
}

/** Seals records and files them. */
export interface Recording {
  record(subject: Subject, input: ResourceInput, options?: RecordOptions): Promise<RecordedVersion>;
  recordBundle(
    subject: Subject | null,
    bundle: Uint8Array | string | FhirResource,
    options?: BundleOptions,
  ): Promise<RecordedBundle>;
  relabel(record: Uint8Array, labels?: ResourceLabels | null): Promise<RecordedVersion>;
  retract(record: Uint8Array, reason: string): Promise<RecordedVersion>;
  reattribute(record: Uint8Array, to: Subject, reason: string): Promise<RecordedVersion>;
  /** The record that an entry belongs to, as it stands now. */
  find(id: Uint8Array): Promise<CurrentRecord>;
  /** A person's records as they stand now. */
  list(subject: Subject): Promise<readonly CurrentRecord[]>;
  /** The newest content of a record: its exact FHIR JSON. */
  read(id: Uint8Array): Promise<Uint8Array>;
}

const FHIR_JSON = "application/fhir+json";

/** Starts recording. */
export function createRecording(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly filing: Filing;
    readonly subjects: Subjects;
    readonly labeller: Labeller;
  },
): Recording {
  const { catalogue, filing, subjects, labeller } = options;

  async function seal(
    subject: Subject,
    manifest: Omit<Manifest, "v" | "local">,
    content?: Uint8Array,
  ): Promise<SealedEntry> {
    const { key } = await subjects.read(subject);
    const full: Manifest = { v: 1, local: subject.local, ...manifest };
    const sealed = await sealEntry(context, {
      kind: "record",
      manifest: full,
      subjectKey: key,
      parts: content === undefined ? [] : [{ id: "content", bytes: content }],
    });
    key.fill(0);
    catalogue.remember(sealed.id, full);
    return sealed;
  }

  function manifestOf(
    { resource }: ResourceText,
    labels: ResourceLabels | null | undefined,
    resolve?: (reference: string) => unknown,
  ): Pick<Manifest, "mediaType" | "resource"> & { readonly labels: ResourceLabels | null } {
    return {
      mediaType: FHIR_JSON,
      resource: describeResource(resource),
      labels:
        labels === undefined
          ? labeller.label(resource, resolve === undefined ? {} : { resolve })
          : labels,
    };
  }

  async function find(id: Uint8Array): Promise<CurrentRecord & { readonly subject: Subject }> {
    if (!(id instanceof Uint8Array) || id.length !== 32) {
      throw new TypeError("a record is named by the id of one of its entries, 32 bytes");
    }
    await catalogue.catchUp();
    const found = await catalogue.find(id);
    if (found.status === "erased") {
      throw new StorageError("ERR_STORAGE_ERASED", "this record was erased");
    }
    if (found.status === "missing" || found.item.kind !== "record") {
      throw new StorageError("ERR_STORAGE_MISSING", "this custodian has no such record");
    }
    const subject = { local: found.item.manifest.local };
    const records = currentRecords(await catalogue.itemsOf(subject.local));
    for (const record of records.values()) {
      if (record.history.some((item) => toHex(item.id) === toHex(id)))
        return { ...record, subject };
    }
    throw new StorageError("ERR_STORAGE_MISSING", "the record's first version is not there");
  }

  /** The record to change, which must not have ended. */
  async function findLiving(
    id: Uint8Array,
  ): Promise<CurrentRecord & { readonly subject: Subject }> {
    const record = await find(id);
    if (record.retracted) {
      throw new InputError("ERR_INPUT_INVALID", "this record was retracted or moved");
    }
    return record;
  }

  async function contentOf({ kind, envelope, place }: CatalogueItem): Promise<Uint8Array> {
    const parts = ["content"];
    const opened = await openOwn(context, { kind, envelope, height: place.height, parts });
    const content = opened?.get("content");
    if (content === undefined) {
      throw new StorageError("ERR_STORAGE_MISSING", "the record's content is not there");
    }
    return content;
  }

  const version = ({ id, place }: Filed, labels: ResourceLabels | null): RecordedVersion => ({
    id,
    place,
    labels,
  });

  /** Files one operation on a record that is there. */
  async function follow(
    record: CurrentRecord & { readonly subject: Subject },
    manifest: Omit<Manifest, "v" | "local" | "replaces">,
  ): Promise<RecordedVersion> {
    const replaces = record.history.at(-1)!.id;
    const [filed] = await filing.file([await seal(record.subject, { ...manifest, replaces })]);
    return version(filed!, manifest.labels ?? null);
  }

  return {
    async record(subject, input, { amends, labels } = {}) {
      const text = readResource(input);
      const manifest = manifestOf(text, labels);
      if (amends === undefined) {
        const sealed = await seal(subject, { op: "create", ...manifest }, text.text);
        const [filed] = await filing.file([sealed]);
        await catalogue.keepUp();
        return version(filed!, manifest.labels);
      }
      const record = await findLiving(amends);
      if (toHex(record.subject.local) !== toHex(subject.local)) {
        throw new InputError("ERR_INPUT_INVALID", "the amended record is about another person");
      }
      const replaces = record.history.at(-1)!.id;
      const sealed = await seal(subject, { op: "amend", replaces, ...manifest }, text.text);
      return version((await filing.file([sealed]))[0]!, manifest.labels);
    },
    async recordBundle(subject, input, { onProgress, signal, mix = false } = {}) {
      const bundle = readBundle(input);
      const people: { identifier: PersonIdentifier; subject: Subject }[] = [];
      const byPatient = new Map<number, Subject>();
      if (subject !== null && bundle.patients.length > 1) {
        throw new InputError(
          "ERR_INPUT_INVALID",
          "the bundle is about several patients: pass null to file each under his own identifier",
        );
      }
      for (const [i, { identifier }] of bundle.patients.entries()) {
        if (subject !== null) {
          byPatient.set(i, subject);
        } else if (identifier !== undefined) {
          const person = await subjects.findOrCreate(identifier);
          byPatient.set(i, person);
          people.push({ identifier, subject: person });
        }
      }
      const byName = new Map<string, unknown>();
      for (const { fullUrl, resource } of bundle.resources) {
        if (fullUrl !== undefined) byName.set(fullUrl, resource);
        byName.set(`${resource.resourceType}/${String(resource["id"])}`, resource);
      }
      const skipped: { type: string; index: number; why: string }[] = [];
      const toFile: { index: number; text: ResourceText; subject: Subject }[] = [];
      for (const { index, resource, text, patients } of bundle.resources) {
        const person = patients.length === 1 ? byPatient.get(patients[0]!) : undefined;
        if (person !== undefined) {
          toFile.push({ index, text: { resource, text }, subject: person });
          continue;
        }
        const why =
          patients.length === 0
            ? "it is about no patient"
            : patients.length > 1
              ? "it is about several patients"
              : "its patient has no identifier";
        skipped.push({ type: resource.resourceType, index, why });
      }
      const recorded: RecordedBundle["recorded"][number][] = [];
      for (let at = 0; at < toFile.length;) {
        signal?.throwIfAborted();
        const sealed: SealedEntry[] = [];
        let bytes = 0;
        for (const { text, subject: person } of toFile.slice(at, at + MAX_FILED_TOGETHER)) {
          if (bytes > MAX_BYTES_TOGETHER) break;
          const manifest = manifestOf(text, undefined, (reference) => byName.get(reference));
          sealed.push(await seal(person, { op: "create", ...manifest }, text.text));
          bytes += sizeOfSealed(sealed.at(-1)!);
        }
        const chunk = toFile.slice(at, (at += sealed.length));
        const filed = mix
          ? (await Promise.all(sealed.map((one) => filing.fileAlone([one])))).flat()
          : await filing.fileAlone(sealed);
        await catalogue.keepUp();
        for (const [i, one] of filed.entries()) {
          const { text, subject: person, index } = chunk[i]!;
          const labels = sealed[i]!.manifest.labels ?? null;
          const type = text.resource.resourceType;
          recorded.push({ ...version(one, labels), subject: person, type, index });
        }
        onProgress?.({ done: recorded.length, total: toFile.length });
      }
      return { recorded, subjects: people, skipped, problems: bundle.problems };
    },
    async relabel(id, labels) {
      const record = await findLiving(id);
      const fresh =
        labels === undefined
          ? labeller.label(readResource(await contentOf(record.head)).resource)
          : labels;
      return follow(record, { op: "relabel", labels: fresh });
    },
    async retract(id, reason) {
      return follow(await findLiving(id), { op: "retract", reason });
    },
    async reattribute(id, to, reason) {
      const record = await findLiving(id);
      if (toHex(record.subject.local) === toHex(to.local)) {
        throw new InputError("ERR_INPUT_INVALID", "the record is about this person already");
      }
      const { head, labels } = record;
      const content = await contentOf(head);
      const replaces = record.history.at(-1)!.id;
      const moved = await seal(
        to,
        {
          op: "reattribute",
          replaces,
          reason,
          labels,
          mediaType: head.manifest.mediaType ?? FHIR_JSON,
          ...(head.manifest.resource === undefined ? {} : { resource: head.manifest.resource }),
        },
        content,
      );
      const gone = await seal(record.subject, { op: "retract", replaces, reason });
      const [filed] = await filing.fileAlone([moved, gone]);
      return version(filed!, labels);
    },
    find,
    async list(subject) {
      await catalogue.catchUp();
      return [...currentRecords(await catalogue.itemsOf(subject.local)).values()];
    },
    read: async (id) => contentOf((await find(id)).head),
  };
}
