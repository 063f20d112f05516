import { appendTo } from "../../bytes/lists.ts";
import { toHex } from "../../bytes/hex.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import type { CID } from "../../codec/cid.ts";
import { toEntryId, type EntryId, type RecordId } from "../../codec/ids.ts";
import type { Decision } from "../../consent/model/decision.ts";
import type { CoseRecipient } from "../../crypto/cose-hpke.ts";
import { makeGrant, narrowKeys } from "../../envelope/grant.ts";
import { decodeSignedHeader, type EnvelopeHeader } from "../../envelope/header.ts";
import { wipeKeys } from "../../envelope/keys.ts";
import { afterWriting } from "../../storage/settle.ts";
import {
  checkRequest,
  recheckRequester,
  type CheckContext,
  type CheckedRequest,
  type RequestRefusal,
} from "./check-request.ts";
import type { LedgerContext } from "../context.ts";
import { contentKeyName, type Filing } from "../entries/filing.ts";
import {
  isPermitted,
  decideRecords,
  readDeciding,
  requireReadableConsents,
  versionName,
  partsOf,
  type JudgeContext,
  type Judgement,
} from "./decide-records.ts";
import { currentRecords, type FoldedRecord } from "../records/current-record.ts";
import { isAskedFor } from "./asked-for.ts";
import { fileAccesses, fileDifferences, type FiledAccess } from "./file-access.ts";
import type { Replays } from "./replays.ts";
import type { DisclosureRequest } from "./request.ts";
import { lostEntry } from "../entries/own-envelope.ts";
import { isErasedNow } from "../entries/catalogue.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import { personName, type Turns } from "../turns.ts";
import { laterDecision, uniteDecisions, denialWithoutReasons } from "./released-decision.ts";

export type { RequestRefusal } from "./check-request.ts";

const isSamePlace = (a: EntryPlace, b: EntryPlace): boolean =>
  a.height === b.height && a.transaction === b.transaction && a.entry === b.entry;

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

/** A custodian's answer to a request. */
export interface DisclosureAnswer {
  /** The access entry that every grant is bound to. */
  readonly access: EntryId;
  /**
   * A decision that tells nothing about withheld records: if nothing is released, it is a bare `deny`,
   * whatever the reason.
   */
  readonly decision: Decision;
  readonly items: readonly ReleasedItem[];
}

export type DisclosureResult =
  | { readonly ok: true; readonly answer: DisclosureAnswer }
  | { readonly ok: false; readonly reason: RequestRefusal };

/** The dependencies for disclosing. */
export interface DiscloseContext extends JudgeContext, CheckContext {
  readonly filing: Filing;
  readonly subjects: Subjects;
  readonly turns: Turns;
  readonly replays: Replays;
  /** Files the newest versions of what records refer to that name nobody. */
  readonly freshen: (records: readonly FoldedRecord[]) => Promise<readonly unknown[]>;
}

/**
 * Answers a signed request: verifies it, finds the person, decides, records the access, decides again with
 * the entries that landed in between, and only then releases keys for exactly what both decisions permit.
 *
 * A failure before the access entry is durable releases nothing; a later failure never loses the entry. A
 * request about an unknown person is answered and recorded like one about a person without records.
 *
 * @throws {StorageError} `ERR_STORAGE_MISSING` when a consent on the ledger does not open here
 */
export async function disclose(
  context: DiscloseContext,
  bytes: Uint8Array,
): Promise<DisclosureResult> {
  const { subjects, replays } = context;
  const checked = await checkRequest(context, bytes);
  if (!checked.ok) return checked;
  const { sealed, replayName } = checked;
  // From here until the access entry is durable, the request's id counts as used.
  const id = toHex(replayName);
  const inFlight = inFlightOf(context);
  if (inFlight.has(id)) return { ok: false, reason: "replayed" };
  inFlight.add(id);
  try {
    await requireReadableConsents(context);
    if ((await replays.answered(replayName, checked.request.time)) !== undefined) {
      return { ok: false, reason: "replayed" };
    }
    const subject = await subjects.find(sealed.patient);
    await freshenAsked(context, checked.request, subject);
    const work = () => answerRequest(context, checked, subject);
    return subject === undefined
      ? await work()
      : await context.turns.shared(personName(subject), work);
  } finally {
    inFlight.delete(id);
  }
}

/** Has the newest version on record of what goes out with the records that a request asks for. */
async function freshenAsked(
  { catalogue, freshen }: DiscloseContext,
  { query }: DisclosureRequest,
  subject: Subject | undefined,
): Promise<void> {
  const { items } = await readDeciding(catalogue, subject);
  const asked = [...currentRecords(items).values()].filter(
    (record) => !record.retracted && isAskedFor(record, query),
  );
  if ((await freshen(asked)).length > 0) await catalogue.catchUp();
}

/** Decides, records, decides again and releases, for a checked request. */
async function answerRequest(
  context: DiscloseContext,
  checked: CheckedRequest & { readonly ok: true },
  subject: Subject | undefined,
): Promise<DisclosureResult> {
  const { request, sealed, replayName } = checked;
  const first = await decideRecords(context, request, sealed, subject, context.now());
  const what = { request, sealed, subject, judgement: first };
  const accesses = await fileAccesses(context, { ...what, answers: replayName });
  return afterWriting(() => answerAgain(context, checked, subject, first, accesses));
}

/** Decides again after the access entry, and releases what both decisions permit. */
async function answerAgain(
  context: DiscloseContext,
  checked: CheckedRequest & { readonly ok: true },
  subject: Subject | undefined,
  first: Judgement,
  accesses: readonly FiledAccess[],
): Promise<DisclosureResult> {
  const { request, sealed, replayName } = checked;
  const { now } = context;
  const { id: access, place } = accesses[0]!;
  await requireReadableConsents(context);
  const earlier = await context.replays.answered(replayName, request.time);
  if (earlier === undefined || earlier === "unknown" || !isSamePlace(earlier, place)) {
    // Another process of this member answered the same request first.
    return { ok: false, reason: "replayed" };
  }
  const asked = first.decided.filter(isPermitted);
  const second = await decideRecords(context, request, sealed, subject, now());
  const items: ReleasedItem[] = [];
  const decisions: Decision[] = [];
  const lost: FoldedRecord[] = [];
  const recipient = await recheckRequester(context, checked);
  if (recipient.ok) {
    const still = new Map(
      second.decided.filter(isPermitted).map((one) => [versionName(one.record), one.decision]),
    );
    const admitted = asked.flatMap(({ record, decision }) => {
      const later = still.get(versionName(record));
      return later === undefined ? [] : [{ record, decisions: [decision, later] }];
    });
    for (let at = 0; at < admitted.length; at += READ_TOGETHER) {
      const some = admitted.slice(at, at + READ_TOGETHER);
      const released = await releaseKeys(
        context,
        some.map(({ record }) => record),
        access,
        request,
        recipient,
      );
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
  }
  if (items.length < asked.length) {
    const released = new Set(items.map(({ record }) => record));
    const decided = asked
      .filter(({ record }) => !released.has(record.record))
      .map((one) => laterDecision(one, second, recipient.ok));
    const judgement = { ...second, decided };
    await fileDifferences(context, { request, sealed, subject, judgement }, accesses);
  }
  if (lost.length > 0) throw lostEntry("record", lost[0]!.head.id);
  const decision = uniteDecisions(decisions) ?? denialWithoutReasons(second.asOf);
  return { ok: true, answer: { access: toEntryId(access), decision, items } };
}

/** Names of the requests that are being answered. */
const inFlightByVault = new WeakMap<LedgerContext["vault"], Set<string>>();

function inFlightOf({ vault }: LedgerContext): Set<string> {
  let inFlight = inFlightByVault.get(vault);
  if (inFlight === undefined) {
    inFlight = new Set();
    inFlightByVault.set(vault, inFlight);
  }
  return inFlight;
}

/** Number of envelopes whose keys and headers are read together. */
const READ_TOGETHER = 128;

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
  context: DiscloseContext,
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
