import { fromHex, toHex } from "../../bytes/hex.ts";
import { bytesToUtf8, utf8ToBytes } from "../../bytes/utf8.ts";
import { LedgerError, StorageError } from "../../errors.ts";
import { assertHead } from "../guards.ts";
import type { Head } from "../types.ts";
import type { Requests } from "./requests.ts";

/**
 * The small object that records the end of a chain. It may lag behind the segments but never runs
 * ahead of them: records that it counts and no segment holds were lost.
 */
export interface HeadObject {
  read(): Promise<Head | undefined>;
  /** Moves it forward, never back; a concurrent move by another is as good. Never rejects. */
  advance(head: Head): Promise<void>;
}

const FORMAT = "healthledger-s3/1";

/** @param quote - formats an ETag as the store accepts it in `If-Match` */
export function openHead(
  requests: Requests,
  key: string,
  quote: (etag: string) => string,
): HeadObject {
  /** Its value as this handle last saw it. */
  let seen: { readonly etag: string; readonly size: number } | undefined;
  let writing: Promise<void> = Promise.resolve();

  async function read(): Promise<Head | undefined> {
    const found = await requests.get(key);
    if (found === undefined) return undefined;
    const head = decodeHead(found.bytes);
    if (found.etag !== undefined) seen = { etag: found.etag, size: head.size };
    return head;
  }

  async function move(head: Head): Promise<void> {
    const body = encodeHead(head);
    for (let attempt = 0; attempt < 3; attempt++) {
      if (seen !== undefined && seen.size >= head.size) return;
      const written =
        seen === undefined
          ? await requests.create(key, body)
          : await requests.replace(key, body, quote(seen.etag));
      if (written !== "refused") {
        seen = written.etag === undefined ? undefined : { etag: written.etag, size: head.size };
        return;
      }
      await read();
    }
  }

  return {
    read,
    advance(head) {
      writing = writing.then(() =>
        move(head).catch(() => {
          // It may lag: the next move, or the next process, catches up.
          seen = undefined;
        }),
      );
      return writing;
    },
  };
}

function encodeHead({ size, hash }: Head): Uint8Array {
  return utf8ToBytes(
    `${JSON.stringify({ format: FORMAT, size, hash: hash === null ? null : toHex(hash) })}\n`,
  );
}

function decodeHead(bytes: Uint8Array): Head {
  try {
    const { format, size, hash } = JSON.parse(bytesToUtf8(bytes)) as Record<string, unknown>;
    if (format !== FORMAT) throw new TypeError("another format");
    const head = { size, hash: typeof hash === "string" ? fromHex(hash) : null } as Head;
    assertHead(head);
    return head;
  } catch (cause) {
    if (!(cause instanceof TypeError || cause instanceof SyntaxError || isOurs(cause))) throw cause;
    throw new StorageError("ERR_STORAGE_CORRUPT", "the head object of a chain is damaged", {
      cause,
    });
  }
}

function isOurs(error: unknown): boolean {
  return error instanceof LedgerError || error instanceof RangeError;
}
