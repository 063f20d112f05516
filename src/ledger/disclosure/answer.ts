import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import { equalBytes } from "../../bytes/compare.ts";
import type { CID } from "multiformats/cid";
import type { Chain } from "../../chain/chain.ts";
import type { ProvableCheckpoint } from "../../chain/checkpoints.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { receiptMaker } from "../../chain/make-receipt.ts";
import type { Trust } from "../../chain/trust.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import { decodeEntry, entryId, isCustom } from "../../block/entry.ts";
import {
  entryIdBytes,
  recordIdBytes,
  toEntryId,
  type EntryId,
  type RecordId,
} from "../../codec/ids.ts";
import type { Decision } from "../../consent/model/decision.ts";
import { openGrant } from "../../envelope/grant.ts";
import { decodeGrant } from "../../envelope/grant-record.ts";
import { FIELDS_PART } from "../../envelope/disclosed.ts";
import { decodeSignedHeader } from "../../envelope/header.ts";
import { openEnvelope, type OpenOptions } from "../../envelope/open.ts";
import { type EnvelopeKeys, wipeKeys } from "../../envelope/keys.ts";
import { EnvelopeError, ProofError } from "../../errors.ts";
import { readResource } from "../../fhir/bundle.ts";
import type { FhirResource } from "../../fhir/resource.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import { type Attachment, attachmentsOf, isAttachmentPart } from "../records/attachments.ts";
import { signingKeyAt } from "../context.ts";
import type { DisclosureAnswer, ReleasedItem } from "./disclose.ts";
import { decodeManifest, type Manifest } from "../entries/manifest.ts";

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
  /** Opens the released records one after another, and verifies each envelope's author. */
  items(): AsyncIterable<OpenedItem>;
}

/** Options of {@link openAnswer}. */
export interface OpenAnswerOptions {
  /**
   * The requester's own copy of the ledger, as of the answer's arrival. The grants are judged by the keys
   * in force then, and the records are proved by this copy.
   */
  readonly chain: Chain;
  readonly custodian: string;
  readonly agreement: KeyAgreement;
  /** Fetches ciphertext from the custodian, or takes it from the encoded answer; see `decodeAnswer`. */
  readonly read: (cid: CID) => Promise<Uint8Array | undefined>;
  /**
   * A signed checkpoint of the chain, or a function that gives one covering a height. If the ledger's policy
   * has changed, the function also gives the policy path that leads the receipts' reader to the checkpoint.
   */
  readonly checkpoint:
    | Uint8Array
    | ((height: number) => Promise<Uint8Array | Pick<ProvableCheckpoint, "note" | "policyPath">>);
  /** The trust that the receipts are made for; see `makeReceipt`. Default: the genesis record alone. */
  readonly from?: Trust;
}

interface Opening extends OpenAnswerOptions {
  /** Size of the chain when the answer arrived: items that are read later were granted at this size. */
  readonly arrivedAt: number;
}

const OPEN_ANSWER_OPTIONS: OptionsOf<OpenAnswerOptions> = {
  ...{ chain: true, custodian: true, agreement: true, read: true, checkpoint: true, from: true },
};

/**
 * Makes a custodian's answer readable for its requester. Besides the answer, the requester needs a copy of
 * the ledger, the custodian's name, and the key that the request named.
 *
 * @returns an answer whose items are opened and verified as they are read. Reading ends with an
 *   {@link EnvelopeError} at an item that the custodian did not record, or whose keys it did not grant for
 *   this access, and with {@link ProofError} `ERR_PROOF_RANGE` if an item is in a block that the copy
 *   lacks. Nothing proves the decision itself
 * @example
 * const answer = openAnswer(disclosed, {
 *   chain,
 *   checkpoint,
 *   custodian,
 *   agreement: clinic.agreement(),
 *   read: (cid) => storage.blobs.get(cid),
 * });
 * for await (const { resource, receipt } of answer.items()) {
 *   console.log(resource?.resourceType, verifyReceipt(receipt, trustFromGenesis(genesis)).ok);
 * }
 */
export function openAnswer(answer: DisclosureAnswer, given: OpenAnswerOptions): Answer {
  assertOptions(given, OPEN_ANSWER_OPTIONS, "openAnswer");
  const options: Opening = { ...given, arrivedAt: given.chain.size };
  return {
    decision: answer.decision,
    access: answer.access,
    count: answer.items.length,
    async *items() {
      if (answer.items.length === 0) return;
      const highest = answer.items.reduce((most, { place }) => Math.max(most, place.height), 0);
      if (highest >= options.chain.size) {
        const why = `the answer refers to block ${highest}, which this copy of the ledger lacks`;
        throw new ProofError("ERR_PROOF_RANGE", why);
      }
      const { checkpoint: given } = options;
      const made = given instanceof Uint8Array ? given : await given(highest);
      const { note: checkpoint, policyPath } =
        made instanceof Uint8Array ? { note: made, policyPath: [] } : made;
      const { from } = options;
      const receiptOf = receiptMaker(options.chain, {
        checkpoint,
        policyPath,
        ...(from === undefined ? {} : { from }),
      });
      const entryAt = entryReader(options.chain);
      for (const item of answer.items) {
        assertNamed(options.chain, options.custodian, item, await entryAt(item.place));
        const opened = await openItem(item, answer.access, options);
        assertOwnName(item, opened.manifest);
        const receipt = await receiptOf(item.place);
        yield { record: item.record, ...opened, header: item.header, receipt };
      }
    },
  };
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
  access: EntryId,
  options: Opening,
): Promise<Omit<OpenedItem, "record" | "header" | "receipt">> {
  const opening = await openingOf(item, access, options);
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
      async (part) => ({ ...(await openingOf(item, access, options)), part }),
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
  { envelope, header, grant, place }: ReleasedItem,
  access: EntryId,
  { chain, custodian, agreement, read, arrivedAt }: Opening,
): Promise<OpenOptions & { readonly keys: EnvelopeKeys }> {
  const keys = await openGrant({
    grant,
    agreement,
    envelope,
    basis: entryIdBytes(access),
    grantor: {
      actor: custodian,
      ...(await signingKeyAt(chain, custodian, decodeGrant(grant).key, arrivedAt)),
    },
  });
  try {
    const { key } = decodeSignedHeader(header);
    return {
      envelope,
      header,
      keys,
      context: { ledger: chain.ledger, author: custodian, kind: "record" },
      author: await signingKeyAt(chain, custodian, key, place.height),
      read,
    };
  } catch (error) {
    wipeKeys(keys);
    throw error;
  }
}

type EntryReader = (
  place: EntryPlace,
) => Promise<{ readonly author: string; readonly bytes: Uint8Array } | undefined>;

/** Reads entries; consecutive reads from one block read the block once. */
function entryReader(chain: Chain): EntryReader {
  let height: number | undefined;
  let block: ReturnType<Chain["readBlock"]> | undefined;
  return async (place) => {
    if (block === undefined || height !== place.height) {
      height = place.height;
      block = chain.readBlock(place.height);
    }
    const signed = (await block).block.transactions[place.transaction];
    const bytes = signed?.entries[place.entry];
    if (signed === undefined || bytes === undefined) return undefined;
    return { author: decodeTransaction(signed.tx).author, bytes };
  };
}

/** Checks that the entry is at the claimed position, and names this envelope. */
function assertNamed(
  chain: Chain,
  custodian: string,
  { entry, envelope }: ReleasedItem,
  found: Awaited<ReturnType<EntryReader>>,
): void {
  if (
    found?.author !== custodian ||
    toEntryId(entryId(chain.ledger, custodian, found.bytes)) !== entry
  ) {
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", "no such entry at the claimed position");
  }
  const named = decodeEntry(found.bytes);
  if (isCustom(named) || named.kind !== "record" || !named.body.equals(envelope)) {
    throw new EnvelopeError("ERR_ENVELOPE_INVALID", "the entry names a different envelope");
  }
}
