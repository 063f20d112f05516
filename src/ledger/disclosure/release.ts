import { appendTo } from "../../bytes/lists.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import type { CID } from "../../codec/cid.ts";
import { toEntryId, type EntryId, type RecordId } from "../../codec/ids.ts";
import type { Decision } from "../../consent/model/decision.ts";
import type { CoseRecipient } from "../../crypto/cose-hpke.ts";
import { makeGrant, narrowKeys } from "../../envelope/grant.ts";
import { decodeSignedHeader, type EnvelopeHeader } from "../../envelope/header.ts";
import { wipeKeys } from "../../envelope/keys.ts";
import { isErasedNow, type Catalogue } from "../entries/catalogue.ts";
import { contentKeyName } from "../entries/filing.ts";
import type { LedgerContext } from "../context.ts";
import type { FoldedRecord } from "../records/current-record.ts";
import { partsOf } from "./decide-records.ts";
import type { DisclosureRequest } from "./request.ts";

/** One released record: everything that its requester needs to open it. */
export interface ReleasedItem {
  /** Names the record through all its versions. */
  readonly record: RecordId;
  /** The entry whose envelope this is. */
  readonly entry: EntryId;
  readonly place: EntryPlace;
  readonly envelope: CID;
  /** The envelope's signed header. */
  readonly header: Uint8Array;
  /** The keys, sealed to the requester's agreement key. */
  readonly grant: Uint8Array;
  /** Ids of the envelope's parts that these keys open. */
  readonly parts: readonly string[];
}

/** A record that may be released, and the decisions that admit it. */
export interface Admitted {
  readonly record: FoldedRecord;
  readonly decisions: readonly Decision[];
}

/** What was released. */
export interface Released {
  readonly items: readonly ReleasedItem[];
  /** The decisions that admitted them. */
  readonly decisions: readonly Decision[];
  /** Records whose keys or headers are gone although nothing erased them. */
  readonly lost: readonly FoldedRecord[];
}

/** Number of envelopes whose keys and headers are read together. */
const READ_TOGETHER = 128;

/** Wraps the keys of exactly these records for a requester, bound to the access entry that says so. */
export async function releaseAdmitted(
  context: LedgerContext & { readonly catalogue: Catalogue },
  admitted: readonly Admitted[],
  access: Uint8Array,
  request: DisclosureRequest,
  recipient: CoseRecipient,
): Promise<Released> {
  const items: ReleasedItem[] = [];
  const decisions: Decision[] = [];
  const lost: FoldedRecord[] = [];
  for (let at = 0; at < admitted.length; at += READ_TOGETHER) {
    const some = admitted.slice(at, at + READ_TOGETHER);
    const records = some.map(({ record }) => record);
    const released = await releaseKeys(context, records, access, request, recipient);
    for (const [i, item] of released.entries()) {
      if (item === undefined) {
        const { record } = some[i]!;
        if (!(await isErasedNow(context.catalogue, record.head.id))) lost.push(record);
        continue;
      }
      items.push(item);
      appendTo(decisions, some[i]!.decisions);
    }
  }
  return { items, decisions, lost };
}

/** The parts of an envelope that a choice of parts grants: all but the manifest count as `content`. */
function grantedParts(header: EnvelopeHeader, chosen: readonly string[]) {
  const ids = header.parts.map(({ id }) => id);
  const parts = ids.filter((id) => chosen.includes(id === "manifest" ? id : "content"));
  return { header, parts };
}

/**
 * Wraps the keys of records' envelopes for the requester, bound to the access entry.
 *
 * @returns items in the records' order; `undefined` for a record whose key or header is gone
 */
async function releaseKeys(
  context: LedgerContext,
  records: readonly FoldedRecord[],
  basis: Uint8Array,
  request: DisclosureRequest,
  recipient: CoseRecipient,
): Promise<(ReleasedItem | undefined)[]> {
  const { storage, vault, signer, random } = context;
  const envelopes = records.map(({ head }) => head.envelope);
  const ceks = await vault.getMany(envelopes.map((cid) => contentKeyName(context, cid)));
  const headers = await storage.blobs.getMany(envelopes);
  const { parts } = partsOf(request.query);
  const items: (ReleasedItem | undefined)[] = [];
  try {
    for (const [i, { record, head }] of records.entries()) {
      const { envelope, id, place } = head;
      const [cek, header] = [ceks[i], headers[i]];
      if (cek === undefined || header === undefined) {
        items.push(undefined);
        continue;
      }
      const whole = decodeSignedHeader(header).header;
      const only = parts === undefined ? undefined : grantedParts(whole, parts);
      const keys = only === undefined ? { cek } : narrowKeys({ cek }, only);
      const granted = only?.parts ?? whole.parts.map((part) => part.id);
      try {
        const grant = await makeGrant({ envelope, basis, keys, recipient, signer, random });
        items.push({
          record,
          entry: toEntryId(id),
          place,
          envelope,
          header,
          grant,
          parts: granted,
        });
      } finally {
        wipeKeys(keys);
      }
    }
  } finally {
    for (const cek of ceks) cek?.fill(0);
  }
  return items;
}
