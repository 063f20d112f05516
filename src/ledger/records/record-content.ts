import { bytesKey } from "../../bytes/bytes-key.ts";
import { decodeSignedHeader } from "../../envelope/header.ts";
import { wipeKeys } from "../../envelope/keys.ts";
import type { OpenOptions } from "../../envelope/open.ts";
import { RecordError, StorageError } from "../../errors.ts";
import { bySlices } from "../../loop/give-turn.ts";
import {
  attachmentPart,
  attachmentsOf,
  type Attachment,
  type AttachmentInput,
} from "./attachments.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { openingOfOwn, openOwn } from "../entries/own-envelope.ts";
import type { LedgerContext } from "../context.ts";
import { sealEntries, type EntryToSeal, type SealedEntry } from "../entries/filing.ts";
import { isPool, poolKey } from "../entries/source-names.ts";
import { manifestAbout } from "../entries/manifest.ts";
import type { FoldedRecord } from "./current-record.ts";
import { partsOf, type ManifestOf, type ResourceContent } from "./draft.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import type { Upload, Uploads } from "./uploads.ts";

/** Options to follow and to stop a recording that has attachments. */
export interface UploadProgress {
  /** Called after each block of ciphertext, with the number of plaintext bytes sealed. */
  readonly onProgress?: (progress: { readonly sealed: number }) => void;
  /** Stops the recording before the entry is filed; ciphertext that was written is deleted. */
  readonly signal?: AbortSignal;
}

/** The content of a record beside its manifest. */
export interface RecordContent extends ResourceContent, UploadProgress {
  readonly attachments: readonly AttachmentInput[];
  /** The result of {@link draftSteps} for this manifest. */
  readonly draft?: Uint8Array;
  /** The envelope, if it is durable already. */
  readonly upload?: Upload;
}

/** An entry about a record that is to be sealed. */
export interface RecordToSeal {
  readonly subject: Subject;
  readonly manifest: ManifestOf;
  readonly content?: RecordContent;
}

/** Seals entries about records; they are in the order of what is wanted. */
export type SealTogether = (wanted: readonly RecordToSeal[]) => Promise<readonly SealedEntry[]>;

/** Entries, and bytes of text, that are worth sealing together on this thread; more only take memory. */
const TOGETHER = { most: 64, bytes: 1024 * 1024 };
/** On other threads, which seal while this one makes entries of what came before. */
const TOGETHER_ELSEWHERE = { most: 256, bytes: 2 * 1024 * 1024 };

/** Seals the content of records, and reads it again. */
export interface RecordContents {
  /** Most entries, and most bytes of text, that are worth sealing together. */
  readonly together: { readonly most: number; readonly bytes: number };
  /**
   * Runs work on content whose attachments, if any, are already durable, so that nobody had to wait
   * for them. The work must seal and file the entry.
   */
  prepare<T>(
    subject: Subject,
    manifest: ManifestOf,
    content: RecordContent,
    work: (content: RecordContent) => Promise<T>,
  ): Promise<T>;
  /** Seals a record's entry; prepared content keeps the manifest that it was prepared with. */
  seal(subject: Subject, manifest: ManifestOf, content?: RecordContent): Promise<SealedEntry>;
  /**
   * Runs work with a sealer that reads each person's key once and wipes the keys at the end. What it is
   * given together takes less than one after another. The caller must make sure that nobody is forgotten
   * meanwhile.
   */
  sealMany<T>(work: (seal: SealTogether) => Promise<T>): Promise<T>;
  /** The resource's exact JSON in an entry's envelope. */
  textOf(item: CatalogueItem): Promise<Uint8Array>;
  /** The attachments of a record's newest content. */
  attachmentsOf(record: FoldedRecord): Promise<readonly Attachment[]>;
  /** The same attachments, to be sealed again; each is read when it is sealed. */
  attachedTo(record: FoldedRecord): Promise<readonly AttachmentInput[]>;
  /** The whole content of a record, to be sealed again. */
  copyOf(record: FoldedRecord): Promise<RecordContent>;
}

/** Starts sealing and reading content. */
export function createRecordContents(
  context: LedgerContext,
  options: {
    readonly catalogue: Catalogue;
    readonly subjects: Subjects;
    readonly uploads: Uploads;
  },
): RecordContents {
  const { catalogue, subjects, uploads } = options;

  /** The key of a person or of a pool; the caller must wipe it. */
  const keyOf = async (subject: Subject): Promise<Uint8Array> =>
    isPool(context, subject.local)
      ? poolKey(context, subject.local)
      : (await subjects.read(subject)).key;

  const isErased = async ({ id }: CatalogueItem): Promise<boolean> =>
    (await catalogue.find(id)).status === "erased";

  const contentIsGone = async (item: CatalogueItem): Promise<RecordError | StorageError> =>
    (await isErased(item))
      ? new RecordError("ERR_RECORD_ERASED", "this record was erased")
      : new StorageError("ERR_STORAGE_MISSING", "the record's content is missing from the store");

  async function sealUnder(
    keyOf: (subject: Subject) => Promise<Uint8Array>,
    wanted: readonly RecordToSeal[],
  ): Promise<readonly SealedEntry[]> {
    const sealed: (SealedEntry | undefined)[] = [];
    const toSeal: EntryToSeal[] = [];
    for (const { subject, manifest, content } of wanted) {
      const subjectKey = await keyOf(subject);
      const { local } = subject;
      const upload = content?.upload;
      const draft = content?.draft;
      sealed.push(upload?.entry(subjectKey));
      if (upload !== undefined) continue;
      toSeal.push({
        kind: "record",
        manifest: { v: 1, local, ...manifest },
        ...(draft === undefined ? {} : { encoded: manifestAbout(draft, local) }),
        subjectKey,
        ...(content === undefined
          ? { parts: [] }
          : await bySlices(partsOf(content, context.random))),
      });
    }
    const fresh = (await sealEntries(context, toSeal)).values();
    const all = sealed.map((one) => one ?? fresh.next().value!);
    for (const one of all) catalogue.remember(one);
    return all;
  }

  async function textOf(item: CatalogueItem): Promise<Uint8Array> {
    const { kind, envelope, place } = item;
    const parts = ["content"];
    const opened = await openOwn(context, { kind, envelope, height: place.height, parts });
    const content = opened?.get("content");
    if (content === undefined) throw await contentIsGone(item);
    return content;
  }

  /** Opens an envelope of a record; the caller must wipe the keys. */
  async function openingOf(item: CatalogueItem): Promise<OpenOptions> {
    const { kind, envelope, place } = item;
    const opening = await openingOfOwn(context, { kind, envelope, height: place.height });
    if (opening === undefined) throw await contentIsGone(item);
    const { read } = opening;
    return {
      ...opening,
      read: async (cid) => (await read(cid)) ?? ((await isErased(item)) ? "erased" : undefined),
    };
  }

  async function headerOf(item: CatalogueItem) {
    const { header, keys } = await openingOf(item);
    wipeKeys(keys);
    return decodeSignedHeader(header).header;
  }

  async function attachmentsOfHead({ head }: FoldedRecord): Promise<readonly Attachment[]> {
    if (head.manifest.attachments === undefined) return [];
    return attachmentsOf(
      head.manifest,
      await headerOf(head),
      () => true,
      async (part) => ({ ...(await openingOf(head)), part }),
    );
  }

  async function attachedTo(record: FoldedRecord): Promise<readonly AttachmentInput[]> {
    return (await attachmentsOfHead(record)).map(({ mediaType, stream }) => ({
      mediaType,
      source: stream(),
    }));
  }

  return {
    together: context.workers === undefined ? TOGETHER : TOGETHER_ELSEWHERE,
    async prepare(subject, manifest, content, work) {
      const { attachments, onProgress, signal } = content;
      if (attachments.length === 0) return work(content);
      const { parts, disclosed } = await bySlices(partsOf(content, context.random));
      const upload = await uploads.begin({
        manifest: {
          v: 1,
          local: subject.local,
          ...manifest,
          attachments: attachments.map(({ mediaType }) => mediaType),
        },
        parts: [
          ...parts.map(({ id, bytes }) => ({ id, source: bytes })),
          ...attachments.map(({ source }, i) => ({ id: attachmentPart(i), source })),
        ],
        ...(disclosed === undefined ? {} : { disclosed }),
        ...(onProgress === undefined ? {} : { onProgress }),
        ...(signal === undefined ? {} : { signal }),
      });
      return upload.finish(async () => {
        signal?.throwIfAborted();
        return work({ ...content, upload });
      });
    },
    async seal(subject, manifest, content) {
      const key = await keyOf(subject);
      try {
        const wanted = { subject, manifest, ...(content === undefined ? {} : { content }) };
        return (await sealUnder(async () => key, [wanted]))[0]!;
      } finally {
        key.fill(0);
      }
    },
    async sealMany(work) {
      const keys = new Map<string, Uint8Array>();
      try {
        return await work((wanted) =>
          sealUnder(async (subject) => {
            const person = bytesKey(subject.local);
            const key = keys.get(person) ?? (await keyOf(subject));
            keys.set(person, key);
            return key;
          }, wanted),
        );
      } finally {
        for (const key of keys.values()) key.fill(0);
      }
    },
    textOf,
    attachmentsOf: attachmentsOfHead,
    attachedTo,
    async copyOf(record) {
      return {
        text: await textOf(record.head),
        fields: (await headerOf(record.head)).disclosed !== undefined,
        attachments: await attachedTo(record),
      };
    },
  };
}
