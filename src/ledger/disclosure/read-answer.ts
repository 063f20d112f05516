import type { CID } from "multiformats/cid";
import { equalBytes } from "../../bytes/compare.ts";
import { decodeEntry, entryId, isCustom } from "../../block/entry.ts";
import type { TransactionWithEntries } from "../../block/transaction.ts";
import {
  entryIdBytes,
  recordIdBytes,
  toEntryId,
  type EntryId,
  type RecordId,
} from "../../codec/ids.ts";
import type { Decision } from "../../consent/model/decision.ts";
import { FIELDS_PART } from "../../envelope/disclosed.ts";
import { openGrant } from "../../envelope/grant.ts";
import { decodeGrant } from "../../envelope/grant-record.ts";
import { decodeSignedHeader, type SigningKey } from "../../envelope/header.ts";
import { type EnvelopeKeys, wipeKeys } from "../../envelope/keys.ts";
import { openEnvelope, type OpenOptions } from "../../envelope/open.ts";
import type { Absence } from "../../envelope/read-block.ts";
import { EnvelopeError } from "../../errors.ts";
import { readResource } from "../../fhir/bundle.ts";
import type { FhirResource } from "../../fhir/resource.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import { decodeManifest, type Manifest } from "../entries/manifest.ts";
import { attachmentsOf, isAttachmentPart, type Attachment } from "../records/attachments.ts";
import type { DisclosureAnswer, ReleasedItem } from "./disclose.ts";

/** A released record, opened by its requester. */
export interface OpenedItem {
  /** Names the record through all its versions. */
  readonly record: RecordId;
  readonly manifest: Manifest;
  /** The parsed resource; absent when only the manifest was granted. */
  readonly resource?: FhirResource;
  /** The resource's exact JSON. */
  readonly text?: Uint8Array;
  /** The resource's attachments, in its order; each is read from the custodian on demand. */
  readonly attachments: readonly Attachment[];
  /** The signed header of the envelope, which `proveFields` makes proofs from. */
  readonly header: Uint8Array;
  /** Plaintext of the part `fields`; absent if it was not recorded or not granted. */
  readonly fields?: Uint8Array;
  /** Offline proof that this version is on the ledger; see `verifyReceipt`. */
  readonly receipt: Uint8Array;
}

/** An answer, readable by its requester. */
export interface Answer {
  readonly decision: Decision;
  /** The access entry on the ledger that records this answer. */
  readonly access: EntryId;
  /** Number of released records. */
  readonly count: number;
  /**
   * Set if the access entry is not on the ledger yet: an emergency while the custodian was cut off. The transaction
   * that holds it, signed by the custodian, is what it can be held to.
   */
  readonly pending?: TransactionWithEntries;
  /**
   * Until when attachments that did not come with the answer can be read, in ms since 1970 by the custodian's clock;
   * absent if nothing is left to fetch from another organisation. What is filed about the person may end it sooner.
   */
  readonly until?: number;
  /** Opens the released records one after another, and verifies each envelope's author. */
  items(): AsyncIterable<OpenedItem>;
}

/** What proves the items of one answer: a copy of the ledger, or receipts that came with them. */
export interface ItemProofs {
  /** The entry at an item's place, and a receipt of it; `undefined` if there is none. */
  entryOf(item: ReleasedItem): Promise<
    | {
        readonly author: string;
        readonly bytes: Uint8Array;
        readonly receipt: () => Promise<Uint8Array>;
      }
    | undefined
  >;
  /**
   * The custodian's key that signed an item's header, in force when the entry was made.
   *
   * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when it was not
   */
  authorKey(item: ReleasedItem, key: Uint8Array): Promise<SigningKey>;
}

/** What an answer is read with. */
export interface AnswerReading {
  readonly ledger: CID;
  readonly custodian: string;
  readonly agreement: KeyAgreement;
  readonly read: (cid: CID, item: ReleasedItem) => Promise<Uint8Array | Absence | undefined>;
  readonly until?: number;
  /**
   * The custodian's key that signs grants, in force when the answer arrived.
   *
   * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when it was not
   */
  readonly grantorKey: (key: Uint8Array) => Promise<SigningKey>;
  /** Asked for once in each reading of the items. */
  readonly proofs: () => Promise<ItemProofs>;
}

/** Makes an answer whose items are opened and verified as they are read. */
export function readAnswer(answer: DisclosureAnswer, reading: AnswerReading): Answer {
  const { access, decision, items, pending } = answer;
  return {
    ...{ decision, access, count: items.length },
    ...(pending === undefined ? {} : { pending }),
    ...(reading.until === undefined ? {} : { until: reading.until }),
    async *items() {
      if (items.length === 0) return;
      const proofs = await reading.proofs();
      for (const item of items) {
        const found = await proofs.entryOf(item);
        assertNamed(reading, item, found);
        const opened = await openItem(item, answer, reading, proofs);
        assertOwnName(item, opened.manifest);
        const receipt = await found.receipt();
        yield { record: item.record, ...opened, header: item.header, receipt };
      }
    },
  };
}

/** Checks that the entry is at the claimed position, and names this envelope. */
function assertNamed<Found extends { readonly author: string; readonly bytes: Uint8Array }>(
  { ledger, custodian }: AnswerReading,
  { entry, envelope }: ReleasedItem,
  found: Found | undefined,
): asserts found is Found {
  if (found?.author !== custodian || toEntryId(entryId(ledger, custodian, found.bytes)) !== entry) {
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", "no such entry at the claimed position");
  }
  const named = decodeEntry(found.bytes);
  if (isCustom(named) || named.kind !== "record" || !named.body.equals(envelope)) {
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", "the entry names a different envelope");
  }
}

/**
 * Checks the record's name as far as the entry tells it: a record has the id of the entry that created
 * it, and a later version another one. Of which record that is a version, nothing here proves.
 */
function assertOwnName({ record, entry }: ReleasedItem, { op }: Manifest): void {
  const creates = op === "create" || op === "reattribute";
  if (creates !== equalBytes(recordIdBytes(record), entryIdBytes(entry))) {
    throw new EnvelopeError(
      "ERR_ENVELOPE_INVALID",
      "the record is not the one that the entry says",
    );
  }
}

/** Opens the granted parts of an item, except attachments, which are opened when they are read. */
async function openItem(
  item: ReleasedItem,
  answer: DisclosureAnswer,
  reading: AnswerReading,
  proofs: ItemProofs,
): Promise<Omit<OpenedItem, "record" | "header" | "receipt">> {
  const opening = await openingOf(item, answer, reading, proofs);
  const { keys } = opening;
  const { header } = decodeSignedHeader(item.header);
  const granted = new Set(
    header.parts.map(({ id }) => id).filter((id) => "cek" in keys || Object.hasOwn(keys.parts, id)),
  );
  try {
    const parts = ["manifest", ...[...granted].filter((id) => !isAttachmentPart(id))];
    const opened = (await openEnvelope({ ...opening, parts })).parts;
    const manifest = decodeManifest(opened.get("manifest")!);
    const text = opened.get("content");
    const fields = opened.get(FIELDS_PART);
    const attachments = attachmentsOf(
      manifest,
      header,
      (part) => granted.has(part),
      async (part) => ({ ...(await openingOf(item, answer, reading, proofs)), part }),
    );
    return {
      manifest,
      ...(text === undefined ? {} : { text, resource: readResource(text).resource }),
      ...(fields === undefined ? {} : { fields }),
      attachments,
    };
  } finally {
    wipeKeys(keys);
  }
}

/** Gathers the options that open an item's envelope; the caller must wipe the keys. */
async function openingOf(
  item: ReleasedItem,
  { access }: DisclosureAnswer,
  { ledger, custodian, agreement, read, grantorKey }: AnswerReading,
  proofs: ItemProofs,
): Promise<OpenOptions & { readonly keys: EnvelopeKeys }> {
  const { envelope, header, grant } = item;
  const keys = await openGrant({
    ...{ grant, agreement, envelope, basis: entryIdBytes(access) },
    grantor: { actor: custodian, ...(await grantorKey(decodeGrant(grant).key)) },
  });
  try {
    const { key } = decodeSignedHeader(header);
    return {
      ...{ envelope, header, keys },
      read: (cid) => read(cid, item),
      context: { ledger, author: custodian, kind: "record" },
      author: await proofs.authorKey(item, key),
    };
  } catch (error) {
    wipeKeys(keys);
    throw error;
  }
}
