import { expectConsistency } from "../../chain/receipt.ts";
import { expectBytes, expectMap } from "../../codec/shape.ts";
import type { CoseRecipient } from "../../crypto/cose-hpke.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import type { AskAddress } from "./ask-format.ts";
import {
  openPageFields,
  sealPageFields,
  type PagePlace,
  type PageReader,
  type PageSealing,
  type SignedPage,
} from "./reply-pages.ts";

/** What the first page of the reply to a message says about the whole. */
export interface MessageHead {
  /** Proof of the key that signs the pages, in the newest state under a checkpoint; see `makeKeyProof`. */
  readonly key: Uint8Array;
  /** Consistency proof from the asker's checkpoint to that of `key`, if the asker's is smaller. */
  readonly consistency?: readonly Uint8Array[];
}

/** What one page of a reply has besides its place. */
export interface MessageFields {
  /** On page 0 only. */
  readonly head?: MessageHead;
  /** In the encoding of the message's kind. */
  readonly content: Uint8Array;
}

/** One page of the reply to a message. */
export type MessagePage = PagePlace & MessageFields;

/** Signs a page, pads it and seals it to the asker. */
export function sealMessagePage(
  { head, content, ...place }: MessagePage,
  address: AskAddress,
  to: CoseRecipient,
  how: PageSealing,
): Promise<Uint8Array> {
  const fields = { content, ...(head === undefined ? {} : { head }) };
  return sealPageFields(place, fields, address, to, how);
}

/** Opens a page as `openPageFields` does. */
export function openMessagePage(
  sealed: Uint8Array,
  address: AskAddress,
  ask: Uint8Array,
  page: number,
  agreement: KeyAgreement,
): Promise<SignedPage<MessageFields>> {
  return openPageFields(sealed, address, ask, page, agreement, READER);
}

const READER: PageReader<MessageFields> = {
  names: ["content"],
  *read(map) {
    const content = expectBytes(map["content"], "page.content");
    yield;
    const given = map["head"];
    if (given === undefined) return { content };
    const head = expectMap(given, "head", ["key"], ["consistency"]);
    return {
      content,
      head: { key: expectBytes(head["key"], "head.key"), ...expectConsistency(head, "head") },
    };
  },
};
