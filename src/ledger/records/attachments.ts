import type { ByteSource } from "../../envelope/byte-source.ts";
import type { EnvelopeHeader } from "../../envelope/header.ts";
import { wipeKeys } from "../../envelope/keys.ts";
import {
  openPart,
  type ByteRange,
  type OpenPartOptions,
  type PartReader,
} from "../../envelope/open-stream.ts";
import { InputError } from "../../errors.ts";
import { MAX_ATTACHMENTS, type Manifest } from "../entries/manifest.ts";

/** Bytes to keep with a record: a document, an image, a whole study. */
export interface AttachmentInput {
  /** For example `application/pdf`; sealed with the record. */
  readonly mediaType: string;
  /** Read once, in order, and no faster than the store accepts the output. */
  readonly source: ByteSource;
}

/** Bytes kept with a record, which can be read in whole or in part. */
export interface Attachment {
  readonly mediaType: string;
  /**
   * Number of bytes. It is sealed at the attachment's end, so its last block, up to 960 KiB, is read.
   *
   * @throws {EnvelopeError} `ERR_ENVELOPE_MISSING` if that block is no longer there
   */
  size(): Promise<number>;
  /**
   * Yields the attachment, or a range of it, in pieces of at most 64 KiB, each verified before it
   * is yielded. If bytes were cut off or altered, an error replaces the next piece.
   *
   * @throws {RangeError} if the range is not within the attachment
   * @throws {EnvelopeError} `ERR_ENVELOPE_MISSING` if ciphertext is no longer there
   */
  stream(options?: ByteRange & { readonly signal?: AbortSignal }): AsyncIterable<Uint8Array>;
  /** Reads a range into memory; decrypts only the segments that it lies in. */
  range(from: number, to: number): Promise<Uint8Array>;
}

const PREFIX = "attachment-";

/** Id of the part that holds an attachment; it is in clear, so it reveals only the order. */
export const attachmentPart = (index: number): string => `${PREFIX}${index}`;

/** Whether a part holds an attachment. */
export const isAttachmentPart = (id: string): boolean => id.startsWith(PREFIX);

/**
 * Checks attachments to be recorded.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` if there are too many, or one has no media type
 */
export function assertAttachments(attachments: readonly AttachmentInput[]): void {
  const good =
    Array.isArray(attachments) &&
    attachments.length <= MAX_ATTACHMENTS &&
    attachments.every(
      ({ mediaType }) => typeof mediaType === "string" && /^[^\0]{1,256}$/.test(mediaType),
    );
  if (!good) {
    throw new InputError(
      "ERR_INPUT_INVALID",
      `a record may have at most ${MAX_ATTACHMENTS} attachments, each with a media type`,
    );
  }
}

/**
 * Makes the attachments that a manifest lists readable.
 *
 * @param isGranted - whether the reader has the key of a part
 * @param opening - opens a part; keys are requested again for every reading, and wiped after it
 */
export function attachmentsOf(
  { attachments = [] }: Manifest,
  { parts }: Pick<EnvelopeHeader, "parts">,
  isGranted: (part: string) => boolean,
  opening: (part: string) => Promise<OpenPartOptions>,
): readonly Attachment[] {
  return attachments.flatMap((mediaType, index) => {
    const id = attachmentPart(index);
    if (!parts.some((part) => part.id === id) || !isGranted(id)) return [];
    const open = async (signal?: AbortSignal) => {
      const options = await opening(id);
      try {
        return openPart({ ...options, ...(signal === undefined ? {} : { signal }) });
      } finally {
        wipeKeys(options.keys);
      }
    };
    const reading = async <T>(work: (reader: PartReader) => Promise<T>): Promise<T> => {
      const reader = await open();
      try {
        return await work(reader);
      } finally {
        reader.close();
      }
    };
    return [
      {
        mediaType,
        size: () => reading((reader) => reader.size()),
        async *stream({ signal, ...range } = {}) {
          const reader = await open(signal);
          try {
            yield* reader.stream(range);
          } finally {
            reader.close();
          }
        },
        range: (from, to) => reading((reader) => reader.range(from, to)),
      } satisfies Attachment,
    ];
  });
}
