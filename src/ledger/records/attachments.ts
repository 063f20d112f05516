import type { ByteSource } from "../../envelope/byte-source.ts";
import type { EnvelopeHeader } from "../../envelope/header.ts";
import { wipeKeys } from "../../envelope/keys.ts";
import { openPart, type ByteRange, type OpenPartOptions } from "../../envelope/open-stream.ts";
import { InputError } from "../../errors.ts";
import { MAX_ATTACHMENTS, type Manifest } from "../entries/manifest.ts";

/** Bytes to be kept with a record: a document, an image, a whole study. */
export interface AttachmentInput {
  /** Such as `application/pdf`; sealed with the record. */
  readonly mediaType: string;
  /** Read once, in order, and no faster than the store takes what comes out. */
  readonly source: ByteSource;
}

/** Bytes that are kept with a record, to be read in whole or in part. */
export interface Attachment {
  readonly mediaType: string;
  /** How many bytes, as the author signed. */
  readonly size: number;
  /**
   * Yields it, or a range of it, in pieces of at most 64 KiB, each verified before it is yielded.
   * What was cut off or altered raises an error in place of the next piece.
   *
   * @throws {RangeError} when the range is not within it
   * @throws {EnvelopeError} `ERR_ENVELOPE_MISSING` when ciphertext is not there any more
   */
  stream(options?: ByteRange & { readonly signal?: AbortSignal }): AsyncIterable<Uint8Array>;
  /** Reads a range into memory; decrypts the segments that it lies in, and no others. */
  range(from: number, to: number): Promise<Uint8Array>;
}

const PREFIX = "attachment-";

/** Id of the part that holds an attachment; stands in clear, so it says nothing but the order. */
export const attachmentPart = (index: number): string => `${PREFIX}${index}`;

/** Whether a part holds an attachment. */
export const isAttachmentPart = (id: string): boolean => id.startsWith(PREFIX);

/**
 * Checks attachments to be recorded.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when there are too many, or one has no media type
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
      `a record has at most ${MAX_ATTACHMENTS} attachments, each with a media type`,
    );
  }
}

/**
 * Makes the attachments that a manifest tells of readable.
 *
 * @param isGranted - whether the reader has the key of a part
 * @param opening - what opens a part; keys are asked for anew with every reading, and wiped after it
 */
export function attachmentsOf(
  { attachments = [] }: Manifest,
  { parts }: Pick<EnvelopeHeader, "parts">,
  isGranted: (part: string) => boolean,
  opening: (part: string) => Promise<OpenPartOptions>,
): readonly Attachment[] {
  return attachments.flatMap((mediaType, index) => {
    const id = attachmentPart(index);
    const part = parts.find((one) => one.id === id);
    if (part === undefined || !isGranted(id)) return [];
    const open = async (signal?: AbortSignal) => {
      const options = await opening(id);
      try {
        return openPart({ ...options, ...(signal === undefined ? {} : { signal }) });
      } finally {
        wipeKeys(options.keys);
      }
    };
    return [
      {
        mediaType,
        size: part.size,
        async *stream({ signal, ...range } = {}) {
          const reader = await open(signal);
          try {
            yield* reader.stream(range);
          } finally {
            reader.close();
          }
        },
        async range(from, to) {
          const reader = await open();
          try {
            return await reader.range(from, to);
          } finally {
            reader.close();
          }
        },
      } satisfies Attachment,
    ];
  });
}
