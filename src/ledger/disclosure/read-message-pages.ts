import { decodeKeyProof, verifyKeyProof } from "../../chain/key-proof.ts";
import { EncodingError } from "../../errors.ts";
import { openMessagePage, type MessageFields, type MessageHead } from "./message-pages.ts";
import {
  signingKeyOf,
  verifiedPages,
  wrong,
  type PageReading,
  type SignedBy,
  type ReplyReader,
} from "./read-replies.ts";

/** The content of one page of the reply to a message. */
export interface SignedContent extends SignedBy {
  readonly content: Uint8Array;
}

/**
 * Reads the reply to a message.
 *
 * @returns once the first page is here and proved to be the custodian's; gives each page's content once that page is
 *   verified, and throws as `verifiedPages` does
 */
export async function readMessagePages(
  pages: AsyncIterable<Uint8Array>,
  reading: PageReading,
): Promise<AsyncIterable<SignedContent>> {
  const verified = verifiedPages(pages, reading, READER)[Symbol.asyncIterator]();
  let next = await verified.next();
  return (async function* () {
    try {
      for (; next.done !== true; next = await verified.next()) {
        const { content, ...signed } = next.value;
        yield { ...signed, content: content.content };
      }
    } finally {
      await verified.return?.();
    }
  })();
}

const READER: ReplyReader<MessageHead, MessageFields> = {
  open: openMessagePage,
  async signerOf({ key: proof, consistency }, key, reading) {
    await reading.onCheckpoint?.(peekProof(proof).checkpoint, consistency);
    const proved = verifyKeyProof(proof, key, reading.trust);
    if (!proved.ok) throw wrong(`its key is not proved: ${proved.reason}`);
    const signer = signingKeyOf(proved.key, reading.custodian, proved.asOf);
    if (signer === undefined) throw wrong("its key is not in force");
    await reading.onKey?.(key);
    return signer;
  },
};

function peekProof(bytes: Uint8Array): { readonly checkpoint: Uint8Array } {
  try {
    return decodeKeyProof(bytes);
  } catch (error) {
    if (error instanceof EncodingError) throw wrong("the proof of its key is malformed");
    throw error;
  }
}
